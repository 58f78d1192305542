//! Lists of nodes among the inputs: read with the others, or again without them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use super::geography::Databases;
use super::numbers::assemble;
use super::{Inputs, Loaded, Loader, load_all, shown, zones};
use crate::config::{self, Config};
use crate::diagnostic::Source;
use crate::feed::inventory::{Fetch, Files, Lists, News, fetches};
use crate::snapshot::Elsewhere;

/// Reads lists of nodes again, and nothing else; zones only if one of them changes by it.
pub(in crate::feed) fn load_lists(
    file: &Path,
    environment: &[(String, String)],
    previous: &Inputs,
    lists: &Lists,
    news: &News,
) -> Loaded {
    let mut loader = Loader::new(file, None);
    loader.copies = news.copies.clone();
    match loader.relist(previous, lists, news) {
        Relisted::Inputs(inputs) => {
            // Whatever is said, is of lists.
            let diagnostics = loader.list_diagnostics.split_off(0);
            loader.diagnostics.extend(diagnostics);
            Loaded { is_lists_only: true, ..loader.into_loaded(inputs.map(|inputs| *inputs)) }
        }
        Relisted::ZonesToo => load_all(file, environment, Some(previous), Some(lists), news),
    }
}

/// The URLs that a configuration has lists of nodes from; none if it cannot be read.
pub(in crate::feed) fn urls(file: &Path, environment: &[(String, String)]) -> Vec<Fetch> {
    let Ok(text) = std::fs::read_to_string(file) else { return Vec::new() };
    let (config, _) = config::read(&Source::new(shown(file), text), environment);
    let Some(config) = config else { return Vec::new() };
    // What is wrong with what accesses name is told when all inputs are read.
    let keyring = Loader::new(file, None).read_accesses(&config, None);
    fetches(&config, &keyring)
}

/// What reading lists again came to.
enum Relisted {
    /// Inputs with other nodes; none if they cannot be served.
    Inputs(Option<Box<Inputs>>),
    /// The nodes of a service have an address family now that its zone does not show, or lack one that it does.
    ZonesToo,
}

impl Loader {
    /// Puts other lists of nodes to inputs that were read.
    fn relist(&mut self, previous: &Inputs, lists: &Lists, news: &News) -> Relisted {
        let mut config = (*previous.config).clone();
        self.read_lists(&mut config, Some(lists), news);
        let guesses = self.guess_places(&config, &Databases::of(previous.databases.clone()), None);
        let regions = previous.geo.regions();
        let (fleet, gone) = assemble(&config, regions, &previous.rtts, &guesses, Some(previous));
        if !zones::keeps_all_services(&previous.fleet, &fleet) {
            return Relisted::ZonesToo;
        }
        self.check_barriers(&config, &fleet, regions);
        self.warn_of_own_names(&config, &previous.zones);
        if self.is_blocked {
            return Relisted::Inputs(None);
        }
        let fingerprint = self.with_lists(previous.files_fingerprint);
        Relisted::Inputs(Some(Box::new(Inputs {
            config: Arc::new(config),
            elsewhere: Arc::new(Elsewhere::of(&fleet)),
            fleet: Arc::new(fleet),
            guesses: Arc::new(guesses),
            fingerprint,
            lists: self.lists.clone().unwrap_or_default(),
            gone,
            ..previous.clone()
        })))
    }

    /// Puts the nodes of lists into the configuration.
    pub(super) fn read_lists(&mut self, config: &mut Config, lists: Option<&Lists>, news: &News) {
        let nothing = Lists::default();
        let before = lists.unwrap_or(&nothing);
        let mut files = Files { directory: &self.directory, watched: &mut self.listed };
        let reading = Lists::read(config, before, news, &mut files);
        self.is_blocked |= reading.is_blocked;
        self.list_diagnostics.extend(reading.diagnostics);
        self.lists = Some(reading.lists);
    }

    pub(super) fn with_lists(&self, files_fingerprint: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        files_fingerprint.hash(&mut hasher);
        if let Some(lists) = &self.lists {
            lists.hash(&mut hasher);
        }
        for copy in self.copies.iter() {
            // No two that are held have the same place.
            (&copy.zone, copy.soa.serial, Arc::as_ptr(copy)).hash(&mut hasher);
        }
        hasher.finish()
    }
}
