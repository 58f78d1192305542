//! Following one zone: asks its primaries when it is time, or when one of them says that there is something new.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::Instant;

use super::client::{Primary, Trouble};
use super::copy::Copy;
use super::soa::is_newer;
use super::timers::Timers;
use super::transfer::{Asked, Fault, Outcome};
use crate::diagnostic::Diagnostic;
use crate::feed::unix_seconds;
use crate::name::Name;

/// What following a zone came to.
#[derive(Debug)]
pub(in crate::feed) struct News {
    /// The zone.
    pub(super) zone: Name,
    pub(super) what: What,
    /// When a primary is asked next, and how long the copy counts.
    pub(super) timers: Timers,
}

#[derive(Debug)]
pub(super) enum What {
    /// There is a copy that is newer than the last.
    Came(Arc<Copy>),
    /// The last one is the newest.
    Confirmed,
    /// No primary gave an answer that counts; what each of them did.
    Failed(String),
}

/// A zone that is followed.
pub(super) struct Follow {
    pub(super) zone: Name,
    pub(super) primaries: Vec<Primary>,
    /// Wakes whoever waits for the time.
    pub(super) poke: Arc<Notify>,
    /// The copy that there is.
    pub(super) held: Option<Arc<Copy>>,
    pub(super) timers: Timers,
    /// What the clock of the timers counts from.
    pub(super) epoch: Instant,
    /// Transfers of all zones that may run at a time.
    pub(super) places: Arc<Semaphore>,
}

/// What asking the primaries came to.
enum Found {
    Newer(Copy),
    Current,
}

impl Follow {
    /// Follows the zone until it is dropped, or nobody hears its news.
    pub(super) async fn run(mut self, news: mpsc::Sender<News>) {
        loop {
            self.wait().await;
            let what = self.look().await;
            let now = self.now();
            match (&what, &self.held) {
                (What::Failed(_), _) | (_, None) => self.timers.failed(now, dice()),
                (_, Some(held)) => self.timers.confirmed(now, held.soa, dice()),
            }
            let told = News { zone: self.zone.clone(), what, timers: self.timers.clone() };
            if news.send(told).await.is_err() {
                return;
            }
        }
    }

    async fn wait(&mut self) {
        loop {
            let due = self.epoch + Duration::from_secs_f64(self.timers.next().max(0.0));
            tokio::select! {
                () = tokio::time::sleep_until(due) => return,
                () = self.poke.notified() => self.timers.notified(self.now()),
            }
        }
    }

    /// Asks one primary after the other until one gives an answer that counts.
    async fn look(&mut self) -> What {
        let mut troubles = Vec::new();
        // A primary that is behind says so well, but another may have something newer.
        let mut is_current = false;
        for primary in self.primaries.clone() {
            match self.ask(&primary).await {
                Ok(Found::Newer(copy)) => {
                    let copy = Arc::new(copy);
                    self.held = Some(Arc::clone(&copy));
                    return What::Came(copy);
                }
                Ok(Found::Current) => is_current = true,
                Err(because) => troubles.push(format!("{}: {because}", primary.address)),
            }
            if is_current {
                break;
            }
        }
        if is_current { What::Confirmed } else { What::Failed(troubles.join("; ")) }
    }

    async fn ask(&self, primary: &Primary) -> Result<Found, String> {
        let soa = primary.soa(&self.zone).await.map_err(|trouble| trouble.to_string())?;
        if let Some(held) = &self.held {
            if soa.serial == held.soa.serial {
                return Ok(Found::Current);
            }
            if !is_newer(soa.serial, held.soa.serial) {
                return Err(format!("it has serial {}, and {} is held", soa.serial, held.soa.serial));
            }
        }
        // It is never closed.
        let _place = self.places.acquire().await;
        if let Some(held) = &self.held {
            match primary.transfer(&self.zone, Asked::Since(held.soa.serial), Some(&held.soa_rdata)).await {
                Ok(outcome) => {
                    if let Some(found) = self.make(primary, outcome).await? {
                        return Ok(found);
                    }
                    tracing::warn!(zone = %self.zone, primary = %primary.address, "its differences do not fit; all is asked for");
                }
                // It may have no differences, or not know of them (RFC 1995 §4).
                Err(Trouble::Fault(Fault::TooLarge)) => return Err(Fault::TooLarge.to_string()),
                Err(trouble @ Trouble::Fault(_)) => {
                    tracing::debug!(zone = %self.zone, primary = %primary.address, %trouble, "no differences; all is asked for");
                }
                Err(trouble) => return Err(trouble.to_string()),
            }
        }
        let whole = primary.transfer(&self.zone, Asked::Whole, None).await.map_err(|trouble| trouble.to_string())?;
        self.make(primary, whole).await?.ok_or_else(|| "it gives no zone".to_owned())
    }

    /// Makes a copy of what came, checked as zone files are; none if differences do not fit. That takes a while for large zones,
    /// and the feed goes on meanwhile.
    async fn make(&self, primary: &Primary, outcome: Outcome) -> Result<Option<Found>, String> {
        let (zone, held) = (self.zone.clone(), self.held.clone());
        let (from, at) = (primary.address.to_string(), unix_seconds());
        let make = move || match outcome {
            Outcome::Current => Some(Ok(Found::Current)),
            Outcome::Whole(items) => Some(Copy::of_whole(&zone, items, &from, at).map(Found::Newer)),
            Outcome::Differences(differences) => held?.with(differences, &from, at).map(|made| made.map(Found::Newer)),
        };
        let made =
            tokio::task::spawn_blocking(make).await.map_err(|_| "making a zone of it ended in a panic".to_owned())?;
        made.transpose().map_err(|wrong| told(&wrong))
    }

    fn now(&self) -> f64 {
        self.epoch.elapsed().as_secs_f64()
    }
}

/// What is wrong with a zone that came, the first of it in full.
fn told(wrong: &[Diagnostic]) -> String {
    let first = wrong.first().map_or_else(|| "it is no zone".to_owned(), ToString::to_string);
    match wrong.len() {
        0 | 1 => first,
        more => format!("{first}; and {} more", more - 1),
    }
}

/// A number from 0 to 1 that nobody else draws.
fn dice() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}
