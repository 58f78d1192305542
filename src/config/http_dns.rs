//! `server.http_dns` and `server.trusted_proxies`: who may ask over HTTP, for whom, and how often.
#![deny(clippy::disallowed_methods)]

use std::path::PathBuf;

use crate::geo::Prefix;

use super::table::Table;
use super::tree::Item;
use super::value::{self, Wrong};
use super::written::Written;
use super::{Ice, RateLimit, RateLimitMode, Redirect};

/// Requests a second from one network: a household of viewers who zap, or a busy office.
const PER_SECOND: u32 = 50;

/// What the doors for viewers on the public HTTP listeners go by; shared with the snapshots.
#[derive(Debug, Clone)]
pub struct HttpDns {
    /// Networks of proxies that are believed whose request they pass on.
    pub trusted_proxies: Box<[Prefix]>,
    /// Requests to one network, in each second; beyond that they are refused.
    pub rate_limit: RateLimit,
    /// Origins of pages that may read answers (`https://player.example`); `*` = all.
    pub origins: Box<[String]>,
    /// The file of secrets by which requests are signed for others, as written.
    pub secrets: Option<Written<PathBuf>>,
    /// Hosts at which requests are sent on.
    pub redirects: Box<[Redirect]>,
    /// What browsers are told of TURN servers.
    pub ice: Box<[Ice]>,
}

impl HttpDns {
    /// Whether the other says the same, but for secrets.
    pub fn is_same(&self, other: &Self) -> bool {
        let Self { trusted_proxies, rate_limit, origins, secrets: _, redirects, ice } = self;
        (trusted_proxies, rate_limit, origins) == (&other.trusted_proxies, &other.rate_limit, &other.origins)
            && *redirects == other.redirects
            && format!("{ice:?}") == format!("{:?}", other.ice)
    }
}

/// As without the tables.
impl Default for HttpDns {
    fn default() -> Self {
        resolve(Vec::new(), HttpDnsTable::default(), Box::default(), Box::default())
    }
}

/// The table.
#[derive(Default)]
pub(super) struct HttpDnsTable {
    per_second: Option<Written<u32>>,
    exempt: Vec<Written<Prefix>>,
    cors: Option<Written<Vec<Written<String>>>>,
    secrets: Option<Written<PathBuf>>,
}

pub(super) fn read(mut table: Table<'_>) -> HttpDnsTable {
    let read = HttpDnsTable {
        per_second: table.value("per_second", |item| value::whole(item, &(1..=100_000))),
        exempt: table.list("exempt", value::prefix).map(|list| list.value).unwrap_or_default(),
        cors: table.list("cors", origin),
        secrets: table.value("secrets", value::path),
    };
    table.finish();
    read
}

/// An origin as browsers send it (RFC 6454 §6.2), or all of them.
fn origin(item: &Item) -> Result<String, Wrong> {
    let text = value::text(item)?;
    let host = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', ' ', '@']));
    if text == "*" || (is_origin && text.chars().all(|c| c.is_ascii_graphic() && !c.is_ascii_uppercase())) {
        return Ok(text);
    }
    let wrong = Wrong::new(format!("`{text}` is no origin of a page"));
    Err(wrong.help(
        "write `\"https://player.example\"`: scheme, host and port if it is not the usual one; or `\"*\"` for all",
    ))
}

pub(super) fn resolve(
    trusted_proxies: Vec<Written<Prefix>>,
    table: HttpDnsTable,
    redirects: Box<[Redirect]>,
    ice: Box<[Ice]>,
) -> HttpDns {
    let HttpDnsTable { per_second, exempt, cors, secrets } = table;
    let prefixes = |list: Vec<Written<Prefix>>| list.into_iter().map(|prefix| prefix.value.to_canonical());
    let trusted_proxies: Box<[Prefix]> = prefixes(trusted_proxies).collect();
    let exempt = prefixes(exempt).collect();
    HttpDns {
        trusted_proxies,
        rate_limit: RateLimit {
            mode: RateLimitMode::On,
            per_second: per_second.map_or(PER_SECOND, |rate| rate.value),
            slip: 0,
            exempt,
        },
        origins: cors.map(|list| list.value).unwrap_or_default().into_iter().map(|origin| origin.value).collect(),
        secrets,
        redirects,
        ice,
    }
}
