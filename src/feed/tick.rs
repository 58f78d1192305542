//! Ticks: what is known now → tables → a snapshot, once a second; and what goes on when no tables can be made.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::alarms::{Names, News};
use super::probe::Probed;
use super::run::Feed;
use super::scrape::Scraped;
use crate::load::health::{Health, State};
use crate::load::history::Reading;
use crate::load::merge;
use crate::pool::NodeId;
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
        self.published.publish(self.inputs.snapshot(self.generation, tables, self.seed, drawn, self.status));
    }

    /// What all of a node's exporters know of it.
    fn reading(&self, node: NodeId, now: f64) -> Reading {
        let mut exporters: Vec<_> = self.inputs.fleet.node(node).node.exporters.iter().collect();
        exporters.sort_by_key(|exporter| exporter.kind);
        let known = exporters.iter().filter_map(|exporter| self.histories.get(&(node, exporter.url.clone())));
        merge(known.map(|history| history.load(now)).collect())
    }

    pub(super) fn take(&mut self, scraped: Scraped) {
        let Scraped { node, url, at, result } = scraped;
        let name = &self.inputs.fleet.node(node).node.name;
        let Some(history) = self.histories.get_mut(&(node, url.clone())) else { return };
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
}
