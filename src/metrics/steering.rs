//! The metrics of the steering: pressures, weights, plans, demand, alarms, overrides, and how long answers live.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::counter;
use crate::geo::RegionId;
use crate::intake::{Board, Counts, LIFETIMES, Pulse};
use crate::load::health::State;
use crate::pool::{Family, NodeId, PoolId};
use crate::snapshot::{InventoryStatus, Published, Snapshot};
use crate::steer::{Alarm, NodeState, Override, Standing};

/// Viewers per second below which a region's numbers are left out: most of some 250 regions have no viewers.
const FEW: f64 = 0.001;

/// Writes what the newest tables hold.
pub(super) struct SteeringReadout {
    pub(super) published: Arc<Published>,
    pub(super) counts: Vec<Arc<Counts>>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) board: Arc<Board>,
}

impl fmt::Debug for SteeringReadout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SteeringReadout").field("pulse", &self.pulse).finish_non_exhaustive()
    }
}

impl Collector for SteeringReadout {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.published.snapshot();
        let now = Instant::now();
        let age =
            encoder.encode_descriptor("tick_age_seconds", "Time since tables were made", None, MetricType::Gauge)?;
        ConstGauge::new(self.pulse.age(now).as_secs_f64()).encode(age)?;
        alarms(&mut encoder, &snapshot, self.pulse.is_stuck(now), &self.board)?;
        overrides(&mut encoder, &snapshot)?;
        inventories(&mut encoder, &snapshot)?;
        nodes(&mut encoder, &snapshot)?;
        checks(&mut encoder, &snapshot)?;
        weights(&mut encoder, &snapshot)?;
        plans(&mut encoder, &snapshot)?;
        demands(&mut encoder, &snapshot)?;
        self.lifetimes(&mut encoder)
    }
}

impl SteeringReadout {
    fn lifetimes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let lost = self.counts.iter().map(|counts| counts.lost()).sum();
        counter(encoder, "bookings_lost", "Answers of too many kinds at once to be reckoned with", lost)?;
        let (mut sum, mut buckets) = (0.0, [0.0; LIFETIMES.len()]);
        for counts in &self.counts {
            let (seconds, answers) = counts.lifetimes();
            sum += seconds;
            buckets.iter_mut().zip(answers).for_each(|(all, own)| *all += own);
        }
        let buckets: Vec<(f64, u64)> =
            LIFETIMES.iter().zip(buckets).map(|(&until, answers)| (until, answers.round() as u64)).collect();
        let count = buckets.iter().map(|(_, answers)| answers).sum();
        let help = "Steered answers by the time for which caches keep them";
        let mut histogram = encoder.encode_descriptor("ttl_seconds", help, None, MetricType::Histogram)?;
        histogram.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

/// A gauge with labels, once for each of its values.
pub(super) fn gauges<'l>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Vec<(&'l str, String)>, f64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (*key, value.as_str())).collect();
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn alarms(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot, is_stuck: bool, board: &Board) -> fmt::Result {
    let labels = |alarm: &Alarm| {
        let mut labels = vec![("alarm", alarm.word().to_owned())];
        labels.extend(alarm.node().map(|node| ("node", snapshot.fleet.node(node).node.name.clone())));
        if let Alarm::Flooded { pool, region, .. } = *alarm {
            labels.push(("pool", snapshot.fleet.name_of_use(pool)));
            labels.push(("region", snapshot.geo.region(region).name.clone()));
        }
        (labels, 1.0)
    };
    let stuck = is_stuck.then(|| (vec![("alarm", "stuck".to_owned())], 1.0));
    // Those of the tables are told by them, as of the last tick.
    let others = board.alarms().into_iter().filter(|raised| !Alarm::WORDS.contains(&raised.alarm.as_str()));
    let others = others.map(|raised| {
        let about = Some(("about", raised.subject)).filter(|(_, about)| !about.is_empty());
        ([("alarm", raised.alarm)].into_iter().chain(about).collect(), 1.0)
    });
    let alarms = snapshot.tables.alarms.iter().map(labels).chain(stuck).chain(others);
    gauges(encoder, "alarm", "1 for each thing that an operator should look at", alarms)
}

