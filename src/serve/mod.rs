//! Serving: datagrams, streams, encrypted streams, administration; all through one engine.

mod accept;
pub mod admin;
pub mod cluster;
pub mod cores;
mod datagram;
mod doors;
pub mod heartbeat;
pub mod https;
mod learner;
pub mod ownership;
mod proxy;
pub mod quic;
pub mod rate_limit;
mod scratch;
pub mod stall;
pub mod stream;
pub mod tls;
mod transfer;
pub mod udp;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrayvec::ArrayVec;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use self::datagram::{BATCH, Ready};
pub use self::learner::Learner;
use self::rate_limit::{Limiter, Verdict};
use self::scratch::Path;
use crate::answer::{
    Context, Course, Outcome, Subject, SubjectKind, answer_on, bad_cookie, bare_error, follow, has_valid_cookie, read,
    truncated,
};
use crate::config::RateLimitMode;
use crate::intake::{Beyond, Counts, Tally, TransferCounts};
use crate::name::LookupName;
use crate::snapshot::{Published, Snapshot};
use crate::steer::{Estimate, Observation, name_hash};
use crate::wire::{Query, Rcode};

/// From one look at what streams have booked to the next.
const TURN: Duration = Duration::from_millis(500);

/// Answers messages one by one for the streams: takes the newest snapshot, counts, books.
#[derive(Clone)]
pub struct Responder {
    published: Arc<Published>,
    counts: Arc<Counts>,
    /// Held for the time of one answer; streams are few beside datagrams.
    learner: Arc<Mutex<Learner>>,
    transfers: Arc<Transfers>,
}

/// What all transfers share.
struct Transfers {
    slots: Arc<Semaphore>,
    /// When a refusal was logged last, in seconds since 1970.
    told: AtomicU64,
    counts: Arc<TransferCounts>,
}

impl Responder {
    /// A responder that answers from what is published, counts into `counts` and learns by `learner`.
    pub fn new(published: Arc<Published>, counts: Arc<Counts>, learner: Learner) -> Self {
        let slots = Arc::new(Semaphore::new(transfer::MAX_TRANSFERS));
        let transfers = Arc::new(Transfers { slots, told: AtomicU64::new(0), counts: Arc::default() });
        Self { published, counts, learner: Arc::new(Mutex::new(learner)), transfers }
    }

    /// The same, with transfers counted there.
    pub fn counting_transfers(self, counts: &Arc<TransferCounts>) -> Self {
        let slots = Arc::clone(&self.transfers.slots);
        let transfers = Transfers { slots, told: AtomicU64::new(0), counts: Arc::clone(counts) };
        Self { transfers: Arc::new(transfers), ..self }
    }

    /// Hands over what was booked until `stop`, also while nobody asks any more.
    pub async fn turn(self, stop: CancellationToken) {
        let mut turns = tokio::time::interval(TURN);
        while stop.run_until_cancelled(turns.tick()).await.is_some() {
            let generation = self.published.snapshot().generation;
            let mut learner = self.learner.lock().unwrap_or_else(PoisonError::into_inner);
            learner.turn(generation, unix_milliseconds(), &self.counts);
        }
    }

    /// Answers a message into `out` and returns the reply's length; none if there is nothing to send.
    fn respond(&self, message: &[u8], path: Path, out: &mut [u8]) -> Option<usize> {
        let mut tally = Tally { received: 1, ..Tally::default() };
        let Path { client, local, transport, idle } = path;
        let now = unix_milliseconds();
        let context = Context { client, local, transport, now, idle, estimate: Estimate::default() };
        let snapshot = self.published.snapshot();
        // Whoever panicked has left nothing half done: sums, and estimates that are right whatever stands in them.
        let mut learner = self.learner.lock().unwrap_or_else(PoisonError::into_inner);
        learner.turn(snapshot.generation, now, &self.counts);
        let length = respond(&snapshot, message, &context, &mut learner, None, &mut tally, out);
        drop(learner);
        self.counts.add(&tally);
        length
    }

