//! Hostile messages as data: each of `tests/hostile/NAME.case` is asked of the engine, and of the program over UDP and
//! TCP, which must be well after each.
//!
//! All cases have one installation, that of `tests/hostile`. Each query begins with a comment that names the RFC it
//! comes from. `CASE=part-of-a-name` runs only these; nothing rewrites what is expected here.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};

use support::case::{Case, Expected, Wrong};
use support::child::Child;
use support::client::PATIENCE;
use support::exchange::{engine, framed, in_words, matches, next_framed};
use support::installation::{Load, inputs, snapshot};
use support::query::Query;
use thalweg::answer::Transport;
use thalweg::snapshot::Snapshot;
use thalweg::wire::RecordType;

mod support;

/// The cases that the suite has at least.
const CASES: usize = 150;
/// Octets of the longest datagram that reaches the engine.
const MAX_DATAGRAM: usize = 2_048;
/// Descriptors of the program, more than are needed.
const DESCRIPTORS: u32 = 256;

#[test]
fn every_hostile_message_gets_its_answer_and_does_no_harm() {
    let wanted = std::env::var("CASE").unwrap_or_default();
    let mut paths: Vec<PathBuf> = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    paths.retain(|path| path.to_string_lossy().contains(&wanted));
    paths.sort();
    let victim = Victim::start();
    let mut count = 0;
    let problems: Vec<String> = paths.iter().flat_map(|path| run(path, &victim, &mut count)).collect();
    assert!(problems.is_empty(), "{}\n\n{} of {count} cases differ", problems.join("\n\n"), problems.len());
    assert!(count >= CASES || !wanted.is_empty(), "only {count} cases");
}

/// Runs the cases of a file, and says what is wrong.
fn run(path: &Path, victim: &Victim, count: &mut usize) -> Vec<String> {
    let shown = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path).display();
    let text = fs::read_to_string(path).unwrap();
    let case = match Case::read(&text) {
        Ok(case) => case,
        Err(Wrong { line, message }) => return vec![format!("{shown}:{line}: {message}")],
    };
    let mut problems = Vec::new();
    for exchange in &case.exchanges {
        *count += 1;
        let title = text.lines().nth(exchange.line).unwrap_or_default();
        if !title.starts_with("; RFC ") {
            problems.push(format!("{shown}:{}: the query does not begin with `; RFC …: what it is`", exchange.line));
        }
        let over_tcp = exchange.answer_over_tcp.as_ref().unwrap_or(&exchange.answer);
        let wrong: Vec<String> = [
            ("engine", &exchange.answer, victim.engine(&exchange.message, Transport::Udp)),
            ("engine, as over TCP", over_tcp, victim.engine(&exchange.message, Transport::Tcp)),
            ("UDP", &exchange.answer, victim.ask_udp(&exchange.message)),
            ("TCP", over_tcp, victim.ask_tcp(&exchange.message)),
        ]
        .into_iter()
        .filter(|(way, ..)| *way != "engine" || exchange.message.len() <= MAX_DATAGRAM)
        .filter_map(|(way, expected, found)| difference(way, expected, found, &exchange.message))
        .collect();
        if let Some(first) = wrong.first() {
            problems.push(format!("{shown}:{}: {title}\n{first}", exchange.line));
        }
    }
    problems
}

/// What differs from what is expected.
fn difference(
    way: &str,
    expected: &Expected,
    found: Result<Option<Vec<u8>>, String>,
    message: &[u8],
) -> Option<String> {
    let found = found.and_then(|reply| in_words(reply.as_deref(), message)).unwrap_or_else(|error| vec![error]);
    let is_right = matches(&expected.text, &found);
    (!is_right).then(|| format!("-- {way}, expected\n{}\n-- found\n{}", expected.text.join("\n"), found.join("\n")))
}

/// RFC 9267 §4, §5: a message may end anywhere.
#[test]
fn a_query_that_is_cut_anywhere_does_no_harm() {
    let victim = Victim::start();
    let mut query = Query::new("www.live.example.", RecordType::A).with_subnet("192.0.2.0/24".parse().unwrap());
    query.edns().options.push((65_001, vec![0xff; 9]));
    let message = query.message();
    let question = 12 + 18 + 4;
    for length in 0..message.len() {
        let cut = &message[..length];
        let (udp, tcp) = (victim.ask_udp(cut).unwrap(), victim.ask_tcp(cut).unwrap());
        assert_eq!(udp, tcp, "{length} octets");
        let expected: &[&str] = match length {
            0..12 => &["silence"],
            12.. if length < question => &["FORMERR qr"],
            _ => &["FORMERR qr", "question: www.live.example. IN A"],
        };
        assert_eq!(in_words(udp.as_deref(), cut).unwrap(), expected, "{length} octets");
    }
    assert!(in_words(victim.ask_udp(&message).unwrap().as_deref(), &message).unwrap()[0].starts_with("NOERROR"));
}

