//! The PROXY protocol: whose a connection is, by whom that is believed, and whose limits it has.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use thalweg::wire::RecordType;

use super::clients::{ask, is_play, play, tcp, tls_on};
use super::installed;
use super::support::query::Query;
use super::support::reply::Reply;

/// Who is listed, and who is not.
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const LISTED: &str = "proxy_protocol = { from = [\"127.0.0.2/32\"] }";
/// What the zone's region near has.
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

/// A header of version 2 that names a client.
fn header(client: Ipv4Addr) -> Vec<u8> {
    let addresses = [&client.octets()[..], &[198, 51, 100, 1, 0xc3, 0x50, 0, 53]].concat();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"[..], &addresses].concat()
}

/// One that says that the proxy asks by itself.
const OWN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

fn whoami() -> Query {
    Query::new("whoami.live.example.", RecordType(16))
}

fn is_told(reply: Option<Reply>, client: &str, region: &str) -> bool {
    let lines = reply.map(|reply| reply.lines).unwrap_or_default();
    let has = |word: &str| lines.iter().any(|line| line.contains(word));
    has(&format!("\"resolver={client}\"")) && has(&format!("\"region={region}\""))
}

/// A connection that begins with these octets.
fn beginning(client: Ipv4Addr, server: SocketAddr, octets: &[u8]) -> TcpStream {
    let mut stream = tcp(client, server);
    stream.write_all(octets).unwrap();
    stream
}

/// Asks once over HTTP/1.1; none if there is no answer.
fn ask_http(stream: &mut (impl Read + Write), query: &Query) -> Option<Reply> {
    let message = query.message();
    let head = format!(
        "POST /dns-query HTTP/1.1\r\nhost: ns1\r\ncontent-type: application/dns-message\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        message.len()
    );
    stream.write_all(&[head.as_bytes(), &message].concat()).ok()?;
    stream.flush().ok()?;
    let mut answer = Vec::new();
    // TLS ends as it likes here.
    let _ = stream.read_to_end(&mut answer);
    let at = answer.windows(4).position(|end| end == b"\r\n\r\n")?;
    answer.starts_with(b"HTTP/1.1 200 ").then(|| Reply::read(&answer[at + 4..]).unwrap())
}

#[test]
fn a_listed_proxy_tells_whose_a_connection_is() {
    let served = installed(LISTED).served;
    let header = header(CLIENT);
    let mut stream = beginning(PROXY, served.dns(), &header);
    assert!(is_told(ask(&mut stream, &whoami()), "192.0.2.77", "near"), "TCP");
    let mut stream = tls_on(beginning(PROXY, served.tls(), &header), b"dot");
    assert!(is_told(ask(&mut stream, &whoami()), "192.0.2.77", "near"), "TLS");
    let mut stream = tls_on(beginning(PROXY, served.https(), &header), b"http/1.1");
    assert!(is_told(ask_http(&mut stream, &whoami()), "192.0.2.77", "near"), "HTTPS");
    // It comes in pieces, and with what proxies add.
    let mut longer = header.clone();
    longer[15] += 7;
    longer.extend(b"\x04\x00\x04rest");
    let (first, rest) = longer.split_at(9);
    let mut stream = beginning(PROXY, served.dns(), first);
    stream.write_all(rest).unwrap();
    assert!(is_told(ask(&mut stream, &whoami()), "192.0.2.77", "near"));
    // Over IPv6 too.
    let addresses = ["2001:db8:1::7", "2001:db8::53"].map(|text| text.parse::<std::net::Ipv6Addr>().unwrap().octets());
    let v6 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24"[..], &addresses.concat(), &[0xc3, 0x50, 0, 53]].concat();
    let mut stream = beginning(PROXY, served.dns(), &v6);
    assert!(is_told(ask(&mut stream, &whoami()), "2001:db8:1::7", "near"));
}

#[test]
fn the_checks_of_a_proxy_are_its_own() {
    let served = installed(LISTED).served;
    let mut stream = beginning(PROXY, served.dns(), OWN);
    let reply = ask(&mut stream, &whoami()).expect("a reply");
    assert!(reply.lines.iter().any(|line| line.contains("\"resolver=127.0.0.2\"")), "{:?}", reply.lines);
}

#[test]
fn a_listed_proxy_has_to_tell() {
    let served = installed(LISTED).served;
    for octets in [
        &b"PROXY TCP4 192.0.2.77 198.51.100.1 50000 53\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c192.0.2.1234",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ] {
        let mut stream = beginning(PROXY, served.dns(), octets);
        assert!(ask(&mut stream, &play()).is_none(), "{octets:?}");
    }
    let mut stream = tcp(PROXY, served.dns());
    assert!(ask(&mut stream, &play()).is_none(), "a query without a header");
    let failed = "thalweg_tcp_introductions_failed_total 4";
    assert!(served.metrics().lines().any(|line| line == failed), "{}", served.metrics());
    // Others need none.
    assert!(is_play(ask(&mut tcp(STRANGER, served.dns()), &play())));
}

#[test]
fn nobody_else_is_believed() {
    let served = installed(&format!("{LISTED}\ntcp.idle = \"2s\"")).served;
    // To TCP it is the start of a message of 3338 octets, to TLS and HTTP nothing that they know.
    let header = header(CLIENT);
    for server in [served.dns(), served.tls(), served.https(), served.http()] {
        let mut stream = beginning(STRANGER, server, &header);
        assert!(ask(&mut stream, &whoami()).is_none(), "{server}");
    }
    let mut stream = tcp(STRANGER, served.dns());
    let reply = ask(&mut stream, &whoami()).expect("a reply");
    assert!(reply.lines.iter().any(|line| line.contains("\"resolver=127.0.0.3\"")), "{:?}", reply.lines);
}

#[test]
fn connections_count_to_the_network_of_the_client_and_not_of_the_proxy() {
    let served = installed(&format!("{LISTED}\ntcp.connections_per_prefix = 2")).served;
    let by = |client: Ipv4Addr| beginning(PROXY, served.dns(), &header(client));
    let mut first: Vec<TcpStream> = (1..=2).map(|host| by(Ipv4Addr::new(192, 0, 2, host))).collect();
    for stream in &mut first {
        assert!(is_play(ask(stream, &play())));
    }
    assert!(ask(&mut by(CLIENT), &play()).is_none(), "the third of one network");
    let mut others: Vec<TcpStream> = (1..=5).map(|net| by(Ipv4Addr::new(198, 51, net, 1))).collect();
    for stream in &mut others {
        assert!(is_play(ask(stream, &play())));
    }
    let refused = "thalweg_tcp_connections_refused_total{limit=\"connections_per_prefix\"} 1";
    assert!(served.metrics().lines().any(|line| line == refused), "{}", served.metrics());
}
