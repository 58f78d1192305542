//! Response rate limiting as clients meet it: victims of forgers, their neighbours, and those who come by TCP.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};

use support::client::PATIENCE;
use support::daemon::Served;
use support::installation::Installation;
use support::query::Query;
use support::reply::Reply;
use thalweg::wire::RecordType;

mod support;

const VICTIM: Ipv4Addr = Ipv4Addr::new(127, 1, 1, 1);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 1, 1, 200);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 1, 2, 1);
const EXEMPT: Ipv4Addr = Ipv4Addr::new(127, 1, 1, 53);
/// The longest there may be.
const NSID: &str = "a-name-of-a-server-that-is-just-as-long-as-the-longest-may-be-ok";
/// Queries of a flood. With its usual buffers the kernel keeps so many replies of 1 KB, however late they are read.
const FLOOD: usize = 60;
/// Floods in all tests of this file.
const MAX_FLOODS: usize = 64;

/// A server of one worker, which allows one answer a second. One that is flooded owes some seconds at once, and whole
/// answers would come from it again only if the test stood still for so long.
fn served(mode: &str) -> (Installation, Served) {
    let large = format!("\"{}\" ", "x".repeat(250)).repeat(4);
    let ends: String = (0..MAX_FLOODS).map(|number| format!("end-{number} A 192.0.2.1\n")).collect();
    let zone = format!(
        "$TTL 60\n@ SOA ns1 host 1 2h 15m 2w 60\n@ NS ns1\nns1 A 192.0.2.53\nlarge TXT {large}\n\
         *.wild A 192.0.2.1\nsub NS ns1.elsewhere.example.\n{ends}"
    );
    let installation = Installation::new([("thalweg.toml", config(mode).as_str()), ("zones/live.example.zone", &zone)]);
    let served = Served::start_unwatched(&installation);
    (installation, served)
}

fn config(mode: &str) -> String {
    format!(
        "[server]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nworkers = 1\n\
         nsid = \"{NSID}\"\n\
         rate_limit = {{ mode = \"{mode}\", per_second = 1, exempt = [\"{EXEMPT}/32\"] }}\n"
    )
}

fn large() -> Query {
    let mut query = Query::new("large.live.example.", RecordType::TXT);
    query.edns();
    query
}

/// What came of a flood.
#[derive(Debug, Default)]
struct Flood {
    asked_octets: usize,
    replied_octets: usize,
    /// Replies with records, or the errors that were asked for.
    whole: usize,
    truncated: usize,
    bad_cookies: usize,
    /// The server's cookie in the last of them.
    cookie: Vec<u8>,
}

/// A client's cookie.
const COOKIE: &[u8] = b"a client";

