//! Books: the ledgers that workers fill and the feed empties. Full ones and empty ones go round; nobody waits, and nothing
//! is allocated after the start.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use crate::steer::{Ledger, Observation};

/// Ledgers of a worker: one that it writes, and those that wait for the feed or come back. With a feed that hangs, the
/// worker goes on with the last.
const LEDGERS: usize = 3;
/// Milliseconds that a ledger is written before it goes to the feed.
const TURN: u64 = 500;

/// A worker's end: where it books what its answers promise.
#[derive(Debug)]
pub struct Book {
    open: Box<Ledger>,
    since: u64,
    ways: Arc<Ways>,
}

/// The feed's end.
#[derive(Debug)]
pub struct Shelf {
    ways: Arc<Ways>,
}

#[derive(Debug)]
struct Ways {
    full: ArrayQueue<Box<Ledger>>,
    empty: ArrayQueue<Box<Ledger>>,
}

/// Both ends.
pub fn book() -> (Book, Shelf) {
    let ways = Arc::new(Ways { full: ArrayQueue::new(LEDGERS), empty: ArrayQueue::new(LEDGERS) });
    for _ in 1..LEDGERS {
        // There is room for all of them.
        let _room = ways.empty.push(Box::default());
    }
    (Book { open: Box::default(), since: 0, ways: Arc::clone(&ways) }, Shelf { ways })
}

impl Book {
    /// Hands the ledger over if it was written long enough or in other numbers; to be called before each batch of answers
    /// from the snapshot of this generation, at `now` in milliseconds since 1970. Says whether it was time for that.
    #[inline]
    pub fn turn(&mut self, generation: u64, now: u64) -> bool {
        if self.open.generation() == generation && now.abs_diff(self.since) < TURN {
            return false;
        }
        self.since = now;
        if self.open.is_empty() {
            self.open.clear(generation);
        } else if let Some(mut empty) = self.ways.empty.pop() {
            empty.clear(generation);
            let full = std::mem::replace(&mut self.open, empty);
            // There is room for all of them.
            let _room = self.ways.full.push(full);
        } else if self.open.generation() != generation {
            // The feed hangs, and what is booked has numbers of the past.
            self.open.clear(generation);
        }
        true
    }

    /// Books an answer.
    #[inline]
    pub fn book(&mut self, observation: &Observation<'_>) {
        self.open.book(observation);
    }
}

impl Shelf {
    /// Shows each full ledger, and gives it back to the worker.
    pub fn take(&self, mut show: impl FnMut(&Ledger)) {
        while let Some(mut ledger) = self.ways.full.pop() {
            show(&ledger);
            ledger.clear(0);
            // There is room for all of them.
            let _room = self.ways.empty.push(ledger);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::RegionId;
    use crate::pool::{Family, NodeId, PoolId};
    use crate::steer::Estimate;

    fn answer(book: &mut Book) {
        let (region, pool, family, estimate) = (RegionId(0), PoolId(0), Family::V4, Estimate::default());
        book.book(&Observation { region, pool, family, nodes: &[NodeId(1)], ttl: 5, estimate });
    }

    fn answers(shelf: &Shelf) -> Vec<(u64, f64)> {
        let mut seen = Vec::new();
        shelf.take(|ledger| seen.push((ledger.generation(), ledger.entries().map(|entry| entry.answers).sum())));
        seen
    }

    #[test]
    fn ledgers_go_round_and_each_answer_is_seen_once() {
        let (mut book, shelf) = book();
        for turn in 0..10 {
            book.turn(1, 1_000 + turn * TURN);
            answer(&mut book);
            answer(&mut book);
            assert_eq!(answers(&shelf), if turn == 0 { vec![] } else { vec![(1, 2.0)] });
        }
    }

    #[test]
    fn a_feed_that_hangs_loses_nothing_while_numbers_stay() {
        let (mut book, shelf) = book();
        for turn in 0..10 {
            book.turn(1, 1_000 + turn * TURN);
            answer(&mut book);
        }
        assert_eq!(answers(&shelf).iter().map(|(_, answers)| answers).sum::<f64>(), 2.0);
        book.turn(1, 100_000);
        assert_eq!(answers(&shelf), [(1, 8.0)]);
    }

    #[test]
    fn a_new_generation_begins_a_new_ledger_at_once() {
        let (mut book, shelf) = book();
        book.turn(1, 1_000);
        answer(&mut book);
        book.turn(2, 1_001);
        answer(&mut book);
        book.turn(3, 1_002);
        assert_eq!(answers(&shelf), [(1, 1.0), (2, 1.0)]);
    }
}
