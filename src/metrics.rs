//! Our own metrics, as Prometheus reads them.

mod cluster;
mod heartbeat;
mod secondary;
mod steering;
mod streams;
mod transfers;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use cluster::ClusterReadout;
use heartbeat::HeartbeatReadout;
use secondary::SecondaryReadout;
use steering::SteeringReadout;
use streams::StreamReadout;
use transfers::TransferReadout;

use crate::answer::SubjectKind;
use crate::geo::RegionId;
use crate::intake::{Beyond, Board, Cluster, Counts, Heartbeats, Pulse, Shown, StreamCounts, Tally};
use crate::load::history::Reading;
use crate::pool::NodeId;
use crate::snapshot::{Published, Snapshot};
use crate::steer::{GAP_BOUNDS, GapHistogram};
use crate::wire::Rcode;

/// Writes metrics from the newest snapshot and everybody's counts.
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Metrics of these writers and what is published.
    pub fn new(
        published: Arc<Published>,
        counts: Vec<Arc<Counts>>,
        streams: Vec<(Arc<StreamCounts>, Option<Arc<Shown>>)>,
        pulse: Arc<Pulse>,
        board: Arc<Board>,
        cluster: Option<Arc<Cluster>>,
        heartbeats: Vec<Arc<Heartbeats>>,
    ) -> Self {
        let mut registry = Registry::with_prefix("thalweg");
        registry.register_collector(Box::new(TransferReadout(Arc::clone(&board))));
        let steering = SteeringReadout { published: Arc::clone(&published), counts: counts.clone(), pulse, board };
        registry.register_collector(Box::new(steering));
        registry.register_collector(Box::new(SecondaryReadout(Arc::clone(&published))));
        registry.register_collector(Box::new(Readout { published, counts }));
        for (counts, certificate) in streams {
            registry.register_collector(Box::new(StreamReadout { counts, certificate }));
        }
        if let Some(cluster) = cluster {
            registry.register_collector(Box::new(ClusterReadout(cluster)));
        }
        if !heartbeats.is_empty() {
            registry.register_collector(Box::new(HeartbeatReadout(heartbeats)));
        }
        Self { registry }
    }

    /// The text exposition.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

struct Readout {
    published: Arc<Published>,
    counts: Vec<Arc<Counts>>,
}

impl fmt::Debug for Readout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readout").field("writers", &self.counts.len()).finish_non_exhaustive()
    }
}

impl Collector for Readout {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.published.snapshot();
        self.traffic(&mut encoder)?;
        self.rate_limit(&mut encoder)?;
        self.effective_ttls(&mut encoder)?;
        inputs(&mut encoder, &snapshot)?;
        self.regions(&mut encoder, &snapshot)?;
        self.nodes(&mut encoder, &snapshot)
    }
}

