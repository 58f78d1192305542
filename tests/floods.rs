//! Floods over TCP against the program: its memory stays, its datagrams are answered, and it serves on when they end.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use support::child::Child;
use support::client::{Client, PATIENCE, wait_for};
use support::exchange::{framed, next_framed};
use support::installation::Installation;
use support::query::Query;
use support::reply::Reply;
use thalweg::wire::RecordType;

mod support;

/// Octets of memory by which a flood may make it grow.
const GROWTH: u64 = 2_000_000;
/// Descriptors for a thousand connections and everything else.
const DESCRIPTORS: u32 = 2_048;
/// Datagrams that must all be answered during a flood.
const DATAGRAMS: usize = 500;
/// Pause of the server after a failure to accept that it can do nothing about.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const CONFIG: &str = "[server]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nworkers = 2\n";

/// The program, and what it is flooded with; one at a time, for they compare memory.
struct Flooded {
    child: Child,
    memory: u64,
    _installation: Installation,
    _alone: MutexGuard<'static, ()>,
}

impl Flooded {
    fn start(descriptors: u32, limits: &str) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut zone =
            "$TTL 60\n@ SOA ns1 host 1 2h 15m 2w 60\n@ NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.80\n".to_owned();
        // 64,768 octets of records: with header and question, as long a reply as there is.
        for index in 0..253 {
            zone.push_str(&format!("huge TXT \"{index:0>243}\"\n"));
        }
        let config = format!("{CONFIG}{limits}");
        let installation = Installation::new([("thalweg.toml", &*config), ("zones/live.example.zone", &*zone)]);
        let child = Child::start(&installation.config(), descriptors);
        let mut flooded = Self { child, memory: 0, _installation: installation, _alone: alone };
        // What is needed once is there from now on: pages of code, buffers of threads, tables of workers, of which
        // each has its share of the ports.
        flooded.assert_datagrams_are_answered();
        for _ in 0..50 {
            Client::new(flooded.child.dns).ask(&www());
            assert!(matches!(asked(&mut flooded.connect(1), "huge.live.example.", RecordType::TXT), Ok(Some(_))));
            flooded.child.metric("thalweg_generation");
        }
        flooded.memory = flooded.child.memory();
        flooded
    }

    /// A connection from an address of its own: 127.0.NETWORK.1.
    fn connect(&self, network: u8) -> TcpStream {
        self.try_connect(network, None).unwrap()
    }

    fn try_connect(&self, network: u8, window: Option<usize>) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        if let Some(octets) = window {
            socket.set_recv_buffer_size(octets)?;
        }
        socket.bind(&SocketAddr::from(([127, 0, network, 1], 0)).into())?;
        socket.connect(&self.child.dns.into())?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn assert_datagrams_are_answered(&self) {
        let client = Client::new(self.child.dns);
        for _ in 0..DATAGRAMS {
            let reply = client.ask(&www());
            assert_eq!(reply.lines[2..], ["answer: www.live.example. 60 IN A 192.0.2.80"]);
        }
    }

    fn assert_serves_tcp(&self) {
        // From where nobody else is: networks have limits of their own.
        let reply = asked(&mut self.connect(250), "www.live.example.", RecordType::A).unwrap().expect("a reply");
        assert_eq!(reply.lines[2..], ["answer: www.live.example. 60 IN A 192.0.2.80"]);
    }

    fn assert_has_not_grown(&self, flood: &str) {
        let growth = self.child.memory().saturating_sub(self.memory);
        eprintln!("{flood}: {} KiB more than {} KiB", growth / 1024, self.memory / 1024);
        assert!(growth < GROWTH, "{flood} made it grow by {growth} octets");
    }
}

fn www() -> Query {
    Query::new("www.live.example.", RecordType::A)
}

/// A query behind its length.
fn query(name: &str, qtype: RecordType) -> Vec<u8> {
    framed(&Query::new(name, qtype).message())
}

