//! The controller: load, health, promises and the time → tables. A pure state machine.

mod dismissed;
mod kin;
mod learned;
mod peers;
mod pools;
mod report;
mod states;

use std::collections::HashMap;
use std::sync::Arc;

use super::alarm::Alarm;
use super::constants::Constants;
use super::demand::{Demand, Evidence};
use super::fleet::{Fleet, FleetPool};
use super::flows::Theirs;
use super::ledger::{Ledger, MAX_PROMISE};
use super::menu::Menu;
use super::model::Model;
use super::overrides::{Drain, Overrides};
use super::plan::Plan;
use super::quota::Scores;
use super::standings::{Failing, anywhere};
use super::tables::{NodeState, Standing, Tables, Thresholds};
use crate::geo::{Region, RegionId};
use crate::load::health::NodeHealth;
use crate::load::history::Reading;
use crate::pool::{Currency, Family, NodeId, PoolId};
use learned::Inherited;
use peers::Peers;

pub use learned::Learned;
pub use report::{PeerFailure, PeerFlow, PeerRest, Report};

/// Seconds between ticks below which nothing but health can have changed.
const SHORTEST: f64 = 0.25;
/// Mean prediction error that is told.
const TELLING_ERROR: f64 = 0.10;
/// Belief in a region's promises below which a flood is told.
const FLOODED: f64 = 0.8;

/// What is known of a node from outside, by `NodeId`.
#[derive(Debug, Clone)]
pub struct NodeInput {
    /// Its load.
    pub reading: Reading,
    /// Whether it serves at all, by pool and family.
    pub health: NodeHealth,
}

/// What a tick is made of.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Seconds of the readings' clock.
    pub now: f64,
    /// What is steered.
    pub fleet: &'a Fleet,
    /// Client regions, by `RegionId`.
    pub regions: &'a [Region],
    /// By `NodeId`.
    pub nodes: &'a [NodeInput],
    /// What operators want for the time being.
    pub overrides: &'a Overrides,
    /// Makes this installation's hashes its own.
    pub seed: u64,
}

/// Viewers per second who come until a moment.
#[derive(Debug, Clone, Copy)]
struct Expiry {
    /// Where they go, and that node's life: when it dies, they are gone at once. None if to no node of ours that is up.
    node: Option<(NodeId, u32)>,
    demand: u32,
    family: Family,
    rate: f64,
}

/// Learns, predicts and plans; keeps what it has learned of nodes, regions and pools while the inputs change.
#[derive(Debug, Default)]
pub struct Controller {
    nodes: Vec<Model>,
    /// Whose models they are.
    names: Vec<String>,
    /// By pool and region: pool × regions + region.
    demands: Vec<Demand>,
    /// What the numbers of pools and regions stood for at the last tick.
    pools: Vec<String>,
    /// The nodes of each of these pools.
    members: Vec<Vec<NodeId>>,
    regions: usize,
    plans: Vec<Plan>,
    menus: HashMap<(String, usize), [Option<Arc<Menu>>; 2]>,
    /// Promises that expire, by the second modulo its length.
    calendar: Vec<Vec<Expiry>>,
    /// The last second whose promises have expired.
    expired: u64,
    peers: Peers,
    /// Where nodes fail their checks, as of the last tick.
    failing: Vec<Failing>,
    ticked: Option<f64>,
    lost: u64,
    alarms: Vec<Alarm>,
    /// Weights and shares that an operator has frozen.
    frozen: bool,
    scores: Scores,
    constants: Constants,
    /// What a controller before this one had learned.
    inherited: Inherited,
}

impl Controller {
    /// One that knows nothing yet, and assumes this.
    pub fn new(constants: Constants) -> Self {
        Self { constants, ..Self::default() }
    }

