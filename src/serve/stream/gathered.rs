//! A message that comes in pieces on one of many streams of a connection: little room for each, more for some at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::wire::MAX_STREAM;

/// Octets for which nobody has to ask: real queries have a few hundred, padded ones too (RFC 8467 §4.1: blocks of 128).
const USUAL: usize = 1_024;
/// Longer ones that may be read at a time over a carrier; without a bound, connections with a hundred streams each would
/// take all memory.
const MAX_LONG: usize = 64;

/// Room for the long messages of a carrier.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LONG)))
    }
}

/// What has come so far.
pub(in crate::serve) struct Gathered {
    pub(in crate::serve) octets: Vec<u8>,
    most: usize,
    room: Room,
    long: Option<OwnedSemaphorePermit>,
}

/// Why a message is not read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::serve) enum Refused {
    /// It is longer than any message.
    TooLong,
    /// It is long, and so are many others just now.
    Busy,
}

impl Gathered {
    /// Nothing of a message of DNS yet, which has so many octets more in front of it.
    pub(super) fn new(room: &Room, framing: usize) -> Self {
        Self { octets: Vec::new(), most: framing + MAX_STREAM, room: room.clone(), long: None }
    }

    /// Adds a piece.
    pub(in crate::serve) fn add(&mut self, piece: &[u8]) -> Result<(), Refused> {
        let length = self.octets.len() + piece.len();
        if length > self.most {
            return Err(Refused::TooLong);
        }
        if length > USUAL && self.long.is_none() {
            self.long = Some(Arc::clone(&self.room.0).try_acquire_owned().map_err(|_| Refused::Busy)?);
        }
        self.octets.extend_from_slice(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_messages_never_wait_and_long_ones_are_few_and_bounded() {
        let room = Room::default();
        let long: Vec<Gathered> = std::iter::repeat_with(|| {
            let mut message = Gathered::new(&room, 0);
            message.add(&[0; USUAL]).unwrap();
            message.add(b"x").unwrap();
            message
        })
        .take(MAX_LONG)
        .collect();
        let mut one_more = Gathered::new(&room, 0);
        assert_eq!(one_more.add(&[0; USUAL]), Ok(()));
        assert_eq!(one_more.add(b"x"), Err(Refused::Busy));
        drop(long);
        assert_eq!(one_more.add(&[0; MAX_STREAM - USUAL]), Ok(()));
        assert_eq!(one_more.add(b"x"), Err(Refused::TooLong));
        assert_eq!(one_more.octets.len(), MAX_STREAM);
    }
}
