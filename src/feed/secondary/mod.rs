//! Zones that come from other servers: what of them is held, served and kept, and whom it is asked from.
//!
//! `timers`, `transfer` and `copy` are pure; `follow` asks, one task a zone; the feed takes what comes.

mod client;
mod copy;
mod follow;
mod kept;
mod soa;
mod take;
mod timers;
mod transfer;

pub use copy::Copy;
pub use soa::{Soa, is_newer};
pub use timers::{Standing, Timers};
pub use transfer::{Asked, Difference, Fault, Item, Outcome, Transfer};

pub(super) use copy::Copies;
pub(super) use follow::News;
pub(super) use kept::restore;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use client::Primary;
use follow::Follow;

use super::inputs::Inputs;
use super::unix_seconds;
use crate::name::Name;
use crate::snapshot::{Secondaries, SecondaryStatus};
use crate::wire::{HEADER, sign_request};

/// Transfers that may run at a time: each holds a zone in several forms.
const MAX_TRANSFERS: usize = 8;
/// News that may wait for the feed; who has another waits with it.
const MAX_NEWS: usize = 16;

/// Copies, each with when a primary vouched for it, in seconds since 1970.
pub(super) type Kept = BTreeMap<Name, (Arc<Copy>, u64)>;

/// The zones that come from other servers.
pub(super) struct Followed {
    zones: BTreeMap<Name, Zone>,
    tasks: JoinSet<()>,
    news: mpsc::Sender<News>,
    /// What the clock of the timers counts from.
    epoch: Instant,
    places: Arc<Semaphore>,
    /// Copies of zones that are not followed.
    kept: Kept,
    /// What is wrong with zones as they came.
    refused: Vec<String>,
    /// What is served of them has changed, and no snapshot shows it yet.
    is_ahead: bool,
}

/// One of them.
struct Zone {
    /// What it is asked by; with another the task begins anew.
    terms: String,
    task: tokio::task::AbortHandle,
    poke: Arc<Notify>,
    timers: Timers,
    held: Option<Arc<Copy>>,
    /// When a primary vouched for it last, in seconds since 1970.
    confirmed: Option<u64>,
    /// Why no primary gave anything when it was asked last.
    trouble: Option<String>,
    /// Transfers since the start: of the whole zone, and of what had changed in it.
    transfers: [u64; 2],
    /// What alarms are up.
    told: Option<Standing>,
}

impl Followed {
    /// None yet, with what an earlier run kept; and where their news come.
    pub(super) fn new(kept: Kept) -> (Self, mpsc::Receiver<News>) {
        let (news, receiver) = mpsc::channel(MAX_NEWS);
        let followed = Self {
            zones: BTreeMap::new(),
            tasks: JoinSet::new(),
            news,
            epoch: Instant::now(),
            places: Arc::new(Semaphore::new(MAX_TRANSFERS)),
            kept,
            refused: Vec::new(),
            is_ahead: false,
        };
        (followed, receiver)
    }

