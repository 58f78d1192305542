//! What was written of how things are reached over HTTP: `[scrape]`, and in the table of each exporter.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::{HeaderName, HeaderValue};

use crate::config::address;
use crate::config::table::{Table, ValueOrTable};
use crate::config::tree::{Item, Value};
use crate::config::value::{self, Reading, Wrong, shown, wrong};
use crate::config::written::{Place, Problems, Written};

/// `node.exporters.NAME`.
#[derive(Debug, Clone, Default)]
pub(in crate::config) struct ExporterTable {
    pub(in crate::config) url: Option<Written<String>>,
    /// Whether `url` is there, be it a wrong one.
    pub(in crate::config) has_url: bool,
    pub(in crate::config) access: AccessTable,
}

/// The keys of an access, wherever they stand.
#[derive(Debug, Clone, Default)]
pub(in crate::config) struct AccessTable {
    /// Of the table; none if there is none.
    pub(in crate::config) place: Option<Place>,
    pub(in crate::config) bearer_file: Option<Written<PathBuf>>,
    pub(in crate::config) basic: Option<Written<BasicTable>>,
    pub(in crate::config) ca: Option<Written<PathBuf>>,
    pub(in crate::config) certificate: Option<Written<PathBuf>>,
    pub(in crate::config) key: Option<Written<PathBuf>>,
    pub(in crate::config) server_name: Option<Written<String>>,
    pub(in crate::config) insecure_skip_verify: Option<Written<bool>>,
    pub(in crate::config) params: BTreeMap<String, Vec<String>>,
    pub(in crate::config) headers: BTreeMap<String, String>,
}

impl AccessTable {
    /// Whether any of its keys is there.
    pub(in crate::config) fn says_anything(&self) -> bool {
        let Self {
            place: _,
            bearer_file,
            basic,
            ca,
            certificate,
            key,
            server_name,
            insecure_skip_verify,
            params,
            headers,
        } = self;
        let files = [bearer_file, ca, certificate, key];
        files.into_iter().any(Option::is_some)
            || basic.is_some()
            || server_name.is_some()
            || insecure_skip_verify.is_some()
            || !params.is_empty()
            || !headers.is_empty()
    }
}

/// `basic`; what is missing has been reported.
#[derive(Debug, Clone)]
pub(in crate::config) struct BasicTable {
    pub(in crate::config) user: Option<Written<String>>,
    pub(in crate::config) password_file: Option<Written<PathBuf>>,
}

/// Exporters of these presets: each a URL alone, or in a table with how it is reached.
pub(super) fn read_exporters(table: &mut Table<'_>, presets: &[String]) -> Vec<(Written<String>, ExporterTable)> {
    let written = table.values_or_tables(presets, "node.exporters.exporter", address::exporter);
    let exporters = written.into_iter().map(|(preset, exporter)| match exporter {
        ValueOrTable::Value(url) => {
            (preset, ExporterTable { url: Some(url), has_url: true, access: AccessTable::default() })
        }
        ValueOrTable::Table(mut table) => {
            let has_url = table.has("url");
            let url = table.value("url", address::exporter);
            let access = read_access(&mut table);
            table.finish();
            (preset, ExporterTable { url, has_url, access })
        }
    });
    exporters.collect()
}

/// `[scrape]`: what all exporters have in common.
pub(super) fn read_scrape(mut table: Table<'_>) -> AccessTable {
    table.forbid("url", "a URL cannot be common to all", "write it in `exporters` of `[defaults.node]` or of a node");
    let access = read_access(&mut table);
    table.finish();
    access
}

/// Takes the keys of an access from a table that may have others.
pub(in crate::config) fn read_access(table: &mut Table<'_>) -> AccessTable {
    let problems = table.problems();
    let place = table.place().clone();
    let basic_place = table.key_place("basic").cloned();
    let basic = table.table("basic", "access.basic").map(read_basic);
    AccessTable {
        place: Some(place),
        bearer_file: table.value("bearer_file", value::path),
        basic: basic.zip(basic_place).map(|(basic, place)| Written::at(&place, basic)),
        ca: table.value("ca", value::path),
        certificate: table.value("certificate", value::path),
        key: table.value("key", value::path),
        server_name: table.value("server_name", address::server_name),
        insecure_skip_verify: table.value("insecure_skip_verify", value::boolean),
        params: read_params(table.table("params", "access.params"), problems),
        headers: read_headers(table.table("headers", "access.headers"), problems),
    }
}

fn read_basic(mut table: Table<'_>) -> BasicTable {
    table.require("user", "write `user = \"…\"`");
    table.require("password_file", "name the file that holds the password");
    table.forbid(
        "password",
        "a password does not belong into the configuration",
        "write it into a file that only the server may read, and name that as `password_file`",
    );
    let user = table.value("user", user);
    let password_file = table.value("password_file", value::path);
    table.finish();
    BasicTable { user, password_file }
}

fn user(item: &Item) -> Reading<String> {
    let user = value::text(item)?;
    // RFC 7617 §2: the first colon ends the user's name.
    if user.contains(':') || user.chars().any(char::is_control) {
        return Err(Wrong::new(format!("{} is no user's name: it has a colon or a control character", shown(item))));
    }
    Ok(user)
}

fn read_params(table: Option<Table<'_>>, problems: &Problems) -> BTreeMap<String, Vec<String>> {
    let mut params = BTreeMap::new();
    for (name, item) in table.map(Table::free_keys).unwrap_or_default() {
        let values: Vec<Reading<String>> = match &item.value {
            Value::Array(items) => items.iter().map(value::text).collect(),
            _ => vec![value::text(&item)],
        };
        match values.into_iter().collect() {
            Ok(values) => drop(params.insert(name.value, values)),
            Err(wrong) => problems.add(&item.place, wrong),
        }
    }
    params
}

fn read_headers(table: Option<Table<'_>>, problems: &Problems) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, item) in table.map(Table::free_keys).unwrap_or_default() {
        if let Err(wrong) = header_name(&name.value) {
            problems.add_to(&name, wrong);
            continue;
        }
        match value::text(&item).and_then(|text| header_value(&item, text)) {
            // RFC 9110 §5.1: case makes no difference.
            Ok(text) => drop(headers.insert(name.value.to_ascii_lowercase(), text)),
            Err(wrong) => problems.add(&item.place, wrong),
        }
    }
    headers
}

fn header_name(name: &str) -> Reading<()> {
    /// Those that the client sets itself, and those that belong to the connection (RFC 9110 §7.6.1).
    const OURS: [&str; 12] = [
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-prometheus-scrape-timeout-seconds",
    ];
    let lower = name.to_ascii_lowercase();
    if lower == "authorization" || lower == "proxy-authorization" {
        let help =
            "name the file of the token as `bearer_file`, or write `basic = { user = \"…\", password_file = \"…\" }`";
        return Err(Wrong::new(format!("`{name}` is not set as a header")).help(help));
    }
    if OURS.contains(&lower.as_str()) {
        return Err(Wrong::new(format!("`{name}` is set by the server itself")));
    }
    match HeaderName::try_from(name) {
        Ok(_) => Ok(()),
        Err(_) => Err(Wrong::new(format!("`{}` is not the name of a header", name.escape_debug()))),
    }
}

fn header_value(item: &Item, text: String) -> Reading<String> {
    match HeaderValue::try_from(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(wrong(item, "the value of a header: it has control characters")),
    }
}
