//! Behaviour as data: each `tests/answers/NAME.case` is asked of the engine, and of a server over UDP and TCP.
//!
//! `UPDATE=1` rewrites what is expected, `CASE=part-of-a-name` runs only these. `tests/support/case.rs` has the format.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use support::case::{Case, Expected, Wrong};
use support::exchange::{engine, framed, in_words, matches, next_framed};
use support::installation::{Installation, Load, inputs, snapshot};
use support::query::Query;
use thalweg::answer::Transport;
use thalweg::config::TcpLimits;
use thalweg::intake::Counts;
use thalweg::serve::{Learner, Responder, stream, udp};
use thalweg::snapshot::{Published, Snapshot};
use thalweg::wire::RecordType;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

mod support;

/// Cases that run at a time.
const AT_ONCE: usize = 8;
/// A query that gets an answer soon if the server is well: what came before it got none, then.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn every_case_gets_its_answer_from_the_engine_and_over_udp_and_tcp() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/answers");
    let wanted = std::env::var("CASE").unwrap_or_default();
    let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    paths.retain(|path| path.to_string_lossy().contains(&wanted));
    paths.sort();
    assert!(!paths.is_empty(), "no case");
    // A server takes a moment to stop: the others need not wait for it.
    let problems: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = (0..AT_ONCE)
            .map(|first| {
                let paths = paths.iter().skip(first).step_by(AT_ONCE);
                scope.spawn(|| paths.flat_map(|path| run(path)).collect::<Vec<_>>())
            })
            .collect();
        running.into_iter().flat_map(|each| each.join().unwrap()).collect()
    });
    let count = problems.len();
    assert!(
        problems.is_empty(),
        "{}\n\n{count} differences; UPDATE=1 rewrites what is expected",
        problems.join("\n\n")
    );
}

/// Runs a case, and says what is wrong.
fn run(path: &Path) -> Vec<String> {
    let shown = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path).display();
    let text = fs::read_to_string(path).unwrap();
    let case = match Case::read(&text) {
        Ok(case) => case,
        Err(Wrong { line, message }) => return vec![format!("{shown}:{line}: {message}")],
    };
    let installation = Installation::new(case.files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    if !case.files.contains_key("thalweg.toml") {
        installation.write("thalweg.toml", "");
    }
    let inputs = match inputs(&installation.config()) {
        Ok(inputs) => inputs,
        Err(errors) => return vec![format!("{shown}: {errors}")],
    };
    if let Some(node) = case.loads.keys().find(|node| inputs.fleet.find_node(node).is_none()) {
        return vec![format!("{shown}: `== load` has `{node}`, which is no node of the configuration")];
    }
    let snapshot = || snapshot(&inputs, |node| case.loads.get(node).cloned().unwrap_or(Load::Silent));
    let served = Served::start(snapshot());
    let snapshot = snapshot();

    let is_updating = std::env::var_os("UPDATE").is_some();
    let mut problems = Vec::new();
    let mut rewritten: Vec<((usize, usize), Vec<String>)> = Vec::new();
    for exchange in &case.exchanges {
        let over_tcp = exchange.answer_over_tcp.as_ref().unwrap_or(&exchange.answer);
        let client = SocketAddr::new(exchange.from, 5300);
        let mut compare = |way: &str, expected: &Expected, found: Result<Option<Vec<u8>>, String>| {
            let found = found.and_then(|reply| in_words(reply.as_deref(), &exchange.message));
            if found.as_ref().is_ok_and(|found| matches(&expected.text, found)) {
                return;
            }
            match found {
                Ok(found) if is_updating => rewritten.push((expected.lines, found)),
                found => problems.push(format!(
                    "{shown}:{}: {way}\n-- expected\n{}\n-- found\n{}\n-- {}",
                    exchange.line,
                    expected.text.join("\n"),
                    found.unwrap_or_else(|error| vec![error]).join("\n"),
                    case.because,
                )),
            }
        };
        compare("engine, UDP", &exchange.answer, engine(&snapshot, &exchange.message, client, Transport::Udp));
        compare("engine, TCP", over_tcp, engine(&snapshot, &exchange.message, client, Transport::Tcp));
        compare("UDP", &exchange.answer, served.ask_udp(exchange.from, &exchange.message));
        compare("TCP", over_tcp, served.ask_tcp(exchange.from, &exchange.message));
    }
    if !rewritten.is_empty() {
        fs::write(path, rewrite(&text, rewritten)).unwrap();
    }
    problems
}