    /// Answers a message for somebody who wants to know more than what it says. `stream` is hashed in place of name or client
    /// where nodes are found by hashing; `take` says for how many viewers the answer is booked.
    fn consult<T>(
        &self,
        message: &[u8],
        path: Path,
        stream: Option<&[u8]>,
        take: impl FnOnce(&Consulted<'_>) -> (T, u32),
    ) -> Option<T> {
        let Path { client, local, transport, idle } = path;
        let now = unix_milliseconds();
        let context = Context { client, local, transport, now, idle, estimate: Estimate::default() };
        let snapshot = self.published.snapshot();
        let mut name = LookupName::new();
        let mut query = read(message, &mut name)?;
        query.stream = stream.map(|stream| name_hash(snapshot.seed, stream));
        let course = Course::of(&snapshot, &query);
        scratch::borrow(|out| {
            let mut learner = self.learner.lock().unwrap_or_else(PoisonError::into_inner);
            learner.turn(snapshot.generation, now, &self.counts);
            let (outcome, observation) =
                answer_on(&snapshot, &query, course, &context, Some(&mut learner.keys), out, None);
            let Outcome::Reply { length, rcode, .. } = outcome else { return None };
            let (taken, viewers) = take(&Consulted { snapshot: &snapshot, message: &out[..length], observation });
            let mut tally = Tally { received: 1, ..Tally::default() };
            if let Some(observation) = &observation {
                (0..viewers).for_each(|_| learner.book.book(observation));
                tally.steered += u64::from(viewers > 0);
            }
            drop(learner);
            tally.replied(rcode);
            self.counts.add(&tally);
            Some(taken)
        })
    }
}

/// What the engine says of a query that somebody asks who wants more than a message.
pub(in crate::serve) struct Consulted<'s> {
    /// The snapshot that it was asked of.
    pub(in crate::serve) snapshot: &'s Snapshot,
    /// The reply.
    pub(in crate::serve) message: &'s [u8],
    /// What was chosen at a steered name.
    pub(in crate::serve) observation: Option<Observation<'s>>,
}

/// Answers a message and counts it, whatever it came over: steered answers at once, the rest into `tally`.
///
/// With a limiter, what goes out may be less than the answer. It returns the length of what `out` holds then; none if
/// there is nothing to send.
pub fn respond(
    snapshot: &Snapshot,
    message: &[u8],
    context: &Context,
    learner: &mut Learner,
    limiter: Option<&mut Limiter>,
    tally: &mut Tally,
    out: &mut [u8],
) -> Option<usize> {
    let mut name = LookupName::new();
    let Some(query) = read(message, &mut name) else {
        tally.dropped += 1;
        return None;
    };
    let course = Course::of(snapshot, &query);
    respond_on(snapshot, (&query, course), context, learner, limiter, tally, out)
}

/// The same for a query that was read, and whose course was followed in this snapshot and for the keys of this learner.
#[inline]
fn respond_on(
    snapshot: &Snapshot,
    (query, course): (&Query<'_>, Course<'_>),
    context: &Context,
    learner: &mut Learner,
    limiter: Option<&mut Limiter>,
    tally: &mut Tally,
    out: &mut [u8],
) -> Option<usize> {
    let (outcome, observation) = answer_on(snapshot, query, course, context, Some(&mut learner.keys), out, None);
    let Outcome::Reply { length, rcode, subject, is_trusted } = outcome else {
        tally.dropped += 1;
        return None;
    };
    if query.problem.is_some() && rcode == Rcode::NOERROR && query.is_notify() {
        learner.notify(query.name.wire());
    }
    // A secondary behind a busy resolver's network must see its SOA.
    let limiter = limiter.filter(|_| !is_trusted);
    let sent = match limiter.map(|limiter| limit(limiter, snapshot, query, context, (subject, rcode), tally, out)) {
        None | Some(Sent::Whole) => {
            if let Some(observation) = &observation {
                learner.book.book(observation);
                tally.steered += 1;
            }
            (length, rcode)
        }
        Some(Sent::Short(length, rcode)) => (length, rcode),
        Some(Sent::Nothing) => return None,
    };
    tally.replied(sent.1);
    Some(sent.0)
}