    /// Takes what a worker's answers promised. The numbers in it must be those of the last tick's fleet.
    pub fn book(&mut self, ledger: &Ledger) {
        self.lost += ledger.lost();
        let regions = self.regions as u32;
        for entry in ledger.entries() {
            let demand = u32::from(entry.pool.0) * regions + u32::from(entry.region.0);
            let Some(known) = self.demands.get_mut(demand as usize) else { continue };
            let counted = known.count();
            counted.by_family[entry.family as usize] += entry.viewers;
            counted.plain += entry.plain;
            let model = entry.node.and_then(|node| self.nodes.get_mut(usize::from(node.0)));
            let alive = model.filter(|model| !model.is_out()).map(|model| {
                let flow = model.flows.of(demand);
                flow.now += entry.viewers;
                flow.rate += entry.rate;
                flow.committed += entry.rate * f64::from(entry.lifetime);
                model.life()
            });
            if entry.rate > 0.0 {
                known.begin(entry.family, entry.rate);
                let expires = self.expired + u64::from(entry.lifetime.clamp(1, MAX_PROMISE)) + 1;
                let slot = expires as usize % self.calendar.len().max(1);
                if let Some(slot) = self.calendar.get_mut(slot) {
                    let node = entry.node.zip(alive);
                    slot.push(Expiry { node, demand, family: entry.family, rate: entry.rate });
                }
            }
        }
    }

    /// Takes what another nameserver reports.
    pub fn take_report(&mut self, peer: &str, report: Report, now: f64) {
        self.peers.take(peer, report, now);
    }

    /// Another nameserver is no longer one: what it reported counts no more.
    pub fn forget_peer(&mut self, peer: &str) {
        self.peers.forget(peer);
    }

    /// So many other nameservers belong to the installation, whether they report or not.
    pub fn expect_peers(&mut self, count: usize) {
        self.peers.expect(count);
    }

    /// What other nameservers need to know; what is next to nothing is left out.
    pub fn report(&self, fleet: &Fleet, regions: &[Region]) -> Report {
        report::report(self, fleet, regions, report::MAX_FLOWS)
    }

    /// The same with at most so many flows to single nodes.
    #[cfg(test)]
    pub(super) fn report_with(&self, fleet: &Fleet, regions: &[Region], most: usize) -> Report {
        report::report(self, fleet, regions, most)
    }

    /// What is wrong, as of the last tick.
    pub fn alarms(&self) -> &[Alarm] {
        &self.alarms
    }

    /// Answers that were too many kinds to be booked, since the start.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// One tick. Called more often than once a quarter of a second, it takes health alone: no time has passed.
    pub fn tick(&mut self, inputs: &Inputs<'_>) -> Tables {
        self.fit(inputs);
        self.alarms.clear();
        let elapsed = self.ticked.map_or(1.0, |ticked| inputs.now - ticked);
        let elapsed = if elapsed >= SHORTEST { elapsed } else { 0.0 };
        let healths: Vec<&NodeHealth> = inputs.nodes.iter().map(|node| &node.health).collect();
        let best = self.judged(inputs, &healths).best;
        for ((model, health), best) in self.nodes.iter_mut().zip(anywhere(inputs.fleet, &healths)).zip(best) {
            model.set_health(health, best == Standing::Down);
        }
        if elapsed > 0.0 {
            self.expire(inputs.now);
            self.share_reports(inputs);
            self.bound(inputs, elapsed);
            self.pass(inputs, elapsed);
            self.ticked = Some(inputs.now);
        }
        self.learn(inputs);
        self.doubt(inputs);
        let states = self.states(inputs, &healths);
        let pools = self.plan_pools(inputs, &states, elapsed);
        let nodes = states.nodes;
        self.raise_alarms(inputs, &nodes);
        for (model, state) in self.nodes.iter_mut().zip(&nodes) {
            model.remember(inputs.now, state.pressure);
        }
        let thresholds = Thresholds::of(&self.constants);
        Tables {
            at: inputs.now,
            nodes,
            pools,
            alarms: self.alarms.clone(),
            thresholds,
            orders: Arc::clone(inputs.overrides.orders()),
            drains: drains(inputs),
        }
    }

