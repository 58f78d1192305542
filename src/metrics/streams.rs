//! The metrics of TCP connections.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::counter;
use crate::intake::{Limit, StreamCounts};

/// Writes the counts of connections.
#[derive(Debug)]
pub(super) struct StreamReadout(pub(super) Arc<StreamCounts>);

impl Collector for StreamReadout {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(counts) = self;
        let open =
            encoder.encode_descriptor("tcp_connections", "TCP connections that are open", None, MetricType::Gauge)?;
        ConstGauge::new(counts.open() as f64).encode(open)?;
        let help = "TCP connections that were let in";
        counter(&mut encoder, "tcp_connections_accepted", help, counts.accepted())?;
        by_limit(&mut encoder, "tcp_connections_refused", "TCP connections that a limit kept out", |limit| {
            counts.refused_by(limit)
        })?;
        by_limit(&mut encoder, "tcp_connections_closed", "TCP connections that a limit ended", |limit| {
            counts.closed_by(limit)
        })?;
        let help = "Failures to accept a TCP connection, such as too many open files";
        counter(&mut encoder, "tcp_accept_failures", help, counts.accept_failures())
    }
}

/// A counter with a label for each limit that did anything yet.
fn by_limit(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: impl Fn(Limit) -> u64) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for limit in Limit::ALL {
        if value(limit) > 0 {
            ConstCounter::new(value(limit)).encode(family.encode_family(&[("limit", limit.key())])?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn connections_are_counted_by_the_limit_that_ended_them() {
        let counts = Arc::new(StreamCounts::default());
        counts.opened();
        counts.opened();
        counts.ended();
        counts.refused(Limit::ConnectionsPerPrefix);
        counts.closed(Limit::Idle);
        counts.closed(Limit::Idle);
        counts.accept_failed();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(StreamReadout(counts)));
        let mut written = String::new();
        text::encode(&mut written, &registry).unwrap();
        for line in [
            "tcp_connections 1.0",
            "tcp_connections_accepted_total 2",
            "tcp_connections_refused_total{limit=\"connections_per_prefix\"} 1",
            "tcp_connections_closed_total{limit=\"idle\"} 2",
            "tcp_accept_failures_total 1",
        ] {
            assert!(written.lines().any(|found| found == line), "{line} is missing in\n{written}");
        }
    }
}
