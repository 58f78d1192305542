//! Flows: the viewers that answers have sent, and will send, from each demand to one node.

use std::collections::VecDeque;

use super::constants::Constants;
use super::demand::weight;

/// Below this, in viewers or viewers per second, a flow is over.
const NOTHING: f64 = 1e-6;

/// What one demand (the viewers of a region, for one use of a pool) sends to one node.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flow {
    /// Which demand.
    pub(super) demand: u32,
    /// Viewers of answers since the last tick.
    pub(super) now: f64,
    /// Viewers per second from answers that caches still hold.
    pub(super) rate: f64,
    /// Viewers per second, of answers and of caches, smoothed over five seconds.
    pub(super) smooth: f64,
    /// Viewers who are still to come from these answers.
    pub(super) committed: f64,
    /// Viewers since the moment that the node's last load describes.
    pub(super) since: f64,
    /// What other nameservers report.
    pub(super) theirs: Theirs,
    /// Mbit/s per second that the node's load confirmed as this demand's, smoothed.
    pub(super) confirmed: f64,
    /// Mbit/s per second that were reckoned with for it, smoothed.
    pub(super) reckoned: f64,
}

/// The same of other nameservers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Theirs {
    /// Viewers per second, of answers and of caches.
    pub(super) moved: f64,
    /// Viewers per second, of caches.
    pub(super) rate: f64,
    /// Viewers who are still to come.
    pub(super) committed: f64,
}

/// Viewers per demand between two ticks.
#[derive(Debug)]
struct Moved {
    from: f64,
    until: f64,
    parts: Vec<(u32, f64)>,
}

/// All flows to one node.
#[derive(Debug, Default)]
pub(super) struct Flows {
    /// In the order of demands.
    flows: Vec<Flow>,
    /// From the moment of the node's last load but one on.
    past: VecDeque<Moved>,
}

impl Flow {
    /// Viewers per second now, ours and others', before any bound.
    pub(super) fn moving(&self, elapsed: f64) -> f64 {
        self.rate + self.now / elapsed + self.theirs.moved
    }

    /// Viewers still to come within the horizon.
    pub(super) fn coming(&self, constants: &Constants) -> f64 {
        let (committed, rate) = (self.committed + self.theirs.committed, self.rate + self.theirs.rate);
        committed.min(rate * constants.horizon)
    }
}

