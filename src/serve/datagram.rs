//! Datagrams in batches: `recvmmsg` and `sendmmsg`, each reply from the address that was asked.
//!
//! No safe crate offers this: nix has one set of control messages for a whole `sendmmsg`, rustix has no
//! packet information, quinn-udp sends one by one. So the calls stand here, and nothing else does.
#![expect(
    unsafe_code,
    reason = "recvmmsg, sendmmsg, IP_PKTINFO with a source address a message, and filters of SO_REUSEPORT are in no safe crate"
)]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use crate::wire::MAX_UDP;

/// Datagrams that are received, answered and sent together. More gain nothing measurable on loopback.
pub const BATCH: usize = 32;
/// Octets of the longest query that is read; what is longer is no query we could answer, and is dropped.
const MAX_QUERY: usize = 4096;
/// Octets for control messages: one packet information of either family.
const CONTROL: usize = 64;

/// Room for a batch: buffers, addresses, control messages; allocated once.
pub(super) struct Batch {
    received: Box<[Received]>,
    ready: Box<[Ready]>,
    /// For `recvmmsg`, written anew each time as the others: what they lead to was lent in between.
    incoming: Headers,
    /// For `sendmmsg`.
    outgoing: Headers,
    count: usize,
}

/// A datagram that came.
struct Received {
    peer: Aligned<{ size_of::<libc::sockaddr_in6>() }>,
    control: Aligned<CONTROL>,
    peer_length: libc::socklen_t,
    control_length: usize,
    length: usize,
    query: [u8; MAX_QUERY],
}

/// Its reply.
pub struct Ready {
    /// 0 if there is nothing to send.
    length: usize,
    octets: [u8; MAX_UDP],
}

/// What the kernel is told of the places of datagrams.
struct Headers {
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
}

/// Octets that the kernel reads and writes as structures.
#[repr(C, align(8))]
struct Aligned<const N: usize>([u8; N]);

/// A datagram as its sender meant it.
pub(super) struct Incoming<'b> {
    pub(super) message: &'b [u8],
    pub(super) client: SocketAddr,
    /// The address it was sent to, on sockets that are bound to any.
    pub(super) local: Option<IpAddr>,
}

impl Headers {
    fn new() -> Self {
        // SAFETY: mmsghdr and iovec are plain C structures; null pointers and zero lengths are valid in them.
        let (header, vector): (libc::mmsghdr, libc::iovec) = unsafe { (zeroed(), zeroed()) };
        Self { headers: vec![header; BATCH].into(), vectors: vec![vector; BATCH].into() }
    }
}

impl Batch {
    pub(super) fn new() -> Self {
        let received = |_| Received {
            peer: Aligned([0; size_of::<libc::sockaddr_in6>()]),
            control: Aligned([0; CONTROL]),
            peer_length: 0,
            control_length: 0,
            length: 0,
            query: [0; MAX_QUERY],
        };
        Self {
            received: (0..BATCH).map(received).collect(),
            ready: (0..BATCH).map(|_| Ready::new()).collect(),
            incoming: Headers::new(),
            outgoing: Headers::new(),
            count: 0,
        }
    }

    /// Waits for a datagram and takes those that are there, up to `BATCH`; says how many.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.count = 0;
        let Headers { headers, vectors } = &mut self.incoming;
        for ((place, header), vector) in self.received.iter_mut().zip(headers).zip(vectors) {
            vector.iov_base = place.query.as_mut_ptr().cast();
            vector.iov_len = MAX_QUERY;
            let message = &mut header.msg_hdr;
            message.msg_iov = vector;
            message.msg_iovlen = 1;
            message.msg_name = place.peer.0.as_mut_ptr().cast();
            message.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            message.msg_control = place.control.0.as_mut_ptr().cast();
            message.msg_controllen = CONTROL as _;
        }
        // SAFETY: each header points to a vector, and by it to a query, a peer and a control buffer of this batch, which live
        // and stay in place during the call, with their true lengths; there are `BATCH` headers.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.incoming.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?.min(BATCH);
        for (place, header) in self.received.iter_mut().zip(&self.incoming.headers[..count]) {
            let is_whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            place.length = if is_whole { (header.msg_len as usize).min(MAX_QUERY) } else { 0 };
            place.peer_length = header.msg_hdr.msg_namelen;
            // Its type differs between C libraries.
            let control_length: usize = header.msg_hdr.msg_controllen as _;
            place.control_length = control_length.min(CONTROL);
        }
        self.count = count;
        Ok(count)
    }

    /// The datagrams that came, each with room for its reply, which is to be filled; none for one from nowhere.
    #[inline]
    pub(super) fn exchanges(&mut self) -> impl Iterator<Item = (Option<Incoming<'_>>, &mut Ready)> {
        self.received[..self.count].iter().zip(&mut self.ready).map(|(place, ready)| (place.incoming(), ready))
    }

    /// Sends the replies and says how many could not be sent.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> u64 {
        let Headers { headers, vectors } = &mut self.outgoing;
        let mut count = 0;
        let answered =
            self.received[..self.count].iter_mut().zip(&mut self.ready).filter(|(_, ready)| ready.length > 0);
        for (place, ready) in answered {
            let vector = &mut vectors[count];
            vector.iov_base = ready.octets.as_mut_ptr().cast();
            vector.iov_len = ready.length;
            let message = &mut headers[count].msg_hdr;
            message.msg_iov = vector;
            message.msg_iovlen = 1;
            message.msg_name = place.peer.0.as_mut_ptr().cast();
            message.msg_namelen = place.peer_length;
            message.msg_control = std::ptr::null_mut();
            message.msg_controllen = 0;
            if place.control_length > 0 {
                prepare_source(&mut place.control.0[..place.control_length]);
                message.msg_control = place.control.0.as_mut_ptr().cast();
                message.msg_controllen = place.control_length as _;
            }
            count += 1;
        }
        let mut unsent = 0;
        let mut next = 0;
        while next < count {
            let rest = &mut headers[next..count];
            // SAFETY: each of the `rest` headers points to a reply, a peer and a control buffer of this batch,
            // which live and stay in place during the call, with lengths within theirs.
            let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, 0) };
            match usize::try_from(sent) {
                Ok(sent) => next += sent.max(1),
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // The first of the rest cannot be sent (no route, or an earlier ICMP error): go on behind it.
                Err(_) => {
                    unsent += 1;
                    next += 1;
                }
            }
        }
        unsent
    }
}

