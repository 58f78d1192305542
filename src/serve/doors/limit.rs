//! How often a network may ask over HTTP: the accounts of response rate limiting, with one account a network.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::answer::Subject;
use crate::config::RateLimit;
use crate::serve::rate_limit::{Limiter, Verdict, Watch};

/// Accounts of all requests.
pub(super) fn limiter() -> Limiter {
    // Who finds collisions locks himself out together with somebody else, for a second.
    let mut seed = [0; 8];
    let _no_chance_left = getrandom::fill(&mut seed);
    let mut limiter = Limiter::new(u64::from_ne_bytes(seed), 1, Arc::new(Watch::new()));
    limiter.prepare();
    limiter
}

/// Debits the client's network, and says whether it may ask at `now`, in milliseconds since 1970.
pub(super) fn may_ask(limiter: &Mutex<Limiter>, limit: &RateLimit, client: IpAddr, now: u64) -> bool {
    // An account is right whatever stands in it.
    let mut limiter = limiter.lock().unwrap_or_else(PoisonError::into_inner);
    limiter.judge(limit, Subject::ERROR, client, now) == Verdict::Within
}
