//! The programs of others: a resolver that validates, a parent zone, what signs zone files.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thalweg::wire::RecordType;

use super::support::client::PATIENCE;
use super::support::query::Query;
use super::support::reply::Reply;

/// Another process may take the port between our look and the server's.
const PORTS_TRIED: usize = 5;
/// Between two looks at a server that begins.
const PAUSE: Duration = Duration::from_millis(20);

/// A server of others, which is ended with this.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    process: Child,
    directory: TempDir,
}

impl Server {
    fn start(program: &str, arguments: &[&str], configuration: impl Fn(SocketAddr, &Path) -> String) -> Self {
        for _ in 0..PORTS_TRIED {
            let directory = TempDir::new().unwrap();
            // Free for both; whoever takes it meanwhile is told apart by the server's end.
            let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let path = directory.path().join("conf");
            fs::write(&path, configuration(address, directory.path())).unwrap();
            let log = fs::File::create(directory.path().join("log")).unwrap();
            let process = Command::new(program)
                .args(arguments)
                .arg(&path)
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap_or_else(|error| panic!("{program} is needed (tests/run installs it): {error}"));
            let mut server = Self { address, process, directory };
            if server.answers() {
                return server;
            }
            eprintln!("{program} ended:\n{}", server.log());
        }
        panic!("{program} does not start");
    }

    /// Whether it answers at all, or has ended.
    fn answers(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        let probe = Query::new("version.bind.", RecordType::TXT).message();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PAUSE)).unwrap();
        loop {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < end, "it does not answer:\n{}", self.log());
            socket.send_to(&probe, self.address).unwrap();
            match socket.recv(&mut [0; 512]) {
                Ok(_) => return true,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::thread::park_timeout(PAUSE),
                Err(_) => {}
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// Unbound, which knows where these zones are served, and believes what this DNSKEY or DS record proves.
pub(crate) fn unbound(anchor: &str, zones: &[(&str, SocketAddr)]) -> Server {
    Server::start("unbound", &["-c"], |address, directory| {
        let (ip, port, directory) = (address.ip(), address.port(), directory.display());
        let stubs: String = zones
            .iter()
            .map(|(zone, at)| format!("stub-zone:\n  name: \"{zone}\"\n  stub-addr: {}@{}\n", at.ip(), at.port()))
            .collect();
        // Each query of a test is to reach the server, so nothing is made of what is known.
        format!(
            "server:\n  interface: {ip}@{port}\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  \
             directory: \"{directory}\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  verbosity: 1\n  val-log-level: 2\n  \
             num-threads: 1\n  do-not-query-localhost: no\n  trust-anchor: \"{anchor}\"\n  local-zone: \"example.\" nodefault\n  \
             aggressive-nsec: no\n  qname-minimisation: no\n  prefetch: no\n  val-bogus-ttl: 1\n  \
             access-control: 127.0.0.0/8 allow\nremote-control:\n  control-enable: no\n{stubs}"
        )
    })
}

/// NSD with one zone.
pub(crate) fn nsd(zone: &str, file: &Path) -> Server {
    Server::start("nsd", &["-d", "-c"], |address, directory| {
        let (ip, port, directory) = (address.ip(), address.port(), directory.display());
        format!(
            "server:\n  ip-address: {ip}@{port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{directory}\"\n  database: \"\"\n  \
             zonelistfile: \"{directory}/zones.list\"\n  pidfile: \"\"\n  xfrdfile: \"\"\n  xfrdir: \"{directory}\"\n  \
             server-count: 1\nremote-control:\n  control-enable: no\nzone:\n  name: \"{zone}\"\n  zonefile: \"{}\"\n",
            file.display()
        )
    })
}

/// What a program says on its standard output; it must succeed.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} (tests/run installs it): {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a key of a zone in a directory with ldns; the path of its files without their ends.
pub(crate) fn new_key(directory: &Path, zone: &str) -> PathBuf {
    let stem = output(Command::new("ldns-keygen").args(["-a", "ECDSAP256SHA256", "-k", zone]).current_dir(directory));
    directory.join(stem.trim())
}

/// Signs a zone file with ldns, which is given these arguments too; the text of what comes of it.
pub(crate) fn sign(text: &str, key: &Path, arguments: &[&str]) -> String {
    let directory = TempDir::new().unwrap();
    let (plain, signed) = (directory.path().join("plain"), directory.path().join("signed"));
    fs::write(&plain, text).unwrap();
    output(Command::new("ldns-signzone").args(arguments).arg("-f").arg(&signed).arg(&plain).arg(key));
    fs::read_to_string(signed).unwrap()
}

/// A resolver's client.
pub(crate) struct Asker {
    socket: UdpSocket,
}

impl Asker {
    pub(crate) fn of(server: &Server) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// The response code, ` ad` behind it if the resolver has validated the answer, and the reply.
    pub(crate) fn ask(&self, name: &str, qtype: &str) -> (String, Reply) {
        let mut query = Query { flags: 0x0120, ..Query::new(name, qtype.parse().expect(qtype)) };
        query.edns().dnssec_ok = true;
        self.socket.send(&query.message()).unwrap();
        let mut octets = [0; 4096];
        let length = self.socket.recv(&mut octets).expect("an answer of the resolver");
        let reply = Reply::read(&octets[..length]).unwrap();
        let words: Vec<&str> = reply.lines[0].split(' ').collect();
        let is_proved = words.contains(&"ad");
        (format!("{}{}", words[0], if is_proved { " ad" } else { "" }), reply)
    }
}
