//! Response rate limiting: accounts of what was answered to whom, so that forged queries cannot flood a third party.
//!
//! The scheme is that of ISC-TN-2012-1 (Vixie, Schryver: DNS Response Rate Limiting), as BIND has it: each network of
//! clients has an account for each answer. It earns a second's worth of answers every second, each answer debits it by
//! one, and while it is negative, nothing but short replies goes out. An account never holds more than a second's
//! worth, nor owes more than `WINDOW` seconds' worth: while a flood lasts, the debt stays, so that not even the rate
//! itself goes to the victim; when it ends, the network has paid after that time at the latest.
//!
//! The rate is the server's. The kernel gives all queries of a client network to one worker (`ownership`), which so allows the
//! whole rate. If it cannot, it spreads them evenly over the sockets of an address (SO_REUSEPORT), because resolvers ask
//! from random ports (RFC 5452 §9.2), and each of N workers allows one Nth. A forger who keeps to one port then meets one
//! worker, and is limited the earlier; a resolver that does so meets the share of one worker, and TCP behind it.

use std::net::IpAddr;
use std::sync::Arc;

use crate::answer::Subject;
use crate::config::RateLimit;
use crate::prefetch::prefetch;
use crate::steer::mix;

mod watch;

pub use watch::{Watch, report};

use watch::{Network, Noted};

/// Seconds of debt that an account can have (ISC-TN-2012-1 §2.2.4, there WINDOW, with the same default).
const WINDOW: i32 = 15;
/// Accounts among which a new one replaces that which was idle longest: as many as a cache line holds.
const WAYS: usize = 4;
/// Sets of accounts: 65,536 accounts, 1 MiB a worker. An account is driven out by four others of its set, so by some
/// 65,000 others in between two of its answers: those of a flood follow too closely for that.
const SETS: usize = 16_384;

/// The accounts of one worker.
pub struct Limiter {
    /// Makes the places of accounts this worker's own: nobody can aim at collisions.
    seed: u64,
    /// Among how many workers the rate is divided: those over which the queries of a network are spread.
    workers: i32,
    /// Empty until limiting is wanted.
    table: Box<[Set]>,
    watch: Arc<Watch>,
    noted: Option<Noted>,
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is within the rate, or for a client that is exempt.
    Within,
    /// It is beyond the rate, and a short reply tells the client to come by another way.
    Slip,
    /// It is beyond the rate.
    Drop,
}

/// Accounts at one place of the table, the most recently used first.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Set([Account; WAYS]);

/// What a network may still get of one answer.
#[derive(Clone, Copy)]
struct Account {
    /// The part of the hash that does not tell the place; 0 = nobody's.
    tag: u32,
    /// Of one answer 1 / (1,000 × workers), so that a millisecond earns `per_second` of them; negative = debt.
    balance: i32,
    /// When it was last used, in milliseconds; wraps.
    at: u32,
    /// Answers beyond the rate, for their turns.
    limited: u32,
}

const NOBODY: Account = Account { tag: 0, balance: 0, at: 0, limited: 0 };

impl Limiter {
    /// Accounts of one of so many workers over which the queries of a network are spread.
    pub fn new(seed: u64, workers: usize, watch: Arc<Watch>) -> Self {
        let workers = i32::try_from(workers.clamp(1, MAX_WORKERS)).expect("it is clamped");
        Self { seed, workers, table: Box::default(), watch, noted: None }
    }

    /// Makes the table, if it is not there: to be called before the queries of a batch.
    pub fn prepare(&mut self) {
        if self.table.is_empty() {
            self.table = vec![Set([NOBODY; WAYS]); SETS].into();
        }
    }

    /// Calls the account that an answer would debit into the cache.
    #[inline]
    pub fn fetch(&self, subject: Subject, client: IpAddr) {
        prefetch(&self.table, self.hash(Network::of(client), subject) as usize % SETS);
    }

