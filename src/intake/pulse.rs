//! The pulse of the steering: when tables were made last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time without new tables after which the steering counts as stuck.
pub const STUCK: Duration = Duration::from_secs(10);

/// When tables were made last; the feed writes it, others read it at any time.
#[derive(Debug)]
pub struct Pulse {
    epoch: Instant,
    /// Milliseconds since the epoch.
    beat: AtomicU64,
}

impl Pulse {
    /// The first beat.
    pub fn new(now: Instant) -> Self {
        Self { epoch: now, beat: AtomicU64::new(0) }
    }

    /// Tables were made now.
    pub fn beat(&self, now: Instant) {
        self.beat.store(now.saturating_duration_since(self.epoch).as_millis() as u64, Ordering::Relaxed);
    }

    /// How long ago tables were made.
    pub fn age(&self, now: Instant) -> Duration {
        let beat = Duration::from_millis(self.beat.load(Ordering::Relaxed));
        now.saturating_duration_since(self.epoch).saturating_sub(beat)
    }

    /// Whether that is too long ago.
    pub fn is_stuck(&self, now: Instant) -> bool {
        self.age(now) > STUCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_seconds_without_a_beat_are_too_long() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!pulse.is_stuck(after(10)) && pulse.is_stuck(after(11)));
        pulse.beat(after(8));
        assert_eq!(pulse.age(after(11)), Duration::from_secs(3));
    }
}
