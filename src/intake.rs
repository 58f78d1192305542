//! What flows back up: counts of answers and of connections, the pulse of the steering, and events for the feed.

mod board;
mod books;
mod certificate;
mod cluster;
mod heartbeat;
mod pulse;
mod streams;
mod transfers;
mod wish;

pub use board::{Board, Grade, Happening, Raised};
pub use books::{Book, Shelf, book};
pub use certificate::{Certificate, Shown};
pub use cluster::{
    Applied, Cluster, Idle, MAX_MESSAGE, Message, PROTOCOL, Part, PeerReport, PeerStatus, Refusal, Tokens,
};
pub use heartbeat::{Beat, Heartbeats, Terms, Unwanted};
pub use pulse::{Pulse, STUCK};
pub use streams::{Carrier, Handshake, Limit, StreamCounts};
pub use transfers::{NotifyOutcome, TransferCounts, TransferOutcome};
pub use wish::{DrainWish, Drained, EnrolWish, Lift, Ordered, SourceReport, Wish};

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::answer::SubjectKind;
use crate::geo::RegionId;
use crate::name::Name;
use crate::pool::{MAX_NODES, NodeId, Selection};
use crate::steer::{GAP_BOUNDS, GapHistogram, Ledger, Order, Override};
use crate::wire::Rcode;

/// The most events that may wait for the feed.
const MAX_EVENTS: usize = 64;
/// Response codes that are counted: as many as the largest of those that are given wants.
const RCODES: usize = Rcode::BADCOOKIE.0 as usize + 1;

/// Counts of one writer, a UDP worker or the streams; others read them at any time.
pub struct Counts {
    received: AtomicU64,
    dropped: AtomicU64,
    replies: [AtomicU64; RCODES],
    unsent: AtomicU64,
    steered: AtomicU64,
    /// By node; an answer of m nodes counts 1/m for each, in `NODE_UNIT`.
    nodes: Box<[AtomicU64]>,
    regions: Box<[AtomicU64]>,
    /// Answers by `LIFETIMES`, in `NODE_UNIT`.
    lifetimes: [AtomicU64; LIFETIMES.len()],
    /// Sum of their seconds, in `NODE_UNIT`.
    lifetime: AtomicU64,
    /// Answers that were not booked.
    lost: AtomicU64,
    /// Answers beyond the rate, by `Beyond` and by `SubjectKind`.
    beyond: [[AtomicU64; SubjectKind::ALL.len()]; Beyond::ALL.len()],
    /// How long resolvers kept answers: counts by `GAP_BOUNDS`, and the bits of the sum of seconds.
    effective_ttls: [AtomicU64; GAP_BOUNDS.len() + 1],
    effective_ttls_sum: AtomicU64,
}

/// What one whole answer counts for a node: divisible by all usual numbers of nodes.
const NODE_UNIT: f64 = 5_040.0;

/// Seconds up to which the lifetimes of answers are counted together.
pub const LIFETIMES: [f64; 9] = [3.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, f64::INFINITY];

impl Counts {
    /// All zero.
    pub fn new() -> Self {
        let zeros = || (0..MAX_NODES).map(|_| AtomicU64::new(0)).collect();
        Self {
            received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            replies: std::array::from_fn(|_| AtomicU64::new(0)),
            unsent: AtomicU64::new(0),
            steered: AtomicU64::new(0),
            nodes: zeros(),
            regions: zeros(),
            lifetimes: Default::default(),
            lifetime: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            beyond: Default::default(),
            effective_ttls: Default::default(),
            effective_ttls_sum: AtomicU64::new(0),
        }
    }

