//! `service.redirect`: host names at which any request is sent on to the node of whoever asks.
#![deny(clippy::disallowed_methods)]

use crate::diagnostic::Diagnostic;
use crate::name::Name;
use crate::pool::Template;

use super::file::ServiceTable;
use super::table::Table;
use super::value;
use super::written::{Problems, Written};

/// What stands before a path on a node, if nothing else is said.
const TO: &str = "http://{address}";

/// Requests for a host that are sent on.
#[derive(Debug, Clone, PartialEq)]
pub struct Redirect {
    /// The host.
    pub host: Name,
    /// The service whose nodes they go to.
    pub service: Name,
    /// What stands before the same path and query there.
    pub to: Template,
}

/// `service.redirect`.
pub(super) struct RedirectTable {
    host: Option<Written<Name>>,
    to: Option<Written<Template>>,
}

pub(super) fn read(mut table: Table<'_>) -> RedirectTable {
    table.require("host", "write `host = \"go.live.example\"`: the name that is set aside for it");
    let redirect = RedirectTable { host: table.value("host", value::name), to: table.value("to", value::template) };
    table.finish();
    redirect
}

/// Reports what cannot be, or would go round.
pub(super) fn check(services: &[ServiceTable], problems: &Problems) {
    let all = || services.iter().filter_map(|service| Some((service, service.redirect.as_ref()?)));
    for (index, (service, redirect)) in all().enumerate() {
        if service.name.value.is_wildcard() {
            let error =
                Diagnostic::error(format!("`{}` is many names, and a redirect is to one service", service.name.value));
            problems.add_to(
                &service.name,
                error.help("give a service with one name the redirect; rooms are told by the path"),
            );
        }
        let Some(host) = &redirect.host else { continue };
        if all().take(index).any(|(_, other)| other.host.as_ref().is_some_and(|other| other.value == host.value)) {
            problems.add_to(host, Diagnostic::error(format!("`{}` is sent on by another service already", host.value)));
        }
        let Some(to) = &redirect.to else { continue };
        let target = to.value.fill(|_| "node".to_owned());
        let (_, rest) = target.split_once("://").unwrap_or_default();
        let named = rest.split(['/', ':']).next().unwrap_or_default();
        let is_ours = |host: &Written<Name>| host.value.to_string().trim_end_matches('.').eq_ignore_ascii_case(named);
        if all().any(|(_, redirect)| redirect.host.as_ref().is_some_and(is_ours)) {
            let error =
                Diagnostic::error(format!("`{named}` is a host that is sent on itself: requests would go round"));
            problems.add_to(to, error.help("write `to = \"http://{address}:8080\"`"));
        }
        if !target.starts_with("http://") && !target.starts_with("https://") || rest.contains('/') || named.is_empty() {
            let error = Diagnostic::error("a redirect goes to a scheme and a host of HTTP, and keeps the path");
            problems.add_to(to, error.help("write `to = \"http://{address}:8080\"`"));
        }
    }
}

/// Those of all services.
pub(super) fn resolve(services: &[ServiceTable]) -> Box<[Redirect]> {
    let redirects = services.iter().filter_map(|service| {
        let RedirectTable { host, to } = service.redirect.as_ref()?;
        let to = to.as_ref().map(|to| to.value.clone()).or_else(|| Template::parse(TO).ok())?;
        Some(Redirect { host: host.as_ref()?.value.clone(), service: service.name.value.clone(), to })
    });
    redirects.collect()
}
