//! What was written of inventories: `[inventory.NAME]`, where lists of nodes are and which labels say what.
#![deny(clippy::disallowed_methods)]

use std::path::Path;
use std::time::Duration;

use crate::config::address;
use crate::config::heartbeat::{self, HeartbeatTable};
use crate::config::inventory::{Format, is_pattern};
use crate::config::preset::Presets;
use crate::config::table::{Table, ValueOrTable};
use crate::config::tree::{Item, Value};
use crate::config::value::{self, Reading, Wrong, shown, string, write, wrong};
use crate::config::written::{Problems, Written};
use crate::diagnostic::Diagnostic;
use crate::pool::Bitrate;

use super::access::{AccessTable, read_access};
use super::{HOUR, values};

/// `[inventory.NAME]`.
pub(in crate::config) struct InventoryTable {
    pub(in crate::config) name: Written<String>,
    pub(in crate::config) files: Vec<Written<String>>,
    pub(in crate::config) url: Option<Written<String>>,
    /// How the URL is asked.
    pub(in crate::config) access: AccessTable,
    pub(in crate::config) refresh: Option<Written<Duration>>,
    pub(in crate::config) heartbeat: Option<HeartbeatTable>,
    pub(in crate::config) mapping: MappingTable,
}

/// Where each thing that we need of a node stands.
pub(in crate::config) struct MappingTable {
    pub(in crate::config) key: Option<String>,
    pub(in crate::config) address: Option<String>,
    pub(in crate::config) place: Option<Origin<Written<String>>>,
    pub(in crate::config) egress: Option<Origin<Bitrate>>,
    pub(in crate::config) clients: Option<Origin<u32>>,
    pub(in crate::config) weight: Option<Origin<f64>>,
    pub(in crate::config) cost: Option<Origin<f64>>,
    pub(in crate::config) drain: Option<Origin<String>>,
    pub(in crate::config) exporter: Option<Origin<String>>,
}

/// Where a thing comes from.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) enum Origin<T> {
    /// The label of this name.
    Label(String),
    /// The same for all nodes of the inventory.
    Fixed(T),
}

impl MappingTable {
    /// Whether anything but names and addresses stands in labels.
    fn is_by_label(&self) -> bool {
        fn is_label<T>(origin: &Option<Origin<T>>) -> bool {
            matches!(origin, Some(Origin::Label(_)))
        }
        let Self { key: _, address: _, place, egress, clients, weight, cost, drain, exporter } = self;
        is_label(place)
            || is_label(egress)
            || is_label(clients)
            || is_label(weight)
            || is_label(cost)
            || is_label(drain)
            || is_label(exporter)
    }
}

pub(super) fn read_inventory(
    name: Written<String>,
    mut table: Table<'_>,
    presets: &Presets,
    problems: &Problems,
) -> InventoryTable {
    let is_by_heartbeat = table.has("heartbeat");
    if !table.has("file_sd") && !table.has("http_sd") && !is_by_heartbeat {
        let message = format!("the inventory `{}` has no list", name.value);
        let help = "write `file_sd = \"nodes/*.json\"`, `http_sd = \"https://…\"`, or `heartbeat = { … }`";
        problems.add(table.place(), Diagnostic::error(message).help(help));
    }
    if is_by_heartbeat {
        forbid_lists(&mut table);
    }
    let heartbeat = table.table("heartbeat", "inventory.heartbeat").map(heartbeat::read);
    let before = problems.count();
    let files = table.one_or_more("file_sd", pattern);
    if let Some(list) = files.as_ref().filter(|list| list.value.is_empty() && problems.count() == before) {
        problems.add_to(list, Diagnostic::error("`file_sd` is empty: it needs at least one value"));
    }
    let files = values(files);
    let (url, access) = read_url(&mut table);
    let refresh = table.value("refresh", |item| value::duration(item, &(Duration::from_secs(1)..=24 * HOUR)));
    if let (Some(refresh), None, false) = (&refresh, &url, files.is_empty()) {
        let message = "`refresh` says how often `http_sd` is asked; files are read when they change";
        problems.add_to(refresh, Diagnostic::error(message).help("leave it out"));
    }
    let mut capacity = table.table("capacity", "inventory.capacity");
    let mapping = MappingTable {
        key: table.value("key", |item| label(item, "each node has a name of its own")).map(|label| label.value),
        address: table.value("address", |item| label(item, "each node has its own")).map(|label| label.value),
        place: mapped(&mut table, "place", |item| Ok(Written::at(&item.place, value::text(item)?))),
        egress: capacity.as_mut().and_then(|capacity| mapped(capacity, "egress", value::bitrate)),
        clients: capacity
            .as_mut()
            .and_then(|capacity| mapped(capacity, "clients", |item| value::whole(item, &(1..=100_000_000)))),
        weight: mapped(&mut table, "weight", value::fraction),
        cost: mapped(&mut table, "cost", value::milliseconds),
        drain: mapped(&mut table, "drain", value::text),
        exporter: mapped(&mut table, "exporter", |item| value::preset(item, presets)),
    };
    if let Some(capacity) = capacity {
        capacity.finish();
    }
    if let Some(heartbeat) = &heartbeat
        && mapping.is_by_label()
    {
        let message = "labels of heartbeats say nothing of the node: it is not its own to say where it stands";
        let help = "write words and numbers that hold for all nodes, and `[node.NAME]` for those that differ";
        problems.add(&heartbeat.place, Diagnostic::error(message).help(help));
    }
    table.finish();
    InventoryTable { name, files, url, access, refresh, heartbeat, mapping }
}