fn inventories(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let mut each = |name, help, value: fn(&InventoryStatus) -> Option<f64>| {
        let labels = |inventory: &InventoryStatus| vec![("inventory", inventory.name.clone())];
        let values = snapshot.inventories.iter().filter_map(|known| Some((labels(known), value(known)?)));
        gauges(encoder, name, help, values)
    };
    each("inventory_nodes", "Nodes of the lists that were taken", |known| Some(known.nodes as f64))?;
    each("inventory_timestamp_seconds", "When the newest list was written or fetched", |known| {
        known.read.map(|at| at as f64)
    })?;
    each("inventory_errors", "What is wrong with lists, so that older ones go on", |known| {
        Some(known.errors.len() as f64)
    })?;
    each("inventory_nodes_waiting_to_go", "Nodes that a list lacks which waits to be confirmed", |known| {
        Some(known.pending.as_ref().map_or(0.0, |pending| pending.gone.len() as f64))
    })?;
    each("inventory_pending", "Nodes that send heartbeats and wait to be approved", |known| {
        known.heartbeats.as_ref().map(|heartbeats| heartbeats.waiting.len() as f64)
    })?;
    each("inventory_silent", "Nodes of which no heartbeat came in the last 30 seconds", |known| {
        known.heartbeats.as_ref().map(|heartbeats| heartbeats.silent as f64)
    })
}

fn overrides(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let count = |word: &str| snapshot.tables.orders.iter().filter(|order| order.what.word() == word).count() as f64;
    let counts = Override::WORDS.map(|word| (vec![("what", word.to_owned())], count(word)));
    gauges(encoder, "overrides", "Overrides of operators that stand", counts)?;
    let drains = ConstGauge::new(snapshot.tables.drains.len() as f64);
    let help = "Nodes that get nobody new by their inventory or for maintenance";
    drains.encode(encoder.encode_descriptor("drains", help, None, MetricType::Gauge)?)
}

fn nodes(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let known = || {
        let nodes = snapshot.fleet.nodes.iter().zip(&snapshot.tables.nodes).filter(|(known, _)| known.is_configured);
        nodes.map(|(known, state)| (vec![("node", known.node.name.clone())], state))
    };
    let mut each = |name, help, value: fn(&NodeState) -> f64| {
        gauges(encoder, name, help, known().map(|(labels, state)| (labels, value(state))))
    };
    each("node_pressure_predicted", "Pressure now, as predicted; 1 is overloaded", |node| node.pressure)?;
    each("node_prediction_error", "Mean error of predicted pressure over five minutes, without sign", |node| {
        node.prediction_error
    })?;
    each("node_explained_ratio", "Part of the load that came by answers, 0 to 1", |node| node.explained)?;
    each("node_distrusted", "1 if the node's load is not believed", |node| {
        f64::from(u8::from(node.standing == Standing::Distrusted))
    })?;
    each(
        "node_learned_capacity",
        "Load at which the node's pressure is 1, as learned: Mbit/s, or viewers where the pool counts these",
        |node| node.capacity,
    )?;
    let standings = known().map(|(mut labels, state)| {
        labels.push(("state", state.standing.word().to_owned()));
        (labels, 1.0)
    });
    gauges(encoder, "node_standing", "1 for the state in which the node is", standings)
}