/// Answers messages that came together, at most `BATCH`, as one by one; they wait for memory together. Each is read into one
/// of the `names`.
#[inline]
pub fn respond_together<'b>(
    snapshot: &Snapshot,
    exchanges: impl Iterator<Item = (Option<(&'b [u8], Context)>, &'b mut Ready)>,
    names: &mut [LookupName],
    learner: &mut Learner,
    mut limiter: Option<&mut Limiter>,
    tally: &mut Tally,
) {
    if let Some(limiter) = &mut limiter {
        limiter.prepare();
    }
    let mut queries = ArrayVec::<(Query<'_>, Context), BATCH>::new();
    let mut replies = ArrayVec::<&mut Ready, BATCH>::new();
    for ((incoming, reply), name) in exchanges.zip(names) {
        match incoming.and_then(|(message, context)| Some((read(message, name)?, context))) {
            Some(query) => {
                queries.push(query);
                replies.push(reply);
            }
            None => {
                reply.fill(|_| None);
                tally.dropped += 1;
            }
        }
    }
    let mut courses = ArrayVec::<Course<'_>, BATCH>::new();
    follow(snapshot, &learner.keys, &queries, &mut courses);
    if let Some(limiter) = &limiter {
        for ((query, context), course) in queries.iter().zip(&courses) {
            limiter.fetch(course.subject(query.name, Subject::ERROR), context.client.ip());
        }
    }
    for (((query, context), &course), reply) in queries.iter().zip(&courses).zip(replies) {
        let limiter = limiter.as_deref_mut();
        reply.fill(|out| respond_on(snapshot, (query, course), context, learner, limiter, tally, out));
    }
    if let Some(limiter) = limiter {
        limiter.tell();
    }
}

/// What goes out of an answer.
enum Sent {
    Whole,
    /// Another reply in its place: its length and response code.
    Short(usize, Rcode),
    Nothing,
}

/// Limits the rate of an answer that lies ready in `out`, and counts what is beyond it.
#[inline]
fn limit(
    limiter: &mut Limiter,
    snapshot: &Snapshot,
    query: &Query<'_>,
    context: &Context,
    (subject, rcode): (Subject, Rcode),
    tally: &mut Tally,
    out: &mut [u8],
) -> Sent {
    // RFC 7873 §5.2.5: who has a cookie of ours is no forger. Its answers are nobody's debt either.
    if has_valid_cookie(snapshot, query, context) {
        return Sent::Whole;
    }
    let (limit, client) = (&*snapshot.rate_limit, context.client.ip());
    let verdict = limiter.judge(limit, subject, client, context.now);
    if verdict == Verdict::Within {
        return Sent::Whole;
    }
    let (beyond, sent) = match (limit.mode, verdict) {
        (RateLimitMode::On, Verdict::Drop) => (Beyond::Dropped, Sent::Nothing),
        (RateLimitMode::On, Verdict::Slip) => {
            let (beyond, outcome) = if subject.kind == SubjectKind::Error {
                // Neither TCP nor a cookie would bring anything but the same error.
                (Beyond::Sent, bare_error(snapshot, query, context, rcode, out))
            } else {
                // RFC 7873 §5.2.3: who knows of cookies comes back with one, which is cheaper than TCP.
                match bad_cookie(snapshot, query, context, out) {
                    Some(outcome) => (Beyond::BadCookie, outcome),
                    None => (Beyond::Truncated, truncated(snapshot, query, context, out)),
                }
            };
            match outcome {
                Outcome::Reply { length, rcode, .. } => (beyond, Sent::Short(length, rcode)),
                Outcome::Silence => (Beyond::Dropped, Sent::Nothing),
            }
        }
        _ => (Beyond::Sent, Sent::Whole),
    };
    tally.beyond[beyond as usize][subject.kind as usize] += 1;
    limiter.note(client, context.now, beyond == Beyond::Dropped);
    sent
}

/// Milliseconds since 1970; 0 on a machine whose clock stands before that.
fn unix_milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
