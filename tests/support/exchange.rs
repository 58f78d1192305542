//! Exchanges: a message asked of the engine, and its reply against the lines of a case.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};

use thalweg::answer::{Context, Outcome, Reasons, Transport, answer, read};
use thalweg::config::TcpLimits;
use thalweg::name::LookupName;
use thalweg::snapshot::Snapshot;
use thalweg::steer::Estimate;

use super::reply::Reply;

/// Milliseconds since 1970 at which the engine is asked.
const NOW: u64 = 1_800_000_000_000;

/// Asks the engine, with the sink for reasons and without it: the octets must be the same.
pub(crate) fn engine(
    snapshot: &Snapshot,
    message: &[u8],
    client: SocketAddr,
    transport: Transport,
) -> Result<Option<Vec<u8>>, String> {
    let idle = (transport == Transport::Tcp).then(|| TcpLimits::default().idle);
    let context = Context { client, local: None, transport, now: NOW, idle, estimate: Estimate::default() };
    let ask = |reasons: Option<&mut Reasons>| {
        let mut out = vec![0; 65_535];
        let mut name = LookupName::new();
        let (outcome, _) = answer(snapshot, &read(message, &mut name)?, &context, None, &mut out, reasons);
        match outcome {
            Outcome::Reply { length, .. } => {
                out.truncate(length);
                Some(out)
            }
            Outcome::Silence => None,
        }
    };
    let (plain, with_reasons) = (ask(None), ask(Some(&mut Reasons::default())));
    let longest = if transport == Transport::Udp { 1232 } else { 65_535 };
    if plain != with_reasons {
        return Err(format!("the sink for reasons changes the reply:\n{plain:02x?}\n{with_reasons:02x?}"));
    }
    match plain {
        Some(reply) if reply.len() > longest => Err(format!("a reply of {} octets", reply.len())),
        plain => Ok(plain),
    }
}

/// A message behind its length, as streams carry it (RFC 1035 §4.2.2).
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

/// The next message of a stream; none if it is closed in order.
pub(crate) fn next_framed(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    if stream.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..])?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(Some(message))
}

/// A reply as cases have it; an error says what no client should have to bear.
pub(crate) fn in_words(reply: Option<&[u8]>, message: &[u8]) -> Result<Vec<String>, String> {
    let Some(reply) = reply else { return Ok(vec!["silence".to_owned()]) };
    let read = Reply::read(reply).map_err(|error| format!("{error}\n{reply:02x?}"))?;
    let asked = message.first_chunk().map(|id| u16::from_be_bytes(*id));
    if asked == Some(read.id) { Ok(read.lines) } else { Err(format!("the id is {:#06x}", read.id)) }
}

/// Whether each line is what is expected; `{a b}` is a or b, and no two lines are the same.
pub(crate) fn matches(expected: &[String], found: &[String]) -> bool {
    let is_one_of = |expected: &String, found: &String| match expected.split_once('{') {
        None => expected == found,
        Some((before, choices)) => {
            let chosen = found.strip_prefix(before);
            chosen.is_some_and(|chosen| choices.trim_end_matches('}').split_whitespace().any(|choice| choice == chosen))
        }
    };
    let is_repeated = (1..found.len()).any(|at| found[..at].contains(&found[at]));
    expected.len() == found.len() && !is_repeated && expected.iter().zip(found).all(|(a, b)| is_one_of(a, b))
}