impl Flows {
    /// Each flow.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter()
    }

    /// Each flow, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Flow> {
        self.flows.iter_mut()
    }

    /// The flow of a demand.
    pub(super) fn of(&mut self, demand: u32) -> &mut Flow {
        let at = match self.flows.binary_search_by_key(&demand, |flow| flow.demand) {
            Ok(at) => at,
            Err(at) => {
                self.flows.insert(at, Flow { demand, ..Flow::default() });
                at
            }
        };
        &mut self.flows[at]
    }

    /// Answers expire.
    pub(super) fn expire(&mut self, demand: u32, rate: f64) {
        if let Ok(at) = self.flows.binary_search_by_key(&demand, |flow| flow.demand) {
            let flow = &mut self.flows[at];
            flow.rate -= rate;
            if flow.rate < NOTHING {
                flow.rate = 0.0;
            }
        }
    }

    /// Nothing comes any more: the node is down.
    pub(super) fn stop(&mut self) {
        for flow in &mut self.flows {
            (flow.rate, flow.committed, flow.now) = (0.0, 0.0, 0.0);
        }
    }

    /// Time passes: viewers arrive, of each demand at most `bound` of those that were expected.
    pub(super) fn pass(
        &mut self,
        constants: &Constants,
        from: f64,
        until: f64,
        bound: impl Fn(u32) -> f64,
    ) -> impl Iterator<Item = (u32, f64)> {
        let elapsed = until - from;
        let mut parts = Vec::with_capacity(self.flows.len());
        for flow in &mut self.flows {
            let moved = flow.moving(elapsed) * elapsed * bound(flow.demand);
            flow.smooth += (flow.rate + flow.now / elapsed - flow.smooth) * weight(constants.steady, elapsed);
            flow.committed = (flow.committed - flow.rate * elapsed).max(0.0);
            flow.now = 0.0;
            if moved > NOTHING {
                flow.since += moved;
                parts.push((flow.demand, moved));
            }
        }
        self.past.push_back(Moved { from, until, parts: parts.clone() });
        parts.into_iter()
    }

    /// Viewers per demand between two moments.
    pub(super) fn between(&self, from: f64, until: f64) -> Vec<(u32, f64)> {
        let mut sums: Vec<(u32, f64)> = Vec::new();
        for moved in &self.past {
            let overlap = moved.until.min(until) - moved.from.max(from);
            if overlap <= 0.0 {
                continue;
            }
            let part = overlap / (moved.until - moved.from);
            for &(demand, viewers) in &moved.parts {
                match sums.binary_search_by_key(&demand, |(known, _)| *known) {
                    Ok(at) => sums[at].1 += viewers * part,
                    Err(at) => sums.insert(at, (demand, viewers * part)),
                }
            }
        }
        sums
    }

    /// The node has a new load, which describes the moment `at`: counts from there, and forgets what is older.
    pub(super) fn anchor(&mut self, at: f64) {
        let since = self.between(at, f64::INFINITY);
        for flow in &mut self.flows {
            let known = since.binary_search_by_key(&flow.demand, |(demand, _)| *demand);
            flow.since = known.map_or(0.0, |index| since[index].1);
        }
        while self.past.front().is_some_and(|moved| moved.until <= at) {
            self.past.pop_front();
        }
    }

    /// Forgets what is older than `oldest`, and flows that are over.
    pub(super) fn forget(&mut self, oldest: f64) {
        while self.past.front().is_some_and(|moved| moved.until < oldest) {
            self.past.pop_front();
        }
        self.flows.retain(|flow| {
            let Flow { demand: _, now, rate, smooth, committed, since, theirs, confirmed, reckoned } = flow;
            let theirs = theirs.moved + theirs.rate + theirs.committed;
            now + rate + smooth + committed + since + theirs + confirmed.abs() + reckoned > NOTHING
        });
    }

    /// Demands have new numbers; those without one are gone.
    pub(super) fn renumber(&mut self, number: impl Fn(u32) -> Option<u32>) {
        self.flows.retain_mut(|flow| number(flow.demand).map(|new| flow.demand = new).is_some());
        self.flows.sort_by_key(|flow| flow.demand);
        for moved in &mut self.past {
            moved.parts.retain_mut(|(demand, _)| number(*demand).map(|new| *demand = new).is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(flows: &mut Flows, from: f64, until: f64) {
        let _moved: Vec<_> = flows.pass(&Constants::USUAL, from, until, |_| 1.0).collect();
    }

    #[test]
    fn caches_send_at_their_rate_until_answers_expire() {
        let mut flows = Flows::default();
        let flow = flows.of(7);
        (flow.now, flow.rate, flow.committed) = (1.0, 2.0, 6.0);
        pass(&mut flows, 0.0, 1.0);
        assert_eq!((flows.of(7).since, flows.of(7).committed, flows.of(7).now), (3.0, 4.0, 0.0));
        pass(&mut flows, 1.0, 2.0);
        pass(&mut flows, 2.0, 3.0);
        flows.expire(7, 2.0);
        pass(&mut flows, 3.0, 4.0);
        assert_eq!((flows.of(7).since, flows.of(7).committed), (7.0, 0.0));
        assert_eq!(flows.between(0.5, 1.5), [(7, 2.5)]);
        flows.anchor(2.5);
        assert_eq!(flows.of(7).since, 1.0);
        assert_eq!(flows.between(0.0, 2.0), [], "what is older than the last load is forgotten");
    }

    #[test]
    fn a_cache_is_trusted_for_the_horizon_only() {
        let mut flows = Flows::default();
        let flow = flows.of(0);
        (flow.rate, flow.committed) = (2.0, 2.0 * 300.0);
        let usual = &Constants::USUAL;
        assert_eq!(flow.coming(usual), 2.0 * usual.horizon);
        flow.theirs = Theirs { moved: 5.0, rate: 1.0, committed: 10.0 };
        assert_eq!((flow.coming(usual), flow.moving(1.0)), (3.0 * usual.horizon, 7.0));
    }

    #[test]
    fn a_flow_that_is_over_is_forgotten_and_numbers_change_with_the_inputs() {
        let mut flows = Flows::default();
        flows.of(3).rate = 1.0;
        flows.of(9).rate = 1.0;
        pass(&mut flows, 0.0, 1.0);
        flows.renumber(|demand| (demand == 9).then_some(1));
        assert_eq!(flows.iter().map(|flow| flow.demand).collect::<Vec<_>>(), [1]);
        assert_eq!(flows.between(0.0, 1.0), [(1, 1.0)]);
        flows.expire(1, 1.0);
        flows.of(1).committed = 0.0;
        for second in 1..100 {
            pass(&mut flows, f64::from(second), f64::from(second + 1));
        }
        flows.anchor(100.0);
        flows.forget(100.0);
        assert_eq!(flows.iter().count(), 0);
    }
}
