//! The one place where a snapshot is replaced, and what becomes of the old one.
#![deny(clippy::disallowed_methods)]

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::Snapshot;

/// Replaced snapshots that are looked after, at most: more than can be in use, for one is published in a second mostly, and no
/// worker holds one for more than 200 ms. What is held for longer is in memory whether it is in the list or not; so only the
/// list needs a limit.
const MAX_RETIRED: usize = 256;

/// Where the newest snapshot is to be had: the only door from the feed to those who answer.
pub struct Published {
    store: ArcSwap<Snapshot>,
    /// Those that were replaced and may be in use, the oldest first. Only who publishes looks here.
    retired: Mutex<Vec<Arc<Snapshot>>>,
}

/// A worker's own handle on the newest snapshot: one atomic load while nothing has changed.
pub type Reader<'p> = arc_swap::Cache<&'p ArcSwap<Snapshot>, Arc<Snapshot>>;

impl Published {
    /// Publishes a first snapshot.
    pub fn new(first: Snapshot) -> Self {
        Self { store: ArcSwap::from_pointee(first), retired: Mutex::default() }
    }

    /// Replaces the snapshot: queries that have begun keep the old one to their end.
    ///
    /// Those that nobody uses any more are freed here. Whoever lets go of one last would free it, and a worker would leave its
    /// queries waiting meanwhile: a zone of a million names takes milliseconds.
    pub fn publish(&self, snapshot: Snapshot) {
        let old = self.store.swap(Arc::new(snapshot));
        // Nothing that holds it can panic halfway.
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        // From here nobody can have one who has not got it already: a count of one stays so.
        retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        if retired.len() >= MAX_RETIRED {
            // The one who holds it frees it.
            retired.remove(0);
        }
        retired.push(old);
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.store.load_full()
    }

    /// A handle for a worker that asks often.
    pub fn reader(&self) -> Reader<'_> {
        arc_swap::Cache::new(&self.store)
    }
}