    /// Fits what is known to the fleet: nodes keep their numbers, demands get new ones where pools or regions changed.
    fn fit(&mut self, inputs: &Inputs<'_>) {
        let Inputs { now, fleet, nodes, overrides, .. } = *inputs;
        let regions = inputs.regions.len();
        let first_seen = if self.ticked.is_some() { now } else { f64::NEG_INFINITY };
        let known = self.nodes.len();
        while self.nodes.len() < fleet.nodes.len() {
            self.nodes.push(Model::new(first_seen));
        }
        let dismissed = self.forget_dismissed(fleet, first_seen);
        for (index, (model, node)) in self.nodes.iter_mut().zip(&fleet.nodes).enumerate() {
            let link = nodes.get(index).and_then(|node| node.reading.last()).and_then(|load| load.egress_capacity);
            model.configure(node, link, overrides.limit(&node.node.name, node.currency));
            if index >= known || dismissed.get(index) == Some(&true) {
                self.inherited.give_node(&node.node.name, model);
            }
        }
        if self.calendar.is_empty() {
            self.calendar = vec![Vec::new(); MAX_PROMISE as usize + 2];
            self.expired = now.max(0.0) as u64;
        }
        let pools: Vec<String> = fleet.pools.iter().map(FleetPool::identity).collect();
        if pools == self.pools && regions == self.regions {
            return;
        }
        let members: Vec<Vec<NodeId>> = fleet.pools.iter().map(kin::members).collect();
        let old = kin::heritage((&self.pools, &self.members), (&pools, &members));
        let was = self.regions;
        let mut demands = Vec::with_capacity(pools.len() * regions);
        for (pool, old) in fleet.pools.iter().zip(&old) {
            let cost = match pool.pool.currency {
                Currency::Egress => pool.pool.viewer.bitrate.megabits(),
                Currency::Clients => 1.0,
            };
            for region in 0..regions {
                let known = old.filter(|_| region < was);
                let new = || self.inherited.demand(pool, &inputs.regions[region].name, cost);
                demands.push(known.map_or_else(new, |index| self.demands[index * was + region].clone()));
            }
        }
        let number = |demand: u32| {
            let (pool, region) = (demand as usize / was.max(1), demand as usize % was.max(1));
            let pool = old.iter().position(|old| *old == Some(pool))?;
            (region < regions).then_some((pool * regions + region) as u32)
        };
        for model in &mut self.nodes {
            model.flows.renumber(number);
        }
        for slot in &mut self.calendar {
            slot.retain_mut(|each| number(each.demand).map(|new| each.demand = new).is_some());
        }
        let mut plans: Vec<Plan> = fleet.pools.iter().map(|_| Plan::default()).collect();
        for (plan, old) in plans.iter_mut().zip(&old) {
            if let Some(old) = *old {
                *plan = std::mem::take(&mut self.plans[old]);
            }
        }
        (self.demands, self.plans, self.regions) = (demands, plans, regions);
        (self.pools, self.members) = (pools, members);
        self.peers.forget_numbers();
    }

    /// Promises whose time is over.
    fn expire(&mut self, now: f64) {
        let now = now.max(0.0) as u64;
        let length = self.calendar.len() as u64;
        for second in (self.expired + 1..=now).take(length as usize) {
            for Expiry { node, demand, family, rate } in self.calendar[(second % length) as usize].drain(..) {
                if let Some((node, life)) = node
                    && let Some(model) = self.nodes.get_mut(usize::from(node.0))
                    && model.life() == life
                {
                    model.flows.expire(demand, rate);
                }
                if let Some(demand) = self.demands.get_mut(demand as usize) {
                    demand.end(family, rate);
                }
            }
        }
        self.expired = self.expired.max(now);
    }

    /// What other nameservers promised becomes part of the flows.
    fn share_reports(&mut self, inputs: &Inputs<'_>) {
        for model in &mut self.nodes {
            model.flows.iter_mut().for_each(|flow| flow.theirs = Theirs::default());
        }
        let Self { peers, nodes, demands, pools, .. } = self;
        let weight = |node: NodeId| {
            nodes.get(usize::from(node.0)).filter(|model| model.health().is_up()).map_or(0.0, Model::capacity)
        };
        peers.number(inputs, pools, weight);
        let flow =
            |theirs: &Theirs, node: NodeId, demand| nodes[usize::from(node.0)].flows.of(demand).theirs.add(theirs);
        peers.each(inputs.now, flow, |demand, viewers| {
            if let Some(known) = demands.get_mut(demand as usize) {
                known.count().theirs += viewers;
            }
        });
    }

