//! Clients that stall, or send what costs more than it brings: everybody else is answered meanwhile, over each carrier.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};

use super::clients::{Stream, ask, ask_tcp, endpoint, is_play, is_served, play, quic, tcp, tls};
use super::support::child::Child;
use super::support::client::{Client, PATIENCE, wait_for};
use super::support::daemon::Served;
use super::{Installed, installed};

/// Room for all that one network opens here.
const ROOM: &str = "tcp.connections = 2000\ntcp.connections_per_prefix = 2000";

/// Asks over every carrier.
fn assert_serves(served: &Served) {
    assert!(is_play(Some(Client::new(served.dns()).ask(&play()))), "UDP");
    assert!(is_play(ask_tcp(served.dns(), &play())), "TCP");
    assert!(is_play(ask(&mut tls(served.tls(), b"dot"), &play())), "TLS");
    assert_eq!(status(&mut post(tls(served.https(), b"http/1.1"), 35, &play().message())), 200, "HTTPS");
    assert_eq!(status(&mut post(tcp(Ipv4Addr::LOCALHOST, served.http()), 35, &play().message())), 200, "HTTP");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let is_served = runtime.block_on(async { is_served(&quic(&endpoint(), served.quic()).await).await });
    assert!(is_served, "QUIC");
}

/// A request by HTTP/1.1 with a body of so many octets, of which these come.
fn post<S: Read + Write>(mut stream: S, length: usize, body: &[u8]) -> S {
    let head = format!(
        "POST /dns-query HTTP/1.1\r\nhost: ns1\r\ncontent-type: application/dns-message\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    stream.flush().unwrap();
    stream
}

/// The status of an answer; 0 if there is none.
fn status(stream: &mut impl Read) -> u16 {
    let mut answer = [0; 12];
    match stream.read_exact(&mut answer) {
        Ok(()) => String::from_utf8_lossy(&answer[9..]).parse().unwrap(),
        Err(_) => 0,
    }
}

#[test]
fn handshakes_that_stall_hold_up_nobody() {
    let Installed { served, .. } = installed(ROOM);
    // The start of a ClientHello (RFC 8446 §4.1.2) that says there is more.
    let begun = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let stalled: Vec<TcpStream> = [served.tls(), served.https()]
        .into_iter()
        .flat_map(|server| std::iter::repeat_n(server, 50))
        .map(|server| {
            let mut stream = tcp(Ipv4Addr::LOCALHOST, server);
            stream.write_all(begun).unwrap();
            stream
        })
        .collect();
    assert_serves(&served);
    drop(stalled);
}

/// First datagrams of clients of QUIC that are not heard of again.
fn initials(count: usize) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut datagrams = Vec::new();
        for _ in 0..count {
            // Each his own: the farewell of one must not be taken for the start of the next.
            let nobody = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let endpoint = endpoint();
            let connecting = endpoint.connect(nobody.local_addr().unwrap(), "ns1.live.example").unwrap();
            let mut datagram = vec![0; 2_000];
            let length = nobody.recv(&mut datagram).await.unwrap();
            datagram.truncate(length);
            datagrams.push(datagram);
            drop(connecting);
        }
        datagrams
    })
}

#[test]
fn handshakes_of_quic_that_stall_hold_up_nobody_and_are_not_amplified() {
    let Installed { served, .. } = installed(ROOM);
    // More than may be under way of those who have not shown their address.
    let (mut stalled, mut retries) = (Vec::new(), 0);
    for datagram in initials(100) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(served.quic()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send(&datagram).unwrap();
        let mut reply = [0; 2_000];
        let length = socket.recv(&mut reply).expect("a handshake or a retry");
        // RFC 9000 §17.2.5: a long header of type Retry.
        retries += usize::from(reply[0] & 0xf0 == 0xf0);
        stalled.push((socket, datagram.len(), length));
    }
    assert!((1..=36).contains(&retries), "{retries}");
    assert_serves(&served);
    // RFC 9000 §8.1: three times what came, all that is sent again included.
    for (socket, asked, mut received) in stalled {
        socket.set_nonblocking(true).unwrap();
        let mut reply = [0; 2_000];
        while let Ok(length) = socket.recv(&mut reply) {
            received += length;
        }
        assert!(received <= 3 * asked, "{received} octets for {asked}");
    }
}

/// Connections that do nothing.
const IDLE: usize = 500;

#[test]
fn idle_connections_over_tls_cost_little_memory() {
    /// What TLS keeps of a session, the task and its place: measured 14 KiB.
    const MOST: u64 = 32 << 10;
    let child = child();
    let before = child.memory();
    let mut idle: Vec<Stream> = (0..IDLE).map(|_| tls(child.tls(), b"dot")).collect();
    for stream in &mut idle {
        assert!(is_play(ask(stream, &play())));
    }
    assert_eq!(child.metric("thalweg_tls_connections"), IDLE as f64);
    let each = child.memory().saturating_sub(before) / IDLE as u64;
    assert!(each < MOST, "{each} octets each");
    assert!(is_play(ask(&mut tls(child.tls(), b"dot"), &play())));
    assert!(is_play(ask_tcp(child.dns, &play())));
    assert!(is_play(Some(Client::new(child.dns).ask(&play()))));
    assert!(is_play(ask(&mut idle[0], &play())));
}

