//! How exporters are reached, among the inputs: the files that accesses name, and names that would be looked up through
//! this server itself.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;

use hyper::Uri;

use super::{Loader, read_file};
use crate::config::{Config, Written};
use crate::feed::credentials::{Credentials, Keyring};
use crate::name::Name;
use crate::pool::{Check, Node};
use crate::snapshot::Zones;

/// Where the system's resolver reads which nameservers it asks.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The nameservers of that file that count (resolv.conf(5), MAXNS).
const MAX_NAMESERVERS: usize = 3;
/// The port of nameservers in that file.
const PORT: u16 = 53;

impl Loader {
    /// Reads the files that accesses name; where one is broken, what was read before is kept.
    pub(super) fn read_accesses(&mut self, config: &Config, previous: Option<&Keyring>) -> Keyring {
        let mut keyring = Keyring::default();
        for written in &config.accesses {
            let before = previous.and_then(|keyring| keyring.of(&written.value));
            let read = Credentials::read(&written.value, before.as_deref(), |path| {
                let path = self.directory.join(path);
                self.watched.take(&path);
                let octets = read_file(&path);
                (&path, octets.as_ref().ok()).hash(&mut self.hasher);
                (path, octets)
            });
            match read {
                Ok(credentials) => keyring.put(Arc::clone(&written.value), Arc::new(credentials)),
                Err(problems) => {
                    let what_now = match &before {
                        Some(_) => "exporters that are reached so are asked with what was read before",
                        None => "exporters that are reached so are not asked",
                    };
                    let problems = problems.into_iter().map(|problem| problem.note(used_by(written, what_now)));
                    self.diagnostics.extend(problems);
                    if let Some(before) = before {
                        keyring.put(Arc::clone(&written.value), before);
                    }
                }
            }
        }
        keyring
    }

    /// Warns of exporters whose names this server would be asked for: without it, it could not read them at its start.
    pub(super) fn warn_of_own_names(&mut self, config: &Config, zones: &Zones) {
        let named: Vec<_> =
            config.nodes.iter().flat_map(|node| hosts(&node.value).map(move |host| (node, host))).collect();
        if named.is_empty() {
            return;
        }
        let mut told = BTreeSet::new();
        for (node, host) in &named {
            let Ok(name) = Name::parse(host, None) else { continue };
            if let Some(zone) = zones.iter().find(|zone| name.is_at_or_below(zone.apex()))
                && told.insert(zone.apex().clone())
            {
                let message = format!("`{host}` is in the zone `{}`, which this server answers for", zone.apex());
                self.diagnostics.push(node.warning(message).help(REMEDY));
            }
        }
        let listens: Vec<_> = config.server.dns.iter().map(|listen| listen.value).collect();
        let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
        let own = nameservers(&text).find(|nameserver| {
            listens.iter().any(|listen| {
                let is_any = listen.ip().is_unspecified() && listen.is_ipv4() == nameserver.is_ipv4();
                listen.port() == PORT && (listen.ip() == *nameserver || (is_any && is_ours(*nameserver)))
            })
        });
        if let (Some(own), Some((node, host))) = (own, named.first()) {
            let message = format!("`{host}` is looked up by {own}, as {RESOLV_CONF} has it, and that is this server");
            self.diagnostics.push(node.warning(message).help(REMEDY));
        }
    }
}

const REMEDY: &str = "write addresses in the URLs of exporters and checks, such as `http://{address}:9100/metrics`";

fn used_by<T>(access: &Written<T>, what_now: &str) -> String {
    format!("named by the access{}; {what_now}", access.in_line())
}

/// The names of hosts that a node's exporters and check are asked at; addresses are none.
fn hosts(node: &Node) -> impl Iterator<Item = String> {
    let check = match &node.check {
        Some(Check::Http(url)) => Some(url),
        Some(Check::Tcp(_)) | None => None,
    };
    let urls = node.exporters.iter().map(|exporter| &exporter.url).chain(check);
    let hosts = urls.filter_map(|url| {
        let uri: Uri = url.parse().ok()?;
        let host = uri.host()?;
        let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
        (!is_address && !host.eq_ignore_ascii_case("localhost")).then(|| host.to_owned())
    });
    hosts.collect::<Vec<_>>().into_iter()
}

/// The nameservers of a resolv.conf.
fn nameservers(text: &str) -> impl Iterator<Item = IpAddr> {
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("nameserver"));
    let addresses = lines.filter_map(|rest| rest.split_whitespace().next()?.split('%').next()?.parse().ok());
    addresses.take(MAX_NAMESERVERS)
}

/// Whether an address is one of this machine, other than that of systemd-resolved.
fn is_ours(address: IpAddr) -> bool {
    let is_stub = matches!(address, IpAddr::V4(v4) if [[127, 0, 0, 53], [127, 0, 0, 54]].contains(&v4.octets()));
    !is_stub && UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameservers_are_read_as_the_system_reads_them() {
        let text = "# nameserver 192.0.2.9\nsearch example\nnameserver 127.0.0.1\n nameserver\t::1 # here\nnameserver x\nnameserver fe80::1%eth0\nnameserver 192.0.2.1\n";
        let found: Vec<String> = nameservers(text).map(|address| address.to_string()).collect();
        assert_eq!(found, ["127.0.0.1", "::1", "fe80::1"]);
    }

    #[test]
    fn this_machine_has_loopback_and_not_the_stub_of_the_system() {
        assert!(is_ours([127, 0, 0, 1].into()));
        assert!(!is_ours([127, 0, 0, 53].into()) && !is_ours([192, 0, 2, 1].into()));
    }
}