    /// Follows the zones of the configuration and no others; a zone goes on with the copy that there is. Needs a runtime.
    pub(super) fn configure(&mut self, inputs: &Inputs) {
        let wanted: BTreeMap<&Name, _> =
            inputs.config.zones.secondaries.iter().map(|written| (&written.value.name, &written.value)).collect();
        let gone: Vec<Name> = self.zones.keys().filter(|name| !wanted.contains_key(name)).cloned().collect();
        for name in gone {
            // It may come back.
            let known = self.zones.remove(&name).and_then(Zone::end);
            self.kept.extend(known.map(|known| (name, known)));
        }
        for (name, secondary) in wanted {
            let key = secondary.key.as_ref().and_then(|key| inputs.keys.get(key));
            let primaries: Vec<Primary> =
                secondary.primaries.iter().map(|&address| Primary { address, key: key.cloned() }).collect();
            let terms = terms(&primaries);
            let before = match self.zones.get(name) {
                Some(zone) if zone.terms == terms && !zone.task.is_finished() => continue,
                _ => self.zones.remove(name).and_then(Zone::end),
            };
            let known = before.or_else(|| self.kept.get(name).cloned());
            let now = self.now();
            let age = |confirmed: u64| unix_seconds().saturating_sub(confirmed) as f64;
            let timers = Timers::new(now, known.as_ref().map(|(copy, confirmed)| (copy.soa, now - age(*confirmed))));
            let (held, confirmed) = known.unzip();
            let poke = Arc::new(Notify::new());
            let follow = Follow {
                zone: name.clone(),
                primaries,
                poke: Arc::clone(&poke),
                held: held.clone(),
                timers: timers.clone(),
                epoch: self.epoch,
                places: Arc::clone(&self.places),
            };
            let task = self.tasks.spawn(follow.run(self.news.clone()));
            let zone =
                Zone { terms, task, poke, timers, held, confirmed, trouble: None, transfers: [0; 2], told: None };
            self.zones.insert(name.clone(), zone);
        }
        // Those that were ended are let go.
        while self.tasks.try_join_next().is_some() {}
    }

    /// Whether somebody who followed a zone has ended, which only a panic does.
    fn has_lost(&self) -> bool {
        self.zones.values().any(|zone| zone.task.is_finished())
    }

    /// A primary says that there may be something new.
    pub(super) fn poke(&self, zone: &Name) {
        if let Some(zone) = self.zones.get(zone) {
            zone.poke.notify_one();
        }
    }

    /// Puts in what is to be served of each zone; whether that is something else than before.
    fn changes(&self, copies: &mut Copies) -> bool {
        let now = self.now();
        let mut wanted = Copies::default();
        for zone in self.zones.values() {
            if is_served(zone.timers.standing(now)) {
                zone.held.iter().for_each(|copy| wanted.put(Arc::clone(copy)));
            }
        }
        let is_other = !wanted.are(copies);
        *copies = wanted;
        is_other
    }

    fn now(&self) -> f64 {
        self.epoch.elapsed().as_secs_f64()
    }

    /// As snapshots have them.
    pub(super) fn status(&self, inputs: &Inputs) -> Secondaries {
        let now = self.now();
        let status = |name: &Name| {
            let zone = self.zones.get(name)?;
            Some(SecondaryStatus {
                serial: zone.held.as_ref().map(|copy| copy.soa.serial),
                confirmed: zone.confirmed,
                transfers: zone.transfers,
                is_served: is_served(zone.timers.standing(now)),
            })
        };
        let secondaries = inputs.config.zones.secondaries.iter().map(|written| &written.value);
        Secondaries::new(secondaries.map(|secondary| (secondary, status(&secondary.name).unwrap_or_default())))
    }
}

impl Zone {
    /// Follows it no longer; what is held of it, and since when.
    fn end(self) -> Option<(Arc<Copy>, u64)> {
        self.task.abort();
        self.held.zip(self.confirmed)
    }
}

/// What tells primaries from others: a key shows nothing of its secret, but signs otherwise with another.
fn terms(primaries: &[Primary]) -> String {
    let signed = primaries.first().and_then(|primary| primary.key.as_ref()).map(|key| {
        let mut nothing = vec![0; HEADER];
        let _verifier = sign_request(key, &mut nothing, 0);
        nothing
    });
    format!("{primaries:?} {signed:?}")
}

fn is_served(standing: Standing) -> bool {
    matches!(standing, Standing::Good | Standing::Doubtful)
}

/// What of kept copies counts still, before anything is followed.
pub(super) fn unexpired(kept: &Kept) -> Copies {
    let mut copies = Copies::default();
    let now = unix_seconds();
    for (copy, confirmed) in kept.values() {
        let timers = Timers::new(0.0, Some((copy.soa, -(now.saturating_sub(*confirmed) as f64))));
        if is_served(timers.standing(0.0)) {
            copies.put(Arc::clone(copy));
        }
    }
    copies
}