    /// Adds what a ledger holds: the feed does, for all workers.
    pub fn add_ledger(&self, ledger: &Ledger) {
        let mut answers: HashMap<RegionId, f64> = HashMap::new();
        self.lost.fetch_add(ledger.lost(), Ordering::Relaxed);
        for entry in ledger.entries() {
            let units = (entry.answers * NODE_UNIT).round() as u64;
            let until = LIFETIMES.iter().position(|until| f64::from(entry.lifetime) <= *until);
            self.lifetimes[until.unwrap_or(LIFETIMES.len() - 1)].fetch_add(units, Ordering::Relaxed);
            self.lifetime.fetch_add(units * u64::from(entry.lifetime), Ordering::Relaxed);
            *answers.entry(entry.region).or_default() += entry.answers;
            if let Some(count) = entry.node.and_then(|node| self.nodes.get(usize::from(node.0))) {
                count.fetch_add(units, Ordering::Relaxed);
            }
        }
        for (region, answers) in answers {
            if let Some(count) = self.regions.get(usize::from(region.0)) {
                count.fetch_add(answers.round() as u64, Ordering::Relaxed);
            }
        }
    }

    /// Forgets the answers of a node: its number is another one's now.
    pub fn forget(&self, node: NodeId) {
        if let Some(count) = self.nodes.get(usize::from(node.0)) {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// Takes how long resolvers kept answers, since the start: the one writer of these counts knows it all.
    #[inline]
    pub fn set_effective_ttls(&self, gaps: &GapHistogram) {
        for (count, value) in self.effective_ttls.iter().zip(gaps.counts) {
            count.store(value, Ordering::Relaxed);
        }
        self.effective_ttls_sum.store(gaps.sum.to_bits(), Ordering::Relaxed);
    }

    /// How long resolvers kept answers, since the start.
    pub fn effective_ttls(&self) -> GapHistogram {
        GapHistogram {
            counts: self.effective_ttls.each_ref().map(|count| count.load(Ordering::Relaxed)),
            sum: f64::from_bits(self.effective_ttls_sum.load(Ordering::Relaxed)),
        }
    }

    /// Adds what a batch of messages came to.
    #[inline]
    pub fn add(&self, tally: &Tally) {
        let add = |count: &AtomicU64, value: u64| {
            if value > 0 {
                count.fetch_add(value, Ordering::Relaxed);
            }
        };
        add(&self.received, tally.received);
        add(&self.dropped, tally.dropped);
        add(&self.unsent, tally.unsent);
        add(&self.steered, tally.steered);
        for (count, value) in self.replies.iter().zip(tally.replies) {
            add(count, value);
        }
        for (count, value) in self.beyond.as_flattened().iter().zip(tally.beyond.as_flattened()) {
            add(count, *value);
        }
    }

    /// Totals since the start.
    pub fn total(&self) -> Tally {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally {
            received: load(&self.received),
            dropped: load(&self.dropped),
            replies: self.replies.each_ref().map(load),
            unsent: load(&self.unsent),
            steered: load(&self.steered),
            beyond: self.beyond.each_ref().map(|by_kind| by_kind.each_ref().map(load)),
        }
    }

    /// Answers that named the node, since the start, in whole answers.
    pub fn answers_of(&self, node: NodeId) -> f64 {
        let count = self.nodes.get(usize::from(node.0)).map_or(0, |count| count.load(Ordering::Relaxed));
        count as f64 / NODE_UNIT
    }

    /// Seconds for which caches keep steered answers, summed up, and answers by `LIFETIMES`, since the start.
    pub fn lifetimes(&self) -> (f64, [f64; LIFETIMES.len()]) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / NODE_UNIT;
        (load(&self.lifetime), self.lifetimes.each_ref().map(load))
    }

    /// Answers that were not booked, since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Steered answers to clients of the region, since the start.
    pub fn answers_to(&self, region: RegionId) -> u64 {
        self.regions.get(usize::from(region.0)).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::new()
    }
}

/// What became of an answer beyond `server.rate_limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// It was sent all the same: in the mode `log`, and errors when it is their turn.
    Sent,
    /// A truncated reply was sent in its place.
    Truncated,
    /// A cookie to come back with was sent in its place (RFC 7873 §5.2.3).
    BadCookie,
    /// Nothing was sent.
    Dropped,
}

