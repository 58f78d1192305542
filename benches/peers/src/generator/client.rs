//! A client of the generator: a socket, and the queries on it that wait for their replies.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::random::Random;
use crate::datagrams::{Peer, Route};
use crate::sets::Sources;

/// Clients, and so client ports: a server's replies go to all of them.
pub(super) const CLIENTS: usize = 16;
/// Queries of each that wait for their replies: 1,024 of all, which keeps a server busy without a break.
const OUTSTANDING: usize = 64;
/// Bits of a query's ID that say which of these it is; the others are random.
const SLOT_BITS: u32 = OUTSTANDING.trailing_zeros();
/// A reply that takes longer is lost: the whole queue takes a server some 10 ms.
pub(super) const TIMEOUT: Duration = Duration::from_millis(400);
/// Octets of each socket's receive buffer, so that no reply is lost here.
const RECEIVE_BUFFER: usize = 4 << 20;

pub(super) struct Client {
    pub(super) socket: UdpSocket,
    origin: Origin,
    slots: [Option<Query>; OUTSTANDING],
    free: Vec<u8>,
}

/// Where queries come from.
#[derive(Clone, Copy)]
enum Origin {
    /// The address to which the socket is bound; it is connected.
    Address(IpAddr),
    /// All addresses of a network, to a server.
    Network(u8, Peer),
}

/// A query that waits for its reply.
#[derive(Clone, Copy)]
pub(super) struct Query {
    pub(super) sent: Instant,
    /// Which of the generator's.
    pub(super) template: u16,
    /// The subnet or the address by which the server knows the client.
    pub(super) client: IpAddr,
    id: u16,
}

impl Client {
    /// The client of this number.
    pub(super) fn new(server: SocketAddr, sources: Sources, number: u8) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::DGRAM, None)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        let origin = match (sources, server) {
            (Sources::Thousands, SocketAddr::V4(server)) => Origin::Network(number, server.into()),
            (Sources::Sixteen, SocketAddr::V4(_)) => Origin::Address(source_address(number, 0).into()),
            (_, SocketAddr::V4(_)) => Origin::Address(Ipv4Addr::LOCALHOST.into()),
            (_, SocketAddr::V6(_)) => Origin::Address(Ipv6Addr::LOCALHOST.into()),
        };
        match origin {
            Origin::Network(..) => socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?,
            Origin::Address(address) => {
                socket.bind(&SocketAddr::new(address, 0).into())?;
                socket.connect(&server.into())?;
            }
        }
        let (slots, free) = ([None; OUTSTANDING], (0..OUTSTANDING as u8).collect());
        Ok(Self { socket: socket.into(), origin, slots, free })
    }

    /// Begins a query: how it goes out, and its ID; none if enough of them wait.
    #[inline]
    pub(super) fn begin(
        &mut self,
        template: u16,
        subnet: Option<IpAddr>,
        now: Instant,
        random: &mut Random,
    ) -> Option<(Route, u16)> {
        let slot = self.free.pop()?;
        let id = (random.next() as u16) << SLOT_BITS | u16::from(slot);
        let (route, source) = match self.origin {
            Origin::Address(source) => (Route::Connected, source),
            Origin::Network(network, server) => {
                let source = source_address(network, random.next() as u8);
                (Route::Between(source, server), source.into())
            }
        };
        self.slots[usize::from(slot)] = Some(Query { sent: now, template, client: subnet.unwrap_or(source), id });
        Some((route, id))
    }

    /// The query that a message answers, which waits no longer; none if it answers nothing that was asked, or too late.
    #[inline]
    pub(super) fn end(&mut self, reply: &[u8]) -> Option<Query> {
        let header: &[u8; 12] = reply.first_chunk()?;
        let id = u16::from_be_bytes([header[0], header[1]]);
        let number = usize::from(id) % OUTSTANDING;
        let is_reply = header[2] & 0x80 != 0;
        let query = self.slots[number].take_if(|query| is_reply && query.id == id)?;
        self.free.push(number as u8);
        Some(query)
    }

    /// Ends queries that have waited for too long; says how many.
    pub(super) fn give_up(&mut self, now: Instant) -> u64 {
        let mut count = 0;
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if slot.take_if(|query| now.saturating_duration_since(query.sent) > TIMEOUT).is_some() {
                self.free.push(number as u8);
                count += 1;
            }
        }
        count
    }
}

/// An address in one of the networks of loopback that belong to the places in turn.
fn source_address(network: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, network, host, 7)
}
