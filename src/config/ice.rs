//! `service.ice`: how browsers reach the TURN servers of a service, with credentials for a time.
#![deny(clippy::disallowed_methods)]

use std::path::PathBuf;
use std::time::Duration;

use crate::name::Name;
use crate::pool::Template;

use super::file::ServiceTable;
use super::table::Table;
use super::value;
use super::written::Written;

/// How long credentials count, if nothing else is said: longer than a call.
const TTL: Duration = Duration::from_secs(12 * 3_600);

/// What browsers are told of TURN servers.
#[derive(Debug, Clone)]
pub struct Ice {
    /// The service whose nodes they are.
    pub service: Name,
    /// Their URIs (RFC 7065), for each node.
    pub urls: Vec<Template>,
    /// How long credentials count.
    pub ttl: Duration,
    /// The file of the secret that they share (`static-auth-secret` of coturn), as written.
    pub secret: Written<PathBuf>,
    /// Anybody gets credentials, not only who comes with a signature or by a trusted proxy.
    pub is_open: bool,
}

/// `service.ice`; what is missing has been reported.
pub(super) struct IceTable {
    secret: Option<Written<PathBuf>>,
    urls: Option<Written<Vec<Written<Template>>>>,
    ttl: Option<Written<Duration>>,
    open: Option<Written<bool>>,
}

pub(super) fn read(mut table: Table<'_>) -> IceTable {
    table.require(
        "secret_file",
        "name the file with the secret that the TURN servers have (coturn: `static-auth-secret`)",
    );
    table.require("urls", "write `urls = [\"turn:{address}:3478?transport=udp\"]`");
    let ice = IceTable {
        secret: table.value("secret_file", value::path),
        urls: table.filled_list("urls", value::template),
        ttl: table
            .value("ttl", |item| value::duration(item, &(Duration::from_secs(60)..=Duration::from_secs(7 * 86_400)))),
        open: table.value("open", value::boolean),
    };
    table.finish();
    ice
}

/// Those of all services.
pub(super) fn resolve(services: &[ServiceTable]) -> Box<[Ice]> {
    let all = services.iter().filter_map(|service| {
        let IceTable { secret, urls, ttl, open } = service.ice.as_ref()?;
        Some(Ice {
            service: service.name.value.clone(),
            urls: urls.as_ref()?.value.iter().map(|url| url.value.clone()).collect(),
            ttl: ttl.as_ref().map_or(TTL, |ttl| ttl.value),
            secret: secret.clone()?,
            is_open: open.as_ref().is_some_and(|open| open.value),
        })
    });
    all.collect()
}