/// Sends queries from one address, and waits until all are dealt with.
fn flood(server: SocketAddr, client: Ipv4Addr, queries: impl IntoIterator<Item = Query>) -> Flood {
    let socket = UdpSocket::bind((client, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut flood = Flood::default();
    for query in queries {
        flood.asked_octets += socket.send(&query.message()).unwrap();
    }
    // Each flood ends with another name, which has an account of its own; the one worker comes to it last.
    static FLOODS: AtomicUsize = AtomicUsize::new(0);
    let number = FLOODS.fetch_add(1, Ordering::Relaxed);
    assert!(number < MAX_FLOODS);
    let last = Query::new(&format!("end-{number}.live.example."), RecordType::A);
    socket.send(&[&[0xff, 0xff], &last.message()[2..]].concat()).unwrap();
    let mut octets = [0; 1500];
    loop {
        let length = socket.recv(&mut octets).expect("the last query was lost");
        let reply = Reply::read(&octets[..length]).unwrap();
        if reply.id == 0xffff {
            return flood;
        }
        flood.replied_octets += length;
        let is_truncated = reply.lines[0].split(' ').any(|word| word == "tc");
        let has_records = reply.lines.iter().any(|line| line.starts_with("answer") || line.starts_with("authority"));
        assert!(!(is_truncated && has_records), "{:?}", reply.lines);
        if reply.lines[0].starts_with("BADCOOKIE") {
            assert!(!has_records, "{:?}", reply.lines);
            flood.bad_cookies += 1;
            let at = octets.windows(COOKIE.len()).position(|window| window == COOKIE).expect("the client's is echoed");
            flood.cookie = octets[at + COOKIE.len()..length].to_vec();
        } else {
            *(if is_truncated { &mut flood.truncated } else { &mut flood.whole }) += 1;
        }
    }
}

fn metric(served: &Served, subject: &str, done: &str) -> usize {
    let name = format!("thalweg_answers_beyond_rate_total{{subject=\"{subject}\",done=\"{done}\"}} ");
    let page = served.metrics();
    page.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |value| value.parse().unwrap())
}

#[test]
fn a_flood_for_a_victim_is_not_amplified_and_nobody_else_notices() {
    let (_installation, served) = served("on");
    let server = served.dns();
    let first = flood(server, VICTIM, vec![large(); FLOOD]);
    assert!(first.replied_octets < first.asked_octets, "{first:?}");
    // While it lasts, the victim gets nothing whole any more, whichever of its hosts is named.
    let second = flood(server, NEIGHBOUR, vec![large(); FLOOD]);
    assert_eq!((second.whole, second.truncated), (0, FLOOD / 2));
    assert!(second.replied_octets * 2 <= second.asked_octets, "{second:?}");

    for client in [STRANGER, EXEMPT] {
        assert_eq!(flood(server, client, [large()]).whole, 1, "{client}");
    }
    assert_eq!(flood(server, EXEMPT, vec![large(); FLOOD]).whole, FLOOD);
    // Other names for the victim's network are other answers.
    assert_eq!(flood(server, VICTIM, [Query::new("ns1.live.example.", RecordType::A)]).whole, 1);
    assert_eq!(tcp_answers(server, 20), 20, "over TCP nobody is limited");

    let limited = 2 * FLOOD - first.whole;
    let (truncated, dropped) = (metric(&served, "answer", "truncated"), metric(&served, "answer", "dropped"));
    assert_eq!((truncated, truncated + dropped), (first.truncated + second.truncated, limited));
}

/// How many of so many whole answers come over TCP to the victim's network.
fn tcp_answers(server: SocketAddr, count: usize) -> usize {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((VICTIM, 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let query = large().message();
    let framed = [&(query.len() as u16).to_be_bytes()[..], &query].concat();
    stream.write_all(&framed.repeat(count)).unwrap();
    let mut answered = 0;
    for _ in 0..count {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply).unwrap();
        let reply = Reply::read(&reply).unwrap();
        answered += usize::from(reply.lines.iter().any(|line| line.starts_with("answer")));
    }
    answered
}

#[test]
fn who_sends_a_cookie_gets_one_to_come_back_with_and_is_not_limited_then() {
    let (_installation, served) = served("on");
    let server = served.dns();
    let with_cookie = |server_cookie: &[u8]| {
        let mut query = large();
        query.edns().options.push((10, [COOKIE, server_cookie].concat()));
        query
    };
    let first = flood(server, VICTIM, vec![with_cookie(&[]); FLOOD]);
    assert_eq!((first.truncated, first.bad_cookies), (0, (FLOOD - first.whole) / 2), "{first:?}");
    assert_eq!(metric(&served, "answer", "bad_cookie"), first.bad_cookies);
    assert!(first.replied_octets < first.asked_octets, "{first:?}");

    let known = flood(server, VICTIM, vec![with_cookie(&first.cookie); FLOOD]);
    assert_eq!(known.whole, FLOOD, "a cookie of this server for this address");
    // RFC 7873 §5.2.4: another's counts as none.
    let stolen = flood(server, NEIGHBOUR, vec![with_cookie(&first.cookie); FLOOD]);
    assert_eq!((stolen.whole, stolen.bad_cookies), (0, FLOOD / 2));
}

#[test]
fn names_that_differ_in_each_query_are_one_answer_where_no_records_are_theirs() {
    let (_installation, served) = served("on");
    for (subject, below) in
        [("nxdomain", "live.example."), ("wildcard", "wild.live.example."), ("referral", "sub.live.example.")]
    {
        let queries = (0..FLOOD).map(|number| Query::new(&format!("random-{number}.{below}"), RecordType::A));
        let found = flood(served.dns(), VICTIM, queries);
        assert!(found.whole <= 2, "{below}: {found:?}");
        assert_eq!(found.truncated, (FLOOD - found.whole) / 2, "{below}");
        assert_eq!(metric(&served, subject, "truncated"), found.truncated);
    }
}

#[test]
fn errors_are_limited_and_every_second_goes_out() {
    let (_installation, served) = served("on");
    let queries = (0..FLOOD).map(|number| Query::new(&format!("{number}.elsewhere.example."), RecordType::A));
    let found = flood(served.dns(), VICTIM, queries);
    let (sent, dropped) = (metric(&served, "error", "sent"), metric(&served, "error", "dropped"));
    assert_eq!((found.truncated, dropped, sent), (0, FLOOD - found.whole, (sent + dropped) / 2));
    assert!(found.replied_octets < found.asked_octets, "{found:?}");
}

#[test]
fn an_error_that_goes_out_all_the_same_brings_nothing_but_itself() {
    let (_installation, served) = served("on");
    let mut query = Query::new(".", RecordType::A);
    query.edns().options.push((3, Vec::new()));
    let found = flood(served.dns(), VICTIM, vec![query; FLOOD]);
    assert!(found.whole >= FLOOD / 2, "{found:?}");
    assert!(found.replied_octets < found.asked_octets, "{found:?}");
}

#[test]
fn the_mode_log_changes_nothing_but_counts_and_a_reload_changes_the_mode() {
    let (installation, served) = served("log");
    let found = flood(served.dns(), VICTIM, vec![large(); FLOOD]);
    assert_eq!((found.whole, found.truncated), (FLOOD, 0));
    let beyond = metric(&served, "answer", "sent");
    assert!((FLOOD - 2..FLOOD).contains(&beyond), "{beyond}");

    installation.write("thalweg.toml", &config("on"));
    assert_eq!(served.reload(), Ok("generation 1 → 2: ~rate_limit".to_owned()));
    let found = flood(served.dns(), VICTIM, vec![large(); FLOOD]);
    assert_eq!((found.whole, found.truncated), (0, FLOOD / 2), "the debt is that of the flood before");

    installation.write("thalweg.toml", &config("off"));
    assert_eq!(served.reload(), Ok("generation 2 → 3: ~rate_limit".to_owned()));
    let found = flood(served.dns(), VICTIM, vec![large(); FLOOD]);
    assert_eq!((found.whole, found.truncated), (FLOOD, 0));
    assert_eq!(metric(&served, "answer", "sent"), beyond, "nothing is counted");
}
