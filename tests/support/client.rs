//! Clients: DNS over UDP, and HTTP for the admin listener.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::query::Query;
use super::reply::Reply;

/// How long anything may take that should take no time; only a failure waits for so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at something that takes its time.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks one server.
pub(crate) struct Client {
    socket: UdpSocket,
}

impl Client {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self::of(Ipv4Addr::LOCALHOST, server)
    }

    /// One with this address of its own.
    pub(crate) fn of(address: Ipv4Addr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// The reply; a query that is lost, or answered by rubbish, ends the test.
    pub(crate) fn ask(&self, query: &Query) -> Reply {
        self.socket.send(&query.message()).unwrap();
        let mut reply = [0; 1500];
        let length = self.socket.recv(&mut reply).expect("the query was lost");
        Reply::read(&reply[..length]).unwrap()
    }
}

/// The body of a page.
pub(crate) fn get(server: SocketAddr, path: &str) -> String {
    let (status, body) = page(server, path);
    assert_eq!(status, 200, "{body}");
    body
}

/// The status and the body of a page.
pub(crate) fn page(server: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{answer}")), body.to_owned())
}

/// The status and the body of what is said to a request without a body.
pub(crate) fn post(server: SocketAddr, path: &str) -> (u16, String) {
    post_json(server, path, "")
}

/// The same to a request with a body.
pub(crate) fn post_json(server: SocketAddr, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("POST {path} HTTP/1.0\r\nHost: {server}\r\nContent-Type: application/json\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

/// Looks until there is something; what is waited for has no other way to tell.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::park_timeout(PAUSE);
    }
}
