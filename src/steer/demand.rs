//! Demand: the viewers of one region for one use of a pool; how many come, what each costs, and how far that is believed.

use super::constants::Constants;
use crate::pool::Family;

/// Viewers per second below which a region counts as this busy.
const QUIET: f64 = 0.05;
/// How far above its start, and below it, what a viewer costs may be learned: 0.3 to 60 Mbit/s for 2.5.
const COST_RANGE: (f64, f64) = (0.12, 24.0);

/// Belief below which a demand teaches nothing: more may be queries that no viewers follow.
const CREDIBLE: f64 = 0.8;
/// Seconds for which it must have been believed before that, and for which that is remembered at most: what is not believed for
/// longer than it was before, is rather other than was thought, and teaches what.
const TRUSTED: f64 = 60.0;
const MOST_TRUSTED: f64 = 3_600.0;

/// What is known of a demand.
#[derive(Debug, Clone)]
pub(super) struct Demand {
    /// Mbit/s that one expected viewer brings, as learned.
    cost: f64,
    first_cost: f64,
    /// Viewers per second of late, as answers and caches send them.
    fast: f64,
    slow: f64,
    /// The same without what is only estimated of addresses that many caches share.
    plain: f64,
    by_family: [f64; 2],
    /// Viewers per second from answers that caches hold, by family.
    caching: [f64; 2],
    counted: Counted,
    credit: f64,
    growth: f64,
    /// Growth smoothed over five seconds.
    steady_growth: f64,
    most_confirmed: f64,
    /// Seconds for which it was believed, less those for which it was not.
    trusted: f64,
}

/// Expected viewers since the last tick.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) by_family: [f64; 2],
    pub(super) plain: f64,
    /// Per second, from other nameservers.
    pub(super) theirs: f64,
}

/// Sums over the nodes that a demand goes to, of what bounds it; rates are per second.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Evidence {
    /// Mbit/s that nodes' loads confirmed.
    pub(super) confirmed: f64,
    /// Mbit/s that were reckoned with at the same time.
    pub(super) reckoned: f64,
    /// Viewers whom answers promise now.
    pub(super) moving: f64,
    /// Capacity of the sites that the plan gives to the demand, each by its share, in Mbit/s.
    pub(super) capacity: f64,
}

impl Demand {
    /// A demand of which nothing is known; a viewer costs so many Mbit/s.
    pub(super) fn new(cost: f64) -> Self {
        Self {
            cost,
            first_cost: cost,
            fast: 0.0,
            slow: 0.0,
            plain: 0.0,
            by_family: [0.0; 2],
            caching: [0.0; 2],
            counted: Counted::default(),
            credit: 1.0,
            growth: 1.0,
            steady_growth: 1.0,
            most_confirmed: 0.0,
            trusted: 0.0,
        }
    }

    /// Counts expected viewers since the last tick.
    pub(super) fn count(&mut self) -> &mut Counted {
        &mut self.counted
    }

    /// Caches begin to send so many viewers per second.
    pub(super) fn begin(&mut self, family: Family, rate: f64) {
        self.caching[family as usize] += rate;
    }

    /// They end.
    pub(super) fn end(&mut self, family: Family, rate: f64) {
        let caching = &mut self.caching[family as usize];
        *caching = (*caching - rate).max(0.0);
    }

    /// Bounds the demand by what nodes confirm (they are not asked for their opinion by a flood of queries): in credit
    /// what it weighs, in growth what of it is taken.
    pub(super) fn bound(&mut self, constants: &Constants, evidence: &Evidence, elapsed: f64) {
        let Evidence { confirmed, reckoned, moving, capacity } = *evidence;
        let confirmed = confirmed.max(0.0);
        self.most_confirmed = confirmed.max(0.98_f64.powf(elapsed) * self.most_confirmed);
        let part = |allowed: f64, wanted: f64| if wanted > allowed { allowed / wanted } else { 1.0 };
        self.credit = part(constants.credit * confirmed + constants.free_credit * capacity, reckoned);
        let allowed = constants.growth * self.most_confirmed + constants.free_growth * capacity;
        // As much is taken of what goes elsewhere, which nobody can confirm: capacities and confirmations are those of the plan's
        // shares, so that the part does not depend on how much that is.
        self.growth = part(allowed, self.cost * moving);
        self.steady_growth += (self.growth - self.steady_growth) * weight(constants.steady, elapsed);
        if confirmed > 0.0 || reckoned > 0.0 {
            let gained = if self.is_believed() { elapsed } else { -elapsed };
            self.trusted = (self.trusted + gained).clamp(0.0, MOST_TRUSTED);
        }
    }

    /// Time passes.
    pub(super) fn pass(&mut self, constants: &Constants, elapsed: f64) {
        let Counted { by_family, plain, theirs } = std::mem::take(&mut self.counted);
        let arriving = |count: f64, caching: f64| (count / elapsed + caching) * self.growth;
        let by_family = [0, 1].map(|family| arriving(by_family[family], self.caching[family]));
        let count: f64 = by_family.iter().sum::<f64>() + theirs * self.growth;
        let (now, usual) = (weight(constants.fast, elapsed), weight(constants.slow, elapsed));
        self.fast += (count - self.fast) * now;
        self.slow += (count - self.slow) * usual;
        self.plain += (plain / elapsed * self.growth - self.plain) * now;
        for (smooth, count) in self.by_family.iter_mut().zip(by_family) {
            *smooth += (count - *smooth) * now;
        }
    }