    /// Debits the client's account for an answer at `now` (milliseconds), and says what becomes of it.
    #[inline]
    pub fn judge(&mut self, limit: &RateLimit, subject: Subject, client: IpAddr, now: u64) -> Verdict {
        let hash = self.hash(Network::of(client), subject);
        let Some(set) = self.table.get_mut(hash as usize % SETS) else { return Verdict::Within };
        let account = set.find((hash >> 32) as u32 | 1, limit, self.workers, now as u32);
        if account.debit(limit, self.workers, now as u32) >= 0 {
            return Verdict::Within;
        }
        // Asked last: only who is beyond the rate pays for the search.
        if limit.exempt.iter().any(|prefix| prefix.contains(client)) {
            return Verdict::Within;
        }
        account.limited = account.limited.wrapping_add(1);
        let is_turn = limit.slip > 0 && account.limited.is_multiple_of(limit.slip);
        if is_turn { Verdict::Slip } else { Verdict::Drop }
    }

    /// Notes for the log that the client's network is beyond the rate. It is told with the next one's, or by `tell`.
    #[inline]
    pub fn note(&mut self, client: IpAddr, now: u64, is_dropped: bool) {
        let network = Network::of(client);
        if self.noted.is_some_and(|noted| noted.network != network || noted.now != now) {
            self.tell();
        }
        let noted = self.noted.get_or_insert(Noted { network, now, limited: 0, dropped: 0 });
        noted.limited += 1;
        noted.dropped += u64::from(is_dropped);
    }

    /// Tells what was noted: to be called after a batch. A flood's queries come in rows, and one of them is told for all.
    #[inline]
    pub fn tell(&mut self) {
        if let Some(noted) = self.noted.take() {
            self.watch.note(&noted, mix(self.seed ^ noted.network.bits()));
        }
    }

    /// The type asked for is no part of it: a name has few types, but an alias or a wildcard answers to all 65,535.
    #[inline]
    fn hash(&self, network: Network, subject: Subject) -> u64 {
        let about = u64::from(subject.name) << 8 | subject.kind as u64;
        mix(mix(self.seed ^ network.bits()) ^ about)
    }
}

/// The most workers among which a rate is divided, as the configuration has it.
const MAX_WORKERS: usize = 1024;

impl Set {
    /// The account with the tag, in front; a new one in the place of the longest unused if there is none.
    #[inline]
    fn find(&mut self, tag: u32, limit: &RateLimit, workers: i32, now: u32) -> &mut Account {
        let place = self.0.iter().position(|account| account.tag == tag);
        if place == Some(0) {
            return &mut self.0[0];
        }
        let found = match place {
            Some(place) => self.0[place],
            None => Account { tag, balance: most(limit, workers), at: now, limited: 0 },
        };
        self.0.copy_within(..place.unwrap_or(WAYS - 1), 1);
        self.0[0] = found;
        &mut self.0[0]
    }
}

impl Account {
    /// Pays in what was earned since it was last used, takes one answer off, and returns the balance.
    #[inline]
    fn debit(&mut self, limit: &RateLimit, workers: i32, now: u32) -> i32 {
        let rate = per_second(limit);
        // A clock that was set back earns nothing.
        let elapsed = i64::from((now.wrapping_sub(self.at) as i32).max(0));
        let (least, most) = (-WINDOW * 1000 * rate, most(limit, workers));
        let earned = (i64::from(self.balance) + elapsed * i64::from(rate)).min(i64::from(most));
        // Both bounds are far within 32 bits: the rate is 100,000 at most.
        self.balance = (earned - i64::from(1000 * workers)).max(i64::from(least)) as i32;
        self.at = now;
        self.balance
    }
}

/// A second's worth; but one answer at least, or a small share would never allow any.
#[inline]
fn most(limit: &RateLimit, workers: i32) -> i32 {
    1000 * per_second(limit).max(workers)
}

