//! The watch over the feed: says when no tables were made for too long, even if the feed itself hangs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::intake::Pulse;

/// Time between looks.
const LOOK: Duration = Duration::from_secs(1);

/// Logs when the steering gets stuck and when it goes on, until it is stopped.
pub async fn report(pulse: Arc<Pulse>, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut was_stuck = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        let now = Instant::now();
        let is_stuck = pulse.is_stuck(now);
        match (was_stuck, is_stuck) {
            (false, true) => tracing::error!(
                seconds = pulse.age(now).as_secs(),
                "no new tables are made: answers go on by the last ones, whatever loads are now; see the log before this, \
                 and restart the server if it does not go on by itself"
            ),
            (true, false) => tracing::info!("new tables are made again"),
            _ => {}
        }
        was_stuck = is_stuck;
    }
}
