//! The start: inputs from disk, or the last good ones if those are broken; orders and what was learned, as they were kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::alarms::Alarms;
use super::cluster::Cluster;
use super::enrolment::Enrolment;
use super::health::Healths;
use super::inputs::{self, Inputs, Loaded};
use super::inventory::{Lists, News, fetch_all};
use super::notify::Notifier;
use super::orders::Orders;
use super::readiness::Readiness;
use super::run::{Feed, Options, StartError, log};
use super::secondary::{self, Copies, Followed, Kept, restore, unexpired};
use super::secrets::Drawn;
use super::state::{self, Keeper, NoStore, Store};
use super::{token, unix_seconds};
use crate::config::Essentials;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::intake::{Board, Grade, Pulse, Shown};
use crate::load::health::NodeHealth;
use crate::load::history::Reading;
use crate::snapshot::{InputStatus, Notary, Published, Snapshot};
use crate::steer::{self, Controller, NodeInput};

/// The words of the alarms of inputs.
pub(super) const BROKEN_INPUTS: &str = "broken_inputs";
pub(super) const KEPT_INPUTS: &str = "kept_inputs";
/// The word of the alarm of orders that were kept and cannot be read, and their file.
const ORDERS_LOST: &str = "orders_lost";
const ORDERS: &str = "orders";

impl Feed {
    /// Reads all inputs and publishes a first snapshot, in which no load is known yet. Nothing is kept, and nothing that was.
    pub fn new(options: Options) -> Result<Self, StartError> {
        let (loaded, news) = load(&options, None, Copies::default());
        Self::of(options, loaded, Arc::default(), None, (Lists::default(), news))
    }

