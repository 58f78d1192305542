//! Real BIND, Knot DNS and NSD as primaries: started with a zone, told to read it again, ended.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use thalweg::wire::RecordType;

use super::support::client::wait_for;
use super::support::query::Query;

/// A nameserver that others make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Software {
    Bind,
    Knot,
    Nsd,
}

pub(crate) const ALL: [Software; 3] = [Software::Bind, Software::Knot, Software::Nsd];

/// The zone.
pub(crate) const ZONE: &str = "live.example";
/// The key of those that have one.
pub(crate) const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A primary that answers until it is dropped.
pub(crate) struct Primary {
    pub(crate) address: SocketAddr,
    process: Child,
    directory: TempDir,
}

impl Primary {
    /// One that serves this zone, says when it changes, and gives it to who is signed, if it is to be signed.
    pub(crate) fn start(software: Software, zone: &str, secondary: SocketAddr, is_signed: bool) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        fs::write(path.join("zone"), zone).unwrap();
        let address = free_address();
        fs::write(path.join("conf"), software.configuration(address, path, secondary, is_signed)).unwrap();
        let log = fs::File::create(path.join("log")).unwrap();
        let (program, arguments): (_, &[_]) = match software {
            Software::Bind => ("named", &["-f", "-n", "1", "-c"]),
            Software::Knot => ("knotd", &["-c"]),
            Software::Nsd => ("nsd", &["-d", "-c"]),
        };
        let process = Command::new(program)
            .args(arguments)
            .arg(path.join("conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program} is needed (tests/run installs it): {error}"));
        let primary = Self { address, process, directory };
        primary.await_zone();
        primary
    }

    fn await_zone(&self) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
        let query = Query::new(ZONE, RecordType::SOA).message();
        let mut reply = [0; 512];
        wait_for("the primary to serve its zone", || {
            socket.send_to(&query, self.address).ok()?;
            let length = socket.recv(&mut reply).ok()?;
            // NOERROR, with an answer.
            (length > 12 && reply[3] & 0x0f == 0 && reply[7] > 0).then_some(())
        });
    }

    /// Replaces the zone, and has it read.
    pub(crate) fn change(&self, zone: &str) {
        let path = self.directory.path();
        // NSD goes by the time of change.
        fs::write(path.join("zone.new"), zone).unwrap();
        fs::rename(path.join("zone.new"), path.join("zone")).unwrap();
        let hup = Command::new("kill").args(["-HUP", &self.process.id().to_string()]).status().unwrap();
        assert!(hup.success());
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Software {
    fn configuration(self, address: SocketAddr, directory: &Path, secondary: SocketAddr, is_signed: bool) -> String {
        let (ip, port, directory, to) = (address.ip(), address.port(), directory.display(), secondary.port());
        match self {
            Self::Bind => {
                let (key, allowed, server) = match is_signed {
                    true => (
                        format!("key \"transfer.example\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n"),
                        "key \"transfer.example\"",
                        " key \"transfer.example\"",
                    ),
                    false => (String::new(), "127.0.0.1", ""),
                };
                format!(
                    "{key}options {{ directory \"{directory}\"; listen-on port {port} {{ {ip}; }}; listen-on-v6 {{ none; }};\n\
                     pid-file none; session-keyfile none; recursion no; dnssec-validation no; notify explicit; notify-delay 0;\n\
                     empty-zones-enable no; serial-query-rate 100; notify-rate 100; startup-notify-rate 100;\n\
                     also-notify {{ 127.0.0.1 port {to}{server}; }}; allow-transfer {{ {allowed}; }}; }};\n\
                     controls {{ }};\nlogging {{ channel all {{ stderr; severity info; }}; category default {{ all; }}; }};\n\
                     zone \"{ZONE}\" {{ type primary; file \"{directory}/zone\"; ixfr-from-differences yes; check-integrity no; check-names ignore; }};\n"
                )
            }
            Self::Knot => {
                let (keys, key) = match is_signed {
                    true => (
                        format!("key:\n  - id: transfer.example\n    algorithm: hmac-sha256\n    secret: {SECRET}\n"),
                        "    key: transfer.example\n",
                    ),
                    false => (String::new(), ""),
                };
                format!(
                    "server:\n    rundir: \"{directory}\"\n    listen: {ip}@{port}\n    udp-workers: 1\n    tcp-workers: 1\n    \
                     background-workers: 1\nlog:\n  - target: stderr\n    any: info\ndatabase:\n    storage: \"{directory}\"\n{keys}\
                     remote:\n  - id: to\n    address: 127.0.0.1@{to}\n{key}acl:\n  - id: give\n    address: 127.0.0.1\n    action: transfer\n{key}\
                     zone:\n  - domain: \"{ZONE}\"\n    file: \"{directory}/zone\"\n    zonefile-sync: -1\n    zonefile-load: difference\n    \
                     journal-content: changes\n    notify: to\n    acl: give\n"
                )
            }
            Self::Nsd => {
                let (keys, key) = match is_signed {
                    true => (
                        format!(
                            "key:\n  name: \"transfer.example\"\n  algorithm: hmac-sha256\n  secret: \"{SECRET}\"\n"
                        ),
                        "transfer.example",
                    ),
                    false => (String::new(), "NOKEY"),
                };
                format!(
                    "server:\n  ip-address: {ip}@{port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{directory}\"\n  \
                     database: \"\"\n  zonelistfile: \"{directory}/zones.list\"\n  pidfile: \"\"\n  xfrdfile: \"\"\n  \
                     xfrdir: \"{directory}\"\n  server-count: 1\n  verbosity: 2\nremote-control:\n  control-enable: no\n{keys}\
                     zone:\n  name: \"{ZONE}\"\n  zonefile: \"{directory}/zone\"\n  provide-xfr: 127.0.0.1 {key}\n  \
                     notify: 127.0.0.1@{to} {key}\n  store-ixfr: yes\n  create-ixfr: yes\n"
                )
            }
        }
    }
}

/// An address with a port that is free for datagrams and streams, where systems hand out none by themselves.
pub(crate) fn free_address() -> SocketAddr {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS {
        let next = std::process::id() * 7 + TAKEN.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST_PORT + (next % PORTS) as u16));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port");
}

const FIRST_PORT: u16 = 10_000;
const PORTS: u32 = 20_000;
