//! Inventories: lists of nodes from files and URLs, each as it was last taken, and what waits to be confirmed.

mod fetch;
mod files;
mod guard;
mod kept;
mod orders;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::config::{Config, Effect, Format, Inventory, List, Written};
use crate::diagnostic::{Diagnostic, Source, has_errors};
use crate::feed::enrolment::LIST;
use crate::feed::secondary::Copies;
use crate::pool::{MAX_NODES, Node};
use crate::snapshot::{InventoryStatus, PendingStatus};

pub(super) use fetch::{Fetch, Fetched, fetch_all, run};
pub(super) use files::Files;
pub(super) use guard::shrinks_suddenly;
pub(super) use orders::{Confirmation, fetches};

use guard::{Peak, Verdict};

/// The lists of all inventories as they were last taken, by the name of the inventory.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    by_name: BTreeMap<String, Taken>,
}

/// What inputs are read with, beside files.
#[derive(Debug, Clone, Default)]
pub(super) struct News {
    /// Zones that came from other servers.
    pub(super) copies: Copies,
    /// What came of the last look at each URL.
    pub(super) fetched: BTreeMap<String, Outcome>,
    /// The list of nodes that heartbeats have enrolled, by inventory.
    pub(super) heartbeats: BTreeMap<String, Source>,
    /// What lists come to that may be taken although they do much less, by inventory.
    pub(super) confirmed: BTreeMap<String, Effect>,
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
    errors: Vec<Trouble>,
    /// Lists of the last hour that did more.
    peak: Option<Peak>,
    pending: Option<Pending>,
}

/// Something that is wrong with a source.
#[derive(Debug, Clone)]
struct Trouble {
    told: String,
    /// An older list of it counts.
    is_bridged: bool,
}

/// A list that can be read.
#[derive(Debug, Clone)]
struct Text {
    source: Source,
    format: Format,
    /// When it was written or fetched, in seconds since 1970.
    at: u64,
}

/// Lists that do much less than those before them, and wait to be confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    /// Seconds since 1970.
    since: u64,
    nodes: BTreeSet<String>,
    /// Those that lose something.
    gone: Vec<String>,
    /// What they lose.
    because: String,
    /// All that would be left.
    effect: Effect,
}

/// What was read of one source.
struct Found {
    name: String,
    result: Result<Text, Diagnostic>,
}

