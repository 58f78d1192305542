//! What a pool does when no node has room.
#![deny(clippy::disallowed_methods)]

use crate::diagnostic::Diagnostic;
use crate::name::Name;
use crate::pool::{Full, Overflow};

use super::defaults;
use super::file::{OverflowTable, PoolTable, ServiceTable};
use super::written::{Problems, Written};

const OVERFLOW: &str = "overflow";

/// What was said of it, or the default.
pub(super) fn resolve(pool: &PoolTable) -> Full {
    match (pool.full.as_ref().map(|full| full.value), &pool.overflow) {
        (Some("refuse"), _) => Full::Refuse,
        // Without a name there was an error, and nobody runs it.
        (Some(OVERFLOW), Some(overflow)) => overflow_of(&overflow.value).map_or(Full::Fill, Full::Overflow),
        _ => Full::Fill,
    }
}

fn overflow_of(table: &OverflowTable) -> Option<Overflow> {
    let OverflowTable { cname, addresses, above, cost } = table;
    Some(Overflow {
        cname: cname.as_ref()?.value.clone(),
        addresses: addresses.iter().map(|address| address.value).collect(),
        above: above.as_ref().map_or(defaults::OVERFLOW_ABOVE, |above| above.value),
        cost: cost.as_ref().map_or(defaults::OVERFLOW_COST, |cost| cost.value),
    })
}

/// Reports an overflow that leads nowhere, that nobody asked for, or that comes back to the pool.
pub(super) fn check(
    pool: &PoolTable,
    services: &[ServiceTable],
    is_of: impl Fn(&ServiceTable) -> bool,
    problems: &Problems,
) {
    let full = pool.full.as_ref().filter(|full| full.value == OVERFLOW);
    if let Some(full) = full
        && !pool.has_overflow
    {
        let help = "write `overflow = { cname = \"x.cdn.example.net\" }` in the pool";
        let message = "it is not said where viewers go whom the pool has no room for";
        problems.add_to(full, Diagnostic::error(message).help(help));
    }
    let Some(overflow) = &pool.overflow else { return };
    let is_unreadable = pool.has_full && pool.full.is_none();
    if full.is_none() && !is_unreadable {
        let message = format!("nobody is ever sent there: the pool `{}` does not overflow", pool.name.value);
        let help = "write `full = \"overflow\"` too, or take `overflow` away";
        problems.add_to(overflow, Diagnostic::error(message).help(help));
    }
    let Some(cname) = &overflow.value.cname else { return };
    let leads_back = |service: &&ServiceTable| is_of(service) && answers_for(&service.name, &cname.value);
    if let Some(service) = services.iter().find(leads_back) {
        let message = format!(
            "the overflow of the pool `{}` leads back to it, by the service `{}`",
            pool.name.value, service.name.value
        );
        let help = "name a host of somebody else, or a service of another pool";
        problems.add_to(cname, Diagnostic::error(message).help(help));
    }
}

fn answers_for(service: &Written<Name>, name: &Name) -> bool {
    let is_covered = || service.value.parent().is_some_and(|parent| *name != parent && name.is_at_or_below(&parent));
    service.value == *name || (service.value.is_wildcard() && is_covered())
}
