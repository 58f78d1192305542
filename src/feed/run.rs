//! The feed's task: scrapes, ticks, reloads → snapshots.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::changes::{describe, needs_restart};
use super::inputs::{self, Inputs, Loaded};
use super::probe::{Probe, Probed};
use super::scrape::{Scraped, Scraper, Target};
use super::secrets::Drawn;
use super::stamps::Stamps;
use super::watch::Watch;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::intake::{Counts, Event, Shelf};
use crate::load::health::{Health, State};
use crate::load::history::{History, Reading};
use crate::load::merge;
use crate::pool::NodeId;
use crate::snapshot::{InputStatus, Published};
use crate::steer::{self, Controller, NodeInput, Overrides, mix};

/// Time between ticks of the steering.
const TICK: Duration = Duration::from_secs(1);
/// Outcomes of scrapes, and of probes, that may wait; the scraper leaves out what does not fit.
const MAX_SCRAPED: usize = 4096;

/// What the feed is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration file.
    pub file: PathBuf,
    /// The environment that is laid over it.
    pub environment: Vec<(String, String)>,
    /// Any error in any input is a reason not to start.
    pub is_strict: bool,
}

/// The inputs cannot be served.
#[derive(Debug)]
pub struct StartError {
    /// All that is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

impl StartError {
    /// A single reason.
    pub fn of(diagnostic: Diagnostic) -> Self {
        Self { diagnostics: vec![diagnostic] }
    }
}

/// Owns the inputs, and publishes.
pub struct Feed {
    options: Options,
    inputs: Arc<Inputs>,
    /// What was read, as it was.
    watched: Stamps,
    published: Arc<Published>,
    controller: Controller,
    histories: HashMap<(NodeId, String), History>,
    /// Of the nodes that are probed.
    health: HashMap<NodeId, Health>,
    /// Nodes whose load was stale at the last tick.
    stale: HashSet<NodeId>,
    /// The readings' clock counts from here.
    epoch: Instant,
    generation: u64,
    status: InputStatus,
    seed: u64,
    secrets: Drawn,
    scraper: Option<Scraper>,
    /// What workers have booked.
    shelves: Vec<Shelf>,
    /// Answers by node and region.
    answers: Arc<Counts>,
    /// The generation of the last tick.
    ticked: u64,
}

/// Those who want to hear what came of a reload.
type Waiting = Vec<oneshot::Sender<Result<String, String>>>;

/// A reload that runs beside the ticks, and who waits for what comes of it.
struct Reload {
    loading: tokio::task::JoinHandle<Loaded>,
    waiting: Waiting,
    /// Whoever has asked since it began: it may have read what was there before.
    later: Option<Waiting>,
}

impl Feed {
    /// Reads all inputs and publishes a first snapshot, in which no load is known yet.
    pub fn new(options: Options) -> Result<Self, StartError> {
        let Loaded { inputs, diagnostics, watched } = inputs::load(&options.file, &options.environment, None);
        let is_refused = options.is_strict && has_errors(&diagnostics);
        let Some(inputs) = inputs.filter(|_| !is_refused) else { return Err(StartError { diagnostics }) };
        log(&diagnostics);
        let mut controller = Controller::default();
        let seed = mix(0);
        let tables = controller.tick(&steer::Inputs {
            now: 0.0,
            fleet: &inputs.fleet,
            regions: inputs.geo.regions(),
            nodes: &unread(&inputs),
            overrides: &Overrides::default(),
            seed,
        });
        let status = InputStatus { reloads: 0, failures: 0, has_errors: has_errors(&diagnostics) };
        let now = Instant::now();
        let mut secrets = Drawn::new(now).map_err(|error| {
            StartError::of(Diagnostic::error(format!("the system has no randomness for DNS cookies: {error}")))
        })?;
        let first = inputs.snapshot(1, tables, seed, secrets.secrets(now), status);
        Ok(Self {
            options,
            inputs: Arc::new(inputs),
            watched,
            published: Arc::new(Published::new(first)),
            controller,
            histories: HashMap::new(),
            health: HashMap::new(),
            stale: HashSet::new(),
            epoch: now,
            generation: 1,
            status,
            seed,
            secrets,
            scraper: None,
            shelves: Vec::new(),
            answers: Arc::default(),
            ticked: 1,
        })
    }

