//! Reloads: new inputs beside the ticks, taken whole or not at all.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::changes::{describe, needs_restart};
use super::inputs::{self, Inputs, Loaded};
use super::priority::give_way;
use super::probe::Probe;
use super::prometheus::{self, Wanted};
use super::run::{Feed, Options, log};
use super::scrape::{Source, Target, source};
use super::start::{BROKEN_INPUTS, KEPT_INPUTS};
use super::state::Files;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::intake::{Answer, Grade};
use crate::load::history::History;
use crate::pool::{HEARTBEAT, NodeId, Whence};

/// From heartbeat to heartbeat: media servers send them every 9.3 s if they are not told otherwise.
const BEAT: Duration = Duration::from_secs(10);

/// The priority of threads that load: on a core that is full answers keep nine tenths of it.
const NICE: i32 = 10;

/// What is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Nothing: zones are signed again. Like the next one it is begun where nothing else is read, and never asked for later.
    Signing,
    /// Zones that came from other servers.
    Transfers,
    /// Lists of nodes.
    Lists,
    /// All inputs.
    All,
}

/// Somebody who wants to hear what came of a reload.
pub(super) struct Waiter {
    pub(super) answer: Answer,
    /// The inventory whose list was to be taken.
    pub(super) confirms: Option<String>,
}

/// A reload that runs beside the ticks, and who waits for what comes of it.
pub(super) struct Reload {
    pub(super) loading: oneshot::Receiver<Loaded>,
    pub(super) scope: Scope,
    pub(super) waiting: Vec<Waiter>,
    /// What was asked for since it began, and by whom: it may have read what was there before.
    pub(super) later: Option<(Scope, Vec<Waiter>)>,
}

impl Feed {
    pub(super) fn begin_reload(&self, reload: &mut Option<Reload>, scope: Scope, waiter: Option<Waiter>) {
        match reload {
            Some(running) => {
                let (later, waiting) = running.later.get_or_insert((scope, Vec::new()));
                *later = scope.max(*later);
                waiting.extend(waiter);
            }
            None => *reload = Some(self.start_reload(scope, waiter.into_iter().collect())),
        }
    }

    pub(super) fn start_reload(&self, scope: Scope, waiting: Vec<Waiter>) -> Reload {
        let (options, previous) = (self.options.clone(), Arc::clone(&self.inputs));
        let (lists, news) = (Arc::clone(&self.lists), self.news.clone());
        // Large zones take a while; ticks go on meanwhile.
        let load = move || {
            let Options { file, environment, is_watching: _, is_strict: _ } = &options;
            match scope {
                Scope::All => inputs::load_all(file, environment, Some(&previous), Some(&lists), &news),
                Scope::Signing => inputs::load_signed(file, &previous, &news.copies),
                Scope::Transfers => inputs::load_transfers(file, &previous, &news.copies),
                Scope::Lists => inputs::load_lists(file, environment, &previous, &lists, &news),
            }
        };
        Reload { loading: beside_ticks(load), scope, waiting, later: None }
    }

    /// Ends a reload: takes what it read, tells whoever waits, and begins the next if one was asked for meanwhile.
    pub(super) fn end_reload(&mut self, loaded: Option<Loaded>, ended: Reload) -> Option<Reload> {
        let Reload { scope, waiting, later, .. } = ended;
        let outcome = match scope {
            // Nobody waits for these.
            Scope::Signing | Scope::Transfers => {
                if scope == Scope::Signing {
                    self.finish_signing(loaded);
                } else {
                    self.finish_transfers(loaded);
                }
                return later.map(|(scope, waiting)| self.start_reload(scope, waiting));
            }
            Scope::Lists | Scope::All => self.finish_reload(loaded, scope),
        };
        for Waiter { answer, confirms } in waiting {
            let still = confirms.and_then(|inventory| {
                self.news.confirmed.remove(&inventory);
                self.lists.waits(&inventory)
            });
            let told = match (&outcome, still) {
                (Err(because), Some(still)) => Err(format!("{still}\n{because}")),
                (Ok(_), Some(still)) => Err(still),
                (outcome, None) => outcome.clone(),
            };
            // Who asked may have gone away meanwhile.
            let _gone = answer.send(told);
        }
        later.map(|(scope, waiting)| self.start_reload(scope, waiting))
    }

