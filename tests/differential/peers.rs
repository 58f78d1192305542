//! Real NSD, Knot DNS and BIND with the zones of a test: configured, started, awaited and ended here.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thalweg::wire::RecordType;

use super::exchange::ask_udp;
use super::support::query::Query;
use super::zones::Zone;

/// Another nameserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Software {
    Nsd,
    Knot,
    Bind,
}

/// All of them, in the order in which their replies stand.
pub(crate) const PEERS: [Software; 3] = [Software::Nsd, Software::Knot, Software::Bind];

/// How long a server may take to load its zones; only a failure waits for so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Another process may take the port between our look and the server's.
const PORTS_TRIED: usize = 5;

/// A server that runs until it is dropped.
pub(crate) struct Peer {
    pub(crate) software: Software,
    pub(crate) address: SocketAddr,
    process: Child,
    directory: TempDir,
}

impl Peer {
    /// Starts a server and waits until it answers for all zones; those it does not serve are returned.
    pub(crate) fn start(software: Software, zones: &[Zone]) -> (Self, Vec<usize>) {
        for _ in 0..PORTS_TRIED {
            let mut peer = Self::spawn(software, zones);
            if let Some(refused) = peer.await_zones(zones) {
                return (peer, refused);
            }
            eprintln!("{software:?} ended:\n{}", peer.log());
        }
        panic!("{software:?} does not start");
    }

    fn spawn(software: Software, zones: &[Zone]) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        for (index, zone) in zones.iter().enumerate() {
            fs::write(path.join(format!("{index}.zone")), zone.text()).unwrap();
        }
        let address = free_address();
        fs::write(path.join("conf"), software.configuration(address, path, zones)).unwrap();
        let log = fs::File::create(path.join("log")).unwrap();
        let process = Command::new(software.program())
            .args(software.arguments())
            .arg(path.join("conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} is needed (tests/run installs it): {error}", software.program()));
        Self { software, address, process, directory }
    }

    /// The zones that it does not answer for, or nothing if it has ended.
    fn await_zones(&mut self, zones: &[Zone]) -> Option<Vec<usize>> {
        let end = Instant::now() + PATIENCE;
        let probe = Query::new(".", RecordType::SOA).message();
        let socket = UdpSocket::bind((self.address.ip(), 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        loop {
            // BIND goes on without a socket.
            if self.process.try_wait().unwrap().is_some() || self.log().contains("address in use") {
                return None;
            }
            assert!(Instant::now() < end, "{:?} does not answer:\n{}", self.software, self.log());
            socket.send_to(&probe, self.address).unwrap();
            match socket.recv(&mut [0; 512]) {
                Ok(_) => break,
                // Where nobody listens the answer comes at once.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    std::thread::park_timeout(Duration::from_millis(20));
                }
                Err(_) => {}
            }
        }
        // The others answer only when they have loaded what they can.
        while self.software == Software::Bind && !self.log().contains("all zones loaded") {
            assert!(Instant::now() < end, "BIND does not load:\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let questions: Vec<Vec<u8>> = zones
            .iter()
            .map(|zone| Query { name: zone.apex.clone(), ..Query::new(".", RecordType::SOA) }.message())
            .collect();
        let replies = ask_udp(self.address, &questions);
        let is_served = |reply: &Option<Vec<u8>>| {
            // NOERROR, authoritative, with an answer.
            reply.as_ref().is_some_and(|reply| reply[3] & 0x0f == 0 && reply[2] & 4 != 0 && reply[7] > 0)
        };
        Some((0..zones.len()).filter(|&zone| !is_served(&replies[zone])).collect())
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Software {
    fn program(self) -> &'static str {
        match self {
            Self::Nsd => "nsd",
            Self::Knot => "knotd",
            Self::Bind => "named",
        }
    }

    /// What stands before the path of the configuration: stay in the foreground.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Nsd => &["-d", "-c"],
            Self::Knot => &["-c"],
            Self::Bind => &["-f", "-n", "1", "-c"],
        }
    }

    fn configuration(self, address: SocketAddr, directory: &Path, zones: &[Zone]) -> String {
        let (ip, port, directory) = (address.ip(), address.port(), directory.display());
        let each_zone = |zone: &dyn Fn(usize, String) -> String| -> String {
            zones.iter().enumerate().map(|(index, each)| zone(index, each.title())).collect()
        };
        match self {
            Self::Nsd => {
                let zones = each_zone(&|index, title| {
                    format!("zone:\n  name: \"{title}\"\n  zonefile: \"{directory}/{index}.zone\"\n")
                });
                format!(
                    "server:\n  ip-address: {ip}@{port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{directory}\"\n  \
                     database: \"\"\n  zonelistfile: \"{directory}/zones.list\"\n  pidfile: \"\"\n  xfrdfile: \"\"\n  \
                     xfrdir: \"{directory}\"\n  server-count: 1\n  minimal-responses: yes\n  refuse-any: no\n  \
                     rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\n  tcp-query-count: 0\nremote-control:\n  control-enable: no\n{zones}"
                )
            }
            Self::Knot => {
                let zones = each_zone(&|index, title| {
                    format!("  - domain: \"{title}\"\n    file: \"{directory}/{index}.zone\"\n")
                });
                format!(
                    "server:\n    rundir: \"{directory}\"\n    listen: {ip}@{port}\n    udp-workers: 1\n    tcp-workers: 1\n    \
                     background-workers: 1\nlog:\n  - target: stderr\n    any: info\ndatabase:\n    storage: \"{directory}\"\n\
                     template:\n  - id: default\n    storage: \"{directory}\"\n    zonefile-sync: -1\n    journal-content: none\n\
                     zone:\n{zones}"
                )
            }
            Self::Bind => {
                let zones = each_zone(&|index, title| {
                    format!("zone \"{title}\" {{ type primary; file \"{directory}/{index}.zone\"; }};\n")
                });
                // What operators may want, and a generator of odd zones not.
                let lenient = "check-names primary ignore; check-integrity no; check-mx ignore; check-mx-cname ignore; \
                     check-srv-cname ignore; check-sibling no; check-wildcard no; check-spf ignore;";
                format!(
                    "options {{ directory \"{directory}\"; listen-on port {port} {{ {ip}; }}; listen-on-v6 {{ none; }};\n\
                     pid-file none; session-keyfile none; recursion no; dnssec-validation no; notify no; empty-zones-enable no;\n\
                     allow-transfer {{ none; }}; minimal-responses yes; minimal-any no; zero-no-soa-ttl no; answer-cookie no; querylog no;\n\
                     {lenient} }};\ncontrols {{ }};\n\
                     logging {{ channel all {{ stderr; severity info; }}; category default {{ all; }}; }};\n\
                     view main in {{\n{zones}}};\nview chaos chaos {{ match-clients {{ any; }}; }};\n"
                )
            }
        }
    }
}

/// An address with a port that is free for datagrams and streams; none of the servers can say which it got.
///
/// BIND listens only where an interface has the address, so the rest of 127/8 is no use. Ports that systems hand out by
/// themselves are left alone: a client's socket would take one before the server does.
fn free_address() -> SocketAddr {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS {
        let next = std::process::id() + TAKEN.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST_PORT + (next % PORTS) as u16));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port");
}

const FIRST_PORT: u16 = 10_000;
const PORTS: u32 = 20_000;
