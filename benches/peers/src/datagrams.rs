//! Datagrams in batches: `recvmmsg` and `sendmmsg`, for the bare limit and for the generator. The only `unsafe` code here.
#![expect(unsafe_code, reason = "recvmmsg, and sendmmsg with a source address a datagram, are in no safe crate")]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

/// Datagrams that are received or sent by one call.
pub const BATCH: usize = 32;
/// Octets of the longest datagram that is kept; no server here sends more than the 1,232 that queries allow.
pub const MAX_DATAGRAM: usize = 1500;
/// Octets of a control message with an `in_pktinfo`.
// SAFETY: CMSG_SPACE only computes.
const CONTROL: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::in_pktinfo>() as u32) } as usize;

/// Where a datagram came from, as the kernel says it: an address of either family.
#[derive(Clone, Copy)]
pub struct Peer {
    address: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl From<SocketAddrV4> for Peer {
    fn from(address: SocketAddrV4) -> Self {
        let internet = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
            sin_zero: [0; 8],
        };
        // SAFETY: zero is valid in each field of a `sockaddr_storage`, which is there to hold a `sockaddr_in`.
        let storage = unsafe {
            let mut storage: libc::sockaddr_storage = zeroed();
            std::ptr::from_mut(&mut storage).cast::<libc::sockaddr_in>().write(internet);
            storage
        };
        Self { address: storage, length: size_of::<libc::sockaddr_in>() as libc::socklen_t }
    }
}

/// Datagrams that came.
pub struct Inbox {
    buffers: Box<[[u8; MAX_DATAGRAM]]>,
    peers: Box<[libc::sockaddr_storage]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

/// Whether a call waits for the first datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until there is one.
    ForOne,
    /// Not at all.
    Never,
}

impl Inbox {
    /// An empty one.
    pub fn new() -> Self {
        // SAFETY: these are plain C structures; zero is valid in each of their fields.
        let (peer, vector, header) = unsafe { (zeroed(), zeroed(), zeroed()) };
        Self {
            buffers: vec![[0; MAX_DATAGRAM]; BATCH].into(),
            peers: vec![peer; BATCH].into(),
            vectors: vec![vector; BATCH].into(),
            headers: vec![header; BATCH].into(),
        }
    }

