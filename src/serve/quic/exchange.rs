//! One query and its reply on a stream of QUIC (RFC 9250 §4.2).

use quinn::{ReadToEndError, RecvStream, SendStream};
use tokio::time::timeout;

use super::{PROTOCOL_ERROR, Place, Responder};
use crate::intake::Tally;
use crate::name::LookupName;
use crate::serve::scratch::{self, Path};
use crate::wire::{MAX_STREAM, Query};

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exchanged {
    /// The reply is on its way.
    Answered,
    /// The client wanted no reply any more.
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
    // RFC 9250 §4.2: the query ends with the stream. Only what has come is held.
    let octets = match receive.read_to_end(2 + MAX_STREAM).await {
        Ok(octets) => octets,
        Err(ReadToEndError::TooLong) => return Exchanged::Broken,
        Err(ReadToEndError::Read(_)) => return Exchanged::Cancelled,
    };
    let Some(message) = only_message(&octets) else { return Exchanged::Broken };
    let reply =
        scratch::respond(responder, message, path, |reply| [&(reply.len() as u16).to_be_bytes()[..], reply].concat());
    place.counts().asked(1, reply.is_some().into());
    let Some(reply) = reply else {
        // Not even a query; a stream that has already gone needs no reset.
        let _ = send.reset(PROTOCOL_ERROR);
        return Exchanged::Broken;
    };
    let written = timeout(place.limits().write, send.write_all(&reply)).await;
    match written {
        Ok(Ok(())) => match send.finish() {
            Ok(()) => Exchanged::Answered,
            Err(_) => Exchanged::Cancelled,
        },
        unsent => {
            responder.counts.add(&Tally { unsent: 1, ..Tally::default() });
            if unsent.is_err() { Exchanged::Unread } else { Exchanged::Cancelled }
        }
    }
}

/// The message of a stream; none if it breaks the protocol.
fn only_message(octets: &[u8]) -> Option<&[u8]> {
    let (length, message) = octets.split_first_chunk()?;
    // RFC 9250 §4.3.3: less than was announced, and more than one message, are errors.
    let is_one = usize::from(u16::from_be_bytes(*length)) == message.len();
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
