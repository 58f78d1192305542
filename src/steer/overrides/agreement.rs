//! The agreement of all nameservers on what operators ordered: about each thing, what was said last holds, given or lifted.
//!
//! A map of registers in which the last writer wins (Shapiro and others, Conflict-free Replicated Data Types, 2011): to
//! merge is commutative, associative and idempotent, so nameservers agree once each has heard of each, in any order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Order, Override};

const DAY: u64 = 24 * 3_600 * 1_000;
/// Milliseconds for which it is kept that something was lifted, or is over: a nameserver that comes back after a longer
/// time would bring its order back too. Machines wait for spare parts, or for the end of a holiday, for less.
const REMEMBERED: u64 = 30 * DAY;
/// Milliseconds by which a stamp may be ahead of the clock: one that is further ahead would win for that long.
const AHEAD: u64 = DAY;
/// The most orders that are taken from others, and the most that were lifted and are remembered.
const MAX_STANDING: usize = 1_000;
const MAX_LIFTED: usize = 1_000;
/// Numbers from before restarts that are known.
const MAX_FORMER: usize = 8;
/// Seconds by which clocks may differ when an order ends on one nameserver and is gone on another.
const TOLERANCE: u64 = 2;

/// When something was said and by which nameserver: the later wins, and of two at the same time that of the higher number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since 1970, and more than those of all that this nameserver had heard of by then: what answers to
    /// something is later than that, whatever clocks say (Kulkarni and others, Logical Physical Clocks, 2014).
    pub time: u64,
    /// The number of the nameserver.
    pub server: u64,
}

/// What was said last about one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decree {
    /// When, by whom.
    pub stamp: Stamp,
    /// What.
    #[serde(flatten)]
    pub said: Said,
}

/// That something is ordered, or that it no longer is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// An order.
    Given(Order),
    /// It was lifted.
    Lifted(Override),
}

/// What follows from the words of others.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// This order stands, in place of one about the same thing.
    Give(Order),
    /// What stands about the same thing does no longer.
    Lift(Override),
}

/// What is known of all orders; each nameserver has its own.
#[derive(Debug)]
pub struct Agreement {
    /// The number of this nameserver, behind those that it had before restarts.
    own: Vec<u64>,
    /// The latest time in all stamps.
    latest: u64,
    /// By kind and subject.
    decrees: BTreeMap<(&'static str, String), Decree>,
    /// Orders were looked at: those before are from before a restart.
    has_observed: bool,
    /// Counts what was taken up.
    version: u64,
}

impl Decree {
    fn what(&self) -> &Override {
        match &self.said {
            Said::Given(order) => &order.what,
            Said::Lifted(what) => what,
        }
    }

    fn key(&self) -> (&'static str, String) {
        key(self.what())
    }

    /// The order, unless it was lifted or its time is over at `now` in milliseconds since 1970.
    fn standing(&self, now: u64) -> Option<&Order> {
        match &self.said {
            Said::Given(order) => Some(order).filter(|order| !is_over(order, now)),
            Said::Lifted(_) => None,
        }
    }
}

impl Agreement {
    /// That of the nameserver of this number, which nobody else has.
    pub fn new(server: u64) -> Self {
        Self { own: vec![server], latest: 0, decrees: BTreeMap::new(), has_observed: false, version: 0 }
    }

    /// That of the nameserver of this number, which had these and knew this before a restart.
    pub fn restored(server: u64, former: &[u64], decrees: Vec<Decree>) -> Self {
        let former = &former[former.len().saturating_sub(MAX_FORMER)..];
        let own = former.iter().copied().chain([server]).collect();
        let latest = decrees.iter().map(|decree| decree.stamp.time).max().unwrap_or_default();
        let decrees = decrees.into_iter().map(|decree| (decree.key(), decree)).collect();
        Self { own, latest, decrees, ..Self::new(server) }
    }

    /// The number of this nameserver, behind those that it had before restarts.
    pub fn own(&self) -> &[u64] {
        &self.own
    }

    /// Another number whenever there is something new to be kept over a restart.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Looks at the orders that stand here, at `now` in milliseconds since 1970, and says whether anything is new: those
    /// that were not known were given here, those that are gone were lifted here, unless their time was over.
    pub fn observe(&mut self, orders: &[Order], now: u64) -> bool {
        let mut is_new = self.heal(now);
        for order in orders {
            let known = self.decrees.get(&key(&order.what)).map(|decree| &decree.said);
            if known == Some(&Said::Given(order.clone())) {
                continue;
            }
            // One that was kept over a restart without its stamp may have been lifted elsewhere since, and says nothing
            // new. Its number stands for who gave it: of two from the same second both sides must choose the same.
            let kept = Stamp { time: order.since.saturating_mul(1_000), server: order.id };
            let stamp = if self.has_observed { self.stamp(now) } else { kept };
            self.latest = self.latest.max(stamp.time);
            self.decrees.insert(key(&order.what), Decree { stamp, said: Said::Given(order.clone()) });
            is_new = true;
        }
        let is_gone = |what: &Override| orders.iter().all(|order| !order.what.replaces(what));
        let gone = self.decrees.values().filter_map(|decree| decree.standing(now)).map(|order| &order.what);
        let gone: Vec<Override> = gone.filter(|what| is_gone(what)).cloned().collect();
        for what in gone {
            // What a restart has lost nobody lifted: others may know it.
            if !self.has_observed {
                self.decrees.remove(&key(&what));
                continue;
            }
            let stamp = self.stamp(now);
            self.decrees.insert(key(&what), Decree { stamp, said: Said::Lifted(what) });
            is_new = true;
        }
        self.has_observed = true;
        self.version += u64::from(is_new);
        self.forget(now);
        is_new
    }

