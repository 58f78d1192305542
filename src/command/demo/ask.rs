//! A resolver's question on behalf of a client network, over UDP.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::UdpSocket;

use crate::geo::Prefix;

/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The UDP payload that is offered (RFC 9715 §3).
const MAX_PAYLOAD: u16 = 1232;

/// Asks for the IPv4 addresses of a name with the client's network (RFC 7871), and returns them in order.
pub async fn ask(server: SocketAddr, name: &str, client: Prefix) -> io::Result<Vec<Ipv4Addr>> {
    let name = Name::from_ascii(name).map_err(io::Error::other)?;
    let mut query = Message::query();
    query.add_query(Query::query(name, RecordType::A));
    let mut edns = Edns::new();
    edns.set_max_payload(MAX_PAYLOAD);
    edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(client.address(), client.length(), 0)));
    query.set_edns(edns);

    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(server).await?;
    socket.send(&query.to_vec().map_err(io::Error::other)?).await?;
    let reply = tokio::time::timeout(TIMEOUT, reply_to(&query, &socket)).await??;
    let addresses = reply.answers.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(address.0),
        _ => None,
    });
    Ok(addresses.collect())
}

/// The first message that answers the query; others are not for us.
async fn reply_to(query: &Message, socket: &UdpSocket) -> io::Result<Message> {
    let mut buffer = [0; MAX_PAYLOAD as usize];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let reply = Message::from_vec(&buffer[..length]).map_err(io::Error::other)?;
        if reply.metadata.id == query.metadata.id {
            return Ok(reply);
        }
    }
}