    /// The same with what the state directory holds, which is this server's alone from now on.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let board = Arc::new(Board::new());
        let mut keeper = None;
        // What comes through a pipe can be read once: then it is read with the rest, and lists that were kept come too late.
        let is_file = options.file.is_file();
        if let Some(directory) = state_directory(&options, None).filter(|_| is_file) {
            keeper = open(&directory, options.is_strict, &board)?;
        }
        let mut lists = keeper.as_ref().map(|keeper| Lists::restored(keeper.store()));
        let kept = keeper.as_ref().map(|keeper| restore(keeper.store())).unwrap_or_default();
        let (mut loaded, news) = load(&options, lists.as_ref(), unexpired(&kept));
        if options.is_strict && loaded.lacks_something() {
            if let Some(kept) = lists.take() {
                loaded = or_without_lists(loaded, &options, &kept, &news);
            }
            if loaded.lacks_something() {
                return Err(StartError { diagnostics: loaded.diagnostics });
            }
        }
        if let Some(directory) = state_directory(&options, loaded.inputs.as_ref()).filter(|_| !is_file) {
            keeper = open(&directory, options.is_strict, &board)?;
        }
        let mut feed = Self::of(options, loaded, board, keeper, (lists.unwrap_or_default(), news))?;
        (feed.followed, feed.transfers) = follow(kept);
        Ok(feed)
    }

    fn of(
        options: Options,
        loaded: Loaded,
        board: Arc<Board>,
        keeper: Option<Keeper>,
        (kept, news): (Lists, News),
    ) -> Result<Self, StartError> {
        let store = keeper.as_ref().map(Keeper::store);
        let is_broken = loaded.inputs.is_none() || has_errors(loaded.faults());
        let (loaded, is_kept) = match store.filter(|_| is_broken) {
            Some(store) => or_kept(loaded, &options, store, (&kept, &news)),
            None => (loaded, false),
        };
        let (loaded, kept) = match &loaded.inputs {
            Some(_) => (loaded, kept),
            None => (or_without_lists(loaded, &options, &kept, &news), Lists::default()),
        };
        let is_refused = options.is_strict && loaded.lacks_something();
        let Loaded { inputs, diagnostics, of_lists, is_lists_only: _, watched, listed, lists, files } = loaded;
        let Some(inputs) = inputs.filter(|_| !is_refused) else { return Err(StartError { diagnostics }) };
        log(&diagnostics);
        let inputs = match store {
            Some(store) => state::with_histories(inputs, store),
            None => inputs,
        };
        let mut controller = Controller::default();
        let mut orders = Orders::default();
        if let Some(store) = store {
            state::inherit(&mut controller, store, unix_seconds());
            orders = Orders::restored(store, &board);
            if let Some(because) = store.loss(ORDERS) {
                let file = store.directory().join(ORDERS);
                let told = format!(
                    "the drains and overrides that stood before the start are lost, all or in part: {}: {because}; look at \
                     `thalweg overrides`, and give again what should hold; this stands until the next start",
                    file.display()
                );
                tracing::error!(alarm = ORDERS_LOST, "{told}");
                board.raise(ORDERS_LOST, "", &told);
            }
        }
        let mut cluster = cluster_of(&options, &inputs)?;
        if let Some(cluster) = &mut cluster {
            cluster.recall(orders.recall());
            cluster.shared().set_tokens(inputs.tokens.clone());
            orders.set_code(cluster.code());
        }
        let policies = orders.policies();
        let inputs = if policies.is_empty() { inputs } else { inputs.steered_by(&policies) };
        let overrides = orders.overrides(inputs.geo.regions().iter().map(|region| region.name.as_str()));
        let drains = super::maintenance::drains(&inputs, unix_seconds());
        let tables = controller.tick(&steer::Inputs {
            now: 0.0,
            fleet: &inputs.fleet,
            regions: inputs.geo.regions(),
            nodes: &unread(&inputs),
            overrides: &overrides.with_drains(drains),
            seed: inputs.seed,
        });
        let status = InputStatus { reloads: 0, failures: 0, has_errors: has_errors(&diagnostics), is_kept };
        let now = Instant::now();
        let mut secrets = Drawn::new(now).map_err(|error| {
            StartError::of(Diagnostic::error(format!("the system has no randomness for DNS cookies: {error}")))
        })?;
        board.set_standings(tables.nodes.iter().map(|node| node.standing));
        board.note("start", Grade::Note, &format!("thalweg {} was started", env!("CARGO_PKG_VERSION")));
        let shared = token::cookies(&inputs.tokens, unix_seconds());
        let first = inputs.snapshot(1, tables, inputs.seed, shared.unwrap_or_else(|| secrets.secrets(now)), status);
        let first = Snapshot { inventories: lists.as_ref().unwrap_or(&kept).status().into(), ..first };
        let enrolment = Enrolment::new(&inputs, store);
        let (followed, transfers) = follow(Kept::default());
        let certificates = inputs.certificates.iter();
        let shown = certificates.map(|(carrier, shown)| (*carrier, Arc::new(Shown::new(shown.clone())))).collect();
        let mut feed = Self {
            followed,
            transfers,
            options,
            watched,
            listed,
            lists: Arc::new(kept),
            news,
            faults: diagnostics[..diagnostics.len() - of_lists].to_vec(),
            told: diagnostics.iter().map(ToString::to_string).collect(),
            kept_lists: 0,
            published: Arc::new(Published::new(first)),
            learned: controller.learned(&inputs.fleet, inputs.geo.regions()),
            controller,
            is_anew: false,
            inputs: Arc::new(inputs),
            histories: HashMap::new(),
            healths: Healths::default(),
            readiness: Readiness::new(),
            orders,
            enrolment,
            cluster,
            shown,
            alarms: Alarms::default(),
            epoch: now,
            generation: 1,
            status,
            secrets,
            scraper: None,
            shelves: Vec::new(),
            answers: Arc::default(),
            ticked: 1,
            pulse: Arc::new(Pulse::new(now)),
            is_stuck: false,
            notifier: Notifier::new(Arc::clone(board.transfers())),
            board,
            keeper,
            saved: now,
            maintained: BTreeSet::new(),
            notary: Notary::default(),
            sign_after: Instant::now(),
            kept_signatures: BTreeMap::new(),
            #[cfg(test)]
            fault: false,
        };
        feed.orders.report_idle(&feed.inputs);
        feed.keep_inputs(files);
        feed.keep_signatures();
        feed.keep_histories(None);
        if let Some(lists) = lists {
            feed.take_lists(lists);
        }
        feed.tell_inputs(&diagnostics);
        Ok(feed)
    }
}

fn follow(kept: Kept) -> (Followed, Option<mpsc::Receiver<secondary::News>>) {
    let (followed, news) = Followed::new(kept);
    (followed, Some(news))
}

/// The other nameservers, if the configuration has any.
fn cluster_of(options: &Options, inputs: &Inputs) -> Result<Option<Cluster>, StartError> {
    let Some(config) = &inputs.config.cluster else { return Ok(None) };
    let directory = options.file.parent().unwrap_or(Path::new(""));
    let name = inputs.config.server.identity.as_ref().map(|written| written.value.as_str());
    Cluster::new(config, name, directory).map(Some).map_err(StartError::of)
}

