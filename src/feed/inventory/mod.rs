//! Inventories: lists of nodes from files and URLs, each as it was last taken, and what waits to be confirmed.

mod fetch;
mod files;
mod guard;
mod kept;
mod orders;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use crate::config::{Config, Format, Inventory, List, Written};
use crate::diagnostic::{Diagnostic, Source, has_errors};
use crate::feed::enrolment::LIST;
use crate::snapshot::{InventoryStatus, PendingStatus};

pub(super) use fetch::{Fetch, Fetched, fetch_all, run};
pub(super) use files::Files;
pub(super) use guard::shrinks_suddenly;
pub(super) use orders::{Confirmation, fetches};

/// The lists of all inventories as they were last taken, by the name of the inventory.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    by_name: BTreeMap<String, Taken>,
}

/// What lists are read with, beside files.
#[derive(Debug, Clone, Default)]
pub(super) struct News {
    /// What came of the last look at each URL.
    pub(super) fetched: BTreeMap<String, Outcome>,
    /// The list of nodes that heartbeats have enrolled, by inventory.
    pub(super) heartbeats: BTreeMap<String, Source>,
    /// Nodes of lists that may be taken although they are much shorter, by inventory.
    pub(super) confirmed: BTreeMap<String, BTreeSet<String>>,
    /// Nothing is read: what was taken counts.
    pub(super) only_taken: bool,
}

/// What came of a look at a URL.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// Seconds since 1970.
    at: u64,
    result: Result<Source, String>,
}

/// The lists of one inventory.
#[derive(Debug, Clone, Default)]
struct Taken {
    /// By path or URL.
    sources: BTreeMap<String, Text>,
    nodes: BTreeSet<String>,
    /// What is wrong with a source now, so that an older list of it may count.
    errors: Vec<String>,
    pending: Option<Pending>,
}

/// A list that can be read.
#[derive(Debug, Clone)]
struct Text {
    source: Source,
    format: Format,
    /// When it was written or fetched, in seconds since 1970.
    at: u64,
}

/// A list that is much shorter than the one before it, and waits to be confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    /// Seconds since 1970.
    since: u64,
    nodes: BTreeSet<String>,
    gone: Vec<String>,
}

/// What was read of one source.
struct Found {
    name: String,
    result: Result<Text, Diagnostic>,
}

/// What reading all lists came to.
pub(super) struct Reading {
    pub(super) lists: Lists,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// What was served before fits the configuration no longer, and there is nothing in its place.
    pub(super) is_blocked: bool,
}

impl Lists {
    /// Reads all lists again; a source that cannot be read keeps what was last taken of it, and a list that is much shorter
    /// waits. The configuration gets the nodes.
    pub(super) fn read(config: &mut Config, before: &Self, news: &News, files: &mut Files<'_>) -> Reading {
        let mut reading = Reading { lists: Self::default(), diagnostics: Vec::new(), is_blocked: false };
        let mut lists: Vec<(Inventory, Vec<List>)> = Vec::new();
        for Written { value: inventory, .. } in &config.inventories {
            let old = before.by_name.get(&inventory.name);
            let (taken, list) = reading.read_inventory(config, inventory, old, news, files);
            reading.lists.by_name.insert(inventory.name.clone(), taken);
            lists.push((inventory.clone(), list));
        }
        let all = lists.iter().flat_map(|(inventory, lists)| lists.iter().map(move |list| (inventory, list)));
        if !config.inventories.is_empty() {
            let (nodes, diagnostics) = config.merge(&all.collect::<Vec<_>>());
            reading.diagnostics.extend(diagnostics);
            reading.is_blocked |= nodes.len() > crate::pool::MAX_NODES;
            config.nodes = nodes;
        }
        reading
    }

    /// Whether one of them has something of a node.
    pub(super) fn has(&self, node: &str) -> bool {
        self.by_name.values().any(|taken| taken.nodes.contains(node))
    }

    /// A hash of what was taken.
    pub(super) fn hash(&self, hasher: &mut impl Hasher) {
        for (name, taken) in &self.by_name {
            name.hash(hasher);
            for (name, text) in &taken.sources {
                (name, &*text.source.text).hash(hasher);
            }
        }
    }

    /// As operators see them.
    pub(super) fn status(&self) -> Vec<InventoryStatus> {
        let pending = |pending: &Pending| PendingStatus {
            since: pending.since,
            nodes: pending.nodes.len(),
            gone: pending.gone.clone(),
        };
        let status = |(name, taken): (&String, &Taken)| InventoryStatus {
            name: name.clone(),
            nodes: taken.nodes.len(),
            sources: taken.sources.keys().cloned().collect(),
            read: taken.sources.values().map(|text| text.at).max(),
            errors: taken.errors.clone(),
            pending: taken.pending.as_ref().map(pending),
            heartbeats: None,
        };
        self.by_name.iter().map(status).collect()
    }

