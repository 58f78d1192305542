//! What was written of pools and services.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::config::address;
use crate::config::ice::{self, IceTable};
use crate::config::redirect::{self, RedirectTable};
use crate::config::table::Table;
use crate::config::value;
use crate::config::written::{Place, Problems, Written};
use crate::diagnostic::Diagnostic;
use crate::name::Name;
use crate::pool::{Bitrate, Check, MAX_ANSWERS, Policy, Template};

use super::{HOUR, read_name, values};

/// One word of a few.
pub(in crate::config) type Word = Option<Written<&'static str>>;

/// `[pool.NAME]`.
pub(in crate::config) struct PoolTable {
    pub(in crate::config) name: Written<String>,
    /// None = they were wrong, so that nobody knows what they should be.
    pub(in crate::config) select: Option<BTreeMap<String, String>>,
    /// Where `select` stands, or else the pool.
    pub(in crate::config) select_place: Place,
    pub(in crate::config) policy: PolicyTable,
    pub(in crate::config) viewer: ViewerTable,
    pub(in crate::config) currency: Word,
    pub(in crate::config) full: Word,
    /// Whether `full` is there, be it a wrong one.
    pub(in crate::config) has_full: bool,
    /// At its key.
    pub(in crate::config) overflow: Option<Written<OverflowTable>>,
    /// Whether `overflow` is there, be it a wrong one.
    pub(in crate::config) has_overflow: bool,
    pub(in crate::config) saturation: Word,
    pub(in crate::config) check: Option<Written<Vec<Written<Check>>>>,
    pub(in crate::config) urls: Vec<(String, Template)>,
}

/// How nodes are chosen, of a pool or a service.
#[derive(Default)]
pub(in crate::config) struct PolicyTable {
    pub(in crate::config) word: Word,
    /// Whether `policy` is there, be it a wrong one.
    pub(in crate::config) has_word: bool,
    pub(in crate::config) key: Word,
    pub(in crate::config) bound: Option<Written<f64>>,
}

/// `pool.viewer`.
#[derive(Default)]
pub(in crate::config) struct ViewerTable {
    pub(in crate::config) bitrate: Option<Written<Bitrate>>,
    pub(in crate::config) stays: Option<Written<Duration>>,
}

/// `pool.overflow`; a missing name has been reported.
pub(in crate::config) struct OverflowTable {
    pub(in crate::config) cname: Option<Written<Name>>,
    pub(in crate::config) addresses: Vec<Written<IpAddr>>,
    pub(in crate::config) above: Option<Written<f64>>,
    pub(in crate::config) cost: Option<Written<f64>>,
}

/// `[service."NAME"]`.
pub(in crate::config) struct ServiceTable {
    pub(in crate::config) name: Written<Name>,
    pub(in crate::config) pool: Option<Written<String>>,
    /// Whether `pool` is there, be it a wrong one.
    pub(in crate::config) has_pool: bool,
    /// None inside = `"auto"`.
    pub(in crate::config) answers: Option<Written<Option<u32>>>,
    pub(in crate::config) ttl_min: Option<Written<u32>>,
    pub(in crate::config) ttl_max: Option<Written<u32>>,
    pub(in crate::config) policy: PolicyTable,
    /// Areas, as words.
    pub(in crate::config) within: Vec<Written<String>>,
    pub(in crate::config) redirect: Option<RedirectTable>,
    pub(in crate::config) ice: Option<IceTable>,
}

pub(super) fn read_pool(name: Written<String>, mut table: Table<'_>) -> PoolTable {
    let select_place = table.key_place("select").unwrap_or(table.place()).clone();
    let overflow_place = table.key_place("overflow").cloned();
    let pool = PoolTable {
        name,
        select: table.texts("select"),
        select_place,
        policy: read_policy(&mut table),
        viewer: table.table("viewer", "pool.viewer").map(read_viewer).unwrap_or_default(),
        currency: table.word("currency", &["egress", "clients"]),
        has_full: table.has("full"),
        full: table.word("full", &["fill", "overflow", "refuse"]),
        has_overflow: overflow_place.is_some(),
        overflow: table
            .table("overflow", "pool.overflow")
            .map(read_overflow)
            .zip(overflow_place)
            .map(|(overflow, place)| Written::at(&place, overflow)),
        saturation: table.word("saturation", &["alarm", "clip"]),
        check: table.one_or_more("check", address::check),
        urls: table.table("urls", "pool.urls").map(read_urls).unwrap_or_default(),
    };
    table.finish();
    pool
}

fn read_urls(mut table: Table<'_>) -> Vec<(String, Template)> {
    let known = Template::PROTOCOLS.into_iter();
    let url = |protocol: &'static str| Some((protocol.to_owned(), table.value(protocol, value::template)?.value));
    let urls = known.filter_map(url).collect();
    table.finish();
    urls
}

fn read_policy(table: &mut Table<'_>) -> PolicyTable {
    PolicyTable {
        has_word: table.has("policy"),
        word: table.word("policy", &Policy::WORDS),
        key: table.word("key", &["label", "name", "client"]),
        bound: table.value("bound", value::bound),
    }
}

fn read_viewer(mut table: Table<'_>) -> ViewerTable {
    let bitrate = table.value("bitrate", value::bitrate);
    let stays = table.value("stays", |item| value::duration(item, &(Duration::from_secs(10)..=24 * HOUR)));
    table.finish();
    ViewerTable { bitrate, stays }
}

fn read_overflow(mut table: Table<'_>) -> OverflowTable {
    table.require("cname", "write `cname = \"x.cdn.example.net\"`: the name that viewers are sent to");
    let overflow = OverflowTable {
        cname: table.value("cname", value::name),
        addresses: values(table.list("addresses", address::of_node)),
        above: table.value("above", value::fraction),
        cost: table.value("cost", value::milliseconds),
    };
    table.finish();
    overflow
}

pub(super) fn read_service(name: &Written<String>, mut table: Table<'_>, problems: &Problems) -> Option<ServiceTable> {
    let has_pool = table.has("pool");
    let pool = table.value("pool", value::text);
    let answers = table.value("answers", |item| value::auto_or_whole(item, &(1..=MAX_ANSWERS as u32)));
    let (mut ttl_min, mut ttl_max) = (None, None);
    if let Some(mut ttl) = table.table("ttl", "service.ttl") {
        ttl_min = ttl.value("min", value::ttl);
        ttl_max = ttl.value("max", value::ttl);
        ttl.finish();
    }
    let policy = read_policy(&mut table);
    let within = values(table.list("within", value::area));
    let redirect = table.table("redirect", "service.redirect").map(redirect::read);
    let ice = table.table("ice", "service.ice").map(ice::read);
    table.finish();
    let name = read_name(name, problems)?;
    if name.value.wire()[usize::from(name.value.is_wildcard()) * 2..].contains(&b'*') {
        let help = "an asterisk may be the whole leftmost label only, as in `*.room.live.example`";
        problems.add_to(&name, Diagnostic::error("the asterisk does not stand alone in front").help(help));
    }
    Some(ServiceTable { name, pool, has_pool, answers, ttl_min, ttl_max, policy, within, redirect, ice })
}