/// What was read of the lists of an inventory.
struct Read {
    inventory: Inventory,
    old: Option<Taken>,
    taken: Taken,
    lists: Vec<List>,
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
        let inventories = config.inventories.iter().map(|written| &written.value);
        let mut reads: Vec<Read> = inventories
            .map(|inventory| {
                reading.read_inventory(config, inventory, before.by_name.get(&inventory.name), news, files)
            })
            .collect();
        let verdicts = guard::judge(config, &reads, news);
        for (read, verdict) in reads.iter_mut().zip(verdicts) {
            match verdict {
                Verdict::Taken(peak) => read.taken.peak = peak,
                Verdict::Waits(pending) => reading.keep_old(config, read, Some(pending)),
            }
        }
        if !reads.is_empty() {
            let (nodes, diagnostics) = reading.merge(config, &mut reads);
            reading.diagnostics.extend(diagnostics);
            config.nodes = nodes;
        }
        reading.lists.by_name = reads.into_iter().map(|read| (read.inventory.name, read.taken)).collect();
        reading
    }

    /// Whether nothing was ever taken.
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Paths and URLs of all that was taken.
    pub(super) fn sources(&self) -> impl Iterator<Item = &str> {
        self.by_name.values().flat_map(|taken| taken.sources.keys()).map(String::as_str)
    }

    /// Whether this tells of a source that cannot be had, and of which an older list counts.
    pub(super) fn bridge(&self, diagnostic: &Diagnostic) -> bool {
        let mut bridged = self.by_name.values().flat_map(|taken| &taken.errors).filter(|trouble| trouble.is_bridged);
        bridged.any(|trouble| trouble.told == diagnostic.to_string())
    }

    /// These with what is wrong now, and what waits, of others that were read and not taken.
    pub(super) fn with_findings_of(&self, refused: &Self) -> Self {
        let mut lists = self.clone();
        for (name, taken) in &mut lists.by_name {
            let Some(found) = refused.by_name.get(name) else { continue };
            taken.errors.clone_from(&found.errors);
            // What waited does so still, for nothing was taken.
            taken.pending = found.pending.clone().or(taken.pending.take());
        }
        lists
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
            because: pending.because.clone(),
        };
        let status = |(name, taken): (&String, &Taken)| InventoryStatus {
            name: name.clone(),
            nodes: taken.nodes.len(),
            sources: taken.sources.keys().cloned().collect(),
            read: taken.sources.values().map(|text| text.at).max(),
            errors: taken.errors.iter().map(|trouble| trouble.told.clone()).collect(),
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
    ) -> Read {
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
                    let last = old.and_then(|old| old.last(&name)).cloned();
                    let again = last.clone().and_then(|text| {
                        let list = config.read_list(inventory, &text.source, text.format).ok()?;
                        Some((text, list))
                    });
                    let errors = diagnostics.iter().filter(|each| each.is_error()).map(ToString::to_string);
                    taken.errors.extend(errors.map(|told| Trouble { told, is_bridged: again.is_some() }));
                    self.diagnostics.extend(diagnostics);
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
        Read { inventory: inventory.clone(), old: old.cloned(), taken, lists }
    }

    /// The nodes of all lists, and what contradicts what. If they are too many, whoever brought the most of them has its old
    /// lists: one that is too long must not keep everything else from being taken.
    fn merge(&mut self, config: &Config, reads: &mut [Read]) -> (Vec<Written<Node>>, Vec<Diagnostic>) {
        loop {
            let all = reads.iter().flat_map(|read| read.lists.iter().map(|list| (&read.inventory, list)));
            let (nodes, diagnostics) = config.merge(&all.collect::<Vec<_>>());
            if nodes.len() <= MAX_NODES {
                return (nodes, diagnostics);
            }
            let new = config.inventories.iter().zip(reads.iter_mut()).filter(|(_, read)| read.is_new());
            let Some((written, read)) = new.max_by_key(|(_, read)| read.grown()) else {
                self.is_blocked = true;
                return (nodes, diagnostics);
            };
            let message = format!(
                "with what `{}` lists now there would be {} nodes, at most {MAX_NODES} are allowed",
                read.inventory.name,
                nodes.len()
            );
            let kept = if read.old.is_some() { "what it listed before goes on" } else { "nothing of it is taken" };
            let error = written.error(message).help(format!("list fewer; until then {kept}"));
            read.taken.errors.push(Trouble { told: error.to_string(), is_bridged: read.old.is_some() });
            self.diagnostics.push(error);
            let pending = read.old.as_ref().and_then(|old| old.pending.clone());
            self.keep_old(config, read, pending);
            if self.is_blocked {
                return (nodes, diagnostics);
            }
        }
    }

    /// Leaves the lists that were taken last in force, or nothing.
    fn keep_old(&mut self, config: &Config, read: &mut Read, pending: Option<Pending>) {
        let old = read.old.clone().unwrap_or_default();
        let texts = old.sources.values().map(|text| config.read_list(&read.inventory, &text.source, text.format));
        match texts.collect() {
            Ok(lists) => {
                let errors = std::mem::take(&mut read.taken.errors);
                read.taken = Taken { errors, pending, ..old };
                read.lists = lists;
            }
            Err(diagnostics) => {
                debug_assert!(has_errors(&diagnostics));
                self.diagnostics.extend::<Vec<_>>(diagnostics);
                self.is_blocked = true;
            }
        }
    }
}

impl Read {
    /// Whether it has anything that was not taken before.
    fn is_new(&self) -> bool {
        match &self.old {
            Some(old) => !self.taken.has_texts_of(old),
            None => !self.taken.sources.is_empty(),
        }
    }

    /// Nodes that it has more than before.
    fn grown(&self) -> usize {
        let before = self.old.as_ref().map_or(0, |old| old.nodes.len());
        self.taken.nodes.len().saturating_sub(before)
    }
}

impl Taken {
    /// What was last taken of a source. Of a URL that nobody has read yet it is what the URL before it had: else all nodes would
    /// be gone until the new one is asked.
    fn last(&self, source: &str) -> Option<&Text> {
        let is_url = |name: &str| name.contains("://");
        let of_other_url =
            || self.sources.iter().find(|(name, _)| is_url(source) && is_url(name)).map(|(_, text)| text);
        self.sources.get(source).or_else(of_other_url)
    }

    /// Whether these are the same lists, whenever they were read.
    fn has_texts_of(&self, other: &Self) -> bool {
        let texts = |(name, text): (&String, &Text)| (name.clone(), Arc::clone(&text.source.text));
        self.sources.iter().map(texts).eq(other.sources.iter().map(texts))
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
    let last = old.and_then(|old| old.last(&name)).cloned();
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
