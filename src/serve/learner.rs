//! A worker's learner: what it knows of client keys, and where it books what its answers promise.

use tokio::sync::mpsc;

use crate::intake::{Book, Counts, Event, Shelf, book};
use crate::name::Name;
use crate::steer::KeyTable;

/// Client keys that all workers together know.
const KEYS: usize = 200_000;

/// What one worker learns by.
pub struct Learner {
    /// What is known of client keys.
    pub keys: KeyTable,
    /// Where answers are booked.
    pub book: Book,
    /// Who hears of zones that have changed elsewhere.
    events: Option<mpsc::Sender<Event>>,
}

impl Learner {
    /// A learner that knows nothing yet, one of so many that share the memory; `seed` is nobody else's to know.
    pub fn new(sharing: usize, seed: u64) -> (Self, Shelf) {
        let (book, shelf) = book();
        (Self { keys: KeyTable::new(KEYS / sharing.max(1), seed), book, events: None }, shelf)
    }

    /// The same, which tells of zones that have changed elsewhere.
    pub fn telling(self, events: mpsc::Sender<Event>) -> Self {
        Self { events: Some(events), ..self }
    }

    /// Tells that a primary says that the zone of this apex, in wire form, has changed.
    #[cold]
    pub(super) fn notify(&self, apex: &[u8]) {
        let Ok(zone) = Name::from_wire(apex) else { return };
        if let Some(events) = &self.events {
            // Primaries say it again, and are asked without it too: where many wait this one may go.
            let _dropped = events.try_send(Event::Notify(zone));
        }
    }

    /// Hands over what was booked, and tells how long resolvers kept answers, when it is time; to be called before answers
    /// from the snapshot of this generation, at `now` in milliseconds since 1970. The counts are this learner's alone.
    #[inline]
    pub fn turn(&mut self, generation: u64, now: u64, counts: &Counts) {
        if self.book.turn(generation, now) {
            counts.set_effective_ttls(self.keys.gaps());
        }
    }
}