    /// Bounds each demand by what nodes confirmed of it.
    fn bound(&mut self, inputs: &Inputs<'_>, elapsed: f64) {
        let mut evidence = vec![Evidence::default(); self.demands.len()];
        for model in &self.nodes {
            for flow in model.flows.iter() {
                let Some(evidence) = evidence.get_mut(flow.demand as usize) else { continue };
                evidence.confirmed += flow.confirmed;
                evidence.reckoned += flow.reckoned.max(0.0);
                evidence.moving += flow.moving(elapsed);
            }
        }
        for (index, pool) in inputs.fleet.pools.iter().enumerate() {
            let capacity = |site: usize| -> f64 {
                let nodes = pool.sites[site].nodes.iter().map(|id| &self.nodes[usize::from(id.0)]);
                nodes.map(Model::capacity).sum()
            };
            let capacities: Vec<f64> = (0..pool.sites.len()).map(capacity).collect();
            let plan = &self.plans[index];
            let all = pool.sites.len() + usize::from(pool.overflow().is_some());
            for region in 0..self.regions {
                let capacity = if plan.is_made_for(all, self.regions) {
                    let shares = [0, 1].map(|family| plan.row(family, region));
                    let of = |site: usize| shares.iter().map(|row| row[site]).fold(0.0, f64::max) * capacities[site];
                    (0..capacities.len()).map(of).sum()
                } else {
                    capacities.iter().sum()
                };
                evidence[index * self.regions + region].capacity = capacity;
            }
        }
        for (demand, evidence) in self.demands.iter_mut().zip(&evidence) {
            demand.bound(&self.constants, evidence, elapsed);
        }
    }

    /// Viewers arrive and leave for `elapsed` seconds.
    fn pass(&mut self, inputs: &Inputs<'_>, elapsed: f64) {
        let from = inputs.now - elapsed;
        for (index, model) in self.nodes.iter_mut().enumerate() {
            let demands = &self.demands;
            let growth = |demand: u32| demands[demand as usize].growth();
            let arrived = model.flows.pass(&self.constants, from, inputs.now, growth);
            let added = arrived.map(|(demand, viewers)| demands[demand as usize].credited() * viewers).sum();
            model.pass(elapsed, added, stays(&self.constants, inputs.fleet, NodeId(index as u16)));
        }
        for demand in &mut self.demands {
            demand.pass(&self.constants, elapsed);
        }
    }

    /// New loads teach what viewers cost, and confirm whom answers promised.
    fn learn(&mut self, inputs: &Inputs<'_>) {
        for (index, input) in inputs.nodes.iter().enumerate() {
            let id = NodeId(index as u16);
            let known = inputs.fleet.node(id);
            let (model, demands) = (&mut self.nodes[index], &mut self.demands);
            let before = model.sample().map(|sample| sample.read);
            let constants = &self.constants;
            let stays = stays(constants, inputs.fleet, id);
            let lesson = model.observe(constants, &input.reading, known.currency, saturation(inputs.fleet, id), stays);
            if let Some(lesson) = lesson {
                let arrived = model.flows.between(lesson.from, lesson.until);
                let expected: f64 =
                    arrived.iter().map(|(demand, viewers)| demands[*demand as usize].credited() * viewers).sum();
                confirm(model, demands, &lesson, &arrived, expected);
                let error = lesson.inflow - lesson.unexplained - expected;
                let squares: f64 = arrived.iter().map(|(_, viewers)| viewers * viewers).sum();
                for &(demand, viewers) in &arrived {
                    let demand = &mut demands[demand as usize];
                    if demand.is_credible() {
                        demand.learn(constants, error, viewers, squares);
                    }
                }
                model.learn(constants, &lesson, error);
            }
            if model.is_distrusted() || model.is_out() {
                model.flows.iter_mut().for_each(|flow| (flow.confirmed, flow.reckoned) = (0.0, 0.0));
            }
            if let Some(sample) = model.sample().filter(|sample| before != Some(sample.read)) {
                let at = sample.at;
                model.flows.anchor(at);
            }
            model.flows.forget(inputs.now - f64::from(MAX_PAST));
        }
    }

    /// Finds loads that cannot be true beside those of the other nodes.
    fn doubt(&mut self, inputs: &Inputs<'_>) {
        let mut ratios: Vec<f64> = Vec::new();
        for (index, (model, input)) in self.nodes.iter().zip(inputs.nodes).enumerate() {
            if !inputs.fleet.node(NodeId(index as u16)).is_configured || !matches!(input.reading, Reading::Fresh(_)) {
                continue;
            }
            let prediction = self.predict(inputs, index);
            if prediction.reckoned > 0.0 && model.sample().is_some() {
                ratios.push(prediction.load / prediction.reckoned);
            }
        }
        ratios.sort_unstable_by(f64::total_cmp);
        let median = ratios.get(ratios.len() / 2).copied().unwrap_or(1.0).clamp(0.5, 2.0);
        for (model, input) in self.nodes.iter_mut().zip(inputs.nodes) {
            model.doubt(median, matches!(input.reading, Reading::Fresh(_)));
        }
    }