impl Received {
    #[inline]
    fn incoming(&self) -> Option<Incoming<'_>> {
        let client = socket_address(&self.peer.0)?;
        let local = local_address(&self.control.0[..self.control_length]);
        Some(Incoming { message: &self.query[..self.length], client, local })
    }
}

impl Ready {
    /// Nothing to send yet.
    pub fn new() -> Self {
        Self { length: 0, octets: [0; MAX_UDP] }
    }

    /// The reply; none if there is nothing to send.
    pub fn reply(&self) -> Option<&[u8]> {
        self.octets.get(..self.length).filter(|reply| !reply.is_empty())
    }

    /// Lets `write` write the reply, and say how long it is; none for no reply.
    #[inline]
    pub(super) fn fill(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        self.length = write(&mut self.octets).unwrap_or(0).min(MAX_UDP);
    }
}

impl Default for Ready {
    fn default() -> Self {
        Self::new()
    }
}

/// Asks the kernel to say, with each datagram, to which address it was sent.
pub(super) fn want_local_address(socket: &UdpSocket, is_ipv4: bool) -> io::Result<()> {
    let (level, option) =
        if is_ipv4 { (libc::IPPROTO_IP, libc::IP_PKTINFO) } else { (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO) };
    set_option(socket, level, option, 1)
}

/// Lets no ICMP message lower the path's MTU for what is sent (RFC 9715 §3.1): else a forged one has replies fragmented, and
/// a fragment can be forged too. No reply is longer than 1,232 octets, which every path of IPv6 carries whole.
pub(super) fn ignore_path_mtu(socket: &UdpSocket, is_ipv4: bool) -> io::Result<()> {
    match is_ipv4 {
        true => set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
        false => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT),
    }
}

/// An instruction of classic BPF.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) constant: u32,
}