/// `http_sd`: a URL alone, or in a table with how it is asked.
fn read_url(table: &mut Table<'_>) -> (Option<Written<String>>, AccessTable) {
    match table.value_or_table("http_sd", "inventory.http_sd", address::list_url) {
        None => (None, AccessTable::default()),
        Some(ValueOrTable::Value(url)) => (Some(url), AccessTable::default()),
        Some(ValueOrTable::Table(mut table)) => {
            table.require("url", "write `url = \"https://…\"`");
            let url = table.value("url", address::list_url);
            let access = read_access(&mut table);
            table.finish();
            (url, access)
        }
    }
}

/// Keys that say how a list is read, and nothing of heartbeats.
fn forbid_lists(table: &mut Table<'_>) {
    for key in ["file_sd", "http_sd"] {
        let message = format!("an inventory has either `heartbeat` or `{key}`: what one lacks, the other would hide");
        table.forbid(key, &message, "make two inventories of them");
    }
    table.forbid("refresh", "heartbeats come by themselves", "leave it out");
    table.forbid("key", "a heartbeat's node is called as its `device_id` says, or else its `ip`", "leave it out");
    table.forbid("address", "a heartbeat says its address by itself", "write `heartbeat.address`");
}

/// What stands for a label in front of its name.
const LABEL: &str = "label:";

fn mapped<T>(table: &mut Table<'_>, key: &'static str, read: impl Fn(&Item) -> Reading<T>) -> Option<Origin<T>> {
    let read = |item: &Item| match &item.value {
        Value::String(text) if text.starts_with(LABEL) => label(item, "").map(Origin::Label),
        // A word stands for a number too, as labels do.
        Value::String(text) => read(&Item { value: Value::Variable(text.clone()), ..item.clone() }).map(Origin::Fixed),
        _ => read(item).map(Origin::Fixed),
    };
    table.value(key, read).map(|written| written.value)
}

/// The name in `label:NAME`.
fn label(item: &Item, because: &str) -> Reading<String> {
    let expected = "a label, such as `\"label:host\"`";
    let text = string(item, expected)?;
    match text.strip_prefix(LABEL) {
        Some("") => Err(Wrong::new(format!("{} names no label", shown(item)))),
        Some(name) => Ok(name.to_owned()),
        None => {
            let meant = write(format!("{LABEL}{text}"));
            Err(wrong(item, expected).help(if because.is_empty() { meant } else { format!("{meant}: {because}") }))
        }
    }
}

/// The path of lists, with wildcards in its last part at most.
fn pattern(item: &Item) -> Reading<String> {
    let text = value::path(item)?;
    let text = text.to_string_lossy().into_owned();
    let path = Path::new(&text);
    if Format::of(path).is_none() {
        // Prometheus refuses other names too.
        let help = "list files end with `.json`, `.yml` or `.yaml`";
        return Err(Wrong::new(format!("{} does not say what is in it", shown(item))).help(help));
    }
    if path.parent().is_some_and(|parent| is_pattern(&parent.to_string_lossy())) {
        let help = "only the name of the file may have `*` and `?`, as in `nodes/*.json`";
        return Err(Wrong::new(format!("{} has wildcards in a directory", shown(item))).help(help));
    }
    Ok(text)
}
