//! The load of one node over time: its last scrapes, what they mean, and since when they mean nothing.
#![deny(clippy::disallowed_methods)]

use std::fmt;
use std::time::Duration;

use crate::load::error::ScrapeError;
use crate::load::node_exporter::Counters;
use crate::load::rate::{self, NoRates};
use crate::load::{NoLoad, NodeLoad};
use crate::pool::{Bitrate, Capacity, Limits};

/// Seconds of the shortest window: CPU time is counted in hundredths, so that less would be noise.
const MIN_WINDOW: f64 = 1.0;

/// The load of one node; all times are seconds on the caller's clock, which never goes back.
#[derive(Debug, Clone)]
pub struct History {
    capacity: Capacity,
    limits: Limits,
    /// Seconds between scrapes.
    interval: f64,
    /// The scrape that the next one is compared with.
    baseline: Option<(f64, Counters)>,
    load: Option<NodeLoad>,
    trouble: Option<Trouble>,
}

/// What is known of a node's load now.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// This is its load.
    Fresh(NodeLoad),
    /// This was its load, too long ago.
    Stale {
        /// What was measured last.
        last: NodeLoad,
        /// Seconds since.
        age: f64,
        /// Why there is nothing newer; none if no scrape ended since.
        because: Option<Trouble>,
    },
    /// It was never measured.
    Never {
        /// Why; none if no scrape ended yet.
        because: Option<Trouble>,
    },
}

/// Why the last scrape gave no load.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// It gave no counters.
    Scrape(ScrapeError),
    /// A rate takes two scrapes, and this is the first, or the first after a long silence.
    OneScrape,
    /// The node was started since the scrape before.
    Restarted,
    /// The exporter repeats an old answer.
    Frozen,
    /// Nothing is known that has a capacity.
    NothingKnown,
    /// An egress far above what the node can send.
    Implausible(Bitrate),
}

impl Reading {
    /// What was measured last, however long ago.
    pub fn last(&self) -> Option<&NodeLoad> {
        match self {
            Self::Fresh(load) | Self::Stale { last: load, .. } => Some(load),
            Self::Never { .. } => None,
        }
    }
}

impl History {
    /// A node that was never scraped.
    pub fn new(capacity: Capacity, limits: Limits, interval: Duration) -> Self {
        Self { capacity, limits, interval: interval.as_secs_f64(), baseline: None, load: None, trouble: None }
    }

    /// Takes what a reload may have changed; counts from the next scrape on.
    pub fn reconfigure(&mut self, capacity: Capacity, limits: Limits, interval: Duration) {
        self.capacity = capacity;
        self.limits = limits;
        self.interval = interval.as_secs_f64();
    }

    /// Takes the counters of a scrape that ended at `at`; what was known stays if they give no load.
    pub fn observe(&mut self, at: f64, counters: Counters) -> Result<(), Trouble> {
        let outcome = self.take(at, counters);
        self.trouble = outcome.clone().err();
        outcome
    }

    /// Notes that a scrape gave no counters; what was known grows older.
    pub fn fail(&mut self, error: ScrapeError) {
        self.trouble = Some(Trouble::Scrape(error));
    }

    /// What is known at `now`.
    pub fn load(&self, now: f64) -> Reading {
        let because = self.trouble.clone();
        match &self.load {
            None => Reading::Never { because },
            Some(load) if now - load.sampled <= self.stale_after() => Reading::Fresh(load.clone()),
            Some(load) => Reading::Stale { last: load.clone(), age: now - load.sampled, because },
        }
    }

    fn take(&mut self, at: f64, counters: Counters) -> Result<(), Trouble> {
        let Some((since, before)) = &self.baseline else {
            self.baseline = Some((at, counters));
            return Err(Trouble::OneScrape);
        };
        let window = at - since;
        if window < MIN_WINDOW.min(self.interval / 4.0) {
            // Too soon to say anything new: the next one is measured from the same baseline.
            return Ok(());
        }
        let rates = rate::between(before, &counters, window);
        if rates == Err(NoRates::Frozen) {
            // A cache in between: when it lets a new answer through, the window must begin where the old one was new.
            return Err(Trouble::Frozen);
        }
        self.baseline = Some((at, counters));
        if window > self.stale_after() {
            // The mean over a silence is no news of now.
            return Err(Trouble::OneScrape);
        }
        self.load = Some(NodeLoad::new(&rates?, &self.capacity, &self.limits, at, window)?);
        Ok(())
    }

    /// STEERING 5.1: two scrapes may be lost, and a slow one waited for.
    fn stale_after(&self) -> f64 {
        2.5 * self.interval + 2.0
    }
}

impl From<NoRates> for Trouble {
    fn from(why: NoRates) -> Self {
        match why {
            NoRates::Restarted => Self::Restarted,
            NoRates::Frozen => Self::Frozen,
        }
    }
}

