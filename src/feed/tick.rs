//! Ticks: what is known now → tables → a snapshot, once a second; and what goes on when no tables can be made.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::alarms::{Names, News};
use super::probe::Probed;
use super::run::Feed;
use super::scrape::{Scraped, source};
use crate::load::health::{Health, State};
use crate::load::history::Reading;
use crate::load::merge;
use crate::pool::NodeId;
use crate::snapshot::Snapshot;
use crate::steer::{self, Controller, NodeInput, Tables};

impl Feed {
    /// Makes new tables of what is known now, and publishes them; if that panics, what was published goes on.
    pub(super) fn tick(&mut self) {
        match self.tables() {
            Some(tables) => self.publish(tables),
            None => self.go_on(),
        }
    }

    /// New tables; none if making them panics. Then the controller begins anew: what it holds may be halfway between two
    /// moments.
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
                return NodeInput { reading: Reading::Never { because: None }, health: State::Unknown };
            }
            NodeInput { reading: self.reading(id, now), health: self.health(id) }
        };
        let nodes: Vec<NodeInput> = (0..self.inputs.fleet.nodes.len()).map(input).collect();
        let regions = self.inputs.geo.regions();
        let overrides = self.orders.overrides(regions.iter().map(|region| region.name.as_str()));
        let inputs = steer::Inputs {
            now,
            fleet: &self.inputs.fleet,
            regions,
            nodes: &nodes,
            overrides: &overrides,
            seed: self.seed,
        };
        #[cfg(test)]
        let fault = self.fault;
        let controller = &mut self.controller;
        let made = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(test)]
            assert!(!fault, "a fault of a test");
            controller.tick(&inputs)
        }));
        made.inspect_err(|_| self.controller = Controller::default()).ok()
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
                News::Begins { alarm, told } => tracing::warn!(alarm, "{told}"),
                News::Ends { alarm, told } => tracing::info!(alarm, "{told}"),
            }
        }
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
        let drawn = self.secrets.secrets(Instant::now());
        let snapshot = self.inputs.snapshot(self.generation, tables, self.seed, drawn, self.status);
        self.published.publish(Snapshot { inventories: self.lists.status(), ..snapshot });
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

    /// Whether a node serves, by its probes; seconds on the clock of the readings.
    pub fn health(&self, node: NodeId) -> State {
        self.health.get(&node).map_or(State::Unknown, Health::state)
    }

    pub(super) fn take_probe(&mut self, probed: Probed) {
        let Probed { node: id, at, result } = probed;
        if !self.inputs.fleet.node(id).is_configured {
            return;
        }
        let node = &self.inputs.fleet.node(id).node.name;
        let Some(health) = self.health.get_mut(&id) else { return };
        let at = at.saturating_duration_since(self.epoch).as_secs_f64();
        let news = health.observe(at, result.is_ok());
        match (news, result) {
            (None, Ok(())) => return,
            (None, Err(because)) => return tracing::debug!(node, because, "a probe failed"),
            (Some(_), Ok(())) => tracing::info!(node, "its probes succeed again"),
            (Some(_), Err(because)) => tracing::warn!(node, because, "its probes fail; it counts as down"),
        }
        // Whoever is sent to a dead node until the next tick would not get through.
        self.tick();
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::feed::Options;
    use crate::intake::{Lift, Wish};
    use crate::pool::{Bitrate, Policy};
    use crate::steer::{Limited, Override, Standing};

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
        let options = Options { file, environment: Vec::new(), is_strict: false };
        Feed::new(options).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Whether the outcome of a probe made a new snapshot.
    fn publishes(feed: &mut Feed, result: Result<(), String>) -> bool {
        let before = feed.published.snapshot();
        feed.take_probe(Probed { node: NODE, at: Instant::now(), result });
        !Arc::ptr_eq(&before, &feed.published.snapshot())
    }

    #[test]
    fn a_change_of_health_is_published_at_once() {
        let refused = || Err("refused".to_owned());
        let mut feed = feed();
        feed.health.insert(NODE, Health::default());
        assert_eq!(feed.health(NODE), State::Unknown);
        assert!(!publishes(&mut feed, Ok(())));
        assert!(!publishes(&mut feed, refused()));
        assert!(publishes(&mut feed, refused()));
        assert!(matches!(feed.health(NODE), State::Down { since } if since >= 0.0));
        assert!(!publishes(&mut feed, refused()));
        assert!(!publishes(&mut feed, Ok(())) && !publishes(&mut feed, Ok(())) && publishes(&mut feed, Ok(())));
        assert!(matches!(feed.health(NODE), State::Up { since } if since.is_finite()));
    }

    #[test]
    fn a_late_probe_of_a_node_that_has_no_check_any_more_says_nothing() {
        let mut feed = feed();
        assert!(!publishes(&mut feed, Err("late".to_owned())) && !publishes(&mut feed, Err("late".to_owned())));
        assert_eq!(feed.health(NODE), State::Unknown);
    }

    fn wish(what: Override) -> Wish {
        Wish { what, who: "karl@ops1".to_owned(), reason: "a test".to_owned(), seconds: Some(3_600) }
    }

    fn drain(feed: &Feed, node: NodeId) -> Wish {
        wish(Override::Drain { node: feed.inputs.fleet.node(node).node.name.clone() })
    }

    fn fall(feed: &mut Feed, node: NodeId) {
        feed.health.insert(node, Health::default());
        for _ in 0..2 {
            feed.take_probe(Probed { node, at: Instant::now(), result: Err("refused".to_owned()) });
        }
    }

    #[test]
    fn a_tick_that_panics_leaves_the_last_tables_without_the_nodes_that_die() {
        let mut feed = feed();
        feed.tick();
        let before = feed.published.snapshot();
        feed.fault = true;
        feed.tick();
        let after = feed.published.snapshot();
        assert_eq!((after.tables.at, after.tables.dead.len()), (before.tables.at, 0));
        fall(&mut feed, NODE);
        let after = feed.published.snapshot();
        assert_eq!((after.tables.at, after.tables.dead.as_slice()), (before.tables.at, &[NODE][..]));
        assert_eq!(after.tables.nodes[0].standing, Standing::Down);
        feed.fault = false;
        feed.tick();
        let again = feed.published.snapshot();
        assert!(again.tables.at > before.tables.at && again.tables.dead.is_empty());
        assert_eq!(again.tables.nodes[0].standing, Standing::Down);
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