#[tokio::test]
async fn idle_connections_over_quic_cost_little_memory() {
    /// The same for QUIC: measured 41 KiB.
    const MOST: u64 = 80 << 10;
    let child = tokio::task::spawn_blocking(child).await.unwrap();
    let before = child.memory();
    let endpoint = endpoint();
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        let connection = quic(&endpoint, child.quic()).await;
        assert!(is_served(&connection).await);
        idle.push(connection);
    }
    let each = child.memory().saturating_sub(before) / IDLE as u64;
    assert!(each < MOST, "{each} octets each");
    assert!(is_served(&quic(&endpoint, child.quic()).await).await);
    assert!(is_served(&idle[0]).await);
}

/// A server as a process of its own.
fn child() -> Child {
    let Installed { installation, served } = installed(&format!("{ROOM}\ntcp.idle = \"60s\""));
    drop(served);
    Child::start(&installation.config(), 4_096)
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// The header fields of a query by GET (RFC 7541 §6).
fn fields() -> Vec<u8> {
    let path = "/dns-query?dns=AAABAAABAAAAAAAABHBsYXkEbGl2ZQdleGFtcGxlAAABAAE";
    [&b"\x82\x87\x01\x03ns1\x04"[..], &[path.len() as u8], path.as_bytes()].concat()
}

/// A connection by HTTP/2 whose settings are told.
fn h2(served: &Served) -> Stream {
    let mut stream = tls(served.https(), b"h2");
    let settings = frame(SETTINGS, 0, 0, b"");
    stream.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat()).unwrap();
    stream
}

/// What frames come until the connection ends: the code of GOAWAY if there is one, and how many headers.
fn rest(stream: &mut Stream) -> (Option<u32>, usize) {
    let octets = unanswered(stream);
    let (mut code, mut headers, mut frames) = (None, 0, &octets[..]);
    while let Some((head, payload)) = frames.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, next)) = payload.split_at_checked(length) else { break };
        match head[3] {
            HEADERS => headers += 1,
            GOAWAY => code = payload.get(4..8).map(|code| u32::from_be_bytes(code.try_into().unwrap())),
            _ => {}
        }
        frames = next;
    }
    (code, headers)
}

/// All that comes until the connection ends. Nothing more is sent: of a connection that is closed already that would fail, and
/// what was said before would not be read.
fn unanswered(stream: &mut Stream) -> Vec<u8> {
    let Stream { conn, sock } = stream;
    let mut octets = Vec::new();
    loop {
        // It ends with an error where there is nothing more for now.
        let _ = conn.reader().read_to_end(&mut octets);
        match conn.read_tls(sock) {
            Ok(1..) if conn.process_new_packets().is_ok() => {}
            _ => return octets,
        }
    }
}

#[test]
fn who_takes_back_all_it_asks_is_sent_away() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let Installed { served, .. } = installed(ROOM);
    let mut stream = h2(&served);
    let cancel = 8_u32.to_be_bytes();
    let flood: Vec<u8> = (0..1_000)
        .map(|number| 2 * number + 1)
        .flat_map(|id| [frame(HEADERS, 0x5, id, &fields()), frame(RST_STREAM, 0, id, &cancel)].concat())
        .collect();
    // The connection may end before all is sent.
    let _ = stream.write_all(&flood).and_then(|()| stream.flush());
    let (code, headers) = rest(&mut stream);
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    assert!(headers < 100, "{headers}");
    assert_serves(&served);
}

#[test]
fn requests_that_never_end_end_with_their_connection() {
    let Installed { served, .. } = installed(&format!("{ROOM}\ntcp.idle = \"2s\""));
    let mut stream = h2(&served);
    // POST, without the end of the stream.
    let fields = [&b"\x83\x87\x01\x03ns1\x04\x0a"[..], b"/dns-query"].concat();
    let open: Vec<u8> = (0..100).flat_map(|number| frame(HEADERS, 0x4, 2 * number + 1, &fields)).collect();
    stream.write_all(&open).and_then(|()| stream.flush()).unwrap();
    assert_serves(&served);
    // All are told to have taken too long, or cut off; none is waited for.
    rest(&mut stream);
    assert!(
        served.metrics().lines().any(|line| line.starts_with("thalweg_https_connections_closed_total{limit=\"idle\"}"))
    );
}

#[test]
fn bodies_that_stall_take_no_room_from_usual_ones() {
    /// Six more than are read at a time.
    const STALLED: usize = 70;
    let Installed { served, .. } = installed(&format!("{ROOM}\ntcp.idle = \"60s\""));
    let mut stalled: Vec<Stream> =
        (0..STALLED).map(|_| post(tls(served.https(), b"http/1.1"), 60_000, &[0; 50_000])).collect();
    // A body that is too long is refused, however many come.
    for _ in 0..20 {
        assert_eq!(status(&mut post(tls(served.https(), b"http/1.1"), 100_000, &[0; 100_000])), 413);
    }
    assert_serves(&served);
    let mut refused = Vec::new();
    // Those that found no room are told so, and the others are waited for.
    for stream in &stalled {
        stream.sock.set_nonblocking(true).unwrap();
    }
    let refused = wait_for("answers to those beyond", || {
        let told: Vec<u16> = stalled.iter_mut().map(status).filter(|status| *status != 0).collect();
        refused.extend(told);
        (refused.len() >= STALLED - 64).then(|| refused.clone())
    });
    assert_eq!(refused, [503; STALLED - 64]);
}