/// The case with other answers; where several ways differ from one section, the first counts.
fn rewrite(text: &str, mut rewritten: Vec<((usize, usize), Vec<String>)>) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    rewritten.sort_by_key(|((heading, _), _)| *heading);
    rewritten.dedup_by_key(|((heading, _), _)| *heading);
    for ((heading, end), found) in rewritten.into_iter().rev() {
        let blank = if end < lines.len() { vec![String::new()] } else { Vec::new() };
        lines.splice(heading + 1..end, found.into_iter().chain(blank));
    }
    lines.join("\n") + "\n"
}

/// A server of one case: what it learns of clients that ask case after case would shorten TTLs in the later ones.
struct Served {
    udp: SocketAddr,
    tcp: SocketAddr,
    stop: CancellationToken,
    _workers: udp::Workers,
    _runtime: Runtime,
}

impl Served {
    fn start(first: Snapshot) -> Self {
        let published = Arc::new(Published::new(first));
        let counts = Arc::new(Counts::new());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // One worker: datagrams are answered in the order in which they come.
        let sockets = udp::bind((Ipv4Addr::LOCALHOST, 0).into(), 1).unwrap();
        let udp = sockets[0].local_addr().unwrap();
        let workers = sockets
            .into_iter()
            .map(|socket| {
                let learner = Learner::new(2, 1).0;
                udp::Worker { socket, counts: Arc::clone(&counts), learner, watch: Arc::default(), core: None }
            })
            .collect();
        let workers = udp::Workers::start(workers, 1, &published).unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let tcp = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let responder = Responder::new(Arc::clone(&published), counts, Learner::new(2, 1).0);
        runtime.spawn(stream::serve(listener, responder, stream::Connections::new(TcpLimits::default()), stop.clone()));
        Self { udp, tcp, stop, _workers: workers, _runtime: runtime }
    }

    /// Nothing came if the answer to a later query comes first.
    fn ask_udp(&self, from: IpAddr, message: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let later = Query::new("later.invalid.", RecordType::TXT).message();
        let socket = UdpSocket::bind((from, 0)).map_err(|error| format!("{from}: {error}"))?;
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(self.udp).unwrap();
        socket.send(message).unwrap();
        socket.send(&later).unwrap();
        let receive = || -> Result<Vec<u8>, String> {
            let mut reply = vec![0; 65_535];
            let length = socket.recv(&mut reply).map_err(|error| error.to_string())?;
            reply.truncate(length);
            Ok(reply)
        };
        let first = receive()?;
        let is_later = |reply: &[u8]| reply.get(12..).is_some_and(|question| question == &later[12..]);
        if is_later(&first) {
            return Ok(None);
        }
        let second = receive()?;
        if is_later(&second) { Ok(Some(first)) } else { Err(format!("two replies:\n{first:02x?}\n{second:02x?}")) }
    }

    /// Nothing comes if the connection is closed.
    fn ask_tcp(&self, from: IpAddr, message: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let converse = || {
            let socket = Socket::new(Domain::for_address(self.tcp), Type::STREAM, Some(Protocol::TCP))?;
            socket.bind(&SocketAddr::new(from, 0).into())?;
            socket.connect(&self.tcp.into())?;
            let mut stream = TcpStream::from(socket);
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(&framed(message))?;
            next_framed(&mut stream)
        };
        converse().map_err(|error: std::io::Error| error.to_string())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Such a datagram comes from nobody; no socket can send one, so only the engine is asked.
#[test]
fn a_datagram_from_port_0_gets_no_answer() {
    let installation = Installation::new([
        ("thalweg.toml", ""),
        ("zones/live.example.zone", "@ 60 SOA ns1 host 1 1h 1h 1h 1h\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n"),
    ]);
    let snapshot = snapshot(&inputs(&installation.config()).unwrap(), |_| Load::Silent);
    let message = Query::new("ns1.live.example.", RecordType::A).message();
    let ask = |client: &str, transport| engine(&snapshot, &message, client.parse().unwrap(), transport).unwrap();
    assert_eq!(ask("192.0.2.1:0", Transport::Udp), None);
    assert!(ask("192.0.2.1:1", Transport::Udp).is_some() && ask("192.0.2.1:0", Transport::Tcp).is_some());
}