impl Readout {
    fn traffic(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let totals: Vec<Tally> = self.counts.iter().map(|counts| counts.total()).collect();
        let sum = |of: fn(&Tally) -> u64| totals.iter().map(of).sum::<u64>();
        counter(encoder, "messages_received", "Messages that came", sum(|total| total.received))?;
        counter(
            encoder,
            "messages_dropped",
            "Messages that got no reply, because they are no queries",
            sum(|total| total.dropped),
        )?;
        counter(encoder, "replies_unsent", "Replies that could not be sent", sum(|total| total.unsent))?;
        let steered = sum(|total| total.steered);
        counter(encoder, "answers_steered", "Answers that steering made", steered)?;
        let mut family = encoder.encode_descriptor("replies", "Replies by response code", None, MetricType::Counter)?;
        for code in 0..totals.first().map_or(0, |total| total.replies.len()) {
            let value: u64 = totals.iter().map(|total| total.replies[code]).sum();
            if value > 0 {
                let labels = [("rcode", Rcode(code as u16).mnemonic())];
                ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn rate_limit(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Answers beyond server.rate_limit, by what they are about and by what was done in their place";
        let mut family = encoder.encode_descriptor("answers_beyond_rate", help, None, MetricType::Counter)?;
        let totals: Vec<Tally> = self.counts.iter().map(|counts| counts.total()).collect();
        for kind in SubjectKind::ALL {
            let subject = kind.word();
            for (beyond, done) in Beyond::ALL {
                let value: u64 = totals.iter().map(|total| total.beyond[beyond as usize][kind as usize]).sum();
                if value > 0 {
                    ConstCounter::new(value).encode(family.encode_family(&[("subject", subject), ("done", done)])?)?;
                }
            }
        }
        Ok(())
    }

    fn effective_ttls(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Time between two queries of one resolver for the same, beyond the TTL too; several caches left out";
        let mut all = GapHistogram::default();
        self.counts.iter().for_each(|counts| all.merge(&counts.effective_ttls()));
        let bounds = GAP_BOUNDS.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(all.counts).collect();
        let mut family =
            encoder.encode_descriptor("effective_ttl", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        family.encode_histogram::<NoLabelSet>(all.sum, all.counts.iter().sum(), &buckets, None)
    }

    fn regions(&self, encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
        let help = "Steered answers to clients of the region";
        let mut family = encoder.encode_descriptor("region_answers", help, None, MetricType::Counter)?;
        for (index, region) in snapshot.geo.regions().iter().enumerate() {
            let id = RegionId(index as u16);
            let value: u64 = self.counts.iter().map(|counts| counts.answers_to(id)).sum();
            // Of some 250 regions most have no clients; who has none yet is left out.
            if value > 0 {
                let labels = [("region", region.name.as_str())];
                ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn nodes(&self, encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
        let mut each = |name: &str, help: &str, kind: MetricType, value: &dyn Fn(NodeId) -> Option<f64>| {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (index, known) in snapshot.fleet.nodes.iter().enumerate().filter(|(_, known)| known.is_configured) {
                if let Some(value) = value(NodeId(index as u16)) {
                    let labels = [("node", known.node.name.as_str())];
                    metric(kind, value, family.encode_family(&labels)?)?;
                }
            }
            fmt::Result::Ok(())
        };
        let state = |id: NodeId| snapshot.tables.nodes.get(usize::from(id.0));
        let load = |id: NodeId| state(id)?.reading.last();
        let answers = |id| Some(self.counts.iter().map(|counts| counts.answers_of(id)).sum());
        each("node_answers", "Answers that named the node; one of m nodes counts 1/m", MetricType::Counter, &answers)?;
        each("node_pressure", "Worst resource as use by limit; 1 is overloaded", MetricType::Gauge, &|id| {
            load(id).map(|load| load.pressure)
        })?;
        each("node_load_age_seconds", "Time since the load was read", MetricType::Gauge, &|id| {
            load(id).map(|load| snapshot.tables.at - load.sampled)
        })?;
        each(
            "node_load_fresh",
            "1 if the load is known, 0 if it is stale or was never read",
            MetricType::Gauge,
            &|id| state(id).map(|state| f64::from(u8::from(matches!(state.reading, Reading::Fresh(_))))),
        )
    }
}

fn inputs(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let status = &snapshot.inputs;
    counter(encoder, "reloads", "Changes of inputs that were taken", status.reloads)?;
    counter(encoder, "reload_failures", "Changes of inputs of which something was refused", status.failures)?;
    let gauge = |encoder: &mut DescriptorEncoder<'_>, name, help, value: u64| {
        let gauge = ConstGauge::new(value as f64);
        gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
    };
    gauge(encoder, "generation", "Number of the inputs that are served", snapshot.generation)?;
    gauge(
        encoder,
        "inputs_have_errors",
        "1 if the inputs on disk have errors, so that older ones may be served",
        status.has_errors.into(),
    )?;
    gauge(encoder, "zones", "Zones that are served", snapshot.zones.iter().count() as u64)?;
    gauge(
        encoder,
        "steered_signatures",
        "Signatures of node sets that were made ahead, in zones that are signed here",
        snapshot.signatures.count() as u64,
    )?;
    let help = "When the first signature of the zone ends, in seconds since 1970";
    let ends = snapshot
        .zones
        .iter()
        .filter_map(|zone| Some((vec![("zone", zone.apex().to_string())], f64::from(zone.signatures_end()?))));
    steering::gauges(encoder, "zone_signatures_end_timestamp_seconds", help, ends)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn metric(kind: MetricType, value: f64, encoder: MetricEncoder<'_>) -> fmt::Result {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(encoder),
        _ => ConstGauge::new(value).encode(encoder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::SubjectKind;
    use crate::config::{RateLimit, RateLimitMode};
    use crate::geo::{Countries, Geo};
    use crate::pool::{Family, PoolId};
    use crate::snapshot::{InputStatus, TurnKeys, UrlKeys};
    use crate::steer::{Estimate, Ledger, Observation};
    use crate::wire::Secrets;

    #[test]
    fn counts_of_all_writers_are_summed_and_named() {
        let (geo, _) = Geo::compile(&[], Countries::embedded(), &[], &[], None);
        let snapshot = Snapshot {
            generation: 7,
            zones: Arc::default(),
            geo: Arc::new(geo),
            fleet: Arc::default(),
            elsewhere: Arc::default(),
            signatures: Arc::default(),
            tables: Arc::default(),
            rate_limit: Arc::new(RateLimit { mode: RateLimitMode::Off, per_second: 1, slip: 2, exempt: Vec::new() }),
            http_dns: Arc::default(),
            url_keys: UrlKeys::default(),
            turn_keys: TurnKeys::default(),
            seed: 0,
            identity: Arc::default(),
            cookies: Secrets::default(),
            keys: Arc::default(),
            transfers: Arc::default(),
            inputs: InputStatus { reloads: 6, failures: 2, has_errors: true, is_kept: false },
            inventories: Arc::default(),
            secondaries: Arc::default(),
        };
        let writers = [Arc::new(Counts::new()), Arc::new(Counts::new())];
        for writer in &writers {
            let mut tally = Tally { received: 3, dropped: 1, steered: 1, ..Tally::default() };
            tally.replied(Rcode::NXDOMAIN);
            tally.replied(Rcode::BADVERS);
            tally.replied(Rcode::BADCOOKIE);
            tally.beyond[Beyond::Truncated as usize][SubjectKind::NxDomain as usize] = 1;
            writer.add(&tally);
            let mut gaps = GapHistogram::default();
            (gaps.counts[4], gaps.counts[GAP_BOUNDS.len()], gaps.sum) = (2, 1, 1_230.5);
            writer.set_effective_ttls(&gaps);
            let nodes = [NodeId(0), NodeId(1)];
            let (region, pool, family) = (RegionId(0), PoolId(0), Family::V4);
            let mut ledger = Ledger::new();
            ledger.book(&Observation { region, pool, family, nodes: &nodes, ttl: 5, estimate: Estimate::default() });
            writer.add_ledger(&ledger);
        }
        let published = Arc::new(Published::new(snapshot));
        let pulse = Arc::new(Pulse::new(std::time::Instant::now()));
        let board = Arc::new(Board::new());
        board.raise("state", "", "the disk is full");
        board.raise("blind", "fra1", "told by the tables");
        let text =
            Metrics::new(published, writers.to_vec(), vec![(Arc::default(), None)], pulse, board, None, Vec::new())
                .text()
                .unwrap();
        for line in [
            "thalweg_messages_received_total 6",
            "thalweg_messages_dropped_total 2",
            "thalweg_replies_total{rcode=\"NXDOMAIN\"} 2",
            "thalweg_replies_total{rcode=\"BADVERS\"} 2",
            "thalweg_replies_total{rcode=\"BADCOOKIE\"} 2",
            "thalweg_answers_steered_total 2",
            "thalweg_answers_beyond_rate_total{subject=\"nxdomain\",done=\"truncated\"} 2",
            "thalweg_effective_ttl_seconds_sum 2461.0",
            "thalweg_effective_ttl_seconds_count 6",
            "thalweg_effective_ttl_seconds_bucket{le=\"10.0\"} 0",
            "thalweg_effective_ttl_seconds_bucket{le=\"15.0\"} 4",
            "thalweg_effective_ttl_seconds_bucket{le=\"+Inf\"} 6",
            "thalweg_region_answers_total{region=\"unknown\"} 2",
            "thalweg_generation 7.0",
            "thalweg_reload_failures_total 2",
            "thalweg_inputs_have_errors 1.0",
            "thalweg_tcp_connections 0.0",
            "thalweg_ttl_seconds_sum 10.0",
            "thalweg_ttl_seconds_bucket{le=\"3.0\"} 0",
            "thalweg_ttl_seconds_bucket{le=\"5.0\"} 2",
            "thalweg_ttl_seconds_bucket{le=\"+Inf\"} 2",
            "thalweg_bookings_lost_total 0",
            "thalweg_overrides{what=\"freeze\"} 0.0",
            "thalweg_alarm{alarm=\"state\"} 1.0",
            "thalweg_drains 0.0",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("alarm=\"blind\""), "it is in no tables");
        assert!(text.ends_with("# EOF\n"));
        assert_eq!(writers[0].answers_of(NodeId(1)), 0.5, "an answer is shared by the nodes it names");
    }
}