fn asked(stream: &mut TcpStream, name: &str, qtype: RecordType) -> io::Result<Option<Reply>> {
    stream.write_all(&query(name, qtype))?;
    replied(stream)
}

/// The next reply; none if the connection is closed in order.
fn replied(stream: &mut TcpStream) -> io::Result<Option<Reply>> {
    Ok(next_framed(stream)?.map(|reply| Reply::read(&reply).unwrap()))
}

#[test]
fn five_thousand_queries_whose_replies_nobody_reads() {
    let flooded = Flooded::start(DESCRIPTORS, "");
    let mut deaf = flooded.try_connect(2, Some(4_096)).unwrap();
    // The queries have room in the kernels of both sides, as the replies have not.
    SockRef::from(&deaf).set_send_buffer_size(1 << 20).unwrap();
    deaf.write_all(&query("huge.live.example.", RecordType::TXT).repeat(5_000)).unwrap();
    let before = flooded.child.metric("thalweg_replies_total");
    flooded.assert_datagrams_are_answered();
    flooded.assert_has_not_grown("5,000 queries that nobody reads the replies of");
    flooded.assert_serves_tcp();
    let replies = flooded.child.metric("thalweg_replies_total") - before;
    assert!(replies < DATAGRAMS as f64 + 50.0, "{replies} replies were made though nobody read them");
}

#[test]
fn a_thousand_idle_connections() {
    let flooded = Flooded::start(DESCRIPTORS, "tcp.idle = \"1h\"\n");
    let mut idle: Vec<TcpStream> = (0..1_000).map(|index| flooded.connect((index / 100 + 2) as u8)).collect();
    for stream in &mut idle {
        assert!(asked(stream, "www.live.example.", RecordType::A).unwrap().is_some());
    }
    assert_eq!(flooded.child.metric("thalweg_tcp_connections"), 1_000.0);
    flooded.assert_datagrams_are_answered();
    flooded.assert_has_not_grown("1,000 idle connections");
    // One more takes the place of the one that is idle for longest.
    flooded.assert_serves_tcp();
    assert!(replied(&mut idle[0]).unwrap().is_none());
    assert!(asked(&mut idle[1], "www.live.example.", RecordType::A).unwrap().is_some());
    drop(idle);
    wait_for("the connections to be closed", || (flooded.child.metric("thalweg_tcp_connections") < 1.0).then_some(()));
}

#[test]
fn slow_senders_that_finish_no_query() {
    let flooded = Flooded::start(DESCRIPTORS, "");
    let mut slow: Vec<TcpStream> = (0..500).map(|index| flooded.connect((index / 100 + 2) as u8)).collect();
    let query = query("www.live.example.", RecordType::A);
    let (last, others) = query.split_last().unwrap();
    for octet in others {
        for stream in &mut slow {
            stream.write_all(&[*octet]).unwrap();
        }
    }
    flooded.assert_datagrams_are_answered();
    flooded.assert_serves_tcp();
    flooded.assert_has_not_grown("500 slow senders");
    // Nobody has asked anything, so nothing is answered; with the last octet it is.
    for stream in &mut slow {
        stream.write_all(&[*last]).unwrap();
        assert!(replied(stream).unwrap().is_some());
    }
}

#[test]
fn announced_lengths_cost_nothing() {
    let flooded = Flooded::start(DESCRIPTORS, "");
    let liars: Vec<TcpStream> = (0..900)
        .map(|index| {
            let mut stream = flooded.connect((index / 100 + 2) as u8);
            stream.write_all(&[0xff, 0xff, 0x12, 0x34]).unwrap();
            stream
        })
        .collect();
    flooded.assert_datagrams_are_answered();
    flooded.assert_serves_tcp();
    flooded.assert_has_not_grown("900 announcements of 65,535 octets");
    drop(liars);
}