    /// Corrects what a viewer costs: `viewers` of this demand were part of an error of so many Mbit/s at a node to which
    /// `squares`, the sum of the squares of all its demands' viewers, came.
    pub(super) fn learn(&mut self, constants: &Constants, error: f64, viewers: f64, squares: f64) {
        let Constants { cost_learned, few_squared, .. } = *constants;
        let cost = self.cost + cost_learned * error * viewers / (few_squared + squares);
        let (least, most) = COST_RANGE;
        self.cost = cost.clamp(least * self.first_cost, most * self.first_cost);
    }

    /// What a viewer costs, as a part of what is configured.
    pub(super) fn learned(&self) -> f64 {
        self.cost / self.first_cost
    }

    /// Takes such a part as learned before.
    pub(super) fn inherit(&mut self, part: f64) {
        let (least, most) = COST_RANGE;
        self.cost = part.clamp(least, most) * self.first_cost;
    }

    /// Whether it may teach what viewers cost: not while it is bounded, unless it was never otherwise. Where viewers bring half of
    /// what is configured, it would else be bounded for ever.
    pub(super) fn is_credible(&self) -> bool {
        self.is_believed() || self.trusted < TRUSTED
    }

    fn is_believed(&self) -> bool {
        self.credit * self.steady_growth >= CREDIBLE
    }

    /// Mbit/s that an expected viewer brings, as learned.
    pub(super) fn cost(&self) -> f64 {
        self.cost
    }

    /// The same, as far as it is believed.
    pub(super) fn credited(&self) -> f64 {
        self.cost * self.credit
    }

    /// The same for viewers who have not come yet.
    pub(super) fn credited_ahead(&self) -> f64 {
        self.credited() * self.growth.min(self.steady_growth)
    }

    /// Part of what was promised now that is taken.
    pub(super) fn growth(&self) -> f64 {
        self.growth
    }

    /// How much of its promises is believed, 0 to 1.
    pub(super) fn belief(&self) -> f64 {
        self.credit * self.growth
    }

    /// Viewers per second of late that are believed; the measure of what is a large part of the region.
    pub(super) fn believed(&self) -> f64 {
        (self.credit * self.fast).max(QUIET)
    }

    /// Viewers per second, with those of addresses that many caches share counted once an answer.
    pub(super) fn plain(&self) -> f64 {
        self.plain.max(QUIET)
    }

    /// Viewers per second that are expected next: what grows, goes on growing.
    pub(super) fn forecast(&self) -> f64 {
        self.fast + (self.fast - self.slow).max(0.0)
    }

    /// The part of it that asks for a family.
    pub(super) fn part_of(&self, family: usize) -> f64 {
        let all: f64 = self.by_family.iter().sum();
        if all > 0.0 { self.by_family[family] / all } else { 0.5 }
    }

    /// Viewers per second of late, by our own answers alone.
    pub(super) fn own(&self) -> f64 {
        self.by_family.iter().sum()
    }

    /// It grows fast.
    pub(super) fn is_hot(&self) -> bool {
        self.fast > 2.0 * self.slow + 0.2
    }
}

/// The weight of news after `elapsed` seconds in a mean over `span` seconds.
pub(super) fn weight(span: f64, elapsed: f64) -> f64 {
    1.0 - (1.0 - 1.0 / span).powf(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(demand: &mut Demand, viewers: f64) {
        demand.count().by_family[0] += viewers;
        demand.pass(&Constants::USUAL, 1.0);
    }

    #[test]
    fn a_rise_is_carried_on_and_a_steady_demand_is_not() {
        let mut demand = Demand::new(2.5);
        for _ in 0..400 {
            second(&mut demand, 10.0);
        }
        assert!((demand.forecast() - 10.0).abs() < 0.01 && !demand.is_hot());
        for _ in 0..8 {
            second(&mut demand, 100.0);
        }
        assert!(demand.is_hot() && demand.forecast() > demand.fast);
    }

    #[test]
    fn what_a_viewer_costs_is_learned_from_errors_and_stays_in_its_range() {
        let mut demand = Demand::new(2.5);
        for _ in 0..2_000 {
            let error = 100.0 * (4.0 - demand.cost());
            demand.learn(&Constants::USUAL, error, 100.0, 100.0 * 100.0);
        }
        assert!((demand.cost() - 4.0).abs() < 0.01, "{}", demand.cost());
        demand.learn(&Constants::USUAL, 1e9, 100.0, 10.0);
        assert_eq!(demand.cost(), 60.0);
        demand.learn(&Constants::USUAL, -1e9, 100.0, 10.0);
        assert_eq!(demand.cost(), 0.3);
    }

    #[test]
    fn what_no_node_confirms_is_not_believed() {
        let mut demand = Demand::new(2.5);
        let flood = Evidence { confirmed: 10.0, reckoned: 1_000.0, moving: 10_000.0, capacity: 10_000.0 };
        demand.bound(&Constants::USUAL, &flood, 1.0);
        assert!((demand.credit - 0.017).abs() < 1e-9 && (demand.growth - 70.0 / 25_000.0).abs() < 1e-9);
        assert!(demand.is_credible(), "it was never believed, and viewers may cost less");
        let crowd = Evidence { confirmed: 900.0, reckoned: 1_000.0, moving: 400.0, capacity: 10_000.0 };
        demand.bound(&Constants::USUAL, &crowd, 1.0);
        assert_eq!((demand.credit, demand.growth), (1.0, 1.0));
        demand.bound(&Constants::USUAL, &crowd, 600.0);
        demand.bound(&Constants::USUAL, &flood, 500.0);
        assert!(!demand.is_credible(), "it was believed for longer than it is not");
        demand.bound(&Constants::USUAL, &flood, 100.0);
        assert!(demand.is_credible());
    }
}
