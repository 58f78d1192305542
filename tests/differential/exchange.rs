//! Asking a server many things quickly: datagrams and streams with several queries under way.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// Queries under way at a time; more would only be lost in the peers' socket buffers.
const WINDOW: usize = 32;
/// After so long without any reply what is under way is sent again.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// So often in all.
const TRIES: usize = 4;
/// Ids that are in use in one go.
const IDS: usize = 60_000;

/// What a query came back with, if anything.
pub(crate) type Replies = Vec<Option<Vec<u8>>>;

/// The replies over UDP in the order of the messages.
pub(crate) fn ask_udp(server: SocketAddr, messages: &[Vec<u8>]) -> Replies {
    messages.chunks(IDS).flat_map(|messages| ask_udp_some(server, messages)).collect()
}

fn ask_udp_some(server: SocketAddr, messages: &[Vec<u8>]) -> Replies {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut replies: Replies = vec![None; messages.len()];
    let mut waiting: VecDeque<usize> = (0..messages.len()).collect();
    let mut tries: BTreeMap<usize, usize> = BTreeMap::new();
    let mut buffer = vec![0; 65_535];
    loop {
        while tries.len() < WINDOW
            && let Some(index) = waiting.pop_front()
        {
            tries.insert(index, 1);
            send(&socket, messages, index);
        }
        if tries.is_empty() {
            return replies;
        }
        match socket.recv(&mut buffer) {
            Ok(length) if length >= 2 => {
                let index = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
                if tries.remove(&index).is_some() {
                    replies[index] = Some(buffer[..length].to_vec());
                }
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                tries.retain(|_, tries| *tries < TRIES);
                for (&index, tries) in &mut tries {
                    *tries += 1;
                    send(&socket, messages, index);
                }
            }
            Err(error) => panic!("{server}: {error}"),
        }
    }
}

fn send(socket: &UdpSocket, messages: &[Vec<u8>], index: usize) {
    socket.send(&with_id(&messages[index], index)).unwrap();
}

/// The replies over TCP in the order of the messages.
pub(crate) fn ask_tcp(server: SocketAddr, messages: &[Vec<u8>]) -> Replies {
    messages.chunks(IDS).flat_map(|messages| ask_tcp_some(server, messages)).collect()
}

fn ask_tcp_some(server: SocketAddr, messages: &[Vec<u8>]) -> Replies {
    let mut replies: Replies = vec![None; messages.len()];
    // A server may end a connection when it likes.
    for _ in 0..TRIES {
        let mut missing: VecDeque<usize> = (0..messages.len()).filter(|&index| replies[index].is_none()).collect();
        if missing.is_empty() {
            break;
        }
        // What is left then is tried on the next connection.
        let _ended = ask_stream(server, messages, &mut missing, &mut replies);
    }
    replies
}

fn ask_stream(
    server: SocketAddr,
    messages: &[Vec<u8>],
    missing: &mut VecDeque<usize>,
    replies: &mut Replies,
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut under_way = 0;
    loop {
        let mut octets = Vec::new();
        while under_way < WINDOW / 4
            && let Some(index) = missing.pop_front()
        {
            under_way += 1;
            octets.extend((messages[index].len() as u16).to_be_bytes());
            octets.extend(with_id(&messages[index], index));
        }
        if under_way == 0 {
            return Ok(());
        }
        stream.write_all(&octets)?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply)?;
        under_way -= 1;
        if let Some(&[high, low]) = reply.first_chunk::<2>() {
            replies[usize::from(u16::from_be_bytes([high, low]))] = Some(reply);
        }
    }
}

fn with_id(message: &[u8], id: usize) -> Vec<u8> {
    [&(id as u16).to_be_bytes(), &message[2..]].concat()
}
