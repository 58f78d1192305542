//! The agreement of all nameservers on what operators ordered: about each thing, what was said last holds, given or lifted.
//!
//! A map of registers in which the last writer wins (Shapiro and others, Conflict-free Replicated Data Types, 2011): to
//! merge is commutative, associative and idempotent, so nameservers agree once each has heard of each, in any order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Order, Override};

/// Milliseconds for which it is kept that something was lifted, or is over: a nameserver that comes back after a longer
/// time would bring its order back too.
const REMEMBERED: u64 = 24 * 3_600 * 1_000;
/// The most orders that are taken from others, and the most that were lifted and are remembered.
const MAX_STANDING: usize = 1_000;
const MAX_LIFTED: usize = 1_000;
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
    server: u64,
    /// The latest time in all stamps.
    latest: u64,
    /// By kind and subject.
    decrees: BTreeMap<(&'static str, String), Decree>,
    /// Orders were looked at: those before are from before a restart.
    has_observed: bool,
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
        Self { server, latest: 0, decrees: BTreeMap::new(), has_observed: false }
    }

    /// Looks at the orders that stand here, at `now` in milliseconds since 1970, and says whether anything is new: those
    /// that were not known were given here, those that are gone were lifted here, unless their time was over.
    pub fn observe(&mut self, orders: &[Order], now: u64) -> bool {
        let mut is_new = false;
        for order in orders {
            let known = self.decrees.get(&key(&order.what)).map(|decree| &decree.said);
            if known == Some(&Said::Given(order.clone())) {
                continue;
            }
            // One that was kept over a restart may have been lifted elsewhere since, and says nothing new.
            // Its number stands for who gave it: of two from the same second both sides must choose the same.
            let kept = Stamp { time: order.since.saturating_mul(1_000), server: order.id };
            let stamp = if self.has_observed { self.stamp(now) } else { kept };
            self.latest = self.latest.max(stamp.time);
            self.decrees.insert(key(&order.what), Decree { stamp, said: Said::Given(order.clone()) });
            is_new = true;
        }
        self.has_observed = true;
        let is_gone = |what: &Override| orders.iter().all(|order| !order.what.replaces(what));
        let gone = self.decrees.values().filter_map(|decree| decree.standing(now)).map(|order| &order.what);
        let gone: Vec<Override> = gone.filter(|what| is_gone(what)).cloned().collect();
        for what in gone {
            let stamp = self.stamp(now);
            self.decrees.insert(key(&what), Decree { stamp, said: Said::Lifted(what) });
            is_new = true;
        }
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
            if known.is_some_and(|known| known.stamp >= decree.stamp) || decree.stamp.time > now + REMEMBERED {
                continue;
            }
            let was = known.and_then(|known| known.standing(now)).is_some();
            match (decree.standing(now), was) {
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
        let stamps: BTreeMap<_, _> = theirs.iter().map(|decree| (decree.key(), decree.stamp)).collect();
        let is_of_use = |decree: &&Decree| match decree.said {
            Said::Given(_) => decree.standing(now).is_some(),
            Said::Lifted(_) => true,
        };
        let unknown = |decree: &&Decree| stamps.get(&decree.key()).is_none_or(|stamp| *stamp < decree.stamp);
        self.decrees.values().filter(is_of_use).filter(unknown).count()
    }

    fn stamp(&mut self, now: u64) -> Stamp {
        self.latest = now.max(self.latest + 1);
        Stamp { time: self.latest, server: self.server }
    }

    /// Forgets what has been lifted or over for long; beyond the bound, what was lifted longest ago.
    fn forget(&mut self, now: u64) {
        self.decrees.retain(|_, decree| {
            let ended = match &decree.said {
                Said::Given(order) => order.until.filter(|_| is_over(order, now)).map(|until| until * 1_000),
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
mod tests {
    use proptest::prelude::{Strategy, any};
    use proptest::test_runner::{Config, TestRunner};

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn drain(node: &str) -> Override {
        Override::Drain { node: node.to_owned() }
    }

    fn order(id: u64, what: Override) -> Order {
        Order { id, what, who: "karl".to_owned(), reason: "test".to_owned(), since: NOW / 1_000, until: None }
    }

    /// A nameserver with its orders, as the feed keeps them.
    struct Server {
        orders: Vec<Order>,
        agreement: Agreement,
    }

    impl Server {
        fn new(number: u64) -> Self {
            let mut agreement = Agreement::new(number);
            agreement.observe(&[], NOW);
            Self { orders: Vec::new(), agreement }
        }

        fn give(&mut self, order: Order, now: u64) {
            self.orders.retain(|old| !order.what.replaces(&old.what));
            self.orders.push(order);
            assert!(self.agreement.observe(&self.orders, now));
        }

        fn lift(&mut self, what: &Override, now: u64) {
            self.orders.retain(|old| !what.replaces(&old.what));
            self.agreement.observe(&self.orders, now);
        }

        fn hear(&mut self, other: &[Decree], now: u64) {
            for change in self.agreement.merge(other, now) {
                match change {
                    Change::Give(order) => {
                        self.orders.retain(|old| !order.what.replaces(&old.what));
                        self.orders.push(order);
                    }
                    Change::Lift(what) => self.orders.retain(|old| !what.replaces(&old.what)),
                }
            }
            assert!(!self.agreement.observe(&self.orders, now), "what was heard is nothing new");
        }

        fn decrees(&self) -> Vec<Decree> {
            self.agreement.decrees().cloned().collect()
        }

        fn standing(&self) -> Vec<String> {
            let mut standing: Vec<String> =
                self.orders.iter().map(|order| format!("{} {}", order.id, order.what)).collect();
            standing.sort();
            standing
        }
    }

    fn exchange(servers: &mut [Server], from: usize, to: usize, now: u64) {
        let said = servers[from].decrees();
        servers[to].hear(&said, now);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Give {
            at: usize,
            about: usize,
        },
        Lift {
            at: usize,
            about: usize,
        },
        Exchange {
            from: usize,
            to: usize,
        },
        /// One comes back with the orders that it kept, and nothing else.
        Restart {
            at: usize,
        },
    }

    fn steps() -> impl Strategy<Value = Vec<(Step, u64)>> {
        let step = (0..8_u8, 0..3_usize, 0..3_usize).prop_map(|(kind, at, other)| match kind {
            0..=2 => Step::Give { at, about: other },
            3 | 4 => Step::Lift { at, about: other },
            5 | 6 => Step::Exchange { from: at, to: other },
            _ => Step::Restart { at },
        });
        proptest::collection::vec((step, any::<u16>().prop_map(|later| u64::from(later) % 3_000)), 1..60)
    }

    #[test]
    fn whatever_happens_in_a_partition_all_agree_when_it_is_healed() {
        let mut runner = TestRunner::new(Config { cases: 400, ..Config::default() });
        let skews = proptest::collection::vec(0..120_000_u64, 3);
        runner
            .run(&(steps(), skews), |(steps, skews)| {
                let mut servers: Vec<Server> = (1..=3).map(Server::new).collect();
                let (mut now, mut id) = (NOW, 0);
                for (step, later) in steps {
                    now += later;
                    let clock = |server: usize| now + skews[server];
                    match step {
                        Step::Give { at, about } => {
                            id += 1;
                            let since = clock(at) / 1_000;
                            servers[at].give(Order { since, ..order(id, drain(&about.to_string())) }, clock(at));
                        }
                        Step::Lift { at, about } => servers[at].lift(&drain(&about.to_string()), clock(at)),
                        Step::Exchange { from, to } => exchange(&mut servers, from, to, clock(to)),
                        Step::Restart { at } => {
                            let orders = std::mem::take(&mut servers[at].orders);
                            let mut agreement = Agreement::new(100 + id);
                            agreement.observe(&orders, clock(at));
                            servers[at] = Server { orders, agreement };
                        }
                    }
                }
                for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1)] {
                    exchange(&mut servers, from, to, now + skews[to]);
                }
                assert_eq!(servers[0].standing(), servers[1].standing());
                assert_eq!(servers[1].standing(), servers[2].standing());
                let [a, b] = [0, 1].map(|server| servers[server].decrees());
                assert_eq!(servers[2].agreement.unknown_to(&a, now), 0);
                assert_eq!(servers[2].agreement.unknown_to(&b, now), 0);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
    }

    #[test]
    fn what_was_lifted_does_not_come_back_from_one_that_was_away() {
        let mut servers: Vec<Server> = (1..=2).map(Server::new).collect();
        servers[0].give(order(1, drain("fra1")), NOW);
        exchange(&mut servers, 0, 1, NOW);
        assert_eq!(servers[1].standing(), ["1 drain fra1"]);
        servers[0].lift(&drain("fra1"), NOW + 5_000);
        assert_eq!(servers[0].agreement.unknown_to(&servers[1].decrees(), NOW + 5_000), 1, "it has not heard of it");
        exchange(&mut servers, 1, 0, NOW + 3_600_000);
        assert!(servers[0].standing().is_empty());
        exchange(&mut servers, 0, 1, NOW + 3_600_000);
        assert!(servers[1].standing().is_empty());
    }

    #[test]
    fn an_order_kept_over_a_restart_yields_to_its_lifting() {
        let mut servers: Vec<Server> = (1..=2).map(Server::new).collect();
        servers[0].give(order(1, drain("fra1")), NOW + 10);
        exchange(&mut servers, 0, 1, NOW + 10);
        servers[1].lift(&drain("fra1"), NOW + 20);
        let orders = std::mem::take(&mut servers[0].orders);
        let mut agreement = Agreement::new(3);
        agreement.observe(&orders, NOW + 60_000);
        servers[0] = Server { orders, agreement };
        exchange(&mut servers, 0, 1, NOW + 60_000);
        exchange(&mut servers, 1, 0, NOW + 60_000);
        assert!(servers[0].standing().is_empty() && servers[1].standing().is_empty());
    }

    #[test]
    fn an_answer_to_an_order_wins_although_its_clock_is_behind() {
        let mut servers: Vec<Server> = (1..=2).map(Server::new).collect();
        servers[0].give(order(1, drain("fra1")), NOW + 60_000);
        exchange(&mut servers, 0, 1, NOW);
        servers[1].lift(&drain("fra1"), NOW);
        exchange(&mut servers, 1, 0, NOW + 60_001);
        assert!(servers[0].standing().is_empty());
    }

    #[test]
    fn what_is_over_is_not_told_as_lifted_and_does_not_give_way_to_what_it_replaced() {
        let mut servers: Vec<Server> = (1..=2).map(Server::new).collect();
        servers[0].give(order(1, drain("fra1")), NOW);
        exchange(&mut servers, 0, 1, NOW);
        let until = Some(NOW / 1_000 + 60);
        servers[0].give(Order { until, ..order(2, drain("fra1")) }, NOW + 1_000);
        let later = NOW + 61_000;
        servers[0].orders.clear();
        assert!(!servers[0].agreement.observe(&[], later));
        exchange(&mut servers, 1, 0, later);
        assert!(servers[0].standing().is_empty(), "the older one was replaced for good");
        exchange(&mut servers, 0, 1, later);
        assert!(servers[1].standing().is_empty());
    }

    #[test]
    fn memory_has_bounds() {
        let mut server = Server::new(1);
        let decree = |number: u64, said| Decree { stamp: Stamp { time: NOW + number, server: 2 }, said };
        let given = |number: u64| decree(number, Said::Given(order(number, drain(&number.to_string()))));
        let theirs: Vec<Decree> = (0..1_500).map(given).collect();
        server.hear(&theirs, NOW);
        assert_eq!(server.orders.len(), MAX_STANDING);
        let lifted = |number: u64| decree(10_000 + number, Said::Lifted(drain(&number.to_string())));
        server.hear(&(0..3_000).map(lifted).collect::<Vec<_>>(), NOW);
        assert_eq!((server.orders.len(), server.decrees().len()), (0, MAX_LIFTED));
        server.agreement.observe(&[], NOW + 20_000 + REMEMBERED);
        assert_eq!(server.decrees().len(), 0);
        let absurd = decree(REMEMBERED + 1, Said::Given(order(1, drain("fra1"))));
        server.hear(&[absurd], NOW);
        assert!(server.standing().is_empty(), "a clock that is wrong by more than a day");
    }

    #[test]
    fn decrees_survive_json() {
        let decrees = [
            Decree { stamp: Stamp { time: 1, server: u64::MAX }, said: Said::Given(order(7, drain("fra1"))) },
            Decree { stamp: Stamp { time: 2, server: 3 }, said: Said::Lifted(Override::Freeze) },
        ];
        for decree in decrees {
            let json = serde_json::to_string(&decree).unwrap();
            assert_eq!(serde_json::from_str::<Decree>(&json).unwrap(), decree, "{json}");
        }
    }
}
