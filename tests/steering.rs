//! Steering end to end: the real program, real sockets; nodes whose load and ports the test sets, clients that ask.
//!
//! Times are counted in scrapes that were answered, in ticks that were published, and on the program's own clock.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use fleet::{Fleet, NODES};
use thalweg::load::health::State;
use thalweg::load::history::Reading;
use thalweg::snapshot::Snapshot;
use thalweg::steer::{NodeState, Standing};

use support::client::wait_for;

#[path = "steering/fleet.rs"]
mod fleet;
#[path = "steering/health.rs"]
mod health;
#[path = "steering/learning.rs"]
mod learning;
#[path = "steering/machine.rs"]
mod machine;
mod support;

/// The node that something happens to.
const NODE: usize = 0;
/// A third of the clients, by hashes of 300 networks.
const FAIR: std::ops::Range<f64> = 0.2..0.5;
/// Scrapes after a change of which one is surely about nothing but the time after it.
const SURE: u64 = 2;
/// Such scrapes after which a change of CPU counts as a whole: what it says of the capacity is learned by 30 % of the
/// difference with each.
const LEARNED: u64 = 6;

/// The share of answers that name the node is 0 in the first tick after so many scrapes at the latest.
fn loses_its_share(scrapes: u64, change: impl FnOnce(&Fleet)) {
    let fleet = Fleet::start();
    fleet.wait_for_loads(0.5);
    let share = fleet.share(NODE);
    assert!(FAIR.contains(&share), "{share} of {NODES} nodes alike");

    let scraped = || fleet.machines[NODE].scrapes();
    let before = scraped();
    change(&fleet);
    let mut ticks = Ticks::of(&fleet);
    // Those that were answered by the last tick are known to this one.
    let mut known = before;
    loop {
        let now = scraped();
        let state = ticks.next();
        let share = fleet.share(NODE);
        println!("{} scrapes after the change: share {share}, predicted pressure {}", known - before, state.pressure);
        if share == 0.0 {
            break;
        }
        assert!(known < before + scrapes, "{known} scrapes, {before} before: {state:?}");
        known = now;
    }
    // It stays like that, and the others have its clients.
    for _ in 0..2 {
        ticks.next();
        assert_eq!(fleet.share(NODE), 0.0);
    }
    assert!(fleet.share(1) > FAIR.start && fleet.share(2) > FAIR.start);
}

#[test]
fn a_node_whose_egress_goes_beyond_its_limit_loses_its_share_with_the_second_scrape() {
    loses_its_share(SURE, |fleet| fleet.machines[NODE].set_egress(1.1));
}

#[test]
fn a_node_whose_cpu_goes_beyond_its_limit_loses_its_share_when_that_is_learned() {
    loses_its_share(SURE + LEARNED, |fleet| fleet.machines[NODE].set_cpu(1.1));
}

#[test]
fn a_node_whose_exporter_stops_keeps_its_share_and_is_told_as_blind() {
    let mut fleet = Fleet::start();
    fleet.wait_for_loads(0.5);
    let share = fleet.share(NODE);
    assert!(FAIR.contains(&share), "{share} of {NODES} nodes alike");
    assert_eq!(fleet.metric("thalweg_node_load_fresh"), 1.0);

    fleet.machines[NODE].stop();
    let mut ticks = Ticks::of(&fleet);
    let mut blind = 0;
    while blind < 3 {
        let state = ticks.next();
        let now = fleet.share(NODE);
        assert!(now > share / 2.0, "{now} of {share}: {state:?}");
        match state.standing {
            // 2.5 intervals and 2 s after the last load.
            Standing::Blind => {
                let Reading::Stale { last, because: Some(because), .. } = &state.reading else { panic!("{state:?}") };
                assert!((last.pressure - 0.5).abs() < 0.1 && because.to_string().contains("connection"), "{because}");
                assert!(state.health.is_up() && state.factors.confidence < 1.0, "{state:?}");
                assert!((state.pressure - 0.5).abs() < 0.15, "dead reckoning goes on: {state:?}");
                blind += 1;
            }
            standing => assert_eq!((standing, blind), (Standing::Known, 0)),
        }
    }
    assert_eq!(fleet.metric("thalweg_node_load_fresh"), 0.0);

    fleet.machines[NODE].start_again();
    let mut ticks = Ticks::of(&fleet);
    wait_for("its load again", || (ticks.next().standing == Standing::Known).then_some(()));
    assert_eq!(fleet.metric("thalweg_node_load_fresh"), 1.0);
}

#[test]
fn a_node_whose_port_is_closed_is_named_no_more_and_comes_back_slowly_after_three_good_probes() {
    let mut fleet = Fleet::start();
    fleet.wait_for_loads(0.5);
    wait_for("a probe of each node", || fleet.ports.iter().all(|port| port.probes() > 0).then_some(()));
    let share = fleet.share(NODE);
    assert!(FAIR.contains(&share), "{share} of {NODES} nodes alike");

    let closed = fleet.snapshot().tables.at;
    fleet.ports[NODE].close();
    let since = wait_for("two probes that fail", || match node(&fleet.snapshot()).health {
        State::Down { since } => Some(since),
        State::Unknown | State::Up { .. } => None,
    });
    // Five seconds to the first probe, four to the second; the tables at the closing were up to a tick old.
    let took = since - closed;
    println!("found after {took:.1} s");
    assert!(took <= 10.0 + 1.0, "{took} s");
    // The snapshot that says so is in force.
    assert_eq!(fleet.share(NODE), 0.0);
    assert_eq!(node(&fleet.snapshot()).standing, Standing::Down);

    let before = fleet.ports[NODE].probes();
    fleet.ports[NODE].reopen();
    let back = wait_for("probes that succeed", || {
        let snapshot = fleet.snapshot();
        let probes = fleet.ports[NODE].probes() - before;
        let is_up = node(&snapshot).health.is_up();
        assert!(is_up || probes <= 3, "{probes} good probes, and it is still down");
        is_up.then_some(snapshot)
    });
    assert!(fleet.ports[NODE].probes() - before >= 3, "it takes three good probes");
    let state = node(&back);
    assert!((0.1..0.2).contains(&state.factors.warmth), "{state:?}");
    assert!(fleet.share(NODE) < share / 2.0, "all at once: {}", fleet.share(NODE));
    let mut ticks = Ticks::of(&fleet);
    let again = wait_for("clients", || Some((ticks.next(), fleet.share(NODE))).filter(|(_, share)| *share > 0.0));
    let (state, now) = again;
    assert!(now < share / 2.0 && state.factors.warmth < 0.5, "{now} of {share}: {state:?}");
}

/// What a snapshot has of the node.
fn node(snapshot: &Snapshot) -> &NodeState {
    &snapshot.tables.nodes[NODE]
}

/// Snapshots as they are published.
struct Ticks<'f> {
    fleet: &'f Fleet,
    last: Arc<Snapshot>,
}

impl<'f> Ticks<'f> {
    fn of(fleet: &'f Fleet) -> Self {
        Self { fleet, last: fleet.snapshot() }
    }

    /// The node in the tick after the last one that was seen.
    fn next(&mut self) -> NodeState {
        self.last = wait_for("a tick", || {
            let snapshot = self.fleet.snapshot();
            (snapshot.tables.at > self.last.tables.at).then_some(snapshot)
        });
        node(&self.last).clone()
    }
}
