//! What was written of nodes: `[node.NAME]`, and `[defaults.node]`, which has the same keys.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::address;
use crate::config::preset::{Presets, custom_resources};
use crate::config::table::Table;
use crate::config::value;
use crate::config::written::Written;
use crate::pool::{Bitrate, Check};

use super::access::{self, ExporterTable};
use super::{HOUR, values};

/// Probes in a row that may be asked for: with more, a change would take minutes to be believed.
const PROBES: RangeInclusive<u32> = 1..=20;

/// `[node.NAME]`.
#[derive(Debug, Clone)]
pub(in crate::config) struct NodeTable {
    pub(in crate::config) name: Written<String>,
    pub(in crate::config) addresses: Vec<Written<IpAddr>>,
    pub(in crate::config) settings: NodeSettings,
}

/// What stands in `[defaults.node]` as well as in `[node.NAME]`.
#[derive(Debug, Clone, Default)]
pub(in crate::config) struct NodeSettings {
    pub(in crate::config) place: Option<Written<String>>,
    /// None = they were wrong, so that nobody knows what they should be.
    pub(in crate::config) labels: Option<BTreeMap<String, String>>,
    pub(in crate::config) capacity: CapacityTable,
    pub(in crate::config) limits: LimitsTable,
    pub(in crate::config) interval: Option<Written<Duration>>,
    pub(in crate::config) exporters: ExportersTable,
    pub(in crate::config) cost: Option<Written<f64>>,
    pub(in crate::config) weight: Option<Written<f64>>,
    /// Areas, as words.
    pub(in crate::config) serves: Option<Vec<Written<String>>>,
    pub(in crate::config) check: Option<Written<Vec<Written<Check>>>>,
    pub(in crate::config) rise: Option<Written<u32>>,
    pub(in crate::config) fall: Option<Written<u32>>,
}

/// `node.capacity`.
#[derive(Debug, Clone, Default)]
pub(in crate::config) struct CapacityTable {
    pub(in crate::config) egress: Option<Written<Bitrate>>,
    pub(in crate::config) clients: Option<Written<u32>>,
    pub(in crate::config) process_cpu: Option<Written<f64>>,
}

/// `node.limits`.
#[derive(Debug, Clone, Default)]
pub(in crate::config) struct LimitsTable {
    pub(in crate::config) cpu: Option<Written<f64>>,
    pub(in crate::config) process_cpu: Option<Written<f64>>,
    pub(in crate::config) egress: Option<Written<f64>>,
    pub(in crate::config) clients: Option<Written<f64>>,
    pub(in crate::config) udp_drops: Option<Written<f64>>,
    pub(in crate::config) memory: Option<Written<f64>>,
    pub(in crate::config) disk: Option<Written<f64>>,
    /// By the name that presets gave.
    pub(in crate::config) custom: Vec<(Written<String>, Written<f64>)>,
}

/// `node.exporters`: exporters by preset.
pub(in crate::config) type ExportersTable = Vec<(Written<String>, ExporterTable)>;

impl NodeSettings {
    /// What an absent table sets.
    pub(super) fn nothing() -> Self {
        Self { labels: Some(BTreeMap::new()), ..Self::default() }
    }
}

pub(super) fn read_defaults(mut table: Table<'_>, presets: &Presets) -> Option<NodeSettings> {
    let settings = table.table("node", "node").map(|mut node| {
        let help = "write them in `[node.NAME]`";
        node.forbid("addresses", "addresses cannot have a default: each node has its own", help);
        let settings = read_settings(&mut node, presets);
        node.finish();
        settings
    });
    table.finish();
    settings
}

pub(super) fn read_node(
    name: Written<String>,
    mut table: Table<'_>,
    presets: &Presets,
    needs_addresses: bool,
) -> NodeTable {
    if needs_addresses {
        table.require("addresses", "write `addresses = [\"198.51.100.10\"]`: what viewers are told");
    }
    let addresses = values(table.filled_list("addresses", address::of_node));
    let settings = read_settings(&mut table, presets);
    table.finish();
    NodeTable { name, addresses, settings }
}

fn read_settings(table: &mut Table<'_>, presets: &Presets) -> NodeSettings {
    NodeSettings {
        place: table.value("place", value::text),
        labels: table.texts("labels"),
        capacity: table.table("capacity", "node.capacity").map(read_capacity).unwrap_or_default(),
        limits: table.table("limits", "node.limits").map(|limits| read_limits(limits, presets)).unwrap_or_default(),
        interval: table.value("interval", |item| value::duration(item, &(Duration::from_millis(100)..=HOUR))),
        exporters: table
            .table("exporters", "node.exporters")
            .map(|exporters| read_exporters(exporters, presets))
            .unwrap_or_default(),
        cost: table.value("cost", value::milliseconds),
        weight: table.value("weight", value::fraction),
        serves: table.list("serves", value::area).map(|list| list.value),
        check: table.one_or_more("check", address::check),
        rise: table.value("rise", |item| value::whole(item, &PROBES)),
        fall: table.value("fall", |item| value::whole(item, &PROBES)),
    }
}

fn read_capacity(mut table: Table<'_>) -> CapacityTable {
    let egress = table.value("egress", value::bitrate);
    let clients = table.value("clients", |item| value::whole(item, &(1..=100_000_000)));
    let process_cpu = table.value("process_cpu", value::cores);
    table.finish();
    CapacityTable { egress, clients, process_cpu }
}

fn read_limits(mut table: Table<'_>, presets: &Presets) -> LimitsTable {
    let limits = LimitsTable {
        cpu: table.value("cpu", value::share),
        process_cpu: table.value("process_cpu", value::share),
        egress: table.value("egress", value::share),
        clients: table.value("clients", value::share),
        udp_drops: table.value("udp_drops", value::share),
        memory: table.value("memory", value::share),
        disk: table.value("disk", value::share),
        custom: table.each_of(&custom_resources(presets), value::share),
    };
    table.finish();
    limits
}

fn read_exporters(mut table: Table<'_>, presets: &Presets) -> ExportersTable {
    let names: Vec<String> = presets.keys().cloned().collect();
    let exporters = access::read_exporters(&mut table, &names);
    table.finish();
    exporters
}
