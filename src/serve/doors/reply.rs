//! A DNS reply, as doors put it into other words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::Message;
use hickory_proto::rr::RData;

use super::refusal::Refusal;
use super::visit::Visit;
use crate::answer::Question;
use crate::geo::Prefix;
use crate::name::Name;
use crate::wire::RecordType;

/// Asks for records as DNS would, for the client's network, or another one that was named.
pub(super) fn ask(visit: &Visit, name: &Name, qtype: RecordType, subnet: Option<Prefix>) -> Result<Message, Refusal> {
    let mut question = Question::of_client(name.clone(), qtype, visit.client);
    if subnet.is_some() {
        question.subnet = subnet;
    }
    let reply = visit.consult(&question.message(), None, |consulted| (consulted.message.to_vec(), 1))?;
    Message::from_vec(&reply).map_err(|_| Refusal::bad("the answer cannot be put into words"))
}

/// The addresses of an answer, and the least TTL of the records that lead to them; none if it has none.
pub(super) fn addresses(reply: &Message) -> (Vec<IpAddr>, u32) {
    let address = |data: &RData| match data {
        RData::A(v4) => Some(IpAddr::V4(Ipv4Addr::from(*v4))),
        RData::AAAA(v6) => Some(IpAddr::V6(Ipv6Addr::from(*v6))),
        _ => None,
    };
    let ttl = reply.answers.iter().map(|record| record.ttl).min().unwrap_or(0);
    (reply.answers.iter().filter_map(|record| address(&record.data)).collect(), ttl)
}

/// An address as it stands in a URL (RFC 3986 §3.2.2).
pub(super) fn in_url(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// A domain name of a parameter.
pub(super) fn name(text: &str) -> Result<Name, Refusal> {
    let name = Name::parse(text, Some(&Name::root()));
    name.map_err(|error| Refusal::bad(format!("`{}` is no domain name: {error}", text.escape_debug())))
}