impl From<NoLoad> for Trouble {
    fn from(why: NoLoad) -> Self {
        match why {
            NoLoad::NothingKnown => Self::NothingKnown,
            NoLoad::Implausible(egress) => Self::Implausible(egress),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scrape(error) => error.fmt(f),
            Self::OneScrape => f.write_str("a rate takes two scrapes, there is one so far"),
            Self::Restarted => NoRates::Restarted.fmt(f),
            Self::Frozen => NoRates::Frozen.fmt(f),
            Self::NothingKnown => f.write_str("neither CPU nor an egress with a known capacity"),
            Self::Implausible(egress) => write!(f, "an egress of {egress} is far above the capacity"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::node_exporter::CpuTimes;

    const INTERVAL: f64 = 4.0;
    /// 2.5 intervals + 2 s.
    const STALE_AFTER: f64 = 12.0;

    fn history() -> History {
        History::new(
            Capacity::default(),
            Limits { cpu: 0.5, egress: 0.5, ..Limits::default() },
            Duration::from_secs_f64(INTERVAL),
        )
    }

    fn counters(idle: f64, busy: f64) -> Counters {
        let cpus = [("0".to_owned(), CpuTimes { idle, busy, modes: 8 })].into();
        Counters { cpus, devices: Default::default(), boot: None, clock: None, refused: 0 }
    }

    /// A history with pressure 0.5, sampled at 104.
    fn loaded() -> History {
        let mut history = history();
        assert_eq!(history.observe(100.0, counters(10.0, 0.0)), Err(Trouble::OneScrape));
        assert_eq!(history.observe(104.0, counters(13.0, 1.0)), Ok(()));
        history
    }

    fn pressure(reading: &Reading) -> Option<f64> {
        match reading {
            Reading::Fresh(load) => Some(load.pressure),
            Reading::Stale { .. } | Reading::Never { .. } => None,
        }
    }

    #[test]
    fn two_scrapes_make_a_load() {
        let mut history = history();
        assert_eq!(history.load(99.0), Reading::Never { because: None });
        history.fail(ScrapeError::Status(503));
        assert_eq!(history.load(99.0), Reading::Never { because: Some(Trouble::Scrape(ScrapeError::Status(503))) });
        assert_eq!(history.observe(100.0, counters(10.0, 0.0)), Err(Trouble::OneScrape));
        assert_eq!(history.load(100.0), Reading::Never { because: Some(Trouble::OneScrape) });
        let Reading::Fresh(load) = loaded().load(105.0) else { panic!("no load") };
        assert_eq!((load.pressure, load.sampled, load.at, load.window), (0.5, 104.0, 102.0, 4.0));
    }

    #[test]
    fn silence_makes_stale_and_two_scrapes_make_fresh_again() {
        let mut history = loaded();
        assert_eq!(pressure(&history.load(104.0 + STALE_AFTER)), Some(0.5));
        let Reading::Stale { last, age, because } = history.load(104.5 + STALE_AFTER) else { panic!("not stale") };
        assert_eq!((last.pressure, age, because), (0.5, STALE_AFTER + 0.5, None));

        history.fail(ScrapeError::Truncated);
        let Reading::Stale { because, .. } = history.load(130.0) else { panic!("not stale") };
        assert_eq!(because, Some(Trouble::Scrape(ScrapeError::Truncated)));

        // Idle all the time: the mean since 104 would call the node idle, and nobody knows.
        assert_eq!(history.observe(130.0, counters(39.0, 1.0)), Err(Trouble::OneScrape));
        assert_eq!(pressure(&history.load(130.0)), None);
        assert_eq!(history.observe(134.0, counters(39.0, 5.0)), Ok(()));
        assert_eq!(pressure(&history.load(134.0)), Some(2.0));
    }

    #[test]
    fn one_lost_scrape_only_widens_the_window() {
        let mut history = loaded();
        history.fail(ScrapeError::Timeout(Duration::from_secs(3)));
        assert_eq!(history.observe(112.0, counters(19.0, 3.0)), Ok(()));
        let Reading::Fresh(load) = history.load(112.0) else { panic!("no load") };
        assert_eq!((load.pressure, load.at, load.window), (0.5, 108.0, 8.0));
    }

    #[test]
    fn a_restart_keeps_the_load_of_before_and_starts_anew() {
        let mut history = loaded();
        assert_eq!(history.observe(108.0, counters(2.0, 0.5)), Err(Trouble::Restarted));
        assert_eq!(pressure(&history.load(108.0)), Some(0.5));
        assert_eq!(history.observe(112.0, counters(6.0, 0.5)), Ok(()));
        assert_eq!(pressure(&history.load(112.0)), Some(0.0));
    }

    #[test]
    fn repeated_answers_are_measured_from_the_first_of_them() {
        let mut history = loaded();
        assert_eq!(history.observe(108.0, counters(13.0, 1.0)), Err(Trouble::Frozen));
        assert_eq!(pressure(&history.load(108.0)), Some(0.5));
        assert_eq!(history.observe(112.0, counters(17.0, 5.0)), Ok(()));
        let Reading::Fresh(load) = history.load(112.0) else { panic!("no load") };
        assert_eq!((load.pressure, load.window), (1.0, 8.0));
    }

    #[test]
    fn a_scrape_too_soon_changes_nothing() {
        let mut history = loaded();
        assert_eq!(history.observe(104.5, counters(13.0, 1.5)), Ok(()));
        assert_eq!(pressure(&history.load(104.5)), Some(0.5));
        assert_eq!(history.observe(108.0, counters(13.0, 5.0)), Ok(()));
        let Reading::Fresh(load) = history.load(108.0) else { panic!("no load") };
        assert_eq!((load.pressure, load.window), (2.0, 4.0));
    }

    #[test]
    fn what_nothing_is_known_of_is_never_fresh() {
        let mut history = history();
        let empty = Counters { cpus: Default::default(), ..counters(0.0, 0.0) };
        assert_eq!(history.observe(100.0, empty.clone()), Err(Trouble::OneScrape));
        assert_eq!(history.observe(104.0, empty), Err(Trouble::NothingKnown));
        assert_eq!(history.load(104.0), Reading::Never { because: Some(Trouble::NothingKnown) });
    }
}