/// RFC 9267 §7: whatever octet is wrong, the message is answered or dropped as the engine says.
#[test]
fn a_query_with_any_octet_changed_does_no_harm() {
    let victim = Victim::start();
    let query = Query::new("www.live.example.", RecordType::A).with_subnet("192.0.2.0/24".parse().unwrap());
    let message = query.message();
    // The engine has no ids to keep apart, so those stay.
    for at in 2..message.len() {
        for change in [0x01, 0x40, 0x80, 0xc0, 0xff] {
            let mut changed = message.clone();
            changed[at] ^= change;
            let expected = victim.engine(&changed, Transport::Udp).unwrap();
            assert_eq!(victim.ask_udp(&changed).unwrap(), expected, "octet {at} changed by {change:#x}");
            in_words(expected.as_deref(), &changed).unwrap();
        }
    }
}

/// The program, and the same inputs for the engine alone.
struct Victim {
    child: Child,
    snapshot: Snapshot,
    /// A query with nothing wrong, and its reply.
    sound: (Vec<u8>, Vec<u8>),
}

impl Victim {
    fn start() -> Self {
        let config = directory().join("thalweg.toml");
        let snapshot = snapshot(&inputs(&config).unwrap(), |_| Load::Silent);
        let mut message = Query::new("ns1.live.example.", RecordType::A).message();
        message[..2].copy_from_slice(b"ok");
        let reply = engine(&snapshot, &message, client(), Transport::Udp).unwrap().unwrap();
        let words = in_words(Some(&reply), &message).unwrap();
        assert_eq!(words.last().unwrap(), "answer: ns1.live.example. 300 IN A 192.0.2.53");
        Self { child: Child::start(&config, DESCRIPTORS), snapshot, sound: (message, reply) }
    }

    fn engine(&self, message: &[u8], transport: Transport) -> Result<Option<Vec<u8>>, String> {
        engine(&self.snapshot, message, client(), transport)
    }

    /// The reply to a datagram; none if the sound query that is sent behind it is answered first.
    fn ask_udp(&self, message: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let (sound, sound_reply) = &self.sound;
        let exchange = || -> io::Result<(Vec<u8>, Option<Vec<u8>>)> {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.connect(self.child.dns)?;
            socket.send(message)?;
            socket.send(sound)?;
            let receive = || {
                let mut reply = vec![0; 65_535];
                socket.recv(&mut reply).map(|length| reply[..length].to_vec())
            };
            let first = receive()?;
            let second = if first == *sound_reply { None } else { Some(receive()?) };
            Ok((first, second))
        };
        match exchange().map_err(|error| format!("UDP is not well: {error}"))? {
            (_, None) => Ok(None),
            (first, Some(second)) if second == *sound_reply => Ok(Some(first)),
            (_, Some(other)) => Err(format!("the sound query got {other:02x?}")),
        }
    }

    /// The reply on a connection; none if it is closed, and then a new one has to serve.
    fn ask_tcp(&self, message: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let connect = || {
            let stream = TcpStream::connect(self.child.dns)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            io::Result::Ok(stream)
        };
        let (sound, sound_reply) = &self.sound;
        let exchange = || {
            let mut stream = connect()?;
            let reply = ask(&mut stream, message)?;
            // A connection that was answered goes on.
            let mut later = if reply.is_some() { stream } else { connect()? };
            Ok((reply, ask(&mut later, sound)?))
        };
        let (reply, after) = exchange().map_err(|error: io::Error| format!("TCP is not well: {error}"))?;
        if after.as_ref() == Some(sound_reply) { Ok(reply) } else { Err(format!("the sound query got {after:02x?}")) }
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile")
}

fn client() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 5300).into()
}

/// Asks on a connection; no reply if it is closed in order.
fn ask(stream: &mut TcpStream, message: &[u8]) -> io::Result<Option<Vec<u8>>> {
    stream.write_all(&framed(message))?;
    next_framed(stream)
}