/// Inputs in which what is broken on disk is as it was when it was sound last; and whether anything is.
fn or_kept(loaded: Loaded, options: &Options, store: &Store, (lists, news): (&Lists, &News)) -> (Loaded, bool) {
    let Some(found) = state::find(store) else { return (loaded, false) };
    let served = |loaded: Loaded| loaded.inputs.is_some().then_some(loaded);
    // Lists may be of a later configuration than the one that was kept.
    let kept = served(inputs::load_kept(&found, lists, &news.copies))
        .unwrap_or_else(|| inputs::load_kept(&found, &Lists::default(), &news.copies));
    let is_sound = !has_errors(kept.faults());
    let Loaded { inputs, lists: kept_lists, .. } = kept;
    let Some(inputs) = inputs.filter(|_| is_sound) else {
        tracing::error!("the inputs that were kept in {} cannot be served either", store.directory().display());
        return (loaded, false);
    };
    // As if they had been served until now: a broken zone stays as it was, and anything else that is broken stops it all.
    let again = inputs::load_all(&options.file, &options.environment, Some(&inputs), Some(lists), news);
    if again.inputs.is_some() && !has_errors(again.faults()) {
        return (again, false);
    }
    tracing::error!("the inputs have errors; what was sound last is served, from {}", store.directory().display());
    match again.inputs {
        Some(_) => (again, true),
        None => (Loaded { inputs: Some(inputs), lists: kept_lists, ..again }, true),
    }
}

/// The same inputs without the lists that were kept, if it is these that they cannot be served with: what was kept must not
/// keep the server from starting.
fn or_without_lists(loaded: Loaded, options: &Options, kept: &Lists, news: &News) -> Loaded {
    if kept.is_empty() || has_errors(loaded.faults()) {
        return loaded;
    }
    let bare = inputs::load_all(&options.file, &options.environment, None, None, news);
    if bare.inputs.is_none() {
        return loaded;
    }
    tracing::error!("the inputs cannot be served with the lists that were kept: these are left out");
    bare
}

/// Reads all inputs, with lists of nodes as URLs have them now. Of a configuration that comes through a pipe nobody knows
/// which these are before it is read; they are asked later.
fn load(options: &Options, lists: Option<&Lists>, copies: Copies) -> (Loaded, News) {
    let Options { file, environment, is_watching: _, is_strict: _ } = options;
    let urls = if file.is_file() { inputs::urls(file, environment) } else { Vec::new() };
    let news = News { fetched: fetch_all(&urls), copies, ..News::default() };
    (inputs::load_all(file, environment, None, lists, &news), news)
}

/// The state directory: of the configuration, also if anything else in that is wrong.
fn state_directory(options: &Options, inputs: Option<&Inputs>) -> Option<PathBuf> {
    let written = match inputs {
        Some(inputs) => inputs.config.server.state.as_ref().map(|written| written.value.clone()),
        None => {
            // What came through a pipe is gone.
            let is_file = options.file.is_file();
            let octets = is_file.then(|| std::fs::read(&options.file).ok()).flatten().unwrap_or_default();
            Essentials::of(&String::from_utf8_lossy(&octets), &options.environment).state
        }
    };
    Some(options.file.parent().unwrap_or(Path::new("")).join(written?))
}

/// Without a directory that can be used all goes on, for answers matter more.
fn open(directory: &Path, is_strict: bool, board: &Arc<Board>) -> Result<Option<Keeper>, StartError> {
    let shown = directory.display();
    let opened =
        Store::open(directory).and_then(|store| Keeper::start(store, Arc::clone(board)).map_err(NoStore::Unusable));
    let refused = match opened {
        Ok(keeper) => return Ok(Some(keeper)),
        Err(refused) => refused,
    };
    let error = Diagnostic::error(format!("the state directory {shown} (`server.state`): {refused}"));
    match refused {
        NoStore::Taken => {
            Err(StartError::of(error.help("end that one first, or give this server a directory of its own")))
        }
        NoStore::Unusable(_) if is_strict => {
            Err(StartError::of(error.help("make it a directory that this user may write to, mode 0700")))
        }
        NoStore::Unusable(because) => {
            let told = format!("{shown} cannot be used ({because}); all goes on, but a restart forgets everything");
            tracing::error!(alarm = "state", "{told}");
            board.raise("state", "", &told);
            Ok(None)
        }
    }
}

fn unread(inputs: &Inputs) -> Vec<NodeInput> {
    let unknown = NodeInput { reading: Reading::Never { because: None }, health: NodeHealth::default() };
    vec![unknown; inputs.fleet.nodes.len()]
}