    /// Where the snapshots are to be had.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// The inputs that were read at the start.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Scrapes, ticks and reloads until it is stopped.
    pub async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        shelves: Vec<Shelf>,
        answers: Arc<Counts>,
        stop: CancellationToken,
    ) {
        (self.shelves, self.answers) = (shelves, answers);
        let (sender, mut scraped) = mpsc::channel(MAX_SCRAPED);
        let (probes, mut probed) = mpsc::channel(MAX_SCRAPED);
        self.scraper = Scraper::start(sender, probes)
            .inspect_err(|error| {
                tracing::error!(%error, "no load is read and no node probed: the scraper's thread cannot be started");
            })
            .ok();
        self.set_targets();
        let mut watch = Watch::new();
        watch.set_inputs(self.watched.clone());
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut reload: Option<Reload> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.tick(),
                Some(scraped) = scraped.recv() => self.take(scraped),
                Some(probed) = probed.recv() => self.take_probe(probed),
                Some(Event::Reload(waiting)) = events.recv() => self.begin_reload(&mut reload, Some(waiting)),
                () = watch.edited() => self.begin_reload(&mut reload, None),
                loaded = finished(&mut reload) => {
                    let outcome = self.finish_reload(loaded);
                    watch.set_inputs(self.watched.clone());
                    let Some(ended) = reload.take() else { continue };
                    for waiting in ended.waiting {
                        // Who asked may have gone away meanwhile.
                        let _gone = waiting.send(outcome.clone());
                    }
                    reload = ended.later.map(|waiting| self.start_reload(waiting));
                }
            }
        }
    }

    /// Makes new tables of what is known now, and publishes them.
    fn tick(&mut self) {
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
        let readings: Vec<Reading> =
            (0..self.inputs.fleet.nodes.len()).map(|index| self.reading(NodeId(index as u16), now)).collect();
        self.report_stale(&readings);
        let with_health = |(index, reading)| NodeInput { reading, health: self.health(NodeId(index as u16)) };
        let nodes: Vec<NodeInput> = readings.into_iter().enumerate().map(with_health).collect();
        let tables = self.controller.tick(&steer::Inputs {
            now,
            fleet: &self.inputs.fleet,
            regions: self.inputs.geo.regions(),
            nodes: &nodes,
            overrides: &Overrides::default(),
            seed: self.seed,
        });
        self.ticked = self.generation;
        let drawn = self.secrets.secrets(Instant::now());
        self.published.publish(self.inputs.snapshot(self.generation, tables, self.seed, drawn, self.status));
    }

    /// Logs which nodes' load went stale since the last tick, and whose is fresh again.
    fn report_stale(&mut self, readings: &[Reading]) {
        for (index, reading) in readings.iter().enumerate() {
            let id = NodeId(index as u16);
            let node = &self.inputs.fleet.node(id).node.name;
            match reading {
                Reading::Stale { age, because, .. } if self.stale.insert(id) => {
                    let because = because.as_ref().map_or_else(|| "no answer".to_owned(), ToString::to_string);
                    tracing::warn!(
                        node,
                        age,
                        because,
                        "its load is stale; it goes on with a smaller part by what was last known"
                    );
                }
                Reading::Fresh(_) if self.stale.remove(&id) => tracing::info!(node, "its load is fresh again"),
                Reading::Fresh(_) | Reading::Stale { .. } | Reading::Never { .. } => {}
            }
        }
    }

    /// What all of a node's exporters know of it.
    fn reading(&self, node: NodeId, now: f64) -> Reading {
        let mut exporters: Vec<_> = self.inputs.fleet.node(node).node.exporters.iter().collect();
        exporters.sort_by_key(|exporter| exporter.kind);
        let known = exporters.iter().filter_map(|exporter| self.histories.get(&(node, exporter.url.clone())));
        merge(known.map(|history| history.load(now)).collect())
    }

    fn take(&mut self, scraped: Scraped) {
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

    fn take_probe(&mut self, probed: Probed) {
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

    fn begin_reload(&self, reload: &mut Option<Reload>, waiting: Option<oneshot::Sender<Result<String, String>>>) {
        match reload {
            Some(running) => running.later.get_or_insert_default().extend(waiting),
            None => *reload = Some(self.start_reload(waiting.into_iter().collect())),
        }
    }

    fn start_reload(&self, waiting: Waiting) -> Reload {
        let (options, previous) = (self.options.clone(), Arc::clone(&self.inputs));
        // Large zones take a while; ticks go on meanwhile.
        let loading =
            tokio::task::spawn_blocking(move || inputs::load(&options.file, &options.environment, Some(&previous)));
        Reload { loading, waiting, later: None }
    }

    /// Takes new inputs if they can be served, and says what changed, or why nothing did.
    fn finish_reload(&mut self, loaded: Option<Loaded>) -> Result<String, String> {
        let Some(Loaded { inputs, diagnostics, watched }) = loaded else {
            return Err("reading the inputs ended in a panic; nothing has changed".to_owned());
        };
        self.watched = watched;
        let has_errors = has_errors(&diagnostics);
        let had_errors = std::mem::replace(&mut self.status.has_errors, has_errors);
        let Some(inputs) = inputs else {
            log(&diagnostics);
            self.status.failures += 1;
            tracing::error!(generation = self.generation, "the inputs are broken; all goes on as before");
            return Err(refusal(&diagnostics));
        };
        if inputs.fingerprint == self.inputs.fingerprint {
            if has_errors {
                return Err(format!(
                    "generation {}: nothing has changed; but {}",
                    self.generation,
                    refusal(&diagnostics)
                ));
            }
            if had_errors {
                tracing::info!(generation = self.generation, "the inputs are sound again, and as they are served");
            }
            return Ok(format!("generation {}: nothing has changed", self.generation));
        }
        log(&diagnostics);
        let mut changes = describe(&self.inputs, &inputs);
        if needs_restart(&self.inputs, &inputs) {
            tracing::warn!("listeners, certificates, workers or limits of TCP have changed: that takes a restart");
            changes.push_str("; listeners, certificates, workers and limits of TCP change at a restart");
        }
        let old = self.generation;
        self.generation += 1;
        self.inputs = Arc::new(inputs);
        self.status.reloads += 1;
        self.set_targets();
        self.tick();
        let outcome = format!("generation {old} → {}: {changes}", self.generation);
        if has_errors {
            self.status.failures += 1;
            tracing::error!("{outcome}; what is broken stays as it was");
            return Err(format!("{outcome}; but {}", refusal(&diagnostics)));
        }
        tracing::info!("{outcome}");
        Ok(outcome)
    }

    /// Scrapes and probes the nodes of the configuration; keeps what is known of those that stay.
    fn set_targets(&mut self) {
        let (mut targets, mut probes) = (Vec::new(), Vec::new());
        let (mut histories, mut health) = (HashMap::new(), HashMap::new());
        for (index, known) in self.inputs.fleet.nodes.iter().enumerate().filter(|(_, known)| known.is_configured) {
            let (id, node) = (NodeId(index as u16), &known.node);
            if let Some(probe) = Probe::of(id, node) {
                health.insert(id, self.health.remove(&id).unwrap_or_default());
                probes.push(probe);
            }
            for exporter in &node.exporters {
                let key = (id, exporter.url.clone());
                let mut history = self
                    .histories
                    .remove(&key)
                    .unwrap_or_else(|| History::new(node.capacity, node.limits, node.interval));
                history.reconfigure(node.capacity, node.limits, node.interval);
                histories.insert(key, history);
                targets.push(Target { node: id, exporter: exporter.clone(), interval: node.interval });
            }
        }
        self.histories = histories;
        self.health = health;
        if let Some(scraper) = &self.scraper {
            scraper.set_targets(targets);
            scraper.set_probes(probes);
        }
    }
}

/// What came of the reload that runs, if one does; none if its thread panicked.
async fn finished(reload: &mut Option<Reload>) -> Option<Loaded> {
    match reload {
        Some(reload) => (&mut reload.loading).await.ok(),
        None => std::future::pending().await,
    }
}

fn unread(inputs: &Inputs) -> Vec<NodeInput> {
    let unknown = NodeInput { reading: Reading::Never { because: None }, health: State::Unknown };
    vec![unknown; inputs.fleet.nodes.len()]
}

fn log(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        if diagnostic.is_error() {
            tracing::error!("{diagnostic}");
        } else {
            tracing::warn!("{diagnostic}");
        }
    }
}

fn refusal(diagnostics: &[Diagnostic]) -> String {
    let errors: Vec<String> = diagnostics.iter().filter(|each| each.is_error()).map(ToString::to_string).collect();
    errors.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

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