    /// Takes what another nameserver knows, and says what is to be done.
    pub fn merge(&mut self, theirs: &[Decree], now: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut standing = self.decrees.values().filter(|decree| decree.standing(now).is_some()).count();
        for decree in theirs {
            let key = decree.key();
            let known = self.decrees.get(&key);
            // A clock that is wrong by a day would win for a day.
            if known.is_some_and(|known| known.stamp >= decree.stamp) || decree.stamp.time > now.saturating_add(AHEAD) {
                continue;
            }
            let known = known.and_then(|known| known.standing(now));
            let was = known.is_some();
            match (decree.standing(now), was) {
                // Nothing that anybody has to hear of: said anew, or kept here over a restart without its stamp.
                (Some(order), true) if known == Some(order) => {}
                (Some(_), false) if standing >= MAX_STANDING => continue,
                (Some(order), _) => {
                    standing += usize::from(!was);
                    changes.push(Change::Give(order.clone()));
                }
                (None, true) => {
                    standing -= 1;
                    changes.push(Change::Lift(decree.what().clone()));
                }
                (None, false) => {}
            }
            self.latest = self.latest.max(decree.stamp.time);
            self.decrees.insert(key, decree.clone());
            self.version += 1;
        }
        self.forget(now);
        changes
    }

    /// Everything that others need to hear.
    pub fn decrees(&self) -> impl Iterator<Item = &Decree> {
        self.decrees.values()
    }

    /// How many orders given or lifted whoever knows these has not heard of.
    pub fn unknown_to(&self, theirs: &[Decree], now: u64) -> usize {
        self.all_unknown_to(theirs, now).count()
    }

    /// Whether it has not heard of what was said last about one of these things.
    pub fn is_unknown_to(&self, about: &[Override], theirs: &[Decree], now: u64) -> bool {
        let is_meant = |decree: &Decree| about.iter().any(|what| what.replaces(decree.what()));
        self.all_unknown_to(theirs, now).any(is_meant)
    }

    fn all_unknown_to(&self, theirs: &[Decree], now: u64) -> impl Iterator<Item = &Decree> {
        let stamps: BTreeMap<_, _> = theirs.iter().map(|decree| (decree.key(), decree.stamp)).collect();
        let is_of_use = move |decree: &&Decree| match decree.said {
            Said::Given(_) => decree.standing(now).is_some(),
            Said::Lifted(_) => true,
        };
        let unknown = move |decree: &&Decree| stamps.get(&decree.key()).is_none_or(|stamp| *stamp < decree.stamp);
        self.decrees.values().filter(is_of_use).filter(unknown)
    }

    /// Says anew what was said here while the clock was far ahead: nobody has taken it, nor would what is said after it.
    fn heal(&mut self, now: u64) -> bool {
        if self.latest <= now.saturating_add(AHEAD) {
            return false;
        }
        let is_ahead = |decree: &Decree| decree.stamp.time > now.saturating_add(AHEAD);
        let mut ahead: Vec<_> = self.decrees.iter().filter(|(_, decree)| is_ahead(decree)).collect();
        // What others said is ahead, too: so it is this clock that is behind.
        if ahead.iter().any(|(_, decree)| !self.own.contains(&decree.stamp.server)) {
            return false;
        }
        let believed = self.decrees.values().filter(|decree| !is_ahead(decree)).map(|decree| decree.stamp.time);
        self.latest = believed.max().unwrap_or_default();
        ahead.sort_unstable_by_key(|(_, decree)| decree.stamp);
        let ahead: Vec<_> = ahead.into_iter().map(|(key, _)| key.clone()).collect();
        for key in &ahead {
            let stamp = self.stamp(now);
            if let Some(decree) = self.decrees.get_mut(key) {
                decree.stamp = stamp;
            }
        }
        !ahead.is_empty()
    }

    fn stamp(&mut self, now: u64) -> Stamp {
        self.latest = now.max(self.latest.saturating_add(1));
        let server = self.own.last().copied().expect("its own number is there from the start");
        Stamp { time: self.latest, server }
    }

    /// Forgets what has been lifted or over for long; beyond the bound, what was lifted longest ago.
    fn forget(&mut self, now: u64) {
        self.decrees.retain(|_, decree| {
            let ended = match &decree.said {
                Said::Given(order) => {
                    order.until.filter(|_| is_over(order, now)).map(|until| until.saturating_mul(1_000))
                }
                Said::Lifted(_) => Some(decree.stamp.time),
            };
            ended.is_none_or(|ended| ended.saturating_add(REMEMBERED) > now)
        });
        let mut lifted: Vec<_> = self.decrees.values().filter(|decree| decree.standing(now).is_none()).collect();
        if lifted.len() > MAX_LIFTED {
            lifted.sort_unstable_by_key(|decree| decree.stamp);
            let beyond: Vec<_> = lifted[..lifted.len() - MAX_LIFTED].iter().map(|decree| decree.key()).collect();
            beyond.iter().for_each(|key| drop(self.decrees.remove(key)));
        }
    }
}

fn key(what: &Override) -> (&'static str, String) {
    (what.word(), what.subject().to_owned())
}

/// Whether an order's time is over, or will be at once; `now` in milliseconds since 1970.
fn is_over(order: &Order, now: u64) -> bool {
    order.until.is_some_and(|until| until <= now / 1_000 + TOLERANCE)
}

#[cfg(test)]
mod tests;
