//! One query and its reply on a stream of QUIC (RFC 9250 §4.2).

use quinn::{RecvStream, SendStream, VarInt};
use tokio::time::timeout;

use super::{EXCESSIVE_LOAD, PROTOCOL_ERROR, Place, Responder, UNSPECIFIED_ERROR};
use crate::intake::Tally;
use crate::name::LookupName;
use crate::serve::scratch::{self, Path};
use crate::serve::stream::Refused;
use crate::wire::{MAX_STREAM, Query};

/// Octets of the length in front of a message.
const FRAMING: usize = 2;

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exchanged {
    /// The client has the reply.
    Answered,
    /// The client wanted no reply any more, or did not finish its query.
    Cancelled,
    /// The client did not read the reply.
    Unread,
    /// What came breaks the protocol, for which the connection ends (RFC 9250 §4.3.3).
    Broken,
}

/// Reads the query, answers it, and ends the stream.
pub(super) async fn exchange(
    (mut send, mut receive): (SendStream, RecvStream),
    path: Path,
    responder: &Responder,
    place: &Place,
) -> Exchanged {
    let limits = place.limits();
    let octets = match timeout(limits.idle, read(&mut receive, place)).await {
        Ok(Ok(octets)) => octets,
        Ok(Err(Unread::Broken)) => return broken(send),
        Ok(Err(Unread::Cancelled)) => return Exchanged::Cancelled,
        Ok(Err(Unread::Busy)) => return abandon(send, receive, EXCESSIVE_LOAD),
        Err(_) => return abandon(send, receive, UNSPECIFIED_ERROR),
    };
    let Some(message) = only_message(&octets) else { return broken(send) };
    let reply =
        scratch::respond(responder, message, path, |reply| [&(reply.len() as u16).to_be_bytes()[..], reply].concat());
    place.counts().asked(1, reply.is_some().into());
    // Not even a query.
    let Some(reply) = reply else { return broken(send) };
    place.progressed();
    drop(octets);
    let write = async {
        send.write_all(&reply).await.ok()?;
        send.finish().ok()?;
        // Written is what waits here to be sent, too; that ends when the client has it all.
        send.stopped().await.ok().filter(Option::is_none)
    };
    let written = timeout(limits.write, write).await;
    match written {
        Ok(Some(_)) => Exchanged::Answered,
        unsent => {
            responder.counts.add(&Tally { unsent: 1, ..Tally::default() });
            if unsent.is_err() { Exchanged::Unread } else { Exchanged::Cancelled }
        }
    }
}

/// Ends a stream that breaks the protocol: dropped, it would look like an empty answer until the connection ends too.
fn broken(mut send: SendStream) -> Exchanged {
    // One that has gone by itself needs it not.
    let _ = send.reset(PROTOCOL_ERROR);
    Exchanged::Broken
}

/// Ends a stream on which nothing more is waited for.
fn abandon(mut send: SendStream, mut receive: RecvStream, code: VarInt) -> Exchanged {
    // One that has gone by itself needs neither.
    let _ = send.reset(code);
    let _ = receive.stop(code);
    Exchanged::Cancelled
}

/// Why there is no query.
enum Unread {
    Broken,
    Cancelled,
    Busy,
}

/// RFC 9250 §4.2: the query ends with the stream. Only what has come is held, and nothing beyond one message.
async fn read(receive: &mut RecvStream, place: &Place) -> Result<Vec<u8>, Unread> {
    let mut gathered = place.gather(FRAMING);
    loop {
        let chunk = receive.read_chunk(FRAMING + MAX_STREAM, true).await.map_err(|_| Unread::Cancelled)?;
        let Some(chunk) = chunk else { return Ok(gathered.octets) };
        gathered.add(&chunk.bytes).map_err(|refused| match refused {
            Refused::TooLong => Unread::Broken,
            Refused::Busy => Unread::Busy,
        })?;
        if announced(&gathered.octets).is_some_and(|length| gathered.octets.len() > FRAMING + length) {
            return Err(Unread::Broken);
        }
    }
}

/// How long the message is to be.
fn announced(octets: &[u8]) -> Option<usize> {
    octets.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)))
}

/// The message of a stream; none if it breaks the protocol.
fn only_message(octets: &[u8]) -> Option<&[u8]> {
    let message = octets.get(FRAMING..)?;
    // RFC 9250 §4.3.3: less than was announced, and more than one message, are errors.
    let is_one = announced(octets) == Some(message.len());
    // RFC 9250 §4.2.1: the stream says which reply belongs to it, so the id is 0.
    (is_one && message.starts_with(&[0, 0]) && !wants_keepalive(message)).then_some(message)
}

/// Whether a query has the option that only TCP may have (RFC 9250 §5.5.2).
fn wants_keepalive(message: &[u8]) -> bool {
    let mut name = LookupName::new();
    let query = Query::read(message, &mut name);
    query.and_then(|query| query.edns).is_some_and(|edns| edns.wishes.keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x01";

    #[test]
    fn a_stream_has_one_message_whose_id_is_nothing() {
        let framed = |length: usize, message: &[u8]| [&(length as u16).to_be_bytes()[..], message].concat();
        assert_eq!(only_message(&framed(QUERY.len(), QUERY)), Some(QUERY));
        let with_id = [b"\xab\xcd", &QUERY[2..]].concat();
        let twice = [framed(QUERY.len(), QUERY), framed(QUERY.len(), QUERY)].concat();
        for broken in [
            framed(QUERY.len() + 1, QUERY),
            framed(QUERY.len() - 1, QUERY),
            framed(QUERY.len(), &with_id),
            twice,
            vec![0],
            Vec::new(),
        ] {
            assert_eq!(only_message(&broken), None, "{broken:?}");
        }
    }

    #[test]
    fn keepalive_is_for_tcp() {
        let mut query = QUERY.to_vec();
        query[11] = 1;
        query.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x04\x00\x0b\x00\x00");
        assert!(wants_keepalive(&query));
        assert!(!wants_keepalive(QUERY));
    }
}