/// Lets the kernel choose among the sockets that share the address of this one by what a filter says: the number of one, in the
/// order in which they were bound. No safe crate has SO_ATTACH_REUSEPORT_CBPF.
pub(super) fn choose_sockets_by(socket: &UdpSocket, filter: &[Instruction]) -> io::Result<()> {
    let instruction = |&Instruction { code, constant }| libc::sock_filter { code, jt: 0, jf: 0, k: constant };
    let mut instructions: Vec<libc::sock_filter> = filter.iter().map(instruction).collect();
    let length = u16::try_from(instructions.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len: length, filter: instructions.as_mut_ptr() };
    // SAFETY: the program has the length and the place of the instructions, and both live during the call, in which the kernel
    // copies and checks them.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            std::ptr::from_ref(&program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_option(socket: &UdpSocket, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the value is a C int that lives during the call, and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads a `sockaddr_in` or `sockaddr_in6`.
#[inline]
fn socket_address(octets: &[u8; size_of::<libc::sockaddr_in6>()]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes([octets[2], octets[3]]);
    match i32::from(u16::from_ne_bytes([octets[0], octets[1]])) {
        libc::AF_INET => Some(SocketAddr::from((Ipv4Addr::new(octets[4], octets[5], octets[6], octets[7]), port))),
        libc::AF_INET6 => {
            let flow = u32::from_ne_bytes(*octets[4..].first_chunk()?);
            let address: [u8; 16] = *octets[8..].first_chunk()?;
            let scope = u32::from_ne_bytes(*octets[24..].first_chunk()?);
            Some(SocketAddrV6::new(Ipv6Addr::from(address), port, flow, scope).into())
        }
        _ => None,
    }
}

/// Octets of a `cmsghdr` before its data, on all Linux ABIs: a length of pointer size, level, type.
const CONTROL_HEADER: usize = size_of::<libc::cmsghdr>();

/// Level, type and data of the control message, of which a datagram has one at most.
#[inline]
fn control_message(control: &[u8]) -> Option<(i32, i32, &[u8])> {
    const LENGTH: usize = size_of::<usize>();
    let length = usize::from_ne_bytes(*control.first_chunk()?);
    let level = i32::from_ne_bytes(*control.get(LENGTH..)?.first_chunk()?);
    let kind = i32::from_ne_bytes(*control.get(LENGTH + 4..)?.first_chunk()?);
    Some((level, kind, control.get(CONTROL_HEADER..length)?))
}

/// The address a datagram was sent to: from `in_pktinfo` (interface, local address, header's address) or
/// `in6_pktinfo` (address, interface).
#[inline]
fn local_address(control: &[u8]) -> Option<IpAddr> {
    match control_message(control)? {
        (libc::IPPROTO_IP, libc::IP_PKTINFO, data) => {
            let address: [u8; 4] = *data.get(4..)?.first_chunk()?;
            Some(Ipv4Addr::from(address).into())
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, data) => {
            let address: [u8; 16] = *data.first_chunk()?;
            Some(Ipv6Addr::from(address).into())
        }
        _ => None,
    }
}

/// Makes the packet information of a datagram that of its reply: same address, any interface, so that
/// the route decides; link-local addresses need theirs.
#[inline]
fn prepare_source(control: &mut [u8]) {
    let interface = match control_message(control) {
        Some((libc::IPPROTO_IP, ..)) => CONTROL_HEADER..CONTROL_HEADER + 4,
        Some((libc::IPPROTO_IPV6, _, data)) if !data.starts_with(&[0xfe, 0x80]) => {
            CONTROL_HEADER + 16..CONTROL_HEADER + 20
        }
        _ => return,
    };
    if let Some(interface) = control.get_mut(interface) {
        interface.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(bound: &str, asked: &str) -> (SocketAddr, Vec<u8>) {
        let server = UdpSocket::bind(bound).expect(bound);
        want_local_address(&server, server.local_addr().expect("bound").is_ipv4()).expect("packet information");
        let address = SocketAddr::new(asked.parse().expect(asked), server.local_addr().expect("bound").port());
        let client = UdpSocket::bind(if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).expect("a port");
        client.send_to(b"ask", address).expect("sent");
        let mut batch = Batch::new();
        assert_eq!(batch.receive(&server).expect("received"), 1);
        for (incoming, ready) in batch.exchanges() {
            let incoming = incoming.expect("a sender");
            assert_eq!(incoming.client, client.local_addr().expect("bound"));
            assert_eq!(incoming.local, Some(address.ip()));
            ready.fill(|out| {
                out[..3].copy_from_slice(incoming.message);
                out[3] = b'!';
                Some(4)
            });
        }
        assert_eq!(batch.send(&server), 0);
        let mut reply = [0; 16];
        let (length, from) = client.recv_from(&mut reply).expect("a reply");
        assert_eq!(from, address, "the reply comes from the address that was asked");
        (from, reply[..length].to_vec())
    }

    #[test]
    fn replies_come_from_the_address_that_was_asked() {
        for (bound, asked) in [("0.0.0.0:0", "127.0.0.9"), ("0.0.0.0:0", "127.1.2.3"), ("[::]:0", "::1")] {
            let (_, reply) = exchange(bound, asked);
            assert_eq!(reply, b"ask!");
        }
    }

    #[test]
    fn forged_icmp_messages_cannot_have_replies_fragmented() {
        for (bound, level, option, expected) in [
            ("127.0.0.1:0", libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
            ("[::1]:0", libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT),
        ] {
            let sockets = crate::serve::udp::bind(bound.parse().expect(bound), 1).expect(bound);
            let (mut value, mut length) = (0, size_of::<libc::c_int>() as libc::socklen_t);
            // SAFETY: the value is a C int that lives during the call, and its size is given.
            let result = unsafe {
                let value = std::ptr::from_mut::<libc::c_int>(&mut value).cast();
                libc::getsockopt(sockets[0].as_raw_fd(), level, option, value, &mut length)
            };
            assert_eq!((result, value), (0, expected), "{bound}");
        }
    }

    #[test]
    fn a_batch_answers_many_and_leaves_out_what_gets_no_reply() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
        for number in 0..10u8 {
            client.send_to(&[number], server.local_addr().expect("bound")).expect("sent");
        }
        client.send_to(&[7; MAX_QUERY + 1], server.local_addr().expect("bound")).expect("sent");
        let mut batch = Batch::new();
        let mut seen = Vec::new();
        while seen.len() < 11 {
            batch.receive(&server).expect("received");
            for (incoming, ready) in batch.exchanges() {
                let message = incoming.expect("a sender").message;
                seen.push(message.to_vec());
                ready.fill(|out| {
                    out[0] = *message.first()?;
                    (out[0] % 2 == 1).then_some(1)
                });
            }
            assert_eq!(batch.send(&server), 0);
        }
        assert!(seen[10].is_empty(), "what is too long is not half read");
        let mut reply = [0; 16];
        for number in [1, 3, 5, 7, 9] {
            let length = client.recv(&mut reply).expect("a reply");
            assert_eq!(reply[..length], [number]);
        }
    }
}