    fn predict(&self, inputs: &Inputs<'_>, index: usize) -> super::model::Prediction {
        let model = &self.nodes[index];
        let (mut added, mut committed) = (0.0, 0.0);
        for flow in model.flows.iter() {
            let demand = &self.demands[flow.demand as usize];
            added += demand.credited() * flow.since;
            committed += demand.credited_ahead() * flow.coming(&self.constants);
        }
        let reading = &inputs.nodes[index].reading;
        let stays = stays(&self.constants, inputs.fleet, NodeId(index as u16));
        model.predict(&self.constants, inputs.now, reading, added, committed, stays)
    }

    fn raise_alarms(&mut self, inputs: &Inputs<'_>, nodes: &[NodeState]) {
        for (index, state) in nodes.iter().enumerate().filter(|(index, _)| inputs.fleet.nodes[*index].is_configured) {
            let node = NodeId(index as u16);
            match state.standing {
                Standing::Blind => self.alarms.push(Alarm::Blind(node)),
                Standing::Distrusted => self.alarms.push(Alarm::Distrusted(node)),
                _ => {}
            }
            if let Some(load) = state.saturated {
                self.alarms.push(Alarm::Saturated { node, load });
            }
            if state.prediction_error > TELLING_ERROR {
                self.alarms.push(Alarm::PredictionError { node, error: state.prediction_error });
            }
        }
        for (index, demand) in self.demands.iter().enumerate().filter(|(_, demand)| demand.belief() < FLOODED) {
            let (pool, region) = (index / self.regions, index % self.regions);
            self.alarms.push(Alarm::Flooded {
                pool: PoolId(pool as u16),
                region: RegionId(region as u16),
                belief: demand.belief(),
            });
        }
    }
}

/// Seconds of the past that loads may yet describe.
const MAX_PAST: u32 = 120;

/// What a load confirms of whom answers promised since the one before (not if it tells of viewers who left).
fn confirm(
    model: &mut Model,
    demands: &[Demand],
    lesson: &super::model::Lesson,
    arrived: &[(u32, f64)],
    expected: f64,
) {
    let elapsed = lesson.until - lesson.from;
    if lesson.has_fallen {
        model.flows.iter_mut().for_each(|flow| (flow.confirmed, flow.reckoned) = (0.0, 0.0));
        return;
    }
    if lesson.pressure >= 1.15 || elapsed < SHORTEST {
        return;
    }
    let news = (2.0 * elapsed / (elapsed + 10.0)).min(1.0);
    // Every demand that sent someone has a flow; the others' evidence fades.
    for flow in model.flows.iter_mut() {
        let viewers = arrived.binary_search_by_key(&flow.demand, |(demand, _)| *demand).map_or(0.0, |at| arrived[at].1);
        let demand = &demands[flow.demand as usize];
        let part = if expected > 0.0 { demand.credited() * viewers / expected } else { 0.0 };
        flow.confirmed += news * (lesson.inflow / elapsed * part - flow.confirmed);
        flow.reckoned += news * (demand.cost() * viewers / elapsed - flow.reckoned);
    }
}

/// Drains that nobody ordered.
fn drains(inputs: &Inputs<'_>) -> Arc<[Drain]> {
    let of_inventory = inputs.fleet.nodes.iter().filter(|known| known.is_configured).filter_map(|known| {
        let reason = known.node.drained.as_ref()?;
        Some(Drain::of_inventory(&known.node.name, reason))
    });
    inputs.overrides.drains().iter().cloned().chain(of_inventory).collect()
}

/// Seconds that a node's viewers stay, on average.
fn stays(constants: &Constants, fleet: &Fleet, node: NodeId) -> f64 {
    constants.stays * fleet.first_pool_of(node).map_or(2_400.0, |pool| pool.pool.viewer.stays.as_secs_f64())
}

fn saturation(fleet: &Fleet, node: NodeId) -> crate::pool::Saturation {
    fleet.first_pool_of(node).map_or(crate::pool::Saturation::Alarm, |pool| pool.pool.saturation)
}
