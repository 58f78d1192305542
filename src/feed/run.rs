//! The feed's task: scrapes, ticks, reloads → snapshots.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::alarms::Alarms;
use super::cluster::{Cluster, cluster_turn};
use super::enrolment::Enrolment;
use super::health::Healths;
use super::inputs::Inputs;
use super::inventory::{self, Confirmation, Lists, News};
use super::notify::Notifier;
use super::orders::Orders;
use super::readiness::Readiness;
use super::reload::{Reload, Scope, Waiter, finished};
use super::scrape::{Scraper, Source};
use super::secondary::{self, Followed};
use super::secrets::Drawn;
use super::stamps::Stamps;
use super::state::Keeper;
use super::watch::{INPUTS, LISTS, Watch};
use crate::diagnostic::Diagnostic;
use crate::intake::{self, Board, Carrier, Counts, Event, Pulse, Shelf, Shown};
use crate::load::history::History;
use crate::name::Name;
use crate::snapshot::{InputStatus, Notary, Published};
use crate::steer::{Controller, Learned};
use crate::zone::Signed;

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
    /// Edits of inputs are taken by themselves, not only when a reload is asked for.
    pub is_watching: bool,
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
    /// What was wrong with all other inputs when they were last read.
    pub(super) faults: Vec<Diagnostic>,
    /// What was said of the inputs when any of them were last read.
    pub(super) told: BTreeSet<String>,
    /// A hash of the lists that were written down last.
    pub(super) kept_lists: u64,
    pub(super) published: Arc<Published>,
    pub(super) controller: Controller,
    /// It has made no tables yet.
    pub(super) is_anew: bool,
    /// What it had learned when that was looked at last: it begins with this again after a panic.
    pub(super) learned: Learned,
    pub(super) histories: HashMap<Source, History>,
    /// What probes found.
    pub(super) healths: Healths,
    pub(super) readiness: Readiness,
    /// What operators want for the time being.
    pub(super) orders: Orders,
    /// Nodes that tell by themselves that they are there.
    pub(super) enrolment: Enrolment,
    /// The other nameservers, if there are any.
    pub(super) cluster: Option<Cluster>,
    /// What encrypted listeners show.
    pub(super) shown: BTreeMap<Carrier, Arc<Shown>>,
    /// What was wrong at the last tick.
    pub(super) alarms: Alarms,
    /// The readings' clock counts from here.
    pub(super) epoch: Instant,
    pub(super) generation: u64,
    pub(super) status: InputStatus,
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
    /// What operators are told besides snapshots.
    pub(super) board: Arc<Board>,
    /// Tells other nameservers of new serials.
    pub(super) notifier: Notifier,
    /// Writes what survives a restart; none if nothing does.
    pub(super) keeper: Option<Keeper>,
    /// When what is learned was written last.
    pub(super) saved: Instant,
    /// Maintenance that was on at the last tick.
    pub(super) maintained: BTreeSet<String>,
    /// Signs what is steered.
    pub(super) notary: Notary,
    /// Zones whose signatures are due are not read again before.
    pub(super) sign_after: Instant,
    /// What was last kept of zones that are signed here.
    pub(super) kept_signatures: BTreeMap<Name, Arc<Signed>>,
    /// Zones that come from other servers.
    pub(super) followed: Followed,
    /// What comes of them.
    pub(super) transfers: Option<mpsc::Receiver<secondary::News>>,
    /// Makes ticks panic.
    #[cfg(test)]
    pub(super) fault: bool,
}