    /// Takes new inputs if they can be served, and says what changed, or why nothing did.
    pub(super) fn finish_reload(&mut self, loaded: Option<Loaded>, scope: Scope) -> Result<String, String> {
        let Some(Loaded { inputs, diagnostics, of_lists, is_lists_only, watched, listed, lists, files }) = loaded
        else {
            return Err("reading the inputs ended in a panic; nothing has changed".to_owned());
        };
        self.listed = listed;
        // What was wrong with the rest is so still.
        let diagnostics = if is_lists_only {
            [self.faults.clone(), diagnostics].concat()
        } else {
            self.watched = watched;
            self.faults = diagnostics[..diagnostics.len() - of_lists].to_vec();
            diagnostics
        };
        let said = self.tell(&diagnostics, scope);
        let is_broken = has_errors(&diagnostics);
        let had_errors = std::mem::replace(&mut self.status.has_errors, is_broken);
        // What was kept is served no more, whatever is wrong with lists.
        self.status.is_kept &= inputs.is_none() || is_lists_only || has_errors(&self.faults);
        self.tell_inputs(&diagnostics);
        let Some(inputs) = inputs else {
            // Lists that are not served must not be what others are compared with, nor what the next start begins with.
            if let Some(lists) = lists {
                self.take_findings(&lists);
            }
            self.status.failures += 1;
            if said {
                self.board.note("reload", Grade::Warning, "refused: the inputs have errors; all goes on as before");
                tracing::error!(generation = self.generation, "the inputs are broken; all goes on as before");
            }
            return Err(refusal(&diagnostics));
        };
        if inputs.fingerprint == self.inputs.fingerprint {
            if let Some(lists) = lists {
                self.take_lists(lists);
            }
            if is_broken {
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
        let mut changes = describe(&self.inputs, &inputs);
        if needs_restart(&self.inputs, &inputs) {
            tracing::warn!(
                "listeners, workers, limits of connections or the state directory have changed: that takes a restart"
            );
            changes.push_str("; listeners, workers, limits of connections and the state directory change at a restart");
        }
        let old = self.generation;
        self.status.reloads += 1;
        // They are published with their nodes, and told of once these are served.
        let before = Arc::clone(&self.lists);
        if let Some(lists) = &lists {
            self.lists = Arc::new(lists.clone());
        }
        let served = Arc::clone(&self.inputs);
        let taken = self.take_inputs(self.ordered(inputs));
        self.lists = before;
        if let Err(because) = taken {
            self.status.reloads -= 1;
            self.status.failures += 1;
            tracing::error!(generation = old, "{because}");
            self.board.note("reload", Grade::Warning, &format!("refused: {because}"));
            return Err(because);
        }
        if let Some(lists) = lists {
            self.take_lists(lists);
        }
        self.orders.report_idle(&self.inputs);
        let outcome = format!("generation {old} → {}: {changes}", self.generation);
        self.keep_inputs(files);
        self.keep_histories(Some(&served));
        self.notifier.tell(&self.inputs);
        let grade = if is_broken { Grade::Warning } else { Grade::Note };
        self.board.note("reload", grade, &outcome);
        if is_broken {
            self.status.failures += 1;
            tracing::error!("{outcome}; what is broken is left out, or is as it was");
            return Err(format!("{outcome}; but {}", refusal(&diagnostics)));
        }
        tracing::info!("{outcome}");
        Ok(outcome)
    }

    /// Takes zones that were made again of the same configuration, and tells other nameservers.
    pub(super) fn take_zones_of(&mut self, made: &Inputs) -> Result<(), String> {
        let served = Arc::clone(&self.inputs);
        self.take_inputs(self.inputs.with_zones_of(made))?;
        self.keep_histories(Some(&served));
        self.notifier.tell(&self.inputs);
        Ok(())
    }

    /// Inputs with the policies that operators want.
    fn ordered(&self, inputs: Inputs) -> Inputs {
        let policies = self.orders.policies();
        if policies.is_empty() { inputs } else { inputs.steered_by(&policies) }
    }

    /// Logs diagnostics, and says whether there was anything to say. Lists are read often, and what was said of them is not
    /// said again.
    fn tell(&mut self, diagnostics: &[Diagnostic], scope: Scope) -> bool {
        let is_news = |each: &&Diagnostic| scope == Scope::All || !self.told.contains(&each.to_string());
        let news: Vec<Diagnostic> = diagnostics.iter().filter(is_news).cloned().collect();
        log(&news);
        self.told = diagnostics.iter().map(ToString::to_string).collect();
        !news.is_empty()
    }

    /// Keeps inputs for a start at which those on disk are broken, if they are served and have no errors. Lists are kept by
    /// themselves: of one that cannot be had the last goes on.
    pub(super) fn keep_inputs(&self, files: Files) {
        let is_sound = !self.status.is_kept && !has_errors(&self.faults);
        if let Some(keeper) = self.keeper.as_ref().filter(|_| is_sound && !files.read.is_empty()) {
            keeper.keep_inputs(files);
        }
    }

    /// Raises the alarm of inputs that are broken on disk, or ends it.
    pub(super) fn tell_inputs(&mut self, diagnostics: &[Diagnostic]) {
        let first = diagnostics.iter().find(|diagnostic| diagnostic.is_error());
        self.status.is_kept &= first.is_some();
        let told = |served: &str| first.map(|first| format!("the inputs on disk have errors; {served}: {first}"));
        let raised = [
            (KEPT_INPUTS, told("what was sound before the start is served").filter(|_| self.status.is_kept)),
            (BROKEN_INPUTS, told("what was sound goes on").filter(|_| !self.status.is_kept)),
        ];
        for (alarm, told) in raised {
            match told {
                Some(told) => drop(self.board.raise(alarm, "", &told)),
                None => drop(self.board.clear(alarm, "")),
            }
        }
    }

    /// Replaces the inputs and publishes a new generation; if no tables can be made for them, the old ones stay.
    pub(super) fn take_inputs(&mut self, inputs: Inputs) -> Result<(), String> {
        self.forget_dismissed(&inputs);
        let before = std::mem::replace(&mut self.inputs, Arc::new(inputs));
        self.generation += 1;
        // Else a node that comes back, and was down when it left, would be named until the next tick.
        self.healths.count(&self.inputs.fleet);
        let Some(tables) = self.tables() else {
            self.inputs = before;
            self.healths.count(&self.inputs.fleet);
            self.generation -= 1;
            return Err("steering by the new inputs ends in a panic; all goes on as before".to_owned());
        };
        self.publish(tables);
        self.keep_signatures();
        let asked = self.set_targets();
        self.readiness.listed(Instant::now(), self.lists.sources(), asked);
        self.enrolment.configure(&self.inputs);
        for (carrier, certificate) in &self.inputs.certificates {
            if let Some(shown) = self.shown.get(carrier) {
                shown.show(certificate.clone());
            }
        }
        Ok(())
    }

    /// Forgets what is known of nodes whose numbers are others' from now on.
    fn forget_dismissed(&mut self, next: &Inputs) {
        let before = self.inputs.fleet.nodes.iter().zip(&next.fleet.nodes).enumerate();
        let dismissed: HashSet<NodeId> = before
            .filter(|(_, (old, new))| old.node.name != new.node.name)
            .map(|(index, _)| NodeId(index as u16))
            .collect();
        self.histories.retain(|(node, ..), _| !dismissed.contains(node));
        self.healths.forget(|node| dismissed.contains(&node));
        for node in dismissed {
            self.answers.forget(node);
            self.board.forget(node);
        }
    }

    /// Scrapes and probes the nodes of the configuration, and says what; keeps what is known of those that stay, or may come
    /// back.
    pub(super) fn set_targets(&mut self) -> (Vec<Probe>, Vec<Source>) {
        let (mut targets, mut wanted) = (Vec::new(), Vec::new());
        let load = self.inputs.config.load.as_ref();
        let is_gone = |id: &NodeId| !self.inputs.fleet.node(*id).is_configured;
        let waiting: HashMap<_, _> = self.histories.extract_if(|(id, ..), _| is_gone(id)).collect();
        let mut histories = HashMap::new();
        for (index, known) in self.inputs.fleet.nodes.iter().enumerate().filter(|(_, known)| known.is_configured) {
            let (id, node) = (NodeId(index as u16), &known.node);
            for exporter in &node.exporters {
                let key = source(id, exporter);
                let (preset, capacity, limits) = (&exporter.preset, self.orders.capacity_of(node), &node.limits);
                // Samples of Prometheus are as old as its own scrapes.
                let of_prometheus = load.filter(|_| matches!(exporter.whence(), Whence::Prometheus(_)));
                let interval = match exporter.whence() {
                    Whence::Heartbeat => node.interval.max(BEAT),
                    _ => of_prometheus.map_or(node.interval, |load| load.interval),
                };
                let begun = || History::new(Arc::clone(preset), capacity, limits.clone(), interval);
                let mut history = self.histories.remove(&key).unwrap_or_else(begun);
                history.reconfigure(Arc::clone(preset), capacity, limits.clone(), interval);
                histories.insert(key, history);
                match exporter.whence() {
                    Whence::Heartbeat => {}
                    Whence::Prometheus(instance) => wanted.push(Wanted::new(id, node, exporter, instance)),
                    Whence::Url(_) => {
                        let credentials = self.inputs.keyring.of(&exporter.access);
                        targets.push(Target { node: id, exporter: exporter.clone(), interval, credentials });
                    }
                }
            }
        }
        let queries = load.map(|load| prometheus::queries(load, &self.inputs.keyring)).unwrap_or_default();
        let is_asked = |source: &&Source| source.2 != HEARTBEAT;
        let scrapes = histories.keys().filter(is_asked).cloned().collect();
        histories.extend(waiting);
        self.histories = histories;
        let probes = self.healths.count(&self.inputs.fleet);
        if let Some(scraper) = &self.scraper {
            scraper.set_targets(targets);
            scraper.set_queries(queries, wanted.into());
            scraper.set_probes(probes.clone());
        }
        (probes, scrapes)
    }
}

/// Loads in a thread of a lower priority, which those that it starts inherit: zones are read on all cores. Each reload has a thread
/// of its own, for nobody can raise a priority again; where none can be started, this one loads, and ticks wait for it.
fn beside_ticks(load: impl Fn() -> Loaded + Send + Sync + 'static) -> oneshot::Receiver<Loaded> {
    let load = Arc::new(load);
    let (done, loading) = oneshot::channel();
    let theirs = Arc::clone(&load);
    let work = move || {
        give_way(NICE);
        // A feed that has ended wants it no more.
        let _ = done.send(theirs());
    };
    let Err(error) = thread::Builder::new().name("reload".to_owned()).spawn(work) else { return loading };
    tracing::warn!(%error, "no thread can be started for the inputs; nothing is steered anew while they are read");
    let (done, loading) = oneshot::channel();
    // A panic leaves nothing to receive, as that of a thread does.
    if let Ok(loaded) = catch_unwind(AssertUnwindSafe(|| load())) {
        // Whoever receives is right here.
        let _ = done.send(loaded);
    }
    loading
}

/// What came of the reload that runs, if one does; none if it panicked.
pub(super) async fn finished(reload: &mut Option<Reload>) -> Option<Loaded> {
    match reload {
        Some(reload) => (&mut reload.loading).await.ok(),
        None => std::future::pending().await,
    }
}

fn refusal(diagnostics: &[Diagnostic]) -> String {
    let errors: Vec<String> = diagnostics.iter().filter(|each| each.is_error()).map(ToString::to_string).collect();
    errors.join("\n")
}
