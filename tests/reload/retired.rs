//! Snapshots that were replaced: freed by whoever publishes, once nobody answers from them.

use std::sync::{Arc, Weak};
use std::thread;

use thalweg::snapshot::{Published, Snapshot};

use crate::support::installation::{Load, inputs, snapshot};
use crate::{Installation, installation};

/// More snapshots than any server has workers.
const MANY: usize = 600;

fn published() -> (Installation, Published, impl Fn() -> Snapshot) {
    let installation = installation(&[("fra1", "198.51.100.10")]);
    let inputs = inputs(&installation.config()).unwrap();
    let make = move || snapshot(&inputs, |_| Load::Silent);
    (installation, Published::new(make()), make)
}

#[test]
fn a_reader_that_turns_to_the_new_snapshot_does_not_free_the_old_one() {
    let (_installation, published, make) = published();
    let old: Weak<Snapshot> = Arc::downgrade(&published.snapshot());
    let mut reader = published.reader();
    assert!(Arc::ptr_eq(reader.load(), &old.upgrade().unwrap()));
    published.publish(make());
    published.publish(make());
    assert!(old.upgrade().is_some(), "it is freed while it is read");
    // As a worker does between two batches.
    thread::scope(|scope| {
        scope.spawn(|| reader.load().generation).join().unwrap();
    });
    assert_eq!(old.strong_count(), 1, "the reader freed it");
    published.publish(make());
    assert_eq!(old.strong_count(), 0, "who publishes did not");
}

#[test]
fn what_nobody_reads_is_gone_with_the_second_that_is_published_after_it() {
    let (_installation, published, make) = published();
    for _ in 0..3 {
        let old = Arc::downgrade(&published.snapshot());
        published.publish(make());
        published.publish(make());
        assert_eq!(old.strong_count(), 0);
    }
}

#[test]
fn those_who_never_let_go_keep_what_they_hold_and_no_more_is_remembered_of_it() {
    let (_installation, published, make) = published();
    let mut held = Vec::new();
    for _ in 0..MANY {
        held.push(published.snapshot());
        published.publish(make());
    }
    let remembered = held.iter().filter(|snapshot| Arc::strong_count(snapshot) > 1).count();
    assert!(remembered < MANY / 2, "{remembered}");
    assert_eq!(Arc::strong_count(&held[0]), 1, "the oldest are given up first");
    drop(held);
    let last = Arc::downgrade(&published.snapshot());
    published.publish(make());
    published.publish(make());
    assert_eq!(last.strong_count(), 0);
}