/// By node and each family that it has; once more for each pool that has checks of its own.
fn checks(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let Snapshot { fleet, tables, .. } = snapshot;
    let mut values = Vec::new();
    for (index, known) in fleet.nodes.iter().enumerate().filter(|(_, known)| known.is_configured) {
        let Some(state) = tables.nodes.get(index) else { continue };
        for family in Family::ALL.into_iter().filter(|&family| known.node.address(family).is_some()) {
            let labels = vec![("node", known.node.name.clone()), ("family", family.word().to_owned())];
            let is_up = |state: State| f64::from(u8::from(state.is_up()));
            values.push((labels.clone(), is_up(state.checks.own(family))));
            let with_checks = fleet.pools.iter().enumerate().filter(|(_, used)| !used.pool.checks.is_empty());
            let pools: BTreeMap<&str, PoolId> = with_checks
                .filter(|(_, used)| used.pool.selects(&known.node))
                .map(|(pool, used)| (used.pool.name.as_str(), PoolId(pool as u16)))
                .collect();
            for (pool, id) in pools {
                let labels = labels.iter().cloned().chain([("pool", pool.to_owned())]).collect();
                values.push((labels, is_up(state.checks.at(id, family))));
            }
        }
    }
    let help = "1 if the node's checks do not fail at its address of the family; with a pool, those of the pool too";
    gauges(encoder, "node_up", help, values)
}

/// Uses of one pool, and address families, differ little: the largest weight counts.
fn weights(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let mut weights: BTreeMap<(&str, NodeId), f64> = BTreeMap::new();
    for (pool, tables) in snapshot.fleet.pools.iter().zip(&snapshot.tables.pools) {
        let sites = [Family::V4, Family::V6].into_iter().flat_map(|family| &tables.of(family).sites);
        for &(node, weight) in sites.flat_map(|site| &site.weights) {
            let largest = weights.entry((pool.pool.name.as_str(), node)).or_default();
            *largest = largest.max(weight);
        }
    }
    let values = weights.into_iter().map(|((pool, node), weight)| {
        let node = snapshot.fleet.node(node).node.name.clone();
        (vec![("pool", pool.to_owned()), ("node", node)], weight)
    });
    gauges(encoder, "node_weight", "Headroom weight of the node among those of its place", values)
}

/// Regions of a pool that have viewers, with labels for both.
fn regions(snapshot: &Snapshot) -> impl Iterator<Item = (PoolId, RegionId, Vec<(&'static str, String)>)> {
    (0..snapshot.tables.pools.len() as u16).flat_map(move |pool| {
        let id = PoolId(pool);
        let tables = &snapshot.tables.pools[usize::from(pool)];
        let name = snapshot.fleet.name_of_use(id);
        snapshot.geo.regions().iter().enumerate().filter_map(move |(index, region)| {
            let region_id = RegionId(index as u16);
            tables.demand(region_id).filter(|demand| demand.forecast > FEW)?;
            Some((id, region_id, vec![("pool", name.clone()), ("region", region.name.clone())]))
        })
    })
}

fn plans(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let mut parts = Vec::new();
    for (pool, region, labels) in regions(snapshot) {
        let (fleet_pool, tables) = (snapshot.fleet.pool(pool), &snapshot.tables.pools[usize::from(pool.0)]);
        for (family, word) in [(Family::V4, "A"), (Family::V6, "AAAA")] {
            let mut places: BTreeMap<String, f64> = BTreeMap::new();
            for share in tables.of(family).plan(region) {
                let site = fleet_pool.sites.get(usize::from(share.site));
                let place =
                    site.map_or("elsewhere", |site| snapshot.fleet.places[usize::from(site.place.0)].name.as_str());
                *places.entry(place.to_owned()).or_default() += tables.of(family).share(region, share.site);
            }
            parts.extend(places.into_iter().map(|(place, part)| {
                let own = [("type", word.to_owned()), ("place", place)];
                (labels.iter().cloned().chain(own).collect::<Vec<_>>(), part)
            }));
        }
    }
    gauges(encoder, "plan_fraction", "Part of the region's viewers that the place gets", parts)
}

fn demands(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let demand = |pool: PoolId, region| snapshot.tables.pools[usize::from(pool.0)].demand(region);
    let values = |value: fn(&crate::steer::DemandState) -> f64| {
        regions(snapshot).filter_map(move |(pool, region, labels)| Some((labels, value(demand(pool, region)?))))
    };
    gauges(encoder, "viewers_per_second", "Viewers who are expected next", values(|demand| demand.forecast))?;
    gauges(
        encoder,
        "cost_per_viewer",
        "Load that an expected viewer brings, as learned: Mbit/s, or viewers where the pool counts these",
        values(|demand| demand.cost),
    )
}
