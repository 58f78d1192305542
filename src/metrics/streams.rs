//! The metrics of connections, by what carries them.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::counter;
use crate::intake::{Carrier, Handshake, Limit, Shown, StreamCounts};

/// Writes the counts of connections.
#[derive(Debug)]
pub(super) struct StreamReadout {
    pub(super) counts: Arc<StreamCounts>,
    /// What its listeners show, if it is encrypted.
    pub(super) certificate: Option<Arc<Shown>>,
}

impl Collector for StreamReadout {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self { counts, certificate } = self;
        let carrier = counts.carrier();
        let (word, title) = (carrier.word(), carrier.word().to_uppercase());
        let (name, help) = (format!("{word}_connections"), format!("{title} connections that are open"));
        let open = encoder.encode_descriptor(&name, &help, None, MetricType::Gauge)?;
        ConstGauge::new(counts.open() as f64).encode(open)?;
        let mut count = |name: &str, help: &str, value| counter(&mut encoder, &format!("{word}_{name}"), help, value);
        count("connections_accepted", &format!("{title} connections that were let in"), counts.accepted())?;
        count("queries", &format!("Queries over {title}"), counts.queries())?;
        count("replies", &format!("Replies over {title}, sent or not"), counts.replies())?;
        let help = format!("{title} connections that a limit kept out");
        by_limit(&mut encoder, &format!("{word}_connections_refused"), &help, |limit| counts.refused_by(limit))?;
        let help = format!("{title} connections that a limit ended");
        by_limit(&mut encoder, &format!("{word}_connections_closed"), &help, |limit| counts.closed_by(limit))?;
        if matches!(carrier, Carrier::Tls | Carrier::Quic | Carrier::Https) {
            let mut count = |name: &str, help: &str, ended| {
                counter(&mut encoder, &format!("{word}_{name}"), help, counts.handshakes(ended))
            };
            count("handshakes", &format!("{title} handshakes that were done"), Handshake::Done)?;
            count("handshakes_failed", &format!("{title} handshakes that failed"), Handshake::Failed)?;
            count("handshakes_timed_out", &format!("{title} handshakes that took too long"), Handshake::TimedOut)?;
        }
        if let Some(expires) = certificate.as_ref().and_then(|shown| shown.now().expires()) {
            let (name, help) =
                (format!("{word}_certificate_expires"), format!("When the certificate of {title} ends to be valid"));
            let gauge = encoder.encode_descriptor(&name, &help, Some(&Unit::Seconds), MetricType::Gauge)?;
            ConstGauge::new(expires as f64).encode(gauge)?;
        }
        let help = format!("Connections of proxies that did not tell whose they are, over {title}");
        if counts.introduction_failures() > 0 {
            counter(&mut encoder, &format!("{word}_introductions_failed"), &help, counts.introduction_failures())?;
        }
        let help = format!("Failures to accept a {title} connection, such as too many open files");
        counter(&mut encoder, &format!("{word}_accept_failures"), &help, counts.accept_failures())
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
        registry.register_collector(Box::new(StreamReadout { counts, certificate: None }));
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
