//! The metrics of heartbeats: how many came, and how many were not taken.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::intake::{Heartbeats, Unwanted};

/// Writes what came of heartbeats.
#[derive(Debug)]
pub(super) struct HeartbeatReadout(pub(super) Vec<Arc<Heartbeats>>);

impl Collector for HeartbeatReadout {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Heartbeats of media servers that were taken";
        let mut family = encoder.encode_descriptor("heartbeats", help, None, MetricType::Counter)?;
        for heartbeats in &self.0 {
            let labels = [("inventory", heartbeats.inventory())];
            ConstCounter::new(heartbeats.taken()).encode(family.encode_family(&labels)?)?;
        }
        let help = "Heartbeats of media servers that were not taken";
        let mut family = encoder.encode_descriptor("heartbeats_refused", help, None, MetricType::Counter)?;
        for heartbeats in &self.0 {
            for (unwanted, because) in Unwanted::ALL {
                let value = heartbeats.refused(unwanted);
                if value > 0 {
                    let labels = [("inventory", heartbeats.inventory()), ("because", because)];
                    ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}
