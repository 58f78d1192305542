//! Agreements in all orders of events, with clocks that differ, partitions and restarts.

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

    /// Ends, and comes back with what it had kept.
    fn restart(&mut self, number: u64, now: u64) {
        self.agreement = Agreement::restored(number, self.agreement.own(), self.decrees());
        assert!(!self.agreement.observe(&self.orders, now), "what was known is nothing new");
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
    /// One comes back with what it kept, and a number that nobody had.
    Restart {
        at: usize,
    },
    /// One comes back with the orders of a version that kept nothing else.
    Upgrade {
        at: usize,
    },
}

fn steps(kinds: u8) -> impl Strategy<Value = Vec<(Step, u64)>> {
    let step = (0..kinds, 0..3_usize, 0..3_usize).prop_map(|(kind, at, other)| match kind {
        0..=2 => Step::Give { at, about: other },
        3 | 4 => Step::Lift { at, about: other },
        5 | 6 => Step::Exchange { from: at, to: other },
        7 => Step::Restart { at },
        _ => Step::Upgrade { at },
    });
    // No two at the same moment.
    proptest::collection::vec((step, any::<u16>().prop_map(|later| 1 + u64::from(later) % 3_000)), 1..60)
}

/// Three nameservers whose clocks differ, after these steps and an exchange of each with each; and, by subject, the order
/// that was given last and not lifted.
fn play(steps: Vec<(Step, u64)>, skews: &[u64]) -> (Vec<Server>, BTreeMap<usize, u64>, u64) {
    let mut servers: Vec<Server> = (1..=3).map(Server::new).collect();
    let (mut now, mut id, mut last) = (NOW, 0, BTreeMap::new());
    for (number, (step, later)) in (100..).zip(steps) {
        now += later;
        let clock = |server: usize| now + skews[server];
        match step {
            Step::Give { at, about } => {
                id += 1;
                let since = clock(at) / 1_000;
                servers[at].give(Order { since, ..order(id, drain(&about.to_string())) }, clock(at));
                last.insert(about, id);
            }
            Step::Lift { at, about } => {
                let what = drain(&about.to_string());
                if servers[at].orders.iter().any(|order| order.what == what) {
                    last.remove(&about);
                }
                servers[at].lift(&what, clock(at));
            }
            Step::Exchange { from, to } => exchange(&mut servers, from, to, clock(to)),
            Step::Restart { at } => servers[at].restart(number, clock(at)),
            Step::Upgrade { at } => {
                let orders = std::mem::take(&mut servers[at].orders);
                let mut agreement = Agreement::new(number);
                agreement.observe(&orders, clock(at));
                servers[at] = Server { orders, agreement };
            }
        }
    }
    for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1)] {
        exchange(&mut servers, from, to, now + skews[to]);
    }
    (servers, last, now)
}

#[test]
fn whatever_happens_in_a_partition_all_agree_when_it_is_healed() {
    let mut runner = TestRunner::new(Config { cases: 400, ..Config::default() });
    let skews = proptest::collection::vec(0..120_000_u64, 3);
    runner
        .run(&(steps(9), skews), |(steps, skews)| {
            let (servers, _, now) = play(steps, &skews);
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
fn what_was_said_last_holds_over_restarts_and_nothing_that_was_lifted_comes_back() {
    let mut runner = TestRunner::new(Config { cases: 400, ..Config::default() });
    runner
        .run(&steps(8), |steps| {
            let (servers, last, _) = play(steps, &[0; 3]);
            let last: Vec<String> =
                last.iter().map(|(about, id)| format!("{id} {}", drain(&about.to_string()))).collect();
            for server in &servers {
                let mut standing = server.standing();
                standing.sort_by_key(|told| told.rsplit(' ').next().map(str::to_owned));
                assert_eq!(standing, last);
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn what_was_lifted_while_one_was_away_stays_so_over_a_restart() {
    let mut servers: Vec<Server> = (1..=2).map(Server::new).collect();
    servers[0].give(order(1, drain("fra1")), NOW);
    exchange(&mut servers, 0, 1, NOW);
    servers[0].lift(&drain("fra1"), NOW + 5_000);
    servers[0].restart(3, NOW + 10_000);
    // A long weekend.
    let later = NOW + 4 * DAY;
    servers[1].restart(4, later);
    exchange(&mut servers, 1, 0, later);
    exchange(&mut servers, 0, 1, later);
    assert!(servers[0].standing().is_empty() && servers[1].standing().is_empty());
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
fn an_order_that_stands_is_no_news_whenever_it_was_said() {
    let mut servers: Vec<Server> = (1..=2).map(Server::new).collect();
    servers[0].give(order(1, drain("fra1")), NOW + 10);
    exchange(&mut servers, 0, 1, NOW + 10);
    let mut agreement = Agreement::new(3);
    agreement.observe(&servers[1].orders, NOW + 60_000);
    assert_eq!(agreement.merge(&servers[0].decrees(), NOW + 60_000), []);
    assert_eq!(agreement.unknown_to(&servers[0].decrees(), NOW + 60_000), 0);
    assert_eq!(servers[0].agreement.unknown_to(&agreement.decrees().cloned().collect::<Vec<_>>(), NOW + 60_000), 0);
}

#[test]
fn it_can_be_asked_who_has_heard_of_some_things() {
    let mut servers: Vec<Server> = (1..=2).map(Server::new).collect();
    servers[0].give(order(1, drain("fra1")), NOW);
    exchange(&mut servers, 0, 1, NOW);
    let knows = servers[1].decrees();
    servers[0].give(order(2, drain("fra2")), NOW + 1);
    let is_unknown = |server: &Server, about: &[&str]| {
        let about: Vec<Override> = about.iter().map(|node| drain(node)).collect();
        server.agreement.is_unknown_to(&about, &knows, NOW + 10)
    };
    assert!(is_unknown(&servers[0], &["fra1", "fra2"]) && !is_unknown(&servers[0], &["fra1"]));
    assert!(!is_unknown(&servers[0], &[]));
    servers[0].lift(&drain("fra1"), NOW + 2);
    assert!(is_unknown(&servers[0], &["fra1"]));
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
fn what_was_ordered_while_a_clock_was_a_week_ahead_is_taken_by_all_once_it_is_right() {
    let mut servers: Vec<Server> = (1..=2).map(Server::new).collect();
    let wrong = NOW + 7 * DAY;
    servers[0].give(order(1, drain("fra1")), wrong);
    servers[0].give(order(2, drain("fra2")), wrong + 1);
    exchange(&mut servers, 0, 1, NOW);
    assert!(servers[1].standing().is_empty(), "a stamp of next week would win for a week");
    servers[0].restart(3, wrong + 2);
    let orders = servers[0].orders.clone();
    assert!(servers[0].agreement.observe(&orders, NOW + 1_000), "it is said anew");
    exchange(&mut servers, 0, 1, NOW + 1_000);
    assert_eq!(servers[1].standing(), ["1 drain fra1", "2 drain fra2"]);
    servers[0].lift(&drain("fra1"), NOW + 2_000);
    exchange(&mut servers, 0, 1, NOW + 2_000);
    assert_eq!(servers[1].standing(), ["2 drain fra2"]);
    // A clock that is behind makes nothing of what others said older.
    let said = servers[1].decrees();
    let orders = servers[1].orders.clone();
    assert!(!servers[1].agreement.observe(&orders, NOW - 7 * DAY));
    assert_eq!(servers[1].decrees(), said);
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
    let absurd = decree(AHEAD + 1, Said::Given(order(1, drain("fra1"))));
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
