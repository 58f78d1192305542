//! Networks beyond the rate: noted by the workers, told in the log when it begins and when it has ended.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::unix_milliseconds;
use crate::config::{RateLimit, RateLimitMode};
use crate::geo::Prefix;
use crate::snapshot::Published;

/// Networks that a worker notes at a time; the answers to further ones are counted in one.
const PLACES: usize = 64;
/// Places of which a network can have one.
const PROBES: usize = 4;
/// Time between two looks at what was noted.
const LOOK: Duration = Duration::from_secs(1);
/// After so many milliseconds below the rate it has ended: who is on the edge of it is told once a minute at most.
const QUIET: u64 = 60_000;

/// Prefix lengths by which clients are told apart (PROTOCOL, Transports): what one network has to itself.
const V4_NETWORK: u8 = 24;
const V6_NETWORK: u8 = 56;

/// A client's network, /24 or /56: the address bits, below the number of the family, which is never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network(u64);

const FAMILY: u32 = 56;

impl Network {
    #[inline]
    pub(super) fn of(client: IpAddr) -> Self {
        match client {
            IpAddr::V4(v4) => Self(4 << FAMILY | u64::from(v4.to_bits() >> (32 - V4_NETWORK))),
            IpAddr::V6(v6) => Self(6 << FAMILY | (v6.to_bits() >> (128 - V6_NETWORK)) as u64),
        }
    }

    #[inline]
    pub(super) fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0 & ((1 << FAMILY) - 1);
        let prefix = match self.0 >> FAMILY {
            4 => Prefix::of(Ipv4Addr::from_bits((bits as u32) << (32 - V4_NETWORK)).into(), V4_NETWORK),
            _ => Prefix::of(Ipv6Addr::from_bits(u128::from(bits) << (128 - V6_NETWORK)).into(), V6_NETWORK),
        };
        prefix.fmt(f)
    }
}

/// What one worker has noted: the worker takes places, the log's task gives them back.
pub struct Watch {
    places: [Note; PLACES],
    /// Answers to networks for which there was no place.
    others: AtomicU64,
}

/// Answers to a network beyond the rate, at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noted {
    pub(super) network: Network,
    /// Milliseconds since 1970.
    pub(super) now: u64,
    pub(super) limited: u64,
    /// Those of them in whose place nothing went out.
    pub(super) dropped: u64,
}

#[derive(Default)]
struct Note {
    /// 0 = free.
    network: AtomicU64,
    /// Answers beyond the rate.
    limited: AtomicU64,
    /// Those of them in whose place nothing went out.
    dropped: AtomicU64,
    /// When the last was, in milliseconds since 1970.
    last: AtomicU64,
}

impl Watch {
    /// Nothing noted.
    pub fn new() -> Self {
        Self { places: std::array::from_fn(|_| Note::default()), others: AtomicU64::new(0) }
    }

    /// Notes answers beyond the rate. Only the worker calls it.
    pub(super) fn note(&self, &Noted { network, now, limited, dropped }: &Noted, hash: u64) {
        let place = |probe: usize| &self.places[(hash as usize).wrapping_add(probe) % PLACES];
        let holder = |wanted: u64| (0..PROBES).map(place).find(|note| note.network.load(Ordering::Relaxed) == wanted);
        if let Some(note) = holder(network.0) {
            note.limited.fetch_add(limited, Ordering::Relaxed);
            note.dropped.fetch_add(dropped, Ordering::Relaxed);
            note.last.store(now, Ordering::Relaxed);
        } else if let Some(note) = holder(0) {
            note.limited.store(limited, Ordering::Relaxed);
            note.dropped.store(dropped, Ordering::Relaxed);
            note.last.store(now, Ordering::Relaxed);
            // Last: whoever sees the network sees its counts.
            note.network.store(network.0, Ordering::Release);
        } else {
            self.others.fetch_add(limited, Ordering::Relaxed);
        }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

/// Logs which networks are beyond the rate until it is stopped.
pub async fn report(watches: Vec<Arc<Watch>>, published: Arc<Published>, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut told = Told::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        for news in told.look(&watches, unix_milliseconds()) {
            log(&news, &published.snapshot().rate_limit);
        }
    }
}

fn log(news: &News, limit: &RateLimit) {
    match (news, limit.mode) {
        // Nothing is done to it, and a large resolver may do so honestly: that is nothing to be warned of.
        (News::Began { network }, RateLimitMode::Log) => tracing::info!(
            %network,
            "is asking beyond `server.rate_limit`; with the mode `on` it would be limited"
        ),
        (News::Began { network }, RateLimitMode::On | RateLimitMode::Off) if limit.slip == 0 => {
            tracing::warn!(%network, "is asking beyond `server.rate_limit`; it gets nothing for it");
        }
        (News::Began { network }, RateLimitMode::On | RateLimitMode::Off) => tracing::warn!(
            %network,
            "is asking beyond `server.rate_limit`; it gets short replies only, which send real clients to TCP"
        ),
        (News::Ended { network, beyond, dropped, seconds }, _) => {
            tracing::info!(%network, beyond, dropped, seconds, "asks within `server.rate_limit` again");
        }
        (News::Others { beyond }, _) => {
            tracing::warn!(
                beyond,
                "answers beyond `server.rate_limit` were for more networks than are told one by one"
            );
        }
    }
}

/// What is to be logged.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Began {
        network: Network,
    },
    Ended {
        network: Network,
        /// Answers beyond the rate, in all.
        beyond: u64,
        /// Those in whose place nothing went out.
        dropped: u64,
        /// From the first to the last of them.
        seconds: u64,
    },
    Others {
        /// Answers, since it was last told.
        beyond: u64,
    },
}

