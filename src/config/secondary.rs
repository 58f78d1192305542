//! `zone.NAME.primaries`: zones that come from other servers in place of a file.
#![deny(clippy::disallowed_methods)]

use std::net::{IpAddr, SocketAddr};

use crate::diagnostic::Diagnostic;
use crate::name::Name;

use super::address::is_machine;
use super::file::ZoneTable;
use super::key::Key;
use super::table::Table;
use super::tree::Item;
use super::value::{self, Reading, Wrong, did_you_mean, shown, string, write, wrong};
use super::written::{Problems, Written};

/// A zone that comes from other servers.
#[derive(Debug, Clone)]
pub struct Secondary {
    /// The zone's apex.
    pub name: Name,
    /// Where it is to be had: the first that answers is taken.
    pub primaries: Vec<SocketAddr>,
    /// The key that messages to and from them are signed with.
    pub key: Option<Name>,
}

/// The keys of such a zone.
pub(super) struct SecondaryTable {
    primaries: Vec<Written<SocketAddr>>,
    key: Option<Written<Name>>,
}

/// Where a server is asked that is written without a port.
const PORT: u16 = 53;
/// More than anybody has; each is waited for in turn.
const MAX_PRIMARIES: usize = 16;

/// Takes the keys, if the zone has primaries.
pub(super) fn read(name: &Written<String>, table: &mut Table<'_>) -> Option<SecondaryTable> {
    if !table.has("primaries") {
        table.forbid("key", "`key` is for zones that come from `primaries`", "take it out, or write `primaries` too");
        return None;
    }
    let zone = &name.value;
    table.forbid(
        "file",
        &format!("the zone `{zone}` has `primaries`, so it has no `file`"),
        "keep one of the two: a file is read here, primaries are asked",
    );
    table.forbid(
        "dnssec",
        &format!("the zone `{zone}` has `primaries`, so it is served as it comes"),
        "sign it where it comes from, or give it a `file` here",
    );
    let primaries = table.filled_list("primaries", primary).map(|list| list.value).unwrap_or_default();
    if let Some(beyond) = primaries.get(MAX_PRIMARIES) {
        let message = format!("there are {} primaries, at most {MAX_PRIMARIES} are asked", primaries.len());
        table.problems().add_to(beyond, Diagnostic::error(message));
    }
    for (index, primary) in primaries.iter().enumerate() {
        if primaries[..index].iter().any(|earlier| earlier.value == primary.value) {
            let message = format!("the primary {} is there already", primary.value);
            table.problems().add_to(primary, Diagnostic::error(message));
        }
    }
    Some(SecondaryTable { primaries, key: table.value("key", value::name) })
}

/// An address of a server, perhaps with a port.
fn primary(item: &Item) -> Reading<SocketAddr> {
    let expected = "the address of a server";
    let help = "write it in numbers, such as `\"192.0.2.1\"` or `\"[2001:db8::1]:5353\"`; names are not looked up";
    let text = string(item, expected).map_err(|wrong| wrong.help(help))?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    let address: SocketAddr = with_port.or_else(|_| text.parse()).map_err(|_| wrong(item, expected).help(help))?;
    match address {
        _ if !is_machine(address.ip()) => Err(Wrong::new(format!("{} is no server's address", shown(item))).help(help)),
        _ if address.port() == 0 => Err(wrong(item, expected).help(write(address.ip().to_string()))),
        _ => Ok(address),
    }
}

/// Reports keys that are not there.
pub(super) fn check(zones: &[ZoneTable], keys: &[Written<Key>], problems: &Problems) {
    let names: Vec<String> = keys.iter().map(|key| key.value.name.to_string()).collect();
    for key in zones.iter().filter_map(|zone| zone.primaries.as_ref()?.key.as_ref()) {
        if keys.iter().all(|known| known.value.name != key.value) {
            let message = format!("the key {} is not there", key.value);
            let meant = did_you_mean(&key.value.to_string(), names.iter().map(String::as_str));
            let help = meant.unwrap_or_else(|| format!("write `[key.\"{}\"]` with its secret", key.value));
            problems.add_to(key, Diagnostic::error(message).help(help));
        }
    }
}

/// The zone, if it comes from other servers.
pub(super) fn resolve(zone: &ZoneTable) -> Option<Written<Secondary>> {
    let SecondaryTable { primaries, key } = zone.primaries.as_ref()?;
    Some(zone.name.clone().map(|name| Secondary {
        name,
        primaries: primaries.iter().map(|primary| primary.value).collect(),
        key: key.as_ref().map(|key| key.value.clone()),
    }))
}
