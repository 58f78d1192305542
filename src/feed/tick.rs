//! Ticks: what is known now → tables → a snapshot, once a second; and what goes on when no tables can be made.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::alarms::News;
use super::health::Turn;
use super::probe::Probed;
use super::run::Feed;
use super::scrape::{Scraped, source};
use super::state::SAVED;
use super::{maintenance, token, unix_seconds};
use crate::intake::{Grade, SourceReport};
use crate::load::health::NodeHealth;
use crate::load::history::{History, Reading};
use crate::load::merge;
use crate::pool::NodeId;
use crate::snapshot::Snapshot;
use crate::steer::{self, Controller, Learned, Names, NodeInput, Standing, Tables};

/// A controller that knows what another one had learned.
fn anew(learned: &Learned) -> Controller {
    let mut controller = Controller::default();
    controller.inherit(learned.clone(), 1.0);
    controller
}

impl Feed {
    /// Makes new tables of what is known now, and publishes them; if that panics, what was published goes on.
    pub(super) fn tick(&mut self) {
        match self.tables() {
            Some(tables) => self.publish(tables),
            None => self.go_on(),
        }
    }

    /// New tables; none if making them panics. A controller that panicked begins anew, for what it holds may be halfway
    /// between two moments: with what was learned when that was looked at last, or if it is this that makes it panic, with
    /// nothing.
    pub(super) fn tables(&mut self) -> Option<Tables> {
        for shelf in &self.shelves {
            shelf.take(|ledger| {
                self.answers.add_ledger(ledger);
                // Its numbers are those of the snapshot that was answered from.
                if ledger.generation() == self.ticked {
                    self.controller.book(ledger);
                }
            });
        }
        let now = self.epoch.elapsed().as_secs_f64();
        let input = |index| {
            let id = NodeId(index as u16);
            if !self.inputs.fleet.node(id).is_configured {
                // What is known of it waits for it to come back, and says nothing of now.
                return NodeInput { reading: Reading::Never { because: None }, health: NodeHealth::default() };
            }
            NodeInput { reading: self.reading(id, now), health: self.health(id) }
        };
        let nodes: Vec<NodeInput> = (0..self.inputs.fleet.nodes.len()).map(input).collect();
        let regions = self.inputs.geo.regions();
        let overrides = self.orders.overrides(regions.iter().map(|region| region.name.as_str()));
        let overrides = overrides.with_drains(maintenance::drains(&self.inputs, unix_seconds()));
        let inputs = steer::Inputs {
            now,
            fleet: &self.inputs.fleet,
            regions,
            nodes: &nodes,
            overrides: &overrides,
            seed: self.inputs.seed,
        };
        #[cfg(test)]
        let fault = self.fault;
        let make = |controller: &mut Controller| {
            catch_unwind(AssertUnwindSafe(|| {
                #[cfg(test)]
                assert!(!fault, "a fault of a test");
                controller.tick(&inputs)
            }))
            .ok()
        };
        let made = make(&mut self.controller).or_else(|| {
            self.controller = anew(&self.learned);
            make(&mut self.controller).or_else(|| {
                self.controller = Controller::default();
                make(&mut self.controller)
            })
        });
        self.is_anew = made.is_none();
        if self.is_anew {
            self.controller = anew(&self.learned);
        }
        made
    }

    /// Publishes tables that were made for the inputs as they are now.
    pub(super) fn publish(&mut self, tables: Tables) {
        if std::mem::take(&mut self.is_stuck) {
            tracing::info!("steering goes on: tables are made again");
        }
        self.ticked = self.generation;
        self.pulse.beat(Instant::now());
        let names = Names { fleet: &self.inputs.fleet, regions: self.inputs.geo.regions() };
        for news in self.alarms.observe(&tables, &names) {
            match news {
                News::Begins { alarm, subject, told } => {
                    tracing::warn!(alarm, "{told}");
                    self.board.raise(alarm, &subject, &told);
                }
                News::Ends { alarm, subject, told } => {
                    tracing::info!(alarm, "{told}");
                    self.board.clear(alarm, &subject);
                }
            }
        }
        let answers = (0..tables.nodes.len()).map(|index| self.answers.answers_of(NodeId(index as u16)));
        self.board.sample_answers(Instant::now(), answers);
        self.replace_snapshot(tables);
    }

