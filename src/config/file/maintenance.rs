//! What was written of maintenance: `[maintenance.NAME]`.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::moment;
use crate::config::table::Table;
use crate::config::value;
use crate::config::written::Written;
use crate::pool::When;

use super::HOUR;

/// `[maintenance.NAME]`.
pub(in crate::config) struct MaintenanceTable {
    pub(in crate::config) name: Written<String>,
    pub(in crate::config) nodes: Option<Written<Vec<Written<String>>>>,
    pub(in crate::config) place: Option<Written<String>>,
    pub(in crate::config) labels: Option<BTreeMap<String, String>>,
    /// Which of `nodes`, `place` and `labels` are there, right or wrong.
    pub(in crate::config) selections: Vec<&'static str>,
    pub(in crate::config) from: Option<Written<u64>>,
    pub(in crate::config) until: Option<Written<u64>>,
    pub(in crate::config) every: Option<Written<When>>,
    /// Which of `from`, `until` and `every` are there, right or wrong.
    pub(in crate::config) times: Vec<&'static str>,
    pub(in crate::config) lead: Option<Written<Duration>>,
    pub(in crate::config) reason: Option<Written<String>>,
}

/// Octets of the longest reason.
const MAX_REASON: usize = 200;

pub(super) fn read_maintenance(name: Written<String>, mut table: Table<'_>) -> MaintenanceTable {
    table.require("reason", "write `reason = \"new disks\"`: whoever asks why a node gets nobody will read it");
    let present = |keys: &[&'static str]| keys.iter().copied().filter(|key| table.has(key)).collect();
    let (selections, times) = (present(&["nodes", "place", "labels"]), present(&["from", "until", "every"]));
    let maintenance = MaintenanceTable {
        name,
        nodes: table.filled_list("nodes", value::text),
        place: table.value("place", value::text),
        labels: table.texts("labels"),
        selections,
        from: table.value("from", moment::moment),
        until: table.value("until", moment::moment),
        every: table.value("every", moment::weekly),
        times,
        lead: table.value("lead", |item| value::duration(item, &(Duration::ZERO..=24 * HOUR))),
        reason: table.value("reason", |item| value::short_text(item, MAX_REASON)),
    };
    table.finish();
    maintenance
}
