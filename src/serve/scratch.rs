//! The scratch buffer of a thread, for what is read from streams and for replies to them.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Responder;
use crate::answer::Transport;
use crate::wire::MAX_STREAM;

thread_local! {
    /// Room for the longest reply. One a thread: a connection keeps only what it has yet to answer or to send.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; MAX_STREAM].into_boxed_slice());
}

/// Where a stream comes from, and what carries it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    pub(super) client: SocketAddr,
    pub(super) local: Option<IpAddr>,
    pub(super) transport: Transport,
    /// How long the connection may be idle, if that is told (RFC 7828).
    pub(super) idle: Option<Duration>,
}

impl Path {
    /// A path of plain addresses: IPv4 mapped into IPv6 (RFC 4291 §2.5.5.2) is IPv4 again, or no
    /// region and no prefix of clients would know it.
    pub(super) fn new(client: SocketAddr, local: Option<IpAddr>, transport: Transport) -> Self {
        Self {
            client: SocketAddr::new(client.ip().to_canonical(), client.port()),
            local: local.map(|address| address.to_canonical()),
            transport,
            idle: None,
        }
    }
}

/// Answers a message and shows the reply to `take`; none if there is nothing to send.
pub(super) fn respond<T>(
    responder: &Responder,
    message: &[u8],
    path: Path,
    take: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    borrow(|scratch| {
        let length = responder.respond(message, path, scratch)?;
        Some(take(&scratch[..length]))
    })
}

/// Lends the thread's buffer, which has `MAX_STREAM` octets; `task` must not borrow it again.
pub(super) fn borrow<T>(task: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| task(scratch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_ipv4() {
        let client = "[::ffff:192.0.2.1]:5300".parse().unwrap();
        let path = Path::new(client, Some("::ffff:198.51.100.1".parse().unwrap()), Transport::Tcp);
        assert_eq!(path.client, "192.0.2.1:5300".parse().unwrap());
        assert_eq!(path.local, Some("198.51.100.1".parse().unwrap()));
        let client = "[2001:db8::1]:5300".parse().unwrap();
        assert_eq!(Path::new(client, None, Transport::Tcp).client, client);
    }
}