    /// Publishes what was published, without the nodes that died since.
    fn go_on(&mut self) {
        if !std::mem::replace(&mut self.is_stuck, true) {
            tracing::error!(
                "making tables ended in a panic; answers go on by the last ones, without nodes that fail their probes"
            );
        }
        let last = self.published.snapshot();
        let tables = last.tables.masked(&last.fleet, |node| self.health(node));
        self.replace_snapshot(tables);
    }

    fn replace_snapshot(&mut self, tables: Tables) {
        self.tell_standings(&tables);
        let shared = token::cookies(&self.inputs.tokens, unix_seconds());
        let secrets = shared.unwrap_or_else(|| self.secrets.secrets(Instant::now()));
        let signatures = self.sign_menus(&tables);
        let snapshot = self.inputs.snapshot(self.generation, tables, self.inputs.seed, secrets, self.status);
        let mut inventories = self.lists.status();
        self.enrolment.add_to(&mut inventories, &self.inputs);
        let secondaries = Arc::new(self.followed.status(&self.inputs));
        self.published.publish(Snapshot { inventories: inventories.into(), secondaries, signatures, ..snapshot });
    }

    /// Tells of nodes that stopped serving, or serve again. How far their load is known is a matter of alarms.
    fn tell_standings(&self, tables: &Tables) {
        for (id, was) in self.board.set_standings(tables.nodes.iter().map(|node| node.standing)) {
            let (known, now) = (self.inputs.fleet.node(id), tables.nodes[usize::from(id.0)].standing);
            let plain = |standing: Standing| {
                matches!(standing, Standing::Known | Standing::New | Standing::Blind | Standing::Distrusted)
            };
            if !known.is_configured || plain(was) && plain(now) {
                continue;
            }
            let grade = if now.is_eligible() || now == Standing::Drained { Grade::Note } else { Grade::Warning };
            let told = match now {
                Standing::Down => "down: it fails its probes",
                Standing::Exhausted => "out of memory or disk: it gets nobody",
                Standing::Drained => "drained: it gets nobody new",
                Standing::Full => "fails its probes, but was near its limit: full rather than dead",
                Standing::Held => "fails its probes, as too many others of its place do: it is held",
                _ => "serves",
            };
            self.board.note("node", grade, &format!("{} {told} (was {})", known.node.name, was.word()));
        }
    }

    /// How each source of load does.
    pub(super) fn sources(&self) -> Vec<SourceReport> {
        let now = self.epoch.elapsed().as_secs_f64();
        let mut sources = Vec::new();
        for (index, known) in self.inputs.fleet.nodes.iter().enumerate().filter(|(_, known)| known.is_configured) {
            for exporter in &known.node.exporters {
                let history = self.histories.get(&source(NodeId(index as u16), exporter));
                let (age, trouble) = match history.map(|history| history.load(now)) {
                    Some(Reading::Fresh(load)) => (Some(now - load.sampled), None),
                    Some(Reading::Stale { age, because, .. }) => {
                        (Some(age), Some(because.map_or_else(|| "no answer".to_owned(), |because| because.to_string())))
                    }
                    Some(Reading::Never { because }) => (None, because.map(|because| because.to_string())),
                    None => (None, None),
                };
                let kind = exporter.preset.name.to_string();
                sources.push(SourceReport {
                    node: known.node.name.clone(),
                    kind,
                    url: exporter.url.clone(),
                    age,
                    trouble,
                    refused: history.map_or(0, History::refused),
                });
            }
        }
        sources
    }

    /// Writes down what is learned, once a minute.
    pub(super) fn save_sometimes(&mut self) {
        let now = Instant::now();
        if now.saturating_duration_since(self.saved) >= SAVED {
            self.saved = now;
            self.save_learned();
        }
    }

    /// What all of a node's exporters know of it.
    fn reading(&self, node: NodeId, now: f64) -> Reading {
        let exporters = self.inputs.fleet.node(node).node.exporters.iter();
        let known = exporters.filter_map(|exporter| self.histories.get(&source(node, exporter)));
        merge(known.map(|history| history.load(now)).collect())
    }