impl Feed {
    /// Where the snapshots are to be had.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// Beats when tables were made.
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// What operators are told besides snapshots.
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Becomes true when the first probes and scrapes have been tried, or have had their time.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.readiness.receiver()
    }

    /// What the feed and those who serve share of other nameservers, if there are any.
    pub fn cluster(&self) -> Option<Arc<intake::Cluster>> {
        self.cluster.as_ref().map(Cluster::shared)
    }

    /// What encrypted listeners show; reloads replace it.
    pub fn certificates(&self) -> &BTreeMap<Carrier, Arc<Shown>> {
        &self.shown
    }

    /// What the feed and those who serve share of heartbeats, by inventory.
    pub fn heartbeats(&self) -> Vec<Arc<intake::Heartbeats>> {
        self.enrolment.shared()
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
        self.scraper = Scraper::start(sender, probes, self.inputs.salt())
            .inspect_err(|error| {
                tracing::error!(%error, "no load is read and no node probed: the scraper's thread cannot be started");
            })
            .ok();
        let (probes, scrapes) = self.set_targets();
        let fetches = inventory::fetches(&self.inputs.config, &self.inputs.keyring);
        let is_missing = |url: &String| self.lists.sources().all(|source| source != url.as_str());
        self.readiness.lack(fetches.iter().map(|fetch| fetch.url.clone()).filter(is_missing));
        self.readiness.begin(Instant::now(), probes, scrapes);
        let (fetches, mut wanted) = watch::channel(fetches);
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
        if let Some(cluster) = &mut self.cluster {
            cluster.start();
        }
        // What changed while this server was away nobody has told them.
        self.notifier.tell(&self.inputs);
        let mut reload: Option<Reload> = None;
        let mut transfers = self.transfers.take();
        self.follow_zones(&mut reload);
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.save_learned(),
                _ = ticks.tick() => {
                    self.expire_orders();
                    self.tell_maintenance();
                    self.watch_peers();
                    self.watch_heartbeats(&mut reload);
                    self.watch_signatures(&mut reload);
                    self.watch_zones(&mut reload);
                    self.tick();
                    self.save_sometimes();
                    self.readiness.judge(Instant::now());
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
                    Event::Override { wish, answer } => self.answer_order(&wish, answer),
                    Event::Lift { which, answer } => self.answer_lift(&which, answer),
                    Event::Drain { wish, answer } => self.answer_drain(&wish, answer),
                    Event::Undrain { which, answer } => self.answer_undrain(&which, answer),
                    // Who asked may have gone away meanwhile.
                    Event::Notify(zone) => self.followed.poke(&zone),
                    Event::Sources(answer) => drop(answer.send(self.sources())),
                    Event::Peer { from, vouched, message, answer } => {
                        drop(answer.send(self.hear_peer(from, vouched.as_deref(), *message)));
                    }
                    Event::Beat(beat) => self.take_beat(*beat, &mut reload),
                    Event::Enrol { wish, answer } => self.enrol(&wish, answer, &mut reload),
                    Event::Spread { about, answer } => self.spread_orders(about, answer),
                },
                pushed = cluster_turn(&mut self.cluster) => self.take_turn(pushed),
                () = watch.edited(), if self.options.is_watching => self.begin_reload(&mut reload, Scope::All, None),
                () = lists.edited(), if self.options.is_watching => self.begin_reload(&mut reload, Scope::Lists, None),
                Some(news) = next_transfer(&mut transfers) => self.take_transfer(news, &mut reload),
                Some(fetched) = fetched.recv() => self.take_fetched(fetched, &mut reload),
                loaded = finished(&mut reload) => {
                    let Some(ended) = reload.take() else { continue };
                    let scope = ended.scope;
                    reload = self.end_reload(loaded, ended);
                    match scope {
                        Scope::All => self.follow_zones(&mut reload),
                        Scope::Lists | Scope::Transfers | Scope::Signing => self.serve_copies(&mut reload),
                    }
                    if matches!(scope, Scope::Transfers | Scope::Signing) {
                        continue;
                    }
                    if scope == Scope::All {
                        watch.set_inputs(self.watched.clone());
                        let wanted = inventory::fetches(&self.inputs.config, &self.inputs.keyring);
                        self.forget_urls(&wanted);
                        fetches.send_if_modified(|known| {
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

/// The next news of a zone that comes from another server.
async fn next_transfer(transfers: &mut Option<mpsc::Receiver<secondary::News>>) -> Option<secondary::News> {
    match transfers {
        Some(transfers) => transfers.recv().await,
        None => std::future::pending().await,
    }
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
