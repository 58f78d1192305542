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
pub(super) const BATCH: usize = 32;
/// Octets of the longest query that is read; what is longer is no query we could answer, and is dropped.
const MAX_QUERY: usize = 4096;
/// Octets for control messages: one packet information of either family.
const CONTROL: usize = 64;

/// Room for a batch: buffers, addresses, control messages; allocated once.
pub(super) struct Batch {
    slots: Box<[Slot]>,
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    received: usize,
}

struct Slot {
    query: [u8; MAX_QUERY],
    reply: [u8; MAX_UDP],
    peer: Aligned<{ size_of::<libc::sockaddr_in6>() }>,
    peer_length: libc::socklen_t,
    control: Aligned<CONTROL>,
    control_length: usize,
    query_length: usize,
    /// 0 while there is nothing to send.
    reply_length: usize,
}

/// Octets that the kernel reads and writes as structures.
#[repr(C, align(8))]
struct Aligned<const N: usize>([u8; N]);

/// A datagram that came.
pub(super) struct Incoming<'b> {
    pub(super) message: &'b [u8],
    pub(super) client: SocketAddr,
    /// The address it was sent to, on sockets that are bound to any.
    pub(super) local: Option<IpAddr>,
}

// SAFETY: the raw pointers inside `headers` and `vectors` are set anew before each call and used by no one else.
unsafe impl Send for Batch {}

impl Batch {
    pub(super) fn new() -> Self {
        let slot = || Slot {
            query: [0; MAX_QUERY],
            reply: [0; MAX_UDP],
            peer: Aligned([0; size_of::<libc::sockaddr_in6>()]),
            peer_length: 0,
            control: Aligned([0; CONTROL]),
            control_length: 0,
            query_length: 0,
            reply_length: 0,
        };
        // SAFETY: mmsghdr and iovec are plain C structures; null pointers and zero lengths are valid in them.
        let (header, vector): (libc::mmsghdr, libc::iovec) = unsafe { (zeroed(), zeroed()) };
        Self {
            slots: (0..BATCH).map(|_| slot()).collect(),
            headers: vec![header; BATCH].into(),
            vectors: vec![vector; BATCH].into(),
            received: 0,
        }
    }

    /// Waits for a datagram and takes those that are there, up to `BATCH`; says how many.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.received = 0;
        for ((slot, header), vector) in self.slots.iter_mut().zip(&mut self.headers).zip(&mut self.vectors) {
            vector.iov_base = slot.query.as_mut_ptr().cast();
            vector.iov_len = MAX_QUERY;
            let message = &mut header.msg_hdr;
            message.msg_iov = vector;
            message.msg_iovlen = 1;
            message.msg_name = slot.peer.0.as_mut_ptr().cast();
            message.msg_namelen = slot.peer.0.len() as libc::socklen_t;
            message.msg_control = slot.control.0.as_mut_ptr().cast();
            message.msg_controllen = CONTROL as _;
            message.msg_flags = 0;
        }
        // SAFETY: each header points to a vector, a peer and a control buffer of this batch, which live and
        // stay in place during the call, with their true lengths; there are `BATCH` headers.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (slot, header) in self.slots.iter_mut().zip(&self.headers).take(count) {
            let is_whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            slot.query_length = if is_whole { (header.msg_len as usize).min(MAX_QUERY) } else { 0 };
            slot.peer_length = header.msg_hdr.msg_namelen;
            // Its type differs between C libraries.
            let control_length: usize = header.msg_hdr.msg_controllen as _;
            slot.control_length = control_length.min(CONTROL);
            slot.reply_length = 0;
        }
        self.received = count;
        Ok(count)
    }

    /// Lets `answer` write a reply to each datagram that came, and say how long it is; none for no reply.
    #[inline]
    pub(super) fn answer_each(&mut self, mut answer: impl FnMut(Incoming<'_>, &mut [u8]) -> Option<usize>) {
        for slot in &mut self.slots[..self.received] {
            let Some(client) = socket_address(&slot.peer.0) else { continue };
            let local = local_address(&slot.control.0[..slot.control_length]);
            let message = &slot.query[..slot.query_length];
            slot.reply_length = answer(Incoming { message, client, local }, &mut slot.reply).unwrap_or(0);
            if slot.reply_length > 0 && local.is_some() {
                prepare_source(&mut slot.control.0[..slot.control_length]);
            }
        }
    }

    /// Sends the replies and says how many could not be sent.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> u64 {
        let mut count = 0;
        for slot in self.slots[..self.received].iter_mut().filter(|slot| slot.reply_length > 0) {
            let vector = &mut self.vectors[count];
            vector.iov_base = slot.reply.as_mut_ptr().cast();
            vector.iov_len = slot.reply_length.min(MAX_UDP);
            let message = &mut self.headers[count].msg_hdr;
            message.msg_iov = vector;
            message.msg_iovlen = 1;
            message.msg_name = slot.peer.0.as_mut_ptr().cast();
            message.msg_namelen = slot.peer_length;
            message.msg_control =
                if slot.control_length > 0 { slot.control.0.as_mut_ptr().cast() } else { std::ptr::null_mut() };
            message.msg_controllen = slot.control_length as _;
            message.msg_flags = 0;
            count += 1;
        }
        let mut unsent = 0;
        let mut next = 0;
        while next < count {
            let rest = &mut self.headers[next..count];
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
        batch.answer_each(|incoming, out| {
            assert_eq!(incoming.client, client.local_addr().expect("bound"));
            assert_eq!(incoming.local, Some(address.ip()));
            out[..3].copy_from_slice(incoming.message);
            out[3] = b'!';
            Some(4)
        });
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
            batch.answer_each(|incoming, out| {
                seen.push(incoming.message.to_vec());
                let number = *incoming.message.first()?;
                out[0] = number;
                (number % 2 == 1).then_some(1)
            });
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
