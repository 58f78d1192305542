//! What time a server's clock shows by ours, as its answers tell.

use std::collections::VecDeque;

/// Exchanges of which the one with the least delay counts (RFC 5905 §10, the clock filter).
const EXCHANGES: usize = 8;
/// Seconds that two clocks drift apart at most while these are made.
const DRIFT: f64 = 0.1;

/// The part of the time by which the offset follows what is known better: less than a rate is exact to.
const SLEW: f64 = 0.02;

/// How far a server's clock is from ours. Times of scrapes that are converted by it are as far apart as they were on the
/// server, to within `SLEW`, however long its answers took.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The delay, and what ours shows while the server's shows 0.
    exchanges: VecDeque<(f64, f64)>,
    /// What ours is taken to show while the server's shows 0, and when ours showed that.
    offset: Option<(f64, f64)>,
}

impl Clock {
    /// Takes an exchange that began and ended at these seconds by our clock, and between them was answered at these
    /// seconds by the server's.
    pub(super) fn observe(&mut self, sent: f64, received: f64, theirs: f64) {
        if let Some((delay, offset)) = self.best() {
            let slack = delay / 2.0 + DRIFT;
            let is_possible = (sent - slack..=received + slack).contains(&(theirs + offset));
            if !is_possible {
                // One of the clocks was set.
                self.exchanges.clear();
                self.offset = None;
            }
        }
        self.exchanges.push_back((received - sent, f64::midpoint(sent, received) - theirs));
        if self.exchanges.len() > EXCHANGES {
            self.exchanges.pop_front();
        }
        let best = self.best().map_or(0.0, |(_, offset)| offset);
        let offset = self.offset.map_or(best, |(offset, at)| {
            let most = SLEW * (received - at).max(0.0);
            best.clamp(offset - most, offset + most)
        });
        self.offset = Some((offset, received));
    }

    /// What ours shows at these seconds of the server's; the same without any exchange.
    pub(super) fn ours(&self, theirs: f64) -> f64 {
        theirs + self.offset.map_or(0.0, |(offset, _)| offset)
    }

    fn best(&self) -> Option<(f64, f64)> {
        self.exchanges.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_moves_no_scrape() {
        let mut clock = Clock::default();
        clock.observe(10.0, 10.02, 1010.01);
        let before = clock.ours(1005.0);
        assert!((before - 5.0).abs() < 1e-9, "{before}");
        clock.observe(15.0, 17.5, 1015.1);
        assert_eq!(clock.ours(1005.0), before);
    }

    #[test]
    fn a_slow_first_answer_bends_no_window() {
        let mut clock = Clock::default();
        clock.observe(10.0, 13.0, 1010.01);
        let before = clock.ours(1005.0);
        clock.observe(18.0, 18.02, 1018.01);
        let window = clock.ours(1010.0) - before;
        assert!((window - 5.0).abs() <= SLEW * 5.02 + 1e-9, "{window}");
        for round in 1..40 {
            let at = 18.0 + 5.0 * f64::from(round);
            clock.observe(at, at + 0.02, 1000.01 + at);
        }
        assert!((clock.ours(1100.0) - 100.0).abs() < 0.01);
    }

    #[test]
    fn a_clock_that_is_set_is_followed_at_once() {
        let mut clock = Clock::default();
        clock.observe(10.0, 10.02, 1010.01);
        clock.observe(15.0, 15.04, 1045.02);
        assert!((clock.ours(1045.02) - 15.02).abs() < 1e-9);
    }

    #[test]
    fn clocks_that_drift_are_followed_after_some_exchanges() {
        let mut clock = Clock::default();
        for round in 0..40 {
            let at = f64::from(round) * 5.0;
            clock.observe(at, at + 0.02 + f64::from(round % 3) / 1e3, 1000.0 + at * 1.0005);
        }
        // 195 s of ours are 0.0975 more of theirs.
        assert!((clock.ours(1000.0 + 195.0 * 1.0005) - 195.01).abs() < 0.03);
    }
}
