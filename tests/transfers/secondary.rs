//! Real NSD, Knot DNS and BIND as secondaries of a zone: configured, started, awaited and ended here.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thalweg::wire::RecordType;

use super::support::query::Query;
use super::{KEY, SECRET};

/// Another nameserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Software {
    Nsd,
    Knot,
    Bind,
}

/// All of them.
pub(crate) const ALL: [Software; 3] = [Software::Nsd, Software::Knot, Software::Bind];

/// How long something may take that the test awaits; only a failure waits for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A secondary that runs until it is dropped.
pub(crate) struct Secondary {
    pub(crate) software: Software,
    pub(crate) address: SocketAddr,
    process: Option<Child>,
    directory: TempDir,
}

impl Secondary {
    /// A secondary that is not running yet: its address must be known to the primary first.
    pub(crate) fn new(software: Software) -> Self {
        Self { software, address: free_address(), process: None, directory: TempDir::new().unwrap() }
    }

    /// Starts it for a zone of this primary.
    pub(crate) fn start(&mut self, zone: &str, primary: SocketAddr) {
        let path = self.directory.path();
        fs::write(path.join("conf"), self.software.configuration(self.address, path, zone, primary)).unwrap();
        let log = fs::File::create(path.join("log")).unwrap();
        let process = Command::new(self.software.program())
            .args(self.software.arguments())
            .arg(path.join("conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let program = self.software.program();
        self.process =
            Some(process.unwrap_or_else(|error| panic!("{program} is needed (tests/run installs it): {error}")));
    }

    /// Waits until it serves this serial, and says how long that took.
    pub(crate) fn await_serial(&mut self, zone: &str, serial: u32) -> Duration {
        let begun = Instant::now();
        let query = Query::new(zone, RecordType::SOA).message();
        let socket = UdpSocket::bind((self.address.ip(), 0)).unwrap();
        socket.connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        loop {
            assert!(self.process.as_mut().unwrap().try_wait().unwrap().is_none(), "it ended:\n{}", self.log());
            assert!(begun.elapsed() < PATIENCE, "{:?} has not got {serial}:\n{}", self.software, self.log());
            let mut reply = [0; 1_232];
            // Where nobody listens yet the error comes at once.
            let received = socket.send(&query).and_then(|_| socket.recv(&mut reply)).unwrap_or(0);
            // The serial and four numbers end a message that has neither OPT nor another section.
            let soa = reply[..received].windows(20).filter(|_| reply[3] & 0x0f == 0 && reply[7] > 0);
            if soa.into_iter().any(|octets| octets[4..] == SOA_NUMBERS && octets[..4] == serial.to_be_bytes()) {
                return begun.elapsed();
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

/// Refresh, retry, expire and minimum of the zones of these tests.
const SOA_NUMBERS: [u8; 16] = [0, 0, 14, 16, 0, 0, 3, 132, 0, 18, 117, 0, 0, 0, 0, 60];

impl Drop for Secondary {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself.
            let _ended = process.kill();
            let _reaped = process.wait();
        }
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

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Nsd => &["-d", "-c"],
            Self::Knot => &["-c"],
            Self::Bind => &["-g", "-n", "1", "-c"],
        }
    }

    fn configuration(self, address: SocketAddr, directory: &Path, zone: &str, primary: SocketAddr) -> String {
        let (ip, port, directory) = (address.ip(), address.port(), directory.display());
        let (from, from_port) = (primary.ip(), primary.port());
        match self {
            Self::Nsd => format!(
                "server:\n  ip-address: {ip}@{port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{directory}\"\n  \
                 database: \"\"\n  zonelistfile: \"{directory}/zones.list\"\n  pidfile: \"\"\n  xfrdfile: \"\"\n  \
                 xfrdir: \"{directory}\"\n  server-count: 1\n  verbosity: 2\n  xfrd-reload-timeout: 0\nremote-control:\n  \
                 control-enable: no\n\
                 key:\n  name: \"{KEY}\"\n  algorithm: hmac-sha256\n  secret: \"{SECRET}\"\n\
                 zone:\n  name: \"{zone}\"\n  request-xfr: {from}@{from_port} {KEY}\n  allow-notify: 127.0.0.1 {KEY}\n  \
                 provide-xfr: 127.0.0.1 NOKEY\n"
            ),
            Self::Knot => format!(
                "server:\n    rundir: \"{directory}\"\n    listen: {ip}@{port}\n    udp-workers: 1\n    tcp-workers: 1\n    \
                 background-workers: 1\nlog:\n  - target: stderr\n    any: info\n\
                 database:\n    storage: \"{directory}\"\n\
                 key:\n  - id: {KEY}\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
                 remote:\n  - id: primary\n    address: {from}@{from_port}\n    key: {KEY}\n\
                 acl:\n  - id: told\n    key: {KEY}\n    action: notify\n  - id: asked\n    address: 127.0.0.1\n    action: transfer\n\
                 zone:\n  - domain: {zone}\n    storage: \"{directory}\"\n    master: primary\n    acl: [told, asked]\n    \
                 zonefile-sync: -1\n    journal-content: none\n"
            ),
            Self::Bind => format!(
                "key \"{KEY}\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
                 options {{ directory \"{directory}\"; listen-on port {port} {{ {ip}; }}; listen-on-v6 {{ none; }};\n\
                 pid-file none; session-keyfile none; recursion no; dnssec-validation no; notify no; minimal-responses yes;\n\
                 serial-query-rate 100; allow-transfer {{ any; }}; }};\ncontrols {{ }};\n\
                 zone \"{zone}\" {{ type secondary; file \"zone\"; masterfile-format raw;\n\
                 primaries {{ {from} port {from_port} key \"{KEY}\"; }}; allow-notify {{ key \"{KEY}\"; }}; }};\n"
            ),
        }
    }
}

/// An address with a port that is free for datagrams and streams.
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