#[inline]
fn per_second(limit: &RateLimit) -> i32 {
    limit.per_second.min(100_000) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::SubjectKind;
    use crate::config::RateLimitMode;

    const NAME: Subject = Subject { kind: SubjectKind::Answer, name: 7 };
    const SECOND: u64 = 1000;

    fn limit(per_second: u32) -> RateLimit {
        RateLimit { mode: RateLimitMode::On, per_second, slip: 2, exempt: Vec::new() }
    }

    fn limiter(workers: usize) -> Limiter {
        let mut limiter = Limiter::new(1, workers, Arc::new(Watch::new()));
        limiter.prepare();
        limiter
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    /// How many of so many answers at one moment are within the rate.
    fn within(limiter: &mut Limiter, limit: &RateLimit, client: &str, now: u64, count: usize) -> usize {
        let client = address(client);
        (0..count).filter(|_| limiter.judge(limit, NAME, client, now) == Verdict::Within).count()
    }

    #[test]
    fn a_second_has_the_rate_and_no_more() {
        let (mut limiter, limit) = (limiter(1), limit(5));
        assert_eq!(within(&mut limiter, &limit, "192.0.2.1", 0, 5), 5);
        assert_eq!(within(&mut limiter, &limit, "192.0.2.1", 0, 1), 0);
        // The debt of one and the next answer take two fifths of a second.
        assert_eq!(within(&mut limiter, &limit, "192.0.2.1", 399, 1), 0);
        assert_eq!(within(&mut limiter, &limit, "192.0.2.1", 2 * SECOND, 9), 5);
    }

    #[test]
    fn who_keeps_to_the_rate_is_never_limited() {
        let (mut limiter, limit) = (limiter(1), limit(10));
        for tenth in 0..10_000 {
            assert_eq!(within(&mut limiter, &limit, "192.0.2.1", tenth * 100, 1), 1, "{tenth}");
        }
    }

    #[test]
    fn a_flood_gets_nothing_whole_and_is_forgiven_after_the_window() {
        let (mut limiter, limit) = (limiter(1), limit(10));
        let answered: usize = (0..60 * SECOND).map(|now| within(&mut limiter, &limit, "192.0.2.1", now, 1)).sum();
        assert_eq!(answered, 10, "the rate itself does not go out while the flood lasts");
        let window = u64::from(WINDOW.unsigned_abs()) * SECOND;
        assert_eq!(within(&mut limiter, &limit, "192.0.2.1", 60 * SECOND + window - 2, 1), 0);
        assert_eq!(within(&mut limiter, &limit, "192.0.2.1", 60 * SECOND + window + 200, 1), 1);
    }

    #[test]
    fn idle_time_earns_one_second_at_most() {
        let (mut limiter, limit) = (limiter(1), limit(5));
        within(&mut limiter, &limit, "192.0.2.1", 0, 1);
        assert_eq!(within(&mut limiter, &limit, "192.0.2.1", 3600 * SECOND, 20), 5);
    }

    #[test]
    fn every_second_answer_beyond_the_rate_slips() {
        let client = address("192.0.2.1");
        for (slip, expected) in [
            (0, [Verdict::Drop; 4]),
            (1, [Verdict::Slip; 4]),
            (2, [Verdict::Drop, Verdict::Slip, Verdict::Drop, Verdict::Slip]),
            (3, [Verdict::Drop, Verdict::Drop, Verdict::Slip, Verdict::Drop]),
        ] {
            let (mut limiter, limit) = (limiter(1), RateLimit { slip, ..limit(1) });
            assert_eq!(limiter.judge(&limit, NAME, client, 0), Verdict::Within);
            assert_eq!(expected.map(|_| limiter.judge(&limit, NAME, client, 0)), expected, "{slip}");
        }
    }

    #[test]
    fn a_network_is_one_client_and_others_are_others() {
        let (mut limiter, limit) = (limiter(1), limit(1));
        for (client, neighbour, other) in [
            ("192.0.2.1", "192.0.2.254", "192.0.3.1"),
            ("2001:db8:1:200::1", "2001:db8:1:2ff:ffff::", "2001:db8:1:300::1"),
        ] {
            assert_eq!(within(&mut limiter, &limit, client, 0, 1), 1, "{client}");
            assert_eq!(within(&mut limiter, &limit, neighbour, 0, 1), 0, "{neighbour}");
            assert_eq!(within(&mut limiter, &limit, other, 0, 1), 1, "{other}");
        }
    }

    #[test]
    fn answers_about_different_things_have_accounts_of_their_own() {
        let (mut limiter, limit) = (limiter(1), limit(1));
        let client = address("192.0.2.1");
        for subject in [
            NAME,
            Subject { name: 8, ..NAME },
            Subject { kind: SubjectKind::NoData, ..NAME },
            Subject { kind: SubjectKind::NxDomain, ..NAME },
            Subject { kind: SubjectKind::Error, name: 0 },
        ] {
            assert_eq!(limiter.judge(&limit, subject, client, 0), Verdict::Within, "{subject:?}");
            assert_eq!(limiter.judge(&limit, subject, client, 0), Verdict::Drop, "{subject:?}");
        }
    }

    #[test]
    fn who_is_exempt_is_not_limited_and_the_neighbour_is() {
        let exempt = vec!["192.0.2.53".parse().expect("a prefix"), "2001:db8::/32".parse().expect("a prefix")];
        let (mut limiter, limit) = (limiter(1), RateLimit { exempt, ..limit(1) });
        for client in ["192.0.2.53", "2001:db8::1"] {
            assert_eq!(within(&mut limiter, &limit, client, 0, 100), 100, "{client}");
        }
        assert_eq!(within(&mut limiter, &limit, "192.0.2.54", 0, 100), 0);
    }

    #[test]
    fn workers_have_equal_shares_and_at_least_one_answer() {
        for (per_second, workers, burst, in_ten_seconds) in [(200, 4, 50, 500), (100, 64, 1, 15), (1, 8, 1, 1)] {
            let limit = limit(per_second);
            let mut limiter = limiter(workers);
            assert_eq!(within(&mut limiter, &limit, "192.0.2.1", 0, 100), burst, "{per_second} by {workers}");
            // As often as the share allows; the first answers have left a debt.
            let mut other = limiter_after_burst(workers, &limit, burst);
            let step = SECOND * workers as u64 / u64::from(per_second);
            let steps = (10 * SECOND) / step.max(1);
            let steady: usize =
                (1..=steps).map(|index| within(&mut other, &limit, "192.0.2.1", index * step.max(1), 1)).sum();
            assert!(steady.abs_diff(in_ten_seconds) <= 1, "{per_second} by {workers}: {steady}");
        }
    }

    fn limiter_after_burst(workers: usize, limit: &RateLimit, burst: usize) -> Limiter {
        let mut limiter = limiter(workers);
        assert_eq!(within(&mut limiter, limit, "192.0.2.1", 0, burst), burst);
        limiter
    }

    #[test]
    fn a_full_table_forgets_who_was_idle_longest_and_no_flood() {
        let (mut limiter, limit) = (limiter(1), limit(1));
        assert_eq!(within(&mut limiter, &limit, "192.0.2.1", 0, 2), 1);
        assert_eq!(within(&mut limiter, &limit, "192.0.4.1", 0, 2), 1);
        // Four times as many networks as there are accounts, with the flood between them.
        for number in 0..4 * SETS * WAYS {
            let [_, high, middle, low] = (number as u32).to_be_bytes();
            let client = IpAddr::from([10 + high, middle, low, 1]);
            assert_eq!(limiter.judge(&limit, NAME, client, 1), Verdict::Within, "{client}");
            if number % 1000 == 0 {
                assert_eq!(within(&mut limiter, &limit, "192.0.2.1", 1, 1), 0, "after {number} others");
            }
        }
        assert_eq!(within(&mut limiter, &limit, "192.0.4.1", 1, 1), 1, "who was idle is forgotten, its debt too");
    }

    #[test]
    fn a_clock_that_is_set_back_or_wraps_limits_nobody_for_longer() {
        let (mut limiter, limit) = (limiter(1), limit(5));
        let before_wrap = u64::from(u32::MAX) - 100;
        assert_eq!(within(&mut limiter, &limit, "192.0.2.1", before_wrap, 6), 5);
        assert_eq!(within(&mut limiter, &limit, "192.0.2.1", before_wrap + 2 * SECOND, 6), 5);
        assert_eq!(within(&mut limiter, &limit, "192.0.2.1", before_wrap - 3600 * SECOND, 1), 0);
        assert_eq!(within(&mut limiter, &limit, "192.0.2.1", before_wrap - 3600 * SECOND + 2 * SECOND, 6), 5);
    }

    #[test]
    fn without_a_table_nobody_is_limited() {
        let mut limiter = Limiter::new(1, 1, Arc::new(Watch::new()));
        assert_eq!(within(&mut limiter, &limit(1), "192.0.2.1", 0, 100), 100);
    }
}