    /// Takes what is there, up to `BATCH`, in the place of what was taken before; says how many.
    pub fn receive(&mut self, socket: &UdpSocket, wait: Wait) -> io::Result<usize> {
        let slots = self.buffers.iter_mut().zip(&mut self.peers).zip(&mut self.vectors).zip(&mut self.headers);
        for (((buffer, peer), vector), header) in slots {
            *vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: MAX_DATAGRAM };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = std::ptr::from_mut(peer).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        }
        let flags = if wait == Wait::ForOne { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: each of the `BATCH` headers points to a vector, a buffer and a peer of this inbox, which live and stay in
        // place during the call, with their true lengths.
        let count = unsafe {
            let headers = self.headers.as_mut_ptr();
            libc::recvmmsg(socket.as_raw_fd(), headers, BATCH as libc::c_uint, flags, std::ptr::null_mut())
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// One of those that came by the last call.
    pub fn message(&self, index: usize) -> &[u8] {
        &self.buffers[index][..(self.headers[index].msg_len as usize).min(MAX_DATAGRAM)]
    }

    /// Who sent it.
    pub fn peer(&self, index: usize) -> Peer {
        Peer { address: self.peers[index], length: self.headers[index].msg_hdr.msg_namelen }
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

/// Datagrams that will be sent.
pub struct Outbox {
    buffers: Box<[[u8; MAX_DATAGRAM]]>,
    peers: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    waiting: usize,
}

/// Octets that the kernel reads as a `cmsghdr` and its data.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// Whose address a datagram bears, and to whom it goes.
#[derive(Clone, Copy)]
pub enum Route {
    /// As the socket is connected.
    Connected,
    /// To a peer, from the address to which the socket is bound.
    To(Peer),
    /// From an address to a peer, for sockets that are bound to no address: a connected one would get no replies to it.
    Between(Ipv4Addr, Peer),
}

impl Outbox {
    /// An empty one.
    pub fn new() -> Self {
        // SAFETY: these are plain C structures; zero is valid in each of their fields.
        let (peer, vector, header) = unsafe { (zeroed(), zeroed(), zeroed()) };
        Self {
            buffers: vec![[0; MAX_DATAGRAM]; BATCH].into(),
            peers: vec![peer; BATCH].into(),
            controls: vec![Control([0; CONTROL]); BATCH].into(),
            vectors: vec![vector; BATCH].into(),
            headers: vec![header; BATCH].into(),
            waiting: 0,
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Whether it takes no more.
    pub fn is_full(&self) -> bool {
        self.waiting == BATCH
    }

    /// Lets `write` make a datagram, and say how long it is; it waits for `send` unless that is 0.
    ///
    /// # Panics
    ///
    /// If the outbox is full.
    #[inline]
    pub fn push(&mut self, route: Route, write: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize) {
        let index = self.waiting;
        let buffer = &mut self.buffers[index];
        let length = write(buffer).min(MAX_DATAGRAM);
        if length == 0 {
            return;
        }
        self.waiting += 1;
        self.vectors[index] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: length };
        let message = &mut self.headers[index].msg_hdr;
        message.msg_iov = &raw mut self.vectors[index];
        message.msg_iovlen = 1;
        (message.msg_name, message.msg_namelen) = (std::ptr::null_mut(), 0);
        (message.msg_control, message.msg_controllen) = (std::ptr::null_mut(), 0);
        if let Route::To(peer) | Route::Between(_, peer) = route {
            self.peers[index] = peer.address;
            message.msg_name = std::ptr::from_mut(&mut self.peers[index]).cast();
            message.msg_namelen = peer.length;
        }
        if let Route::Between(source, _) = route {
            self.controls[index].0 = packet_information(source);
            message.msg_control = self.controls[index].0.as_mut_ptr().cast();
            message.msg_controllen = CONTROL as _;
        }
    }

    /// Sends what waits; says how many the kernel took. Nothing waits afterwards.
    pub fn send(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut sent = 0;
        while sent < waiting {
            let rest = &mut self.headers[sent..waiting];
            // SAFETY: each header of the rest points to a vector, a buffer, and a peer or a control message of this outbox,
            // which live and stay in place during the call, with lengths within theirs.
            let count = unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, 0) };
            match usize::try_from(count) {
                Ok(count) => sent += count,
                Err(_) if sent > 0 => break,
                Err(_) => return Err(io::Error::last_os_error()),
            }
        }
        Ok(sent)
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

/// The control message IP_PKTINFO that gives a datagram its source (ip(7)): length, level, type; interface, source, 0.
fn packet_information(source: Ipv4Addr) -> [u8; CONTROL] {
    // SAFETY: CMSG_LEN only computes.
    let length = unsafe { libc::CMSG_LEN(size_of::<libc::in_pktinfo>() as u32) } as usize;
    let mut control = [0; CONTROL];
    const WORD: usize = size_of::<usize>();
    control[..WORD].copy_from_slice(&length.to_ne_bytes());
    control[WORD..WORD + 4].copy_from_slice(&libc::IPPROTO_IP.to_ne_bytes());
    control[WORD + 4..WORD + 8].copy_from_slice(&libc::IP_PKTINFO.to_ne_bytes());
    control[WORD + 12..WORD + 16].copy_from_slice(&source.octets());
    control
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn a_batch_goes_from_many_addresses_and_each_gets_its_reply() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let client = UdpSocket::bind("0.0.0.0:0").expect("a port");
        let SocketAddr::V4(address) = server.local_addr().expect("bound") else { panic!("bound to IPv4") };
        let mut outbox = Outbox::new();
        for number in 0..3u8 {
            outbox.push(Route::Between(Ipv4Addr::new(127, 7, number, 1), address.into()), |datagram| {
                datagram[0] = number;
                1
            });
        }
        assert_eq!(outbox.send(&client).expect("sent"), 3);

        let mut inbox = Inbox::new();
        let mut answered = 0;
        while answered < 3 {
            for index in 0..inbox.receive(&server, Wait::ForOne).expect("received") {
                outbox.push(Route::To(inbox.peer(index)), |datagram| {
                    datagram[0] = inbox.message(index)[0];
                    datagram[1] = b'!';
                    2
                });
                answered += 1;
            }
            outbox.send(&server).expect("sent");
        }
        for number in 0..3 {
            let mut reply = [0; 8];
            assert_eq!(client.recv(&mut reply).expect("a reply"), 2);
            assert_eq!(reply[..2], [number, b'!']);
        }
        assert_eq!(inbox.receive(&server, Wait::Never).expect_err("nothing is left").kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_datagram_bears_the_address_that_it_was_given() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let client = UdpSocket::bind("0.0.0.0:0").expect("a port");
        let SocketAddr::V4(address) = server.local_addr().expect("bound") else { panic!("bound to IPv4") };
        let mut outbox = Outbox::new();
        outbox.push(Route::Between(Ipv4Addr::new(127, 7, 8, 9), address.into()), |_| 1);
        outbox.send(&client).expect("sent");
        let (_, from) = server.recv_from(&mut [0; 8]).expect("received");
        assert_eq!(from.ip(), Ipv4Addr::new(127, 7, 8, 9));
    }
}
