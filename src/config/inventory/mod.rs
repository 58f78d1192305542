//! Inventories: lists of nodes as Prometheus' service discovery has them, with our data in labels.
//!
//! The formats are those of `file_sd` and `http_sd` in the documentation of Prometheus: a list of groups, each with
//! `targets` (host and port of an exporter) and `labels` (names and texts), and no other keys.
#![deny(clippy::disallowed_methods)]

mod effect;
mod json;
mod list;
mod nodes;
mod target;
mod yaml;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::access::Accesses;
use super::area::Atlas;
use super::file::{AccessTable, InventoryTable, NodeSettings, NodeTable};
use super::heartbeat::{self, Heartbeat};
use super::preset::Presets;
use super::written::{Problems, Written};
use super::{Config, defaults};
use crate::diagnostic::{Diagnostic, Source, has_errors};
use crate::pool::{Access, Node};
use target::{Mapping, Target};

pub use effect::{Effect, Gain};

/// What is wrong with a list is told so often at most: lists are made by programs, which repeat their faults.
const MAX_TOLD: usize = 20;

/// Where others list nodes.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// Its key in the configuration.
    pub name: String,
    /// Paths of lists, as written; the last part may have wildcards.
    pub files: Vec<Written<String>>,
    /// The URL of a list.
    pub url: Option<Written<String>>,
    /// How the URL is asked.
    pub access: Arc<Access>,
    /// Time from one look at the URL to the next.
    pub refresh: Duration,
    /// Where nodes tell by themselves that they are there; then there are neither files nor a URL.
    pub heartbeat: Option<Heartbeat>,
    mapping: Mapping,
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON (RFC 8259).
    Json,
    /// YAML 1.2.
    Yaml,
}

/// A list that was read: what it says of each target.
#[derive(Debug, Clone, Default)]
pub struct List {
    targets: Vec<Target>,
}

/// Nodes as the configuration has them, before lists add to them.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnNodes {
    pub(super) defaults: NodeSettings,
    pub(super) nodes: Vec<NodeTable>,
    pub(super) scrape: AccessTable,
    pub(super) presets: Presets,
    pub(super) atlas: Atlas,
}

impl Inventory {
    /// All that is said of it, wherever it stands: two that say the same are equal.
    pub fn said(&self) -> String {
        let Self { name, files, url, access, refresh, heartbeat, mapping } = self;
        let files: Vec<&str> = files.iter().map(|file| file.value.as_str()).collect();
        let url = url.as_ref().map(|url| url.value.as_str());
        format!("{:?}", (name, files, url, access, refresh, heartbeat.as_ref().map(Heartbeat::said), mapping.said()))
    }
}

impl Format {
    /// By the end of a file's name.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "yml" | "yaml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

impl List {
    /// The names of its nodes.
    pub fn nodes(&self) -> BTreeSet<&str> {
        self.targets.iter().map(|target| target.key.value.as_str()).collect()
    }
}

impl Config {
    /// Reads a list of an inventory; if anything in it is wrong, that, all of it, and no list.
    pub fn read_list(&self, inventory: &Inventory, source: &Source, format: Format) -> Result<List, Vec<Diagnostic>> {
        let problems = Problems::at_most(MAX_TOLD);
        let tree = match format {
            Format::Json => json::parse(source),
            Format::Yaml => yaml::parse(source),
        };
        let targets = match tree {
            Ok(tree) => {
                let places: Vec<&str> = self.places.iter().map(|place| place.value.name.as_str()).collect();
                let groups = list::read(&tree, &problems);
                let known = target::Known { places: &places, presets: &self.own_nodes.presets };
                target::read(&inventory.mapping, groups, &known, &problems)
            }
            Err(error) => return Err(vec![*error]),
        };
        let diagnostics = problems.into_diagnostics();
        if has_errors(&diagnostics) { Err(diagnostics) } else { Ok(List { targets }) }
    }

    /// Where the nodes of an inventory tell that they are there; none if it is one of lists.
    pub fn heartbeat(&self, inventory: &str) -> Option<&Heartbeat> {
        let found = self.inventories.iter().find(|known| known.value.name == inventory);
        found.and_then(|found| found.value.heartbeat.as_ref())
    }

    /// Whether the configuration itself has something of a node.
    pub fn is_own(&self, node: &str) -> bool {
        self.own_nodes.nodes.iter().any(|own| own.name.value == node)
    }

    /// The nodes of the configuration and those of lists, and what contradicts what. Of things that exclude each other
    /// the first counts.
    pub fn merge(&self, lists: &[(&Inventory, &List)]) -> (Vec<Written<Node>>, Vec<Diagnostic>) {
        nodes::merge(self, lists)
    }

    /// What lists come to for the nodes of one inventory, whatever others' lists add to them.
    pub fn effect(&self, inventory: &str, lists: &[(&Inventory, &List)]) -> Effect {
        effect::effect(self, inventory, lists)
    }
}

/// Whether a path has wildcards.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

pub(super) fn resolve(table: InventoryTable, accesses: &Accesses) -> Written<Inventory> {
    let InventoryTable { name, files, url, access, refresh, heartbeat, mapping } = table;
    let is_by_heartbeat = heartbeat.is_some();
    name.map(|name| Inventory {
        name,
        files,
        url,
        access: accesses.resolve(&[&access]),
        refresh: refresh.map_or(defaults::REFRESH, |refresh| refresh.value),
        heartbeat: heartbeat.and_then(heartbeat::resolve),
        mapping: Mapping::of(mapping, is_by_heartbeat),
    })
}
