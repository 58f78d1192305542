//! The rate of a counter that its program brings up to date now and then only.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;

/// Steps in a window. A poll sees the last step's value, so both ends of a window are wrong by up to a step, and
/// not at all if the window is a multiple of the steps: five of SRS' are 15 s, which are three scrapes of 5 s.
const WINDOW: f64 = 5.0;
/// How much of a step a window may be shorter: polls jitter.
const SLACK: f64 = 0.2;
/// Steps without a change after which the counter stands still because nothing is sent.
const STILL: f64 = 2.5;

/// The polls that saw the counter move.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    edges: VecDeque<Edge>,
    polled: Option<f64>,
}

/// A moment at which the counter had just moved to this, as far as polls can tell.
#[derive(Debug, Clone, Copy)]
struct Edge {
    at: f64,
    value: f64,
}

/// How fast it moved over a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    /// In the counter's own unit.
    pub(super) a_second: f64,
    /// The middle of the window.
    pub(super) at: f64,
    /// Seconds.
    pub(super) window: f64,
}

impl Steps {
    /// Takes the counter as it was polled at `at`; `step` is the time from one update to the next.
    pub(super) fn observe(&mut self, at: f64, value: f64, step: f64) {
        // It moved after the poll before, and less than a step ago.
        let since = self.polled.replace(at).map_or(step, |before| at - before).min(step);
        match self.edges.back() {
            Some(last) if last.value == value && at - last.at < STILL * step => return,
            Some(last) if last.value == value => self.edges.push_back(Edge { at, value }),
            // One of several series has ended, or its program was started anew.
            Some(last) if last.value > value => {
                self.edges.clear();
                self.edges.push_back(Edge { at: at - since / 2.0, value });
            }
            _ => self.edges.push_back(Edge { at: at - since / 2.0, value }),
        }
        let Some(last) = self.edges.back().copied() else { return };
        while self.edges.get(1).is_some_and(|edge| last.at - edge.at >= (WINDOW - SLACK) * step) {
            self.edges.pop_front();
        }
    }

    /// How fast it moved between the first and the last known edge; none before there are two.
    pub(super) fn rate(&self) -> Option<Rate> {
        let (first, last) = (self.edges.front()?, self.edges.back()?);
        let window = last.at - first.at;
        (window > 0.0).then(|| Rate {
            a_second: (last.value - first.value) / window,
            at: (first.at + last.at) / 2.0,
            window,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: f64 = 3.0;
    /// What the captured server sent, by its statistics of 30 s.
    const TRUTH: f64 = 33.6e6;

    fn captured() -> Vec<(f64, f64)> {
        let lines = include_str!("../../tests/load/srs_1s_timeseries.txt").lines();
        lines
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                assert_eq!(words[5], "srs_send_bytes_total");
                (words[0].parse().expect("a time"), words[6].parse().expect("octets"))
            })
            .collect()
    }

    /// The rates in Mbit/s after each poll.
    fn rates(polls: impl IntoIterator<Item = (f64, f64)>) -> Vec<f64> {
        let mut steps = Steps::default();
        let after = |(at, octets)| {
            steps.observe(at, octets, STEP);
            steps.rate().map(|rate| rate.a_second * 8.0 / 1e6)
        };
        polls.into_iter().filter_map(after).collect()
    }

    #[test]
    fn polls_faster_than_the_steps_are_measured_from_edge_to_edge() {
        // The first seconds are those of the stream's start.
        let rates = rates(captured().into_iter().skip(4));
        let settled = &rates[12..];
        assert!(
            settled.len() > 15 && settled.iter().all(|rate| (rate * 1e6 / TRUTH - 1.0).abs() < 0.08),
            "{settled:?}"
        );
    }

    #[test]
    fn polls_slower_than_the_steps_are_measured_over_several() {
        for phase in 4..9 {
            let mut polls: Vec<_> = captured().into_iter().skip(phase).step_by(5).collect();
            let between = |two: &[(f64, f64)]| (two[1].1 - two[0].1) * 8.0 / (two[1].0 - two[0].0);
            let error = |rate: f64| (rate / TRUTH - 1.0).abs();
            assert!(polls.windows(2).map(between).any(|rate| error(rate) > 0.35), "the trap is gone");
            let mut errors: Vec<f64> =
                rates(polls.drain(..)).into_iter().skip(2).map(|rate| error(rate * 1e6)).collect();
            errors.sort_by(f64::total_cmp);
            // A poll that comes just before or after a step is wrong by all of it, one in five.
            assert!(errors[errors.len() / 2] < 0.05 && errors[errors.len() - 1] < 0.2, "{phase}: {errors:?}");
        }
    }

    #[test]
    fn three_scrapes_of_five_seconds_are_exact() {
        for phase in 0..30 {
            let at = |n: i32| f64::from(phase) / 10.0 + 5.0 * f64::from(n);
            let polls = (0..20).map(|n| (at(n), (at(n) / STEP).floor() * STEP * 1e6 / 8.0));
            let rates = rates(polls);
            assert!(rates[3..].iter().all(|rate| (rate - 1.0).abs() < 1e-9), "{phase}: {rates:?}");
        }
    }

    #[test]
    fn a_counter_that_stands_still_sends_nothing() {
        let polls = (0..12).map(|n| (5.0 * f64::from(n), 1e6 * f64::from(n.min(4))));
        let rates = rates(polls);
        assert_eq!(rates[3], 1.6);
        // One poll may have missed the step.
        assert_eq!(rates[4], 1.6);
        assert!(rates[5] < 1.2, "{rates:?}");
        assert_eq!(rates.last(), Some(&0.0));
    }

    #[test]
    fn a_counter_that_falls_begins_anew_and_never_has_a_rate_below_zero() {
        let octets = [0.0, 6e6, 12e6, 18e6, 3e6, 4e6, 5e6, 6e6];
        let rates = rates((0..).map(|n| 5.0 * f64::from(n)).zip(octets));
        assert!(rates.iter().all(|rate| *rate > 0.0), "{rates:?}");
        assert_eq!(rates.last(), Some(&1.6));
    }

    #[test]
    fn one_poll_is_no_rate() {
        assert_eq!(rates([(5.0, 1e6)]), [0.0; 0]);
        assert_eq!(rates([(5.0, 1e6), (10.0, 2e6)]), [1.6]);
    }
}
