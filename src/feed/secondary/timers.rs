//! When a primary is asked, and how long its zone counts (RFC 1035 §3.3.13, RFC 1996 §4): a pure machine, to which time and
//! chance are told.
#![deny(clippy::disallowed_methods)]

use super::soa::Soa;

/// Bounds of the times of an SOA record, in seconds: who writes 0, or a year, means neither.
const REFRESH: (u32, u32) = (2, 4 * WEEK);
const RETRY: (u32, u32) = (2, 2 * WEEK);
const MAX_EXPIRE: u32 = 26 * WEEK;
const WEEK: u32 = 7 * 24 * 3600;
/// The first and the longest pause, in seconds, while a zone has never come.
const FIRST_PAUSE: f64 = 1.0;
const LONGEST_PAUSE: f64 = 600.0;
/// Between two looks, in seconds, however many messages say that there is something new.
const MIN_PAUSE: f64 = 0.5;
/// So much of a pause may be left out: else all secondaries would ask in the same moment.
const JITTER: f64 = 0.1;
/// Looks in vain after which somebody is told, at the latest half-way to the end.
const PATIENCE: f64 = 3.0;

/// When what happens to one zone; seconds on a clock that never goes back.
#[derive(Debug, Clone)]
pub struct Timers {
    /// What is held, and when a primary said that it is the newest.
    held: Option<(Soa, f64)>,
    /// When a primary is asked next.
    next: f64,
    /// When one was asked last.
    asked: f64,
    /// Looks in vain since the last good one.
    failures: u32,
}

/// How a zone stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It never came.
    Missing,
    /// A primary has vouched for it of late.
    Good,
    /// It is served, but no primary has vouched for it for long.
    Doubtful,
    /// It is not served any more.
    Expired,
}

impl Timers {
    /// Of a zone that is held since it was confirmed then, or has never come; a primary is asked at once.
    pub fn new(now: f64, held: Option<(Soa, f64)>) -> Self {
        Self { held, next: now, asked: f64::NEG_INFINITY, failures: 0 }
    }

    /// When a primary is to be asked.
    pub fn next(&self) -> f64 {
        self.next
    }

    /// A primary was asked, and what is held now is the newest; `dice` is from 0 to 1.
    pub fn confirmed(&mut self, now: f64, soa: Soa, dice: f64) {
        self.held = Some((soa, now));
        self.failures = 0;
        self.wait(now, bounded(soa.refresh, REFRESH), dice);
    }

    /// No primary gave an answer that counts.
    pub fn failed(&mut self, now: f64, dice: f64) {
        self.failures = self.failures.saturating_add(1);
        let pause = match self.held {
            Some((soa, _)) => bounded(soa.retry, RETRY),
            None => (FIRST_PAUSE * 2f64.powi(self.failures.min(16) as i32 - 1)).min(LONGEST_PAUSE),
        };
        self.wait(now, pause, dice);
    }

    /// A primary says that there may be something new.
    pub fn notified(&mut self, now: f64) {
        self.next = self.next.min(now.max(self.asked + MIN_PAUSE));
    }

    /// How the zone stands.
    pub fn standing(&self, now: f64) -> Standing {
        let Some((soa, confirmed)) = self.held else { return Standing::Missing };
        let age = now - confirmed;
        let expire = expire(&soa);
        let late = bounded(soa.refresh, REFRESH) + PATIENCE * bounded(soa.retry, RETRY);
        match age {
            age if age >= expire => Standing::Expired,
            age if age >= late.min(expire / 2.0) => Standing::Doubtful,
            _ => Standing::Good,
        }
    }

    /// Seconds until the zone is not served any more; none if it never came.
    pub fn left(&self, now: f64) -> Option<f64> {
        self.held.map(|(soa, confirmed)| confirmed + expire(&soa) - now)
    }

    fn wait(&mut self, now: f64, pause: f64, dice: f64) {
        self.asked = now;
        self.next = now + pause * (1.0 - JITTER * dice.clamp(0.0, 1.0));
    }
}

