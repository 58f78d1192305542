//! The metrics of zone transfers, and of telling other nameservers of changes.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::intake::{Board, NotifyOutcome, TransferOutcome};

/// Writes the counts.
pub(super) struct TransferReadout(pub(super) Arc<Board>);

impl fmt::Debug for TransferReadout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.transfers().fmt(f)
    }
}

impl Collector for TransferReadout {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.transfers();
        let help = "Queries for zone transfers by what became of them";
        let mut family = encoder.encode_descriptor("transfers", help, None, MetricType::Counter)?;
        for outcome in TransferOutcome::ALL {
            let value = ConstCounter::new(counts.transfers(outcome));
            value.encode(family.encode_family(&[("outcome", outcome.word())])?)?;
        }
        let help = "Nameservers that were told of a changed zone (NOTIFY)";
        let mut family = encoder.encode_descriptor("notifies", help, None, MetricType::Counter)?;
        for outcome in NotifyOutcome::ALL {
            let value = ConstCounter::new(counts.notifies(outcome));
            value.encode(family.encode_family(&[("outcome", outcome.word())])?)?;
        }
        Ok(())
    }
}
