//! The feed's task: scrapes, ticks, reloads → snapshots.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::alarms::Alarms;
use super::inputs::{self, Inputs, Loaded};
use super::inventory::{self, Confirmation, Lists, News, fetch_all, fetches};
use super::orders::Orders;
use super::reload::{Reload, Scope, Waiter, finished};
use super::scrape::{Scraper, Source};
use super::secrets::Drawn;
use super::stamps::Stamps;
use super::watch::{INPUTS, LISTS, Watch};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::intake::{Counts, Event, Pulse, Shelf};
use crate::load::health::{Health, State};
use crate::load::history::{History, Reading};
use crate::pool::NodeId;
use crate::snapshot::{InputStatus, Published, Snapshot};
use crate::steer::{self, Controller, NodeInput, Overrides, mix};

/// Time between ticks of the steering.
const TICK: Duration = Duration::from_secs(1);
/// Outcomes of scrapes, and of probes, that may wait; the scraper leaves out what does not fit.
const MAX_SCRAPED: usize = 4096;
/// Outcomes of looks at URLs that may wait; who has another waits with it.
const MAX_FETCHED: usize = 16;

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
    pub(super) options: Options,
    pub(super) inputs: Arc<Inputs>,
    /// What was read, as it was.
    pub(super) watched: Stamps,
    /// Lists of nodes among it.
    pub(super) listed: Stamps,
    /// Lists of nodes as they were last taken.
    pub(super) lists: Arc<Lists>,
    /// What they are read with, beside files.
    pub(super) news: News,
    /// What was said of the inputs when they were last read.
    pub(super) told: BTreeSet<String>,
    pub(super) published: Arc<Published>,
    pub(super) controller: Controller,
    pub(super) histories: HashMap<Source, History>,
    /// Of the nodes that are probed.
    pub(super) health: HashMap<NodeId, Health>,
    /// What operators want for the time being.
    pub(super) orders: Orders,
    /// What was wrong at the last tick.
    pub(super) alarms: Alarms,
    /// The readings' clock counts from here.
    pub(super) epoch: Instant,
    pub(super) generation: u64,
    pub(super) status: InputStatus,
    pub(super) seed: u64,
    pub(super) secrets: Drawn,
    pub(super) scraper: Option<Scraper>,
    /// What workers have booked.
    pub(super) shelves: Vec<Shelf>,
    /// Answers by node and region.
    pub(super) answers: Arc<Counts>,
    /// The generation of the last tick.
    pub(super) ticked: u64,
    /// Beats when tables were made.
    pub(super) pulse: Arc<Pulse>,
    /// The last tick ended in a panic.
    pub(super) is_stuck: bool,
    /// Makes ticks panic.
    #[cfg(test)]
    pub(super) fault: bool,
}

impl Feed {
    /// Reads all inputs and publishes a first snapshot, in which no load is known yet.
    pub fn new(options: Options) -> Result<Self, StartError> {
        let fetched = fetch_all(&inputs::urls(&options.file, &options.environment));
        let news = News { fetched, is_serving: true, ..News::default() };
        let Loaded { inputs, diagnostics, watched, listed, lists } =
            inputs::load_all(&options.file, &options.environment, None, None, &news);
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
        let lists = Arc::new(lists.unwrap_or_default());
        let first = inputs.snapshot(1, tables, seed, secrets.secrets(now), status);
        let first = Snapshot { inventories: lists.status(), ..first };
        Ok(Self {
            options,
            inputs: Arc::new(inputs),
            watched,
            listed,
            lists,
            news,
            told: diagnostics.iter().map(ToString::to_string).collect(),
            published: Arc::new(Published::new(first)),
            controller,
            histories: HashMap::new(),
            health: HashMap::new(),
            orders: Orders::default(),
            alarms: Alarms::default(),
            epoch: now,
            generation: 1,
            status,
            seed,
            secrets,
            scraper: None,
            shelves: Vec::new(),
            answers: Arc::default(),
            ticked: 1,
            pulse: Arc::new(Pulse::new(now)),
            is_stuck: false,
            #[cfg(test)]
            fault: false,
        })
    }

    /// Where the snapshots are to be had.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// Beats when tables were made.
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
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
        let (fetches, mut wanted) = watch::channel(fetches(&self.inputs.config));
        // Else what it holds from the beginning would be no news.
        wanted.mark_changed();
        let (sender, mut fetched) = mpsc::channel(MAX_FETCHED);
        let mut fetcher = JoinSet::new();
        fetcher.spawn(inventory::run(wanted, sender));
        let mut watch = Watch::new(&INPUTS);
        let mut lists = Watch::new(&LISTS);
        watch.set_inputs(self.watched.clone());
        lists.set_inputs(self.listed.clone());
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut reload: Option<Reload> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {
                    self.expire_orders();
                    self.tick();
                }
                Some(scraped) = scraped.recv() => self.take(scraped),
                Some(probed) = probed.recv() => self.take_probe(probed),
                Some(event) = events.recv() => match event {
                    Event::Reload(answer) => {
                        self.begin_reload(&mut reload, Scope::All, Some(Waiter { answer, confirms: None }));
                    }
                    Event::Confirm { inventory, answer } => {
                        self.confirm(Confirmation { inventory, answer }, &mut reload);
                    }
                    // Who asked may have gone away meanwhile.
                    Event::Override { wish, answer } => drop(answer.send(self.order(&wish))),
                    Event::Lift { which, answer } => drop(answer.send(self.lift(&which))),
                },
                () = watch.edited() => self.begin_reload(&mut reload, Scope::All, None),
                () = lists.edited() => self.begin_reload(&mut reload, Scope::Lists, None),
                Some(fetched) = fetched.recv() => self.take_fetched(fetched, &mut reload),
                loaded = finished(&mut reload) => {
                    let Some(ended) = reload.take() else { continue };
                    let scope = ended.scope;
                    reload = self.end_reload(loaded, ended);
                    if scope == Scope::All {
                        watch.set_inputs(self.watched.clone());
                        fetches.send_if_modified(|known| {
                            let wanted = inventory::fetches(&self.inputs.config);
                            let is_new = *known != wanted;
                            *known = wanted;
                            is_new
                        });
                    }
                    lists.set_inputs(self.listed.clone());
                }
            }
        }
    }
}

fn unread(inputs: &Inputs) -> Vec<NodeInput> {
    let unknown = NodeInput { reading: Reading::Never { because: None }, health: State::Unknown };
    vec![unknown; inputs.fleet.nodes.len()]
}

pub(super) fn log(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        if diagnostic.is_error() {
            tracing::error!("{diagnostic}");
        } else {
            tracing::warn!("{diagnostic}");
        }
    }
}
