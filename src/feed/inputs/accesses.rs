//! How exporters are reached, among the inputs: the files that accesses name, and names that would be looked up through
//! this server itself.

use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use hyper::Uri;

use super::{Loader, read_file, shown};
use crate::config::Config;
use crate::diagnostic::Diagnostic;
use crate::feed::credentials::{Credentials, Keyring};
use crate::name::Name;
use crate::pool::{Check, Node, Whence};
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
        // Accesses share files; what is wrong with one is told once.
        let mut told = BTreeSet::new();
        for written in &config.accesses {
            let before = previous.and_then(|keyring| keyring.of(&written.value));
            let what_now = match &before {
                Some(_) => "until then what was read before is used",
                None => "until then nobody is asked who needs it",
            };
            let mut unreadable = Vec::new();
            let read = Credentials::read(&written.value, before.as_deref(), |path| {
                self.read_named(path).map_err(|message| unreadable.push(message)).ok()
            });
            for message in unreadable {
                if told.insert(message.clone()) {
                    let help = "the user whom the server runs as must be able to read it";
                    self.diagnostics.push(written.error(message).help(format!("{help}; {what_now}")));
                }
            }
            match read {
                Ok(credentials) => keyring.put(Arc::clone(&written.value), Arc::new(credentials)),
                Err(problems) => {
                    for problem in problems {
                        if told.insert(problem.to_string()) {
                            let note = format!("named by the access{}; {what_now}", written.in_line());
                            self.diagnostics.push(problem.note(note));
                        }
                    }
                    if let Some(before) = before {
                        keyring.put(Arc::clone(&written.value), before);
                    }
                }
            }
        }
        keyring
    }

    fn read_named(&mut self, written: &Path) -> Result<(String, Vec<u8>), String> {
        let path = self.path(written);
        self.watched.take(&path);
        match read_file(&path) {
            Ok(octets) => {
                self.taken.take(&path, &octets);
                Ok((shown(&path), octets))
            }
            Err(error) => Err(format!("{} cannot be read: {error}", shown(&path))),
        }
    }

    /// Warns of exporters whose names this server would be asked for: without it, it could not read them at its start.
    pub(super) fn warn_of_own_names(&mut self, config: &Config, zones: &Zones) {
        type Warn<'c> = Box<dyn Fn(String) -> Diagnostic + 'c>;
        let of_nodes = config.nodes.iter().flat_map(|node| {
            let warn = move |host| (Box::new(move |message| node.warning(message)) as Warn<'_>, host);
            hosts(urls(&node.value)).map(warn)
        });
        let of_load = hosts(config.load.iter().flat_map(|load| &load.prometheus));
        let of_load = of_load.map(|host| {
            let warn = |message| Diagnostic::warning(message).note("named by `prometheus` of `[load]`");
            (Box::new(warn) as Warn<'_>, host)
        });
        let of_lists = config.inventories.iter().flat_map(|inventory| {
            let warn = move |host| (Box::new(move |message| inventory.warning(message)) as Warn<'_>, host);
            hosts(inventory.value.url.iter().map(|url| &url.value)).map(warn)
        });
        let named: Vec<(Warn<'_>, String)> = of_nodes.chain(of_load).chain(of_lists).collect();
        if named.is_empty() {
            return;
        }
        let mut told = BTreeSet::new();
        for (warn, host) in &named {
            let Ok(name) = Name::parse(host, None) else { continue };
            if let Some(zone) = zones.iter().find(|zone| name.is_at_or_below(zone.apex()))
                && told.insert(zone.apex().clone())
            {
                let message = format!("`{host}` is in the zone `{}`, which this server answers for", zone.apex());
                self.diagnostics.push(warn(message).help(REMEDY));
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
        if let (Some(own), Some((warn, host))) = (own, named.first()) {
            let message = format!("`{host}` is looked up by {own}, as {RESOLV_CONF} has it, and that is this server");
            self.diagnostics.push(warn(message).help(REMEDY));
        }
    }
}

const REMEDY: &str =
    "write addresses in URLs that are asked for nodes and their load, such as `http://{address}:9100/metrics`";

/// The URLs that a node's exporters and checks are asked at.
fn urls(node: &Node) -> impl Iterator<Item = &String> {
    let checks = node.checks.iter().filter_map(|check| match check {
        Check::Http { url, status: _ } => Some(url),
        Check::Tcp(_) | Check::Rtmp(_) | Check::Tls(_) => None,
    });
    let exporters = node.exporters.iter().filter(|exporter| matches!(exporter.whence(), Whence::Url(_)));
    exporters.map(|exporter| &exporter.url).chain(checks)
}

/// The names of hosts in URLs; addresses are none.
fn hosts<'u>(urls: impl Iterator<Item = &'u String>) -> impl Iterator<Item = String> {
    urls.filter_map(|url| {
        let uri: Uri = url.parse().ok()?;
        let host = uri.host()?;
        let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
        (!is_address && !host.eq_ignore_ascii_case("localhost")).then(|| host.to_owned())
    })
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
    use std::fs;

    use super::*;
    use crate::feed::inputs::{Loaded, load};

    const CONFIG: &str = concat!(
        "[geoip]\ndatabases = [\"",
        env!("CARGO_MANIFEST_DIR"),
        "/tests/geoip/flat.mmdb\"]\n[scrape]\nbearer_file = \"token\"\n",
        "[node.a]\naddresses = [\"198.51.100.10\"]\nexporters.node = \"http://{address}/metrics\"\n",
    );

    #[test]
    fn a_secret_is_read_again_and_a_broken_one_leaves_the_old() {
        let directory = tempfile::tempdir().unwrap();
        let (file, token) = (directory.path().join("thalweg.toml"), directory.path().join("token"));
        fs::create_dir(directory.path().join("zones")).unwrap();
        fs::write(&file, CONFIG).unwrap();
        let told = |loaded: &Loaded| loaded.diagnostics.iter().map(ToString::to_string).collect::<String>();
        let shown = |loaded: &Loaded| {
            let inputs = loaded.inputs.as_ref().unwrap();
            let exporter = &inputs.config.nodes[0].value.exporters[0];
            let credentials = inputs.keyring.of(&exporter.access)?;
            Some(credentials.headers()["authorization"].to_str().unwrap().to_owned())
        };
        let loaded = load(&file, &[], None);
        assert_eq!(shown(&loaded), None);
        assert!(told(&loaded).contains("token cannot be read: No such file"), "{}", told(&loaded));
        assert!(loaded.watched.paths().any(|path| path == token));

        fs::write(&token, "first").unwrap();
        let first = load(&file, &[], loaded.inputs.as_ref());
        assert_eq!((shown(&first).as_deref(), told(&first).as_str()), (Some("Bearer first"), ""));
        fs::write(&token, "second").unwrap();
        let second = load(&file, &[], first.inputs.as_ref());
        assert_eq!(shown(&second).as_deref(), Some("Bearer second"));
        let fingerprint = |loaded: &Loaded| loaded.inputs.as_ref().unwrap().fingerprint;
        assert_ne!(fingerprint(&second), fingerprint(&first));
        fs::write(&token, "").unwrap();
        let broken = load(&file, &[], second.inputs.as_ref());
        assert_eq!(shown(&broken).as_deref(), Some("Bearer second"));
        let expected = "there is no token in it";
        assert!(told(&broken).contains(expected) && !told(&broken).contains("second"), "{}", told(&broken));
    }

    #[test]
    fn names_of_prometheus_and_of_lists_in_our_own_zones_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("thalweg.toml");
        let zones = directory.path().join("zones");
        fs::create_dir(&zones).unwrap();
        for zone in ["a.example", "b.example"] {
            let text = "@ 60 SOA ns1 host 1 1h 1h 1h 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n";
            fs::write(zones.join(format!("{zone}.zone")), text).unwrap();
        }
        let more = "[inventory.fleet]\nhttp_sd = \"http://lists.b.example/\"\n\
                    [load]\nprometheus = [\"http://metrics.a.example:9090\"]\n";
        let config = CONFIG.replace("[scrape]\nbearer_file = \"token\"\n", "");
        let config = config.replace("\"http://{address}/metrics\"", "\"prometheus\"");
        fs::write(&file, format!("{config}{more}")).unwrap();
        let told: String = load(&file, &[], None).diagnostics.iter().map(ToString::to_string).collect();
        for words in
            ["`metrics.a.example` is in the zone `a.example.`", "`lists.b.example` is in the zone `b.example.`"]
        {
            assert!(told.contains(words), "{told}");
        }
    }

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