/// RFC 1912 §2.2: it is longer than one look and one more; what is less would let the zone come and go.
fn expire(soa: &Soa) -> f64 {
    f64::from(soa.expire.min(MAX_EXPIRE)).max(bounded(soa.refresh, REFRESH) + bounded(soa.retry, RETRY))
}

fn bounded(seconds: u32, (least, most): (u32, u32)) -> f64 {
    f64::from(seconds.clamp(least, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOA: Soa = Soa { serial: 1, refresh: 3600, retry: 600, expire: 86_400 };

    #[test]
    fn a_zone_is_asked_for_by_refresh_and_by_retry_while_nobody_answers() {
        let mut timers = Timers::new(100.0, None);
        assert_eq!((timers.next(), timers.standing(100.0)), (100.0, Standing::Missing));
        timers.confirmed(101.0, SOA, 0.0);
        assert_eq!(timers.next(), 3701.0);
        timers.failed(3701.0, 0.0);
        assert_eq!(timers.next(), 4301.0);
        timers.confirmed(4301.0, SOA, 1.0);
        assert_eq!(timers.next(), 4301.0 + 3240.0, "not all at the same moment");
    }

    #[test]
    fn a_zone_that_no_primary_vouches_for_becomes_doubtful_and_expires() {
        let mut timers = Timers::new(0.0, None);
        timers.confirmed(0.0, SOA, 0.0);
        for (at, standing) in [
            (5399.0, Standing::Good),
            (5400.0, Standing::Doubtful),
            (86_399.0, Standing::Doubtful),
            (86_400.0, Standing::Expired),
        ] {
            timers.failed(at, 0.0);
            assert_eq!(timers.standing(at), standing, "{at}");
        }
        timers.confirmed(90_000.0, SOA, 0.0);
        assert_eq!(timers.standing(90_000.0), Standing::Good);
    }

    #[test]
    fn a_copy_that_was_kept_expires_when_it_would_have_without_the_restart() {
        let timers = Timers::new(10.0, Some((SOA, 10.0 - 86_000.0)));
        assert_eq!(timers.next(), 10.0, "a primary is asked at once");
        assert_eq!((timers.standing(409.0), timers.standing(410.0)), (Standing::Doubtful, Standing::Expired));
        assert_eq!(timers.left(10.0), Some(400.0));
    }

    #[test]
    fn what_never_came_is_asked_for_less_and_less_often() {
        let mut timers = Timers::new(0.0, None);
        let pauses: Vec<f64> = (0..12)
            .map(|_| {
                timers.failed(0.0, 0.0);
                timers.next()
            })
            .collect();
        assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 600.0, 600.0]);
    }

    #[test]
    fn news_are_looked_at_at_once_but_a_flood_of_them_is_not() {
        let mut timers = Timers::new(0.0, None);
        timers.confirmed(10.0, SOA, 0.0);
        timers.notified(100.0);
        assert_eq!(timers.next(), 100.0);
        timers.confirmed(100.1, SOA, 0.0);
        timers.notified(100.2);
        assert_eq!(timers.next(), 100.6);
        timers.notified(100.3);
        assert_eq!(timers.next(), 100.6);
    }

    #[test]
    fn times_that_nobody_means_are_bounded() {
        let mut timers = Timers::new(0.0, None);
        timers.confirmed(0.0, Soa { serial: 1, refresh: 0, retry: 0, expire: 0 }, 0.0);
        assert_eq!((timers.next(), timers.left(0.0)), (2.0, Some(4.0)));
        timers.confirmed(0.0, Soa { serial: 1, refresh: u32::MAX, retry: u32::MAX, expire: u32::MAX }, 0.0);
        assert_eq!(timers.next(), f64::from(4 * WEEK));
        assert_eq!(timers.left(0.0), Some(f64::from(26 * WEEK)));
    }
}