#[test]
fn garbage_zero_lengths_and_closed_halves() {
    let flooded = Flooded::start(DESCRIPTORS, "");
    let mut seed = 0x9e37_79b9_u32;
    let mut octet = || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed as u8
    };
    for round in 0..300 {
        let mut stream = flooded.connect(2);
        let garbage: Vec<u8> = match round % 3 {
            0 => (0..2_000).map(|_| octet()).collect(),
            // RFC 1035 §4.2.2: a message of no octets.
            1 => vec![0; 2],
            _ => query("www.live.example.", RecordType::A)[..20].to_vec(),
        };
        // The server may have had enough before all of it is sent.
        let _ = stream.write_all(&garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        // Whatever it says, it closes, in order or not.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    flooded.assert_datagrams_are_answered();
    flooded.assert_serves_tcp();
    flooded.assert_has_not_grown("300 connections of garbage");
}

#[test]
fn the_longest_reply_comes_whole_through_a_tiny_window() {
    let flooded = Flooded::start(DESCRIPTORS, "");
    let mut narrow = flooded.try_connect(2, Some(2_048)).unwrap();
    narrow.write_all(&query("huge.live.example.", RecordType::TXT)).unwrap();
    let mut octets = Vec::new();
    while octets.len() < 2 || octets.len() < 2 + usize::from(u16::from_be_bytes([octets[0], octets[1]])) {
        let mut few = [0; 100];
        let length = narrow.read(&mut few).unwrap();
        assert!(length > 0, "closed after {} octets", octets.len());
        octets.extend(&few[..length]);
    }
    assert!(octets.len() > 64_000);
    let answers = Reply::read(&octets[2..]).unwrap().lines.iter().filter(|line| line.starts_with("answer: ")).count();
    assert_eq!(answers, 253);
    assert!(asked(&mut narrow, "www.live.example.", RecordType::A).unwrap().is_some());
}

#[test]
fn more_connections_than_descriptors() {
    const FLOOD: usize = 300;
    let flooded = Flooded::start(64, "");
    let flood: Vec<TcpStream> = (0..FLOOD).map(|index| flooded.connect((index / 100 + 2) as u8)).collect();
    flooded.assert_datagrams_are_answered();
    // The longest idle connection makes room here, too.
    flooded.assert_serves_tcp();
    flooded.assert_datagrams_are_answered();
    assert!(flooded.child.descriptors() <= 64);
    drop(flood);
    flooded.assert_serves_tcp();
    flooded.assert_has_not_grown("more connections than descriptors");
    let failures = flooded.child.metric("thalweg_tcp_accept_failures_total");
    assert!(failures > 0.0 && failures <= FLOOD as f64 + 60.0, "{failures} failures for {FLOOD} connections");
    assert_eq!(flooded.child.logged("cannot accept connections"), 1);
}

#[test]
fn no_descriptor_is_left_at_all() {
    let flooded = Flooded::start(256, "");
    let start = Instant::now();
    // Fewer than are open already, so that nothing the server gives up is enough.
    flooded.child.limit_descriptors(8);
    let mut waiting: Vec<TcpStream> = (0..20).map(|_| flooded.connect(2)).collect();
    for stream in &mut waiting {
        stream.write_all(&query("www.live.example.", RecordType::A)).unwrap();
    }
    while start.elapsed() < 5 * ACCEPT_PAUSE {
        flooded.assert_datagrams_are_answered();
    }
    flooded.child.limit_descriptors(256);
    // Who waited in the meantime is served.
    for stream in &mut waiting {
        assert!(replied(stream).unwrap().is_some());
    }
    flooded.assert_serves_tcp();
    // It tried again at its pace; without a pause there would be some hundred thousand.
    let tries = start.elapsed().as_secs_f64() / ACCEPT_PAUSE.as_secs_f64() + 2.0;
    let failures = flooded.child.metric("thalweg_tcp_accept_failures_total");
    assert!(failures > 0.0 && failures <= tries, "{failures} failures, at most {tries} tries");
    assert_eq!(flooded.child.logged("cannot accept connections"), 1);
}
