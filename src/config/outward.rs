//! `[zone."NAME"] transfer` and `notify`: who may have a zone whole, and who is told that it has changed.
#![deny(clippy::disallowed_methods)]

use std::net::{IpAddr, SocketAddr};

use crate::diagnostic::{Diagnostic, nearest};
use crate::geo::Prefix;
use crate::name::Name;

use super::defaults;
use super::key::Key;
use super::table::Table;
use super::tree::Item;
use super::value::{self, Reading, string, wrong};
use super::written::{Problems, Written};

/// A zone that goes out to other nameservers.
#[derive(Debug, Clone)]
pub struct Outward {
    /// The zone's apex.
    pub zone: Name,
    /// Who may have it whole: whoever one of these fits; nobody if there are none.
    pub allow: Vec<Written<Allow>>,
    /// Who is told of changes.
    pub notify: Vec<Written<Notified>>,
}

/// Somebody who may have a zone: all that is said of it must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    /// Where it comes from; anywhere if that is not said.
    pub from: Option<Prefix>,
    /// The key that signs its queries; none is needed if that is not said.
    pub key: Option<Name>,
}

/// A nameserver that is told of changes (RFC 1996).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notified {
    /// Where it listens.
    pub address: SocketAddr,
    /// The key that the message is signed with.
    pub key: Option<Name>,
}

/// How a key is told from an address.
const KEY: &str = "key:";
/// The most of each list.
const MOST: usize = 64;

/// Takes the keys of the table.
pub(super) fn read(zone: &Name, table: &mut Table<'_>, problems: &Problems) -> Option<Outward> {
    let has_transfer = table.has("transfer");
    let allow = table.table("transfer", "zone.transfer").map(|mut transfer| {
        transfer.require("allow", "write `allow = [\"192.0.2.53\", \"key:NAME\"]`");
        let allow = transfer.list("allow", read_allow);
        transfer.finish();
        allow.map(|list| list.value).unwrap_or_default()
    });
    let has_notify = table.has("notify");
    let notify = table.list("notify", read_notified).map(|list| list.value).unwrap_or_default();
    for list in [
        allow.as_ref().and_then(|allow| allow.get(MOST)).map(|beyond| &beyond.place),
        notify.get(MOST).map(|beyond| &beyond.place),
    ]
    .into_iter()
    .flatten()
    .flatten()
    {
        problems.error(list, format!("more than {MOST} are not allowed"));
    }
    let allow = allow.unwrap_or_default();
    (has_transfer || has_notify).then(|| Outward { zone: zone.clone(), allow, notify })
}

fn read_allow(item: &Item) -> Reading<Allow> {
    let expected = "an address, a prefix, `key:NAME`, or an address or prefix and a key with a blank between";
    let text = string(item, expected)?;
    let mut allow = Allow { from: None, key: None };
    for word in text.split_whitespace() {
        match word.strip_prefix(KEY) {
            Some(name) if allow.key.is_none() => allow.key = Some(value::domain_name(name)?),
            None if allow.from.is_none() => {
                let host = word
                    .parse()
                    .ok()
                    .map(|address: IpAddr| Prefix::of(address, if address.is_ipv4() { 32 } else { 128 }));
                let Some(prefix) = host.or_else(|| word.parse().ok()) else { return Err(wrong(item, expected)) };
                allow.from = Some(prefix.to_canonical());
            }
            _ => return Err(wrong(item, expected)),
        }
    }
    if allow.from.is_none() && allow.key.is_none() { Err(wrong(item, expected)) } else { Ok(allow) }
}

fn read_notified(item: &Item) -> Reading<Notified> {
    let expected = "an address, with a port if that is not 53, and `key:NAME` behind a blank if it wants one";
    let text = string(item, expected)?;
    let mut words = text.split_whitespace();
    let address = words.next().and_then(|word| {
        let bare = word.parse().ok().map(|address: IpAddr| SocketAddr::new(address, defaults::DNS_PORT));
        bare.or_else(|| word.parse().ok())
    });
    let address = address.filter(|address| !address.ip().is_unspecified() && address.port() != 0);
    let Some(address) = address else { return Err(wrong(item, expected)) };
    let key = match words.next() {
        Some(word) => {
            let Some(name) = word.strip_prefix(KEY) else { return Err(wrong(item, expected)) };
            Some(value::domain_name(name)?)
        }
        None => None,
    };
    if words.next().is_some() { Err(wrong(item, expected)) } else { Ok(Notified { address, key }) }
}

/// Reports keys that nobody has, and zones that nobody may have but everybody.
pub(super) fn check<'o>(all: impl Iterator<Item = &'o Outward>, keys: &[Written<Key>], problems: &Problems) {
    let names: Vec<String> = keys.iter().map(|key| key.value.name.to_string()).collect();
    let known = |name: &Name| keys.iter().any(|key| key.value.name == *name);
    for Outward { zone, allow, notify } in all {
        let wanted = allow
            .iter()
            .map(|written| (written.value.key.as_ref(), &written.place))
            .chain(notify.iter().map(|written| (written.value.key.as_ref(), &written.place)));
        for (key, place) in wanted {
            if let (Some(key), Some(place)) = (key.filter(|key| !known(key)), place) {
                let meant = nearest(&key.to_string(), names.iter().map(String::as_str));
                let help = match meant {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("write it: `[key.\"{key}\"]` with a `secret_file`"),
                };
                problems.add(place, Diagnostic::error(format!("there is no key {key}")).help(help));
            }
        }
        for written in allow {
            if written.value.from.is_some_and(|from| from.length() == 0) && written.value.key.is_none() {
                let message = format!("anybody may have the zone {zone} whole");
                let help = "name the addresses of its secondaries, or a key";
                problems.add_to(written, Diagnostic::warning(message).help(help));
            }
        }
    }
}
