//! Keys and values of the schema whose features are not built yet: a later issue deletes its lines here.
#![deny(clippy::disallowed_methods)]

/// One key, or one value of a key, that is known but refused.
pub(super) struct Later {
    /// The kind of table, such as `node.limits`; empty for the top.
    table: &'static str,
    key: &'static str,
    /// One value of the key; none = the key whatever its value.
    value: Option<&'static str>,
    /// What the server does instead.
    pub(super) instead: &'static str,
}

/// The keys of a kind of table.
pub(super) fn keys(table: &str) -> impl Iterator<Item = &'static str> {
    LATER.iter().filter(move |later| later.table == table && later.value.is_none()).map(|later| later.key)
}

/// The key, if it is known but refused.
pub(super) fn find_key(table: &str, key: &str) -> Option<&'static Later> {
    LATER.iter().find(|later| later.table == table && later.key == key && later.value.is_none())
}

/// The value of a key, if it is known but refused.
pub(super) fn find_value(table: &str, key: &str, value: &str) -> Option<&'static Later> {
    LATER.iter().find(|later| later.table == table && later.key == key && later.value == Some(value))
}

const fn key(table: &'static str, key: &'static str, instead: &'static str) -> Later {
    Later { table, key, value: None, instead }
}

const fn value(table: &'static str, key: &'static str, value: &'static str, instead: &'static str) -> Later {
    Later { table, key, value: Some(value), instead }
}

const PLANNER: &str = "every service is steered by the policy `planner`";
const CPU_EGRESS: &str = "pressure comes from cpu and egress";
const BY_HAND: &str = "nodes are listed as `[node.NAME]`";
const ONE_SERVER: &str = "each nameserver decides from what it scrapes itself";
const NODE_EXPORTER: &str = "load is read from node_exporter, `exporters.node`";
const FILES_ONLY: &str = "the zone is served from its file, unsigned, and is not transferred";
const EVERYBODY: &str = "every node may serve every client, nearer ones first";

const LATER: &[Later] = &[
    key("", "cluster", ONE_SERVER),
    key("", "inventory", BY_HAND),
    key("server", "http", "nothing is served over HTTP but the admin address"),
    key("server", "https", "nothing is served over HTTPS"),
    key("server", "trusted_proxies", "clients are known by their address and by EDNS client subnet"),
    key("server", "state", "nothing is kept over a restart: load is scraped anew"),
    key("server", "token_file", "the admin address stays on loopback"),
    key("zone", "dnssec", FILES_ONLY),
    key("zone", "transfer", FILES_ONLY),
    key("zone", "notify", FILES_ONLY),
    key("region", "near_only", "the places of `near` come first, and the others after them"),
    key("node", "cost", "nodes are ordered by distance and load alone"),
    key("node", "serves", EVERYBODY),
    key("node", "check", "a node whose exporters fall silent counts as stale"),
    key("node.capacity", "clients", CPU_EGRESS),
    key("node.capacity", "memory", CPU_EGRESS),
    key("node.capacity", "disk", CPU_EGRESS),
    key("node.limits", "process_cpu", CPU_EGRESS),
    key("node.limits", "clients", CPU_EGRESS),
    key("node.limits", "memory", CPU_EGRESS),
    key("node.limits", "disk", CPU_EGRESS),
    key("node.limits", "udp_drops", CPU_EGRESS),
    key("node.exporters", "srs", NODE_EXPORTER),
    key("node.exporters", "mediamtx", NODE_EXPORTER),
    key("node.exporters", "livekit", NODE_EXPORTER),
    key("pool", "viewer", "load is taken as it is measured, whatever one viewer costs"),
    key("pool", "overflow", "a full pool names its own nodes"),
    value("pool", "policy", "round_robin", PLANNER),
    value("pool", "policy", "weighted", PLANNER),
    value("pool", "policy", "nearest", PLANNER),
    value("pool", "policy", "failover", PLANNER),
    value("pool", "policy", "hash", PLANNER),
    value("pool", "currency", "clients", "load is counted in egress, `currency = \"egress\"`"),
    value("pool", "full", "overflow", "a full pool is filled further, `full = \"fill\"`"),
    value("pool", "full", "refuse", "a full pool is filled further, `full = \"fill\"`"),
    key("service", "policy", PLANNER),
    key("service", "within", EVERYBODY),
    key("service", "key", "answers do not depend on the name that was asked"),
    key("service", "bound", "answers do not depend on the name that was asked"),
];