/// What was told of whom.
#[derive(Default)]
struct Told {
    /// When each network that is told of was first seen beyond the rate.
    began: HashMap<Network, u64>,
    /// Answers to others that were told, and when.
    others: u64,
    others_at: Option<u64>,
}

impl Told {
    /// What is new in the notes of all workers. Networks that are quiet give their places back.
    fn look(&mut self, watches: &[Arc<Watch>], now: u64) -> Vec<News> {
        let mut found: HashMap<Network, Vec<&Note>> = HashMap::new();
        for note in watches.iter().flat_map(|watch| &watch.places) {
            match note.network.load(Ordering::Acquire) {
                0 => {}
                bits => found.entry(Network(bits)).or_default().push(note),
            }
        }
        let mut news = Vec::new();
        for (network, notes) in found {
            let began = *self.began.entry(network).or_insert_with(|| {
                news.push(News::Began { network });
                now
            });
            let last = notes.iter().map(|note| note.last.load(Ordering::Relaxed)).max().unwrap_or(now);
            if now.saturating_sub(last) < QUIET {
                continue;
            }
            let sum =
                |count: fn(&Note) -> &AtomicU64| notes.iter().map(|note| count(note).load(Ordering::Relaxed)).sum();
            let (beyond, dropped) = (sum(|note| &note.limited), sum(|note| &note.dropped));
            news.push(News::Ended { network, beyond, dropped, seconds: last.saturating_sub(began).div_ceil(1000) });
            self.began.remove(&network);
            for note in notes {
                note.network.store(0, Ordering::Release);
            }
        }
        news.extend(self.look_at_others(watches, now));
        news
    }

    fn look_at_others(&mut self, watches: &[Arc<Watch>], now: u64) -> Option<News> {
        let others: u64 = watches.iter().map(|watch| watch.others.load(Ordering::Relaxed)).sum();
        let is_due = self.others_at.is_none_or(|at| now.saturating_sub(at) >= QUIET);
        if others == self.others || !is_due {
            return None;
        }
        let beyond = others - self.others;
        (self.others, self.others_at) = (others, Some(now));
        Some(News::Others { beyond })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000_000;

    fn network(text: &str) -> Network {
        Network::of(text.parse().expect(text))
    }

    fn noted(network: Network, now: u64, is_dropped: bool) -> Noted {
        Noted { network, now, limited: 1, dropped: is_dropped.into() }
    }

    #[test]
    fn a_network_is_printed_as_its_prefix() {
        for (client, printed) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("0.0.0.0", "0.0.0.0/24"),
            ("2001:db8:1:2ff::9", "2001:db8:1:200::/56"),
            ("::1", "::/56"),
        ] {
            assert_eq!(network(client).to_string(), printed);
        }
        assert_ne!(network("0.0.0.1"), network("::1"), "families are apart");
    }

    #[test]
    fn a_network_is_told_once_when_it_begins_and_once_when_it_has_ended() {
        let watches = [Arc::new(Watch::new()), Arc::new(Watch::new())];
        let victim = network("192.0.2.1");
        let mut told = Told::default();
        assert_eq!(told.look(&watches, START), []);
        for second in 0..100u64 {
            let now = START + second * 1000;
            watches[0].note(&noted(victim, now, second % 2 == 0), 5);
            watches[1].note(&noted(victim, now, true), 9);
            let expected = if second == 0 { vec![News::Began { network: victim }] } else { Vec::new() };
            assert_eq!(told.look(&watches, now), expected, "{second}");
        }
        let last = START + 99_000;
        assert_eq!(told.look(&watches, last + QUIET - 1), []);
        let ended = News::Ended { network: victim, beyond: 200, dropped: 150, seconds: 99 };
        assert_eq!(told.look(&watches, last + QUIET), [ended]);
        assert_eq!(told.look(&watches, last + QUIET + 1000), []);
        // The counts begin anew.
        watches[0].note(&noted(victim, last + 100_000, true), 5);
        assert_eq!(told.look(&watches, last + 100_000), [News::Began { network: victim }]);
        let ended = News::Ended { network: victim, beyond: 1, dropped: 1, seconds: 0 };
        assert_eq!(told.look(&watches, last + 100_000 + QUIET), [ended]);
    }

    #[test]
    fn more_networks_than_there_are_places_are_told_in_sum_and_once_a_minute() {
        let watches = [Arc::new(Watch::new())];
        let mut told = Told::default();
        let many = (PLACES * 4) as u64;
        let note_all = |now| {
            for number in 0..many {
                watches[0].note(&noted(Network(4 << FAMILY | number), now, true), number);
            }
        };
        note_all(START);
        let news = told.look(&watches, START);
        assert_eq!(news.len(), PLACES + 1);
        assert_eq!(news.last(), Some(&News::Others { beyond: many - PLACES as u64 }));
        note_all(START + 1000);
        assert_eq!(told.look(&watches, START + 1000), []);
        note_all(START + QUIET);
        assert_eq!(told.look(&watches, START + QUIET), [News::Others { beyond: 2 * (many - PLACES as u64) }]);
    }
}