    pub(super) fn take(&mut self, scraped: Scraped) {
        let Scraped { node, exporter, at, result } = scraped;
        if !self.inputs.fleet.node(node).is_configured {
            return;
        }
        let (key, url) = (source(node, &exporter), &exporter.url);
        let name = &self.inputs.fleet.node(node).node.name;
        self.readiness.scraped(&key);
        let Some(history) = self.histories.get_mut(&key) else { return };
        let at = at.saturating_duration_since(self.epoch).as_secs_f64();
        match result {
            Ok(counters) => {
                // Its trouble is part of the reading, and shown with it.
                if let Err(trouble) = history.observe(at, counters) {
                    tracing::debug!(node = name, url, %trouble, "no load from this scrape");
                }
            }
            Err(error) => {
                tracing::debug!(node = name, url, %error, "a scrape failed");
                history.fail(error);
            }
        }
    }

    /// What the checks of a node found; seconds on the clock of the readings.
    pub fn health(&self, node: NodeId) -> NodeHealth {
        self.healths.of(node, &self.inputs.fleet)
    }

    pub(super) fn take_probe(&mut self, probed: Probed) {
        self.readiness.probed(&probed.probe);
        let at = probed.at.saturating_duration_since(self.epoch).as_secs_f64();
        let Self { healths, inputs, .. } = self;
        if let Some(Turn { is_good, told }) = healths.take(probed, at, &inputs.fleet) {
            self.board.note("check", if is_good { Grade::Note } else { Grade::Warning }, &told);
            // Whoever is sent to a dead node until the next tick would not get through.
            self.tick();
            self.tell_peers_soon();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::feed::Options;
    use crate::feed::probe::{Fault, Goal, Probe};
    use crate::feed::state::{self, Keeper, Store};
    use crate::intake::{Lift, Wish};
    use crate::load::health::State;
    use crate::pool::{Bitrate, Check, Family, Policy};
    use crate::snapshot::Snapshot;
    use crate::steer::{Limited, Override};

    const NODE: NodeId = NodeId(0);

    /// A feed of the shipped example.
    fn feed() -> Feed {
        let directory = tempfile::TempDir::new().expect("a temporary directory");
        let zones = directory.path().join("zones");
        std::fs::create_dir(&zones).expect("a new directory");
        let write = |path: PathBuf, text| std::fs::write(path, text).expect("a new file");
        write(zones.join("live.example.zone"), include_str!("../../zones/live.example.zone"));
        write(directory.path().join("thalweg.toml"), include_str!("../../thalweg.toml"));
        let file = directory.path().join("thalweg.toml");
        let options = Options { file, environment: Vec::new(), is_watching: true, is_strict: false };
        Feed::new(options).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Whether the outcome of a probe of the node's IPv4 address made a new snapshot.
    fn publishes(feed: &mut Feed, result: Result<(), Fault>) -> bool {
        let before = feed.published.snapshot();
        feed.take_probe(Probed { probe: probe(feed, NODE, Family::V4), at: Instant::now(), result });
        !Arc::ptr_eq(&before, &feed.published.snapshot())
    }

    fn probe(feed: &Feed, node: NodeId, family: Family) -> Probe {
        let address = feed.inputs.fleet.node(node).node.address(family).unwrap();
        Probe { node, goal: Goal::of(&Check::Tcp(1935), address) }
    }

    fn refused() -> Result<(), Fault> {
        Err(Fault::Node("refused".to_owned()))
    }

    fn state(feed: &Feed, family: Family) -> State {
        feed.health(NODE).own(family)
    }

    #[test]
    fn a_change_of_health_is_published_at_once() {
        let mut feed = feed();
        feed.set_targets();
        assert_eq!(state(&feed, Family::V4), State::Unknown);
        assert!(!publishes(&mut feed, Ok(())));
        assert!(!publishes(&mut feed, refused()));
        assert!(publishes(&mut feed, refused()));
        assert!(matches!(state(&feed, Family::V4), State::Down { since } if since >= 0.0));
        assert_eq!(state(&feed, Family::V6), State::Unknown, "nobody has looked there");
        assert!(!publishes(&mut feed, refused()));
        assert!(!publishes(&mut feed, Ok(())) && !publishes(&mut feed, Ok(())) && publishes(&mut feed, Ok(())));
        assert!(matches!(state(&feed, Family::V4), State::Up { since } if since.is_finite()));
    }

    #[test]
    fn a_late_probe_of_a_node_that_has_no_check_any_more_says_nothing() {
        let mut feed = feed();
        assert!(!publishes(&mut feed, refused()) && !publishes(&mut feed, refused()));
        assert_eq!(state(&feed, Family::V4), State::Unknown);
    }

    fn wish(what: Override) -> Wish {
        Wish { what, who: "karl@ops1".to_owned(), reason: "a test".to_owned(), seconds: Some(3_600) }
    }

    fn drain(feed: &Feed, node: NodeId) -> Wish {
        wish(Override::Drain { node: feed.inputs.fleet.node(node).node.name.clone() })
    }

    /// Probes of the node fail at its addresses of these families.
    fn fall(feed: &mut Feed, node: NodeId, families: &[Family]) {
        feed.set_targets();
        for probe in families.iter().map(|&family| probe(feed, node, family)).collect::<Vec<_>>() {
            for _ in 0..2 {
                feed.take_probe(Probed { probe: probe.clone(), at: Instant::now(), result: refused() });
            }
        }
    }

    /// Nodes that are passed over in the first pool.
    fn dead(snapshot: &Snapshot, family: Family) -> Vec<NodeId> {
        snapshot.tables.pools[0].of(family).dead.clone()
    }

    #[test]
    fn a_tick_that_panics_leaves_the_last_tables_without_the_nodes_that_die() {
        let mut feed = feed();
        feed.tick();
        let before = feed.published.snapshot();
        feed.fault = true;
        feed.tick();
        let after = feed.published.snapshot();
        assert_eq!((after.tables.at, dead(&after, Family::V4).len()), (before.tables.at, 0));
        fall(&mut feed, NODE, &[Family::V6]);
        let after = feed.published.snapshot();
        assert_eq!((dead(&after, Family::V4), dead(&after, Family::V6)), (vec![], vec![NODE]));
        assert_ne!(after.tables.nodes[0].standing, Standing::Down, "it serves over IPv4");
        fall(&mut feed, NODE, &[Family::V4]);
        // It stays so, however many ticks fail.
        feed.tick();
        let after = feed.published.snapshot();
        assert_eq!((after.tables.at, dead(&after, Family::V4)), (before.tables.at, vec![NODE]));
        assert_eq!(after.tables.nodes[0].standing, Standing::Down);
        feed.fault = false;
        feed.tick();
        let again = feed.published.snapshot();
        assert!(again.tables.at > before.tables.at && dead(&again, Family::V4).is_empty());
        assert_eq!(again.tables.nodes[0].standing, Standing::Down);
    }

    #[test]
    fn what_was_learned_survives_ticks_that_panic() {
        let mut feed = feed();
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("state")).unwrap();
        feed.keeper = Some(Keeper::start(store, feed.board()).unwrap());
        let name = feed.inputs.fleet.node(NODE).node.name.clone();
        let node = serde_json::json!({"node": name, "capacity": 0.5, "rate": null});
        feed.controller = anew(&serde_json::from_value(serde_json::json!({"nodes": [node], "viewers": []})).unwrap());
        let capacity = |learned: &Learned| learned.nodes.iter().find(|each| each.node == name).unwrap().capacity;
        feed.tick();
        feed.save_learned();
        let before = capacity(&feed.learned);
        assert!((0.45..0.55).contains(&before), "{before}");
        feed.fault = true;
        feed.tick();
        // The server may be stopped now, or inputs be refused first.
        feed.save_learned();
        assert_eq!(capacity(&feed.learned), before);
        drop(feed.keeper.take());
        let kept = Store::open(&directory.path().join("state")).unwrap();
        let mut heir = Controller::default();
        state::inherit(&mut heir, &kept, unix_seconds());
        feed.fault = false;
        for controller in [None, Some(heir)] {
            feed.controller = controller.unwrap_or_else(|| std::mem::take(&mut feed.controller));
            feed.tick();
            feed.save_learned();
            let after = capacity(&feed.learned);
            assert!((0.45..0.55).contains(&after), "{after}");
        }
    }

    #[test]
    fn a_change_of_inputs_that_cannot_be_steered_by_changes_nothing() {
        let mut feed = feed();
        let service = feed.inputs.fleet.services[0].service.name.to_string();
        let wished = wish(Override::Policy { service, policy: "nearest".to_owned() });
        let before = feed.published.snapshot();
        feed.fault = true;
        assert!(feed.order(&wished).unwrap_err().contains("panic"));
        feed.fault = false;
        feed.tick();
        let after = feed.published.snapshot();
        assert_eq!((after.generation, after.tables.orders.len()), (before.generation, 0));
        assert!(Arc::ptr_eq(&before.fleet, &after.fleet));
        feed.order(&wished).unwrap();
        let steered = feed.published.snapshot();
        assert_eq!(steered.generation, before.generation + 1);
        let policy = |snapshot: &Snapshot| snapshot.fleet.pool(snapshot.fleet.services[0].pool).policy;
        assert_eq!((policy(&steered), policy(&before)), (Policy::Nearest, Policy::Planner));
        feed.lift(&Lift::All).unwrap();
        let lifted = feed.published.snapshot();
        assert_eq!((policy(&lifted), lifted.generation), (Policy::Planner, before.generation + 2));
    }

    #[test]
    fn orders_hold_until_they_are_lifted_replaced_or_over() {
        let mut feed = feed();
        let drained = |feed: &Feed| feed.published.snapshot().tables.nodes[0].standing == Standing::Drained;
        let wished = drain(&feed, NODE);
        let order = feed.order(&wished).unwrap();
        assert!(drained(&feed));
        let second = feed.order(&wished).unwrap();
        assert!(second.id > order.id && feed.published.snapshot().tables.orders.len() == 1);
        assert!(feed.lift(&Lift::One(order.id)).unwrap_err().contains("no override"));
        let node = feed.inputs.fleet.node(NODE).node.name.clone();
        feed.lift(&Lift::Drain(node.clone())).unwrap();
        assert!(!drained(&feed));
        assert_eq!(feed.lift(&Lift::Drain(node.clone())).unwrap_err(), format!("{node} is not drained"));
        feed.order(&Wish { seconds: None, ..wished.clone() }).unwrap();
        feed.expire_orders();
        feed.tick();
        assert!(drained(&feed), "it has no end");
        feed.order(&Wish { seconds: Some(1), ..wished }).unwrap();
        feed.orders.let_expire();
        feed.expire_orders();
        assert!(!drained(&feed));
    }

    #[test]
    fn a_wish_that_cannot_be_done_is_refused_with_what_was_meant() {
        let mut feed = feed();
        let name = feed.inputs.fleet.node(NODE).node.name.clone();
        let misspelt = format!("{name}x");
        let service = feed.inputs.fleet.services[0].service.name.to_string();
        let place = |place: &str| Override::Pin { region: "gulf".to_owned(), place: place.to_owned() };
        for (what, told) in [
            (Override::Drain { node: misspelt }, format!("did you mean `{name}`?")),
            (place("nowhere at all"), "no place with nodes is called".to_owned()),
            (Override::Weight { node: name.clone(), weight: 1.5 }, "is not one from 0 to 1".to_owned()),
            (Override::Weight { node: name.clone(), weight: f64::NAN }, "is not one from 0 to 1".to_owned()),
            (Override::Limit { node: name.clone(), capacity: Limited::Clients(800.0) }, "count Mbit/s".to_owned()),
            (Override::Limit { node: name, capacity: Limited::Egress(0.0) }, "not more than nothing".to_owned()),
            (Override::Policy { service, policy: "plannr".to_owned() }, "did you mean `planner`?".to_owned()),
            (Override::Policy { service: "x.example".to_owned(), policy: "hash".to_owned() }, "no service".to_owned()),
        ] {
            let refused = feed.order(&wish(what)).unwrap_err();
            assert!(refused.contains(&told), "{refused}");
        }
        let refused = feed.order(&Wish { reason: " ".to_owned(), ..wish(Override::Freeze) }).unwrap_err();
        assert!(refused.contains("`reason` is missing"));
        assert!(feed.published.snapshot().tables.orders.is_empty());
    }

    #[test]
    fn a_limit_counts_for_loads_and_for_what_is_planned() {
        let mut feed = feed();
        let before = feed.published.snapshot().tables.nodes[0].configured;
        let node = feed.inputs.fleet.node(NODE).node.name.clone();
        feed.order(&wish(Override::Limit { node, capacity: Limited::Egress(10.0) })).unwrap();
        let after = feed.published.snapshot().tables.nodes[0].configured;
        assert!(after < before && after <= 10.0, "{after}");
        assert_eq!(feed.orders.capacity_of(&feed.inputs.fleet.node(NODE).node).egress, Some(Bitrate(10e6)));
    }
}
