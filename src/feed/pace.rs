//! One task for each thing that is asked again and again, each at its own phase: many are not asked at once.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// The first questions after a start are spread over this time.
pub(super) const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// Time from a panic of a task to the next attempt.
const AGAIN: Duration = Duration::from_secs(5);

/// Runs `task` for each target until the sender of targets is gone; targets that stay as they are keep their task. One that
/// panics is begun anew: else a node would stay up or down as it was then.
pub(super) async fn keep<T, K, F>(mut targets: watch::Receiver<Vec<T>>, key: impl Fn(&T) -> K, task: impl Fn(T) -> F)
where
    T: Clone + PartialEq,
    K: Eq + Hash,
    F: Future<Output = ()> + Send + 'static,
{
    let delayed = |pause: Option<Duration>, task: F| async move {
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        task.await;
    };
    let mut tasks = JoinSet::new();
    let mut running: HashMap<K, (T, AbortHandle)> = HashMap::new();
    loop {
        tokio::select! {
            news = targets.changed() => {
                if news.is_err() {
                    return;
                }
                let wanted = targets.borrow_and_update().clone();
                let wanted: HashMap<_, _> = wanted.into_iter().map(|target| (key(&target), target)).collect();
                running.retain(|key, (target, handle)| {
                    let stays = wanted.get(key) == Some(target) && !handle.is_finished();
                    if !stays {
                        handle.abort();
                    }
                    stays
                });
                for (key, target) in wanted {
                    running.entry(key).or_insert_with(|| {
                        let handle = tasks.spawn(delayed(None, task(target.clone())));
                        (target, handle)
                    });
                }
            }
            Some(ended) = tasks.join_next() => {
                let Err(error) = ended else { continue };
                let mut all = running.values_mut();
                let Some((target, handle)) = all.find(|(_, handle)| handle.id() == error.id()) else { continue };
                if error.is_panic() {
                    tracing::error!(%error, "a scrape, a probe or a look at a list panicked; it is begun anew in {AGAIN:?}");
                    *handle = tasks.spawn(delayed(Some(AGAIN), task(target.clone())));
                }
            }
        }
    }
}

/// Where in its interval something is asked, 0 to 1.
pub(super) fn share(of: &impl Hash) -> f64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    f64::from((hasher.finish() >> 32) as u32) / 2f64.powi(32)
}

/// The first of the moments `phase`, `phase` + `interval`, … that is not before `earliest`.
pub(super) fn next_tick(phase: Instant, interval: Duration, earliest: Instant) -> Instant {
    let behind = earliest.saturating_duration_since(phase);
    let ticks = behind.as_secs_f64() / interval.as_secs_f64();
    phase + interval.mul_f64(ticks.ceil())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_begun_anew_and_others_go_on() {
        let (targets, wanted) = watch::channel(vec![1, 2]);
        let (sender, mut told) = tokio::sync::mpsc::channel(16);
        let mut begun = HashMap::<u32, u32>::new();
        let (counter, mut counts) = tokio::sync::mpsc::unbounded_channel();
        let task = move |target: u32| {
            let (sender, counter) = (sender.clone(), counter.clone());
            async move {
                counter.send(target).unwrap();
                assert!(target != 1, "a fault of a test");
                sender.send(target).await.unwrap();
                std::future::pending::<()>().await;
            }
        };
        let kept = tokio::spawn(async move {
            let mut wanted = wanted;
            wanted.mark_changed();
            keep(wanted, |target| *target, task).await;
        });
        let start = Instant::now();
        while begun.get(&1) != Some(&3) {
            *begun.entry(counts.recv().await.unwrap()).or_default() += 1;
        }
        assert_eq!((start.elapsed().as_secs(), begun.get(&2), told.recv().await), (10, Some(&1), Some(2)));
        // One that is wanted no more is not begun anew.
        targets.send(vec![2]).unwrap();
        tokio::time::sleep(4 * AGAIN).await;
        assert!(counts.try_recv().is_err());
        drop(targets);
        kept.await.unwrap();
    }

    #[test]
    fn ticks_stand_at_their_phase() {
        let epoch = Instant::now();
        let at = |seconds: f64| epoch + Duration::from_secs_f64(seconds);
        for (phase, earliest, expected) in [(1.0, 0.0, 1.0), (1.0, 1.0, 1.0), (1.0, 1.5, 6.0), (4.5, 103.0, 104.5)] {
            let tick = next_tick(at(phase), Duration::from_secs(5), at(earliest));
            let off = tick.max(at(expected)) - tick.min(at(expected));
            assert!(off < Duration::from_micros(1), "{phase} {earliest}");
        }
    }

    #[test]
    fn shares_fill_the_interval() {
        let mut quarters = [0; 4];
        for node in 0..400 {
            quarters[(share(&format!("http://node{node}/metrics")) * 4.0) as usize] += 1;
        }
        assert!(quarters.iter().all(|count| (60..140).contains(count)), "{quarters:?}");
    }
}
