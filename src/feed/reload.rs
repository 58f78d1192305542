//! Reloads: new inputs beside the ticks, taken whole or not at all.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::changes::{describe, needs_restart};
use super::inputs::{self, Inputs, Loaded};
use super::probe::Probe;
use super::run::{Feed, log};
use super::scrape::{Source, Target, source};
use super::start::{BROKEN_INPUTS, KEPT_INPUTS};
use super::state::Files;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::intake::Grade;
use crate::load::history::History;
use crate::pool::NodeId;

/// Those who want to hear what came of a reload.
pub(super) type Waiting = Vec<oneshot::Sender<Result<String, String>>>;

/// A reload that runs beside the ticks, and who waits for what comes of it.
pub(super) struct Reload {
    pub(super) loading: tokio::task::JoinHandle<Loaded>,
    pub(super) waiting: Waiting,
    /// Whoever has asked since it began: it may have read what was there before.
    pub(super) later: Option<Waiting>,
}

impl Feed {
    pub(super) fn begin_reload(
        &self,
        reload: &mut Option<Reload>,
        waiting: Option<oneshot::Sender<Result<String, String>>>,
    ) {
        match reload {
            Some(running) => running.later.get_or_insert_default().extend(waiting),
            None => *reload = Some(self.start_reload(waiting.into_iter().collect())),
        }
    }

    pub(super) fn start_reload(&self, waiting: Waiting) -> Reload {
        let (options, previous) = (self.options.clone(), Arc::clone(&self.inputs));
        // Large zones take a while; ticks go on meanwhile.
        let loading =
            tokio::task::spawn_blocking(move || inputs::load(&options.file, &options.environment, Some(&previous)));
        Reload { loading, waiting, later: None }
    }

    /// Takes new inputs if they can be served, and says what changed, or why nothing did.
    pub(super) fn finish_reload(&mut self, loaded: Option<Loaded>) -> Result<String, String> {
        let Some(Loaded { inputs, diagnostics, watched, files }) = loaded else {
            return Err("reading the inputs ended in a panic; nothing has changed".to_owned());
        };
        self.watched = watched;
        let has_errors = has_errors(&diagnostics);
        let had_errors = std::mem::replace(&mut self.status.has_errors, has_errors);
        self.tell_inputs(&diagnostics);
        let Some(inputs) = inputs else {
            log(&diagnostics);
            self.status.failures += 1;
            self.board.note("reload", Grade::Warning, "refused: the inputs have errors; all goes on as before");
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
        self.status.reloads += 1;
        if let Err(because) = self.take_inputs(inputs.steered_by(&self.orders.policies())) {
            self.status.reloads -= 1;
            self.status.failures += 1;
            tracing::error!(generation = old, "{because}");
            self.board.note("reload", Grade::Warning, &format!("refused: {because}"));
            return Err(because);
        }
        self.orders.report_idle(&self.inputs);
        let outcome = format!("generation {old} → {}: {changes}", self.generation);
        self.keep_inputs(files, has_errors);
        let grade = if has_errors { Grade::Warning } else { Grade::Note };
        self.board.note("reload", grade, &outcome);
        if has_errors {
            self.status.failures += 1;
            tracing::error!("{outcome}; what is broken stays as it was");
            return Err(format!("{outcome}; but {}", refusal(&diagnostics)));
        }
        tracing::info!("{outcome}");
        Ok(outcome)
    }

    /// Keeps inputs that have no errors for a start at which those on disk are broken.
    pub(super) fn keep_inputs(&self, files: Files, has_errors: bool) {
        if let Some(keeper) = self.keeper.as_ref().filter(|_| !has_errors && !files.read.is_empty()) {
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
        let before = std::mem::replace(&mut self.inputs, Arc::new(inputs));
        self.generation += 1;
        // The second time with a controller that has learned nothing.
        let Some(tables) = self.tables().or_else(|| self.tables()) else {
            self.inputs = before;
            self.generation -= 1;
            return Err("steering by the new inputs ends in a panic; all goes on as before".to_owned());
        };
        self.publish(tables);
        self.set_targets();
        Ok(())
    }

    /// Scrapes and probes the nodes of the configuration, and says what; keeps what is known of those that stay.
    pub(super) fn set_targets(&mut self) -> (Vec<Probe>, Vec<Source>) {
        let mut targets = Vec::new();
        let mut histories = HashMap::new();
        for (index, known) in self.inputs.fleet.nodes.iter().enumerate().filter(|(_, known)| known.is_configured) {
            let (id, node) = (NodeId(index as u16), &known.node);
            for exporter in &node.exporters {
                let key = source(id, exporter);
                let (preset, capacity, limits) = (&exporter.preset, self.orders.capacity_of(node), &node.limits);
                let begun = || History::new(Arc::clone(preset), capacity, limits.clone(), node.interval);
                let mut history = self.histories.remove(&key).unwrap_or_else(begun);
                history.reconfigure(Arc::clone(preset), capacity, limits.clone(), node.interval);
                histories.insert(key, history);
                let credentials = self.inputs.keyring.of(&exporter.access);
                targets.push(Target { node: id, exporter: exporter.clone(), interval: node.interval, credentials });
            }
        }
        let scrapes = histories.keys().cloned().collect();
        self.histories = histories;
        let probes = self.healths.count(&self.inputs.fleet);
        if let Some(scraper) = &self.scraper {
            scraper.set_targets(targets);
            scraper.set_probes(probes.clone());
        }
        (probes, scrapes)
    }
}

/// What came of the reload that runs, if one does; none if its thread panicked.
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
