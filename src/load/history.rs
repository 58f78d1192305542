//! The load of one node over time: its last scrapes, what they mean, and since when they mean nothing.
#![deny(clippy::disallowed_methods)]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::load::counters::Counters;
use crate::load::error::ScrapeError;
use crate::load::rate::{Amount, NoRates, Utilisation};
use crate::load::recent::{Recent, amounts};
use crate::load::{NoLoad, NodeLoad};
use crate::pool::{Capacity, Limits, Preset, Resource};

/// Seconds of the shortest window: CPU time is counted in hundredths, so that less would be noise.
const MIN_WINDOW: f64 = 1.0;

/// The load of one node by one source; all times are seconds on the caller's clock, which never goes back.
#[derive(Debug, Clone)]
pub struct History {
    preset: Arc<Preset>,
    capacity: Capacity,
    limits: Limits,
    /// Seconds between scrapes.
    interval: f64,
    /// The scrape that the next one is compared with.
    baseline: Option<(f64, Counters)>,
    recent: Recent,
    restarts: u32,
    load: Option<NodeLoad>,
    trouble: Option<Trouble>,
}

/// Seconds for which a node that falls silent is taken to be as full as it was: viewers stay for minutes, and a dead
/// machine is full no longer.
const LATELY: f64 = 300.0;

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
    /// Far more than there is.
    Implausible {
        /// Of which resource.
        resource: Resource,
        /// The share of its capacity, 1 is all of it.
        share: f64,
    },
}

impl Reading {
    /// What was measured last, however long ago.
    pub fn last(&self) -> Option<&NodeLoad> {
        match self {
            Self::Fresh(load) | Self::Stale { last: load, .. } => Some(load),
            Self::Never { .. } => None,
        }
    }

    /// What was measured last, if that is no longer ago than `LATELY`.
    pub fn lately(&self) -> Option<&NodeLoad> {
        match self {
            Self::Stale { age, .. } if *age > LATELY => None,
            reading => reading.last(),
        }
    }
}

impl History {
    /// A node that was never scraped.
    pub fn new(preset: Arc<Preset>, capacity: Capacity, limits: Limits, interval: Duration) -> Self {
        Self {
            preset,
            capacity,
            limits,
            interval: interval.as_secs_f64(),
            baseline: None,
            recent: Recent::default(),
            restarts: 0,
            load: None,
            trouble: None,
        }
    }