    /// Notes that a URL was looked at, and still has what was taken of it; false if it has something else.
    pub(super) fn note(&mut self, url: &str, outcome: &Outcome) -> bool {
        let Ok(source) = &outcome.result else { return false };
        let mut is_same = false;
        for taken in self.by_name.values_mut().filter(|taken| taken.errors.is_empty() && taken.pending.is_none()) {
            if let Some(text) = taken.sources.get_mut(url).filter(|text| text.source.text == source.text) {
                text.at = outcome.at;
                is_same = true;
            }
        }
        is_same
    }
}

impl Reading {
    fn read_inventory(
        &mut self,
        config: &Config,
        inventory: &Inventory,
        old: Option<&Taken>,
        news: &News,
        files: &mut Files<'_>,
    ) -> (Taken, Vec<List>) {
        let mut taken = Taken::default();
        let mut lists = Vec::new();
        let found = if news.only_taken {
            let known = old.into_iter().flat_map(|old| &old.sources);
            known.map(|(name, text)| Found { name: name.clone(), result: Ok(text.clone()) }).collect()
        } else {
            let mut found = files.of(inventory, old);
            found.extend(inventory.url.as_ref().and_then(|url| fetched(url, old, news)));
            if inventory.heartbeat.is_some() {
                found.extend(enrolled(&inventory.name, old, news));
            }
            found
        };
        for Found { name, result } in found {
            let read = result.map_err(|error| vec![error]).and_then(|text| {
                let list = config.read_list(inventory, &text.source, text.format)?;
                Ok((text, list))
            });
            let read = match read {
                Ok(read) => Some(read),
                Err(diagnostics) => {
                    taken.errors.extend(diagnostics.iter().filter(|each| each.is_error()).map(ToString::to_string));
                    self.diagnostics.extend(diagnostics);
                    let last = old.and_then(|old| old.sources.get(&name)).cloned();
                    let again = last.clone().and_then(|text| {
                        let list = config.read_list(inventory, &text.source, text.format).ok()?;
                        Some((text, list))
                    });
                    // Then it is the configuration that has changed.
                    self.is_blocked |= last.is_some() && again.is_none();
                    again
                }
            };
            if let Some((text, list)) = read {
                taken.sources.insert(name, text);
                lists.push(list);
            }
        }
        taken.nodes = lists.iter().flat_map(List::nodes).map(str::to_owned).collect();
        let Some(old) = old else { return (taken, lists) };
        let confirmed = news.confirmed.get(&inventory.name);
        let Some(pending) = guard::shrinks(old, &taken.nodes, confirmed) else { return (taken, lists) };
        let before: Result<Vec<List>, Vec<Diagnostic>> =
            old.sources.values().map(|text| config.read_list(inventory, &text.source, text.format)).collect();
        match before {
            Ok(lists) => {
                let Taken { sources, nodes, .. } = old.clone();
                (Taken { sources, nodes, errors: taken.errors, pending: Some(pending) }, lists)
            }
            Err(diagnostics) => {
                debug_assert!(has_errors(&diagnostics));
                self.diagnostics.extend(diagnostics);
                self.is_blocked = true;
                (taken, lists)
            }
        }
    }
}

/// Who is enrolled by heartbeats; before the first look at them, who was.
fn enrolled(inventory: &str, old: Option<&Taken>, news: &News) -> Option<Found> {
    let last = old.and_then(|old| old.sources.get(LIST)).cloned();
    let text = match news.heartbeats.get(inventory) {
        Some(source) => Text { source: source.clone(), format: Format::Json, at: files::now() },
        None => last?,
    };
    Some(Found { name: LIST.to_owned(), result: Ok(text) })
}

/// What a URL has, if it was asked or ever had anything.
fn fetched(url: &Written<String>, old: Option<&Taken>, news: &News) -> Option<Found> {
    let name = url.value.clone();
    let last = old.and_then(|old| old.sources.get(&name)).cloned();
    let result = match news.fetched.get(&name) {
        Some(Outcome { at, result: Ok(source) }) => Ok(Text { source: source.clone(), format: Format::Json, at: *at }),
        Some(Outcome { result: Err(because), .. }) => {
            let kept = if last.is_some() { "its last list goes on" } else { "there is no earlier list of it" };
            let error =
                url.error(format!("{name} gives no list: {because}")).help(format!("{kept}; it is asked again"));
            Err(error)
        }
        None => Ok(last?),
    };
    Some(Found { name, result })
}
