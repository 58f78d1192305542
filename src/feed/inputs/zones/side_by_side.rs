//! Zones side by side: as many at a time as there are cores.

use std::cmp::Reverse;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::made::Outcome;

/// Threads, at most. Each holds the text and the records of one zone, so this bounds memory too; and a thousand zones of a
/// thousand names take one of them half a second.
const MAX_THREADS: usize = 16;

/// What comes of so many zones, which have these sizes; in their order, whichever is done first.
pub(super) fn side_by_side(sizes: &[u64], read: impl Fn(usize) -> Outcome + Sync) -> Vec<Outcome> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    // All but one thread would wait for a large zone that came last.
    order.sort_by_key(|index| Reverse(sizes[*index]));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((index, read(index)));
        }
        done
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS).min(sizes.len());
    let mut done = thread::scope(|scope| {
        let start = |index| thread::Builder::new().name(format!("zones-{index}")).spawn_scoped(scope, work).ok();
        // Those that cannot be started leave their part to the others.
        let helpers: Vec<_> = (1..threads).filter_map(start).collect();
        let mut done = work();
        for helper in helpers {
            done.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}