    /// Takes what a reload may have changed; counts from the next scrape on. Other rules count from there anew.
    pub fn reconfigure(&mut self, preset: Arc<Preset>, capacity: Capacity, limits: Limits, interval: Duration) {
        if self.preset != preset {
            (self.preset, self.baseline, self.recent) = (preset, None, Recent::default());
        }
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

    /// How many samples of the last scrape that counted were refused.
    pub fn refused(&self) -> usize {
        self.baseline.as_ref().map_or(0, |(_, counters)| counters.refused)
    }

    fn take(&mut self, at: f64, counters: Counters) -> Result<(), Trouble> {
        let preset = Arc::clone(&self.preset);
        let Some((since, before)) = &self.baseline else {
            self.recent.observe(&preset, at, &counters);
            self.baseline = Some((at, counters));
            return Err(Trouble::OneScrape);
        };
        let window = at - since;
        let is_told_twice = window < self.interval / 2.0 && counters == *before;
        if window < MIN_WINDOW.min(self.interval / 4.0) || is_told_twice {
            // Too soon to say anything new, or one scrape as two servers tell it: the next one is measured from the same
            // baseline.
            return Ok(());
        }
        let rates = amounts(&preset, &self.recent, (*since, before), (at, &counters));
        if rates == Err(NoRates::Frozen) {
            // A cache in between: when it lets a new answer through, the window must begin where the old one was new.
            return Err(Trouble::Frozen);
        }
        if rates == Err(NoRates::Restarted) {
            self.count_restart();
        }
        let is_silence = window > self.stale_after();
        if is_silence || rates.is_err() {
            self.recent = Recent::default();
        }
        self.recent.observe(&preset, at, &counters);
        self.baseline = Some((at, counters));
        if is_silence {
            // The mean over a silence is no news of now.
            return Err(Trouble::OneScrape);
        }
        self.load = Some(self.load_of(&rates?, at, window)?);
        Ok(())
    }

    fn load_of(&self, found: &[Option<(Amount, f64)>], at: f64, window: f64) -> Result<NodeLoad, NoLoad> {
        let mut own_window = None;
        let rules = self.preset.rules.iter().enumerate().zip(found);
        let amounts: Vec<_> = rules
            .map(|((index, rule), found)| {
                let (amount, rate) = self.recent.amount(index, rule, found.map(|(amount, _)| amount));
                let rate = rate.map(|rate| (rate.at, rate.window));
                let longer = found.filter(|_| rule.window.is_some());
                (rule, amount, rate.or(longer.map(|(_, since)| (f64::midpoint(since, at), at - since))))
            })
            .collect();
        if let Some((.., rate)) =
            amounts.iter().find(|(rule, amount, _)| rule.resource == Resource::Egress && amount.is_some())
        {
            own_window = *rate;
        }
        let used = Utilisation::of_amounts(amounts.iter().map(|(rule, amount, _)| (*rule, *amount)));
        let mut load = NodeLoad::new(&used, &self.capacity, &self.limits, at, window)?;
        load.restarts = self.restarts;
        load.is_draining = self.baseline.as_ref().is_some_and(|(_, counters)| counters.is_draining);
        if let Some((middle, length)) = own_window {
            (load.at, load.window) = (middle, length);
        }
        Ok(load)
    }

    /// What was known stays, but whoever reckons from it must know.
    fn count_restart(&mut self) {
        self.restarts = self.restarts.wrapping_add(1);
        if let Some(load) = &mut self.load {
            load.restarts = self.restarts;
        }
    }

    /// Two scrapes may be lost, and a slow one waited for.
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
            NoLoad::Implausible { resource, share } => Self::Implausible { resource, share },
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
            Self::NothingKnown => {
                f.write_str("nothing with a known capacity: no CPU, and neither egress nor clients of so many")
            }
            Self::Implausible { resource, share } => write!(f, "{resource} at {share:.0} times its capacity cannot be"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::embedded_presets;
    use crate::load;
    use crate::pool::Bitrate;

    const INTERVAL: f64 = 4.0;
    /// 2.5 intervals + 2 s.
    const STALE_AFTER: f64 = 12.0;

    fn preset(name: &str) -> Arc<Preset> {
        Arc::clone(&embedded_presets()[name])
    }

    fn history() -> History {
        History::new(
            preset("node"),
            Capacity::default(),
            Limits { cpu: 0.5, egress: 0.5, ..Limits::default() },
            Duration::from_secs_f64(INTERVAL),
        )
    }

    fn counters(idle: f64, busy: f64) -> Counters {
        let body = format!(
            "node_cpu_seconds_total{{cpu=\"0\",mode=\"idle\"}} {idle}\nnode_cpu_seconds_total{{cpu=\"0\",mode=\"user\"}} {busy}\n"
        );
        load::read(&preset("node"), body.as_bytes()).expect("counters")
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
    fn samples_that_cannot_be_are_told_though_others_count() {
        let mut history = history();
        assert_eq!(history.refused(), 0);
        let body =
            "node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 1\nnode_cpu_seconds_total{cpu=\"1\",mode=\"idle\"} NaN\n";
        let _first = history.observe(100.0, load::read(&preset("node"), body.as_bytes()).expect("counters"));
        assert_eq!(history.refused(), 1);
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
    fn a_restart_is_seen_at_once_in_what_was_known_before() {
        let restarts = |history: &History| history.load(200.0).last().map(|load| (load.restarts, load.sampled));
        let mut history = loaded();
        assert_eq!(restarts(&history), Some((0, 104.0)));
        assert_eq!(history.observe(108.0, counters(2.0, 0.5)), Err(Trouble::Restarted));
        assert_eq!(restarts(&history), Some((1, 104.0)));
        assert_eq!(history.observe(112.0, counters(6.0, 0.5)), Ok(()));
        assert_eq!(restarts(&history), Some((1, 112.0)));
        // After a silence too: what it was is no longer of use, that it was started anew is.
        assert_eq!(history.observe(150.0, counters(1.0, 0.1)), Err(Trouble::OneScrape));
        assert_eq!(restarts(&history), Some((2, 112.0)));
    }

    /// A scrape of SRS.
    fn srs(run: &str, core: f64, megabits: f64) -> Counters {
        let (percent, octets) = (core * 100.0, megabits * 1e6 / 8.0);
        let body = format!(
            "srs_build_info{{service=\"{run}\",pid=\"1\"}} 1\nsrs_cpu_percent {percent}\nsrs_send_bytes_total {octets}\nsrs_clients 34\n"
        );
        load::read(&preset("srs"), body.as_bytes()).expect("counters")
    }

    #[test]
    fn containers_that_are_counted_now_and_then_are_measured_over_a_minute() {
        let mut history = History::new(
            preset("cadvisor"),
            Capacity { egress: Some(Bitrate(16e6)), ..Capacity::default() },
            Limits::default(),
            Duration::from_secs(5),
        );
        for scrape in 0..60 {
            let at = f64::from(scrape) * 5.0;
            // The kubelet counts every 10 s: one core of two, and 8 Mbit/s of 16.
            let counted = (at / 10.0).floor() * 10.0;
            let body = format!(
                "container_cpu_usage_seconds_total{{id=\"/a\",image=\"srs\"}} {counted}\n\
                 container_spec_cpu_quota{{id=\"/a\",image=\"srs\"}} 200000\n\
                 container_spec_cpu_period{{id=\"/a\",image=\"srs\"}} 100000\n\
                 container_network_transmit_bytes_total{{id=\"/p\",interface=\"eth0\"}} {}\n",
                counted * 1e6
            );
            let _first = history.observe(at, load::read(&preset("cadvisor"), body.as_bytes()).expect("counters"));
            if at >= 60.0 {
                let Reading::Fresh(load) = history.load(at) else { panic!("no load at {at}") };
                let shares: Vec<f64> = load.uses.iter().map(|each| each.share).collect();
                assert!(shares.len() == 2 && shares.iter().all(|share| (share - 0.5).abs() < 0.1), "{at}: {shares:?}");
                assert!((load.window - 60.0).abs() < 6.0 && load.at == at - load.window / 2.0, "{load:?}");
            }
        }
    }

    #[test]
    fn a_container_that_was_made_anew_counts_beside_older_ones_from_its_second_scrape_on() {
        let capacity = Capacity { egress: Some(Bitrate(16e6)), ..Capacity::default() };
        let mut history = History::new(preset("cadvisor"), capacity, Limits::default(), Duration::from_secs(5));
        let sent = |id: &str, octets: f64| {
            format!("container_network_transmit_bytes_total{{id=\"/{id}\",interface=\"eth0\"}} {octets}\n")
        };
        for scrape in 0..20 {
            let at = f64::from(scrape) * 5.0;
            // At 70 s the media server has another container; that beside it sends next to nothing.
            let media = if at < 70.0 { sent("a", at * 1e6) } else { sent("b", (at - 70.0) * 1e6) };
            let body = sent("log", 10.0 * at) + &media;
            let _first = history.observe(at, load::read(&preset("cadvisor"), body.as_bytes()).expect("counters"));
            if at >= 75.0 {
                let Reading::Fresh(load) = history.load(at) else { panic!("no load at {at}") };
                assert!((load.egress.expect("octets").0 - 8e6).abs() < 1e3, "{at}: {load:?}");
            }
        }
    }

    #[test]
    fn one_scrape_that_two_servers_tell_is_no_idle_node() {
        let mut history = loaded();
        assert_eq!(history.observe(105.5, counters(13.0, 1.0)), Ok(()));
        assert_eq!(pressure(&history.load(105.5)), Some(0.5));
        // The next is measured from the first of the two.
        assert_eq!(history.observe(108.0, counters(16.0, 2.0)), Ok(()));
        assert_eq!(pressure(&history.load(108.0)), Some(0.5));
    }

    #[test]
    fn a_media_server_that_counts_in_steps_is_measured_over_several_scrapes() {
        let capacity = Capacity { egress: Some(Bitrate(10e6)), clients: Some(100.0), ..Capacity::default() };
        let mut history = History::new(preset("srs"), capacity, Limits::default(), Duration::from_secs(5));
        // It sends 1 Mbit/s, and shows it at 0, 3, 6, …
        for (at, core, shown) in [(1.0, 0.1, 0.0), (6.0, 0.5, 6.0), (11.0, 0.2, 9.0), (16.0, 0.1, 15.0)] {
            let outcome = history.observe(at, srs("a", core, shown));
            assert_eq!(outcome, if at == 1.0 { Err(Trouble::OneScrape) } else { Ok(()) });
        }
        let Reading::Fresh(load) = history.load(16.0) else { panic!("no load") };
        assert_eq!((load.egress, load.window, load.at, load.sampled), (Some(Bitrate(1e6)), 15.0, 7.0, 16.0));
        let shares: Vec<_> = load.uses.iter().map(|each| (each.resource.clone(), each.share)).collect();
        // Of the core the busiest of three.
        assert_eq!(shares, [(Resource::ProcessCpu, 0.5), (Resource::Egress, 0.1), (Resource::Clients, 0.34)]);
        assert_eq!(load.clients, Some(34.0));

        // A new run counts from zero, and what the old one sent is no part of its window.
        assert_eq!(history.observe(21.0, srs("b", 0.0, 0.0)), Err(Trouble::Restarted));
        assert_eq!(history.observe(26.0, srs("b", 0.1, 6.0)), Ok(()));
        let Reading::Fresh(load) = history.load(26.0) else { panic!("no load") };
        assert_eq!((load.restarts, load.window, load.egress), (1, 5.0, Some(Bitrate(1.2e6))));
        assert_eq!(load.uses[0].share, 0.1);
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
        let empty = Counters { rules: Vec::new(), ..Counters::default() };
        assert_eq!(history.observe(100.0, empty.clone()), Err(Trouble::OneScrape));
        assert_eq!(history.observe(104.0, empty), Err(Trouble::NothingKnown));
        assert_eq!(history.load(104.0), Reading::Never { because: Some(Trouble::NothingKnown) });
    }
}