impl Beyond {
    /// All of them, with the words for metrics.
    pub const ALL: [(Self, &str); 4] = [
        (Self::Sent, "sent"),
        (Self::Truncated, "truncated"),
        (Self::BadCookie, "bad_cookie"),
        (Self::Dropped, "dropped"),
    ];
}

/// What messages came to: of one batch, or of a writer since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that came.
    pub received: u64,
    /// Messages that got no reply, because they are no queries.
    pub dropped: u64,
    /// Replies by response code.
    pub replies: [u64; RCODES],
    /// Replies that could not be sent.
    pub unsent: u64,
    /// Replies that steering made.
    pub steered: u64,
    /// Answers beyond the rate, by `Beyond` and by `SubjectKind`.
    pub beyond: [[u64; SubjectKind::ALL.len()]; Beyond::ALL.len()],
}

impl Tally {
    /// Counts a reply by its response code.
    #[inline]
    pub fn replied(&mut self, rcode: Rcode) {
        if let Some(count) = self.replies.get_mut(usize::from(rcode.0)) {
            *count += 1;
        }
    }
}

/// Where whoever asked hears in words what came of it, or why nothing did.
pub type Answer = oneshot::Sender<Result<String, String>>;

/// What the feed is told from outside its own inputs.
#[derive(Debug)]
pub enum Event {
    /// Read all inputs again, and say what came of it: what changed, or why nothing did.
    Reload(Answer),
    /// Take the list of an inventory that waits to be confirmed.
    Confirm {
        /// Which inventory.
        inventory: String,
        /// Who hears of it.
        answer: Answer,
    },
    /// Steer otherwise for the time being, and say what is ordered now, or why nothing is.
    Override {
        /// What is wanted.
        wish: Wish,
        /// Who hears of it.
        answer: oneshot::Sender<Result<Ordered, String>>,
    },
    /// Steer as before, and say what was lifted, or why nothing was.
    Lift {
        /// Which.
        which: Lift,
        /// Who hears of it.
        answer: oneshot::Sender<Result<Vec<Order>, String>>,
    },
    /// Take what another nameserver tells, and say what we tell it, or why it is refused.
    Peer {
        /// The address that it came from.
        from: IpAddr,
        /// The peers, as configured, for which its certificate stands; none = none was asked for.
        vouched: Option<Vec<SocketAddr>>,
        /// What it tells.
        message: Box<Message>,
        /// Who hears of it.
        answer: oneshot::Sender<Result<Message, String>>,
    },
    /// Tell all other nameservers what was ordered, and say who took it.
    Spread {
        /// What was ordered or lifted; none = all orders are meant.
        about: Option<Vec<Override>>,
        /// Who hears of it.
        answer: oneshot::Sender<Vec<Applied>>,
    },
    /// Send nobody new to some nodes, or say what would come of it.
    Drain {
        /// What is wanted.
        wish: DrainWish,
        /// Who hears of it.
        answer: oneshot::Sender<Result<Drained, String>>,
    },
    /// End the drains of some nodes, and say which orders that were.
    Undrain {
        /// Which nodes.
        which: Selection,
        /// Who hears of it.
        answer: oneshot::Sender<Result<Vec<Order>, String>>,
    },
    /// Take a media server's heartbeat.
    Beat(Box<Beat>),
    /// Let nodes of heartbeats in, or send them away, and say what came of it, or why nothing did.
    Enrol {
        /// What is wanted.
        wish: EnrolWish,
        /// Who hears of it.
        answer: Answer,
    },
    /// Look whether a zone has changed elsewhere: one of its primaries says so.
    Notify(Name),
    /// Say how the sources of load do.
    Sources(oneshot::Sender<Vec<SourceReport>>),
}

/// The channel of events: whoever serves has the sender, the feed the receiver.
pub fn events() -> (mpsc::Sender<Event>, mpsc::Receiver<Event>) {
    mpsc::channel(MAX_EVENTS)
}
