//! The bare limit: a server that copies the question back with a fixed answer, and so costs what the kernel does.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::datagrams::{Inbox, MAX_DATAGRAM, Outbox, Route, Wait};
use crate::sets::{LIVE, MANY};

/// Receive buffer of each socket, in octets: thalweg's.
pub const RECEIVE_BUFFER: usize = 4 << 20;
/// An A record whose owner is a pointer to the question: type, class, TTL of 30 s, length; its address follows.
const RECORD: [u8; 12] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4];
const HEADER: usize = 12;

/// Answers on each address, with a thread of its own; returns only if a socket cannot be had.
pub fn serve(addresses: &[SocketAddr]) -> io::Result<()> {
    let sockets = addresses.iter().map(|&address| bind(address)).collect::<io::Result<Vec<_>>>()?;
    thread::scope(|scope| {
        for socket in &sockets {
            scope.spawn(|| work(socket));
        }
    });
    Ok(())
}

/// A socket as thalweg's.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    Ok(socket.into())
}

/// Answers for ever.
pub(crate) fn work(socket: &UdpSocket) {
    let (mut inbox, mut outbox) = (Inbox::new(), Outbox::new());
    loop {
        // The ICMP error of an earlier reply does not end it.
        let Ok(received) = inbox.receive(socket, Wait::ForOne) else { continue };
        for index in 0..received {
            outbox.push(Route::To(inbox.peer(index)), |reply| answer(inbox.message(index), reply).unwrap_or(0));
        }
        // What cannot be sent is a lost reply, which the generator counts.
        let _ = outbox.send(socket);
    }
}

/// Copies the query, with as many records behind its question as other servers would give; says how long it got.
fn answer(query: &[u8], reply: &mut [u8; MAX_DATAGRAM]) -> Option<usize> {
    let mut name_end = HEADER;
    while *query.get(name_end)? != 0 {
        name_end += usize::from(query[name_end]) + 1;
    }
    let question_end = name_end + 1 + 4;
    let rest = query.get(question_end..)?;
    let records = records_for(&query[HEADER..]);
    let answer_end = question_end + usize::from(records) * (RECORD.len() + 4);
    let length = answer_end + rest.len();
    if length > reply.len() {
        return None;
    }
    reply[..question_end].copy_from_slice(&query[..question_end]);
    // QR and AA.
    reply[2] = 0x84;
    reply[7] = records;
    for (number, record) in reply[question_end..answer_end].chunks_exact_mut(RECORD.len() + 4).enumerate() {
        record[..RECORD.len()].copy_from_slice(&RECORD);
        record[RECORD.len()..].copy_from_slice(&[198, 18, 0, number as u8]);
    }
    reply[answer_end..length].copy_from_slice(rest);
    Some(length)
}

fn records_for(name: &[u8]) -> u8 {
    [LIVE, MANY].iter().find(|steered| is_first_label(steered.label, name)).map_or(1, |steered| steered.answers)
}

fn is_first_label(label: &str, name: &[u8]) -> bool {
    usize::from(name[0]) == label.len() && name[1..].starts_with(label.as_bytes())
}
