//! The metrics of the cluster: how the other nameservers are, and who was sent away.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::steering::gauges;
use crate::intake::{Cluster, PeerStatus, Refusal};

/// Writes how the others are.
#[derive(Debug)]
pub(super) struct ClusterReadout(pub(super) Arc<Cluster>);

impl Collector for ClusterReadout {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (peers, now) = (self.0.peers(), Instant::now());
        let mut each = |name: &str, help: &str, value: &dyn Fn(&PeerStatus) -> Option<f64>| {
            let values = peers.iter().filter_map(|peer| Some((vec![("peer", peer.address.to_string())], value(peer)?)));
            gauges(&mut encoder, name, help, values)
        };
        each("peer_up", "1 if the other nameserver was heard in the last 15 seconds", &|peer| {
            Some(f64::from(u8::from(peer.is_up(now))))
        })?;
        each("peer_age_seconds", "Time since the other nameserver was heard", &|peer| {
            peer.age(now).map(|age| age.as_secs_f64())
        })?;
        each("peer_orders_pending", "Orders, given or lifted, that the other nameserver does not know of", &|peer| {
            Some(peer.orders_pending as f64)
        })?;
        let parts = peers.iter().flat_map(|peer| {
            peer.differs
                .iter()
                .map(|part| (vec![("peer", peer.address.to_string()), ("part", part.word().to_owned())], 1.0))
        });
        gauges(&mut encoder, "peer_differs", "1 for each part of its inputs that is another than ours", parts)?;
        let help = "Messages to the cluster's listener that were not taken";
        let mut family = encoder.encode_descriptor("peer_messages_refused", help, None, MetricType::Counter)?;
        for (refusal, because) in Refusal::ALL {
            let value = self.0.refused(refusal);
            if value > 0 {
                ConstCounter::new(value).encode(family.encode_family(&[("because", because)])?)?;
            }
        }
        Ok(())
    }
}
