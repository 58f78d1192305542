//! Lists of nodes among the inputs: read with the others, or again without them; and where their nodes stand.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use super::numbers::assemble;
use super::{Inputs, Loaded, Loader, load_all, shown, zones};
use crate::config::{self, Config, Written};
use crate::diagnostic::Source;
use crate::feed::inventory::{Fetch, Files, Lists, News, fetches};
use crate::geo::{Countries, Database};
use crate::pool::{Family, Node};
use crate::snapshot::Elsewhere;
use crate::steer::Guess;

/// Reads lists of nodes again, and nothing else; zones only if one of them changes by it.
pub(in crate::feed) fn load_lists(
    file: &Path,
    environment: &[(String, String)],
    previous: &Inputs,
    lists: &Lists,
    news: &News,
) -> Loaded {
    let mut loader = Loader::new(file, None);
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
        let guesses = self.guess_places(&config, &previous.databases);
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
        hasher.finish()
    }

    /// Where nodes without a place stand: in the country of their address.
    pub(super) fn guess_places(&mut self, config: &Config, databases: &[Database]) -> BTreeMap<String, Guess> {
        let mut guesses = BTreeMap::new();
        let mut unknown: Vec<&Written<Node>> = Vec::new();
        for written in &config.nodes {
            let node = &written.value;
            let addresses = [Family::V4, Family::V6].into_iter().filter_map(|family| node.address(family));
            let guess = addresses.into_iter().find_map(|address| {
                let facts = Database::merged_facts(databases, address);
                let country = Countries::embedded().get(facts.country.as_deref()?)?;
                Some(Guess {
                    country: country.code.clone(),
                    continent: country.continent.clone(),
                    position: facts.position.unwrap_or(country.position),
                })
            });
            match guess {
                Some(guess) => {
                    guesses.insert(node.name.clone(), guess);
                }
                None if node.place.is_some() => {}
                // Of hundreds from a list one word is enough.
                None if !config.is_own(&node.name) => unknown.push(written),
                None => self.diagnostics.push(
                    written
                        .warning(format!("nobody knows where `{}` stands: no database has its address", node.name))
                        .help("write `place = \"…\"`, the key of a `[place.…]` with its position; until then it is far from everybody"),
                ),
            }
        }
        if let Some(first) = unknown.first() {
            let message = format!(
                "nobody knows where {} of the listed nodes stand, the first of them `{}`: no database has their addresses",
                unknown.len(),
                first.value.name
            );
            let help = "give them a label with the key of a `[place.…]`, which `place` of the inventory names; until then they \
                        are far from everybody";
            self.diagnostics.push(first.warning(message).help(help));
        }
        guesses
    }
}
