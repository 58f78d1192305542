//! What was written of `[load]`: Prometheus servers that are asked in place of exporters.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use crate::config::address;
use crate::config::table::Table;
use crate::config::tree::{Item, Value};
use crate::config::value::{self, Reading, Wrong, shown, wrong};
use crate::config::written::Written;
use crate::pool::Selector;

use super::access::AccessTable;
use super::{HOUR, values};

/// `[load]`.
#[derive(Default)]
pub(in crate::config) struct LoadTable {
    pub(in crate::config) prometheus: Vec<Written<String>>,
    pub(in crate::config) label: Option<Written<String>>,
    pub(in crate::config) matching: Option<Written<String>>,
    pub(in crate::config) interval: Option<Written<Duration>>,
    pub(in crate::config) access: AccessTable,
}

pub(super) fn read_load(mut table: Table<'_>) -> LoadTable {
    table.require("prometheus", "write `prometheus = [\"http://127.0.0.1:9090\"]`, or leave the table out");
    let prometheus = values(table.filled_list("prometheus", address::prometheus));
    let label = table.value("label", label);
    let matching = table.value("match", matchers);
    let interval = table.value("interval", |item| value::duration(item, &(Duration::from_secs(1)..=HOUR)));
    let access = super::access::read_access(&mut table);
    table.finish();
    LoadTable { prometheus, label, matching, interval, access }
}

fn label(item: &Item) -> Reading<String> {
    let text = value::text(item)?;
    let is_label = Selector::parse(&format!("x{{{text}=\"\"}}")).is_ok();
    if is_label { Ok(text) } else { Err(wrong(item, "a label, such as `\"instance\"`")) }
}

/// Matchers without the braces: `job=~"node|srs"`.
fn matchers(item: &Item) -> Reading<String> {
    let expected = "matchers such as `'job=~\"node|srs\"'`";
    let text = match &item.value {
        Value::String(text) => text.trim().trim_start_matches('{').trim_end_matches('}').to_owned(),
        _ => return Err(wrong(item, expected)),
    };
    let prefix = "x{";
    match Selector::parse(&format!("{prefix}{text}}}")) {
        Ok(_) => Ok(text),
        Err(error) => {
            let at = error.at.saturating_sub(prefix.len()).min(text.len());
            let (before, after) = text.split_at(at);
            Err(Wrong::new(format!("{} is no list of matchers", shown(item)))
                .help(format!("after `{before}`, before `{after}`: expected {}", error.expected)))
        }
    }
}
