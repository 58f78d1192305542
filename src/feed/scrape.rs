//! Asks exporters for their metrics, each in its own time, on a thread of its own: nobody waits for a slow one.
//! The probes of nodes run on the same thread; Prometheus servers, whose replies are long, have another one.

mod body;
mod exchange;
pub mod once;

use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::feed::client::Clients;
use crate::feed::credentials::Credentials;
use crate::feed::names::{AT_ONCE as LOOK_UPS_AT_ONCE, Names};
use crate::feed::pace::{FIRST_WITHIN, keep, next_tick, share};
use crate::feed::priority::give_way;
use crate::feed::probe::{self, Probe, Probed};
use crate::feed::prometheus::{self, Query, Wanted};
use crate::feed::scrape::exchange::Exchange;
use crate::load;
use crate::load::counters::Counters;
use crate::load::error::ScrapeError;
use crate::pool::{Exporter, NodeId};

/// The longest time for a whole scrape, if the interval allows it.
const MAX_TIMEOUT: Duration = Duration::from_secs(4);
/// Exporters whose connections are kept from scrape to scrape. Each takes about 30 KB: 8 to read, 8 to write and 9 for
/// the queue to it. To connect anew costs little time, but for TLS: a percent of a core for 200 scrapes in a second.
const MAX_KEPT: usize = 1_024;
/// Idle connections that are kept to each exporter.
const IDLE_CONNECTIONS: usize = 1;
/// The shortest interval, whatever is asked for.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// The priority of the thread: on a core that is full it gets a quarter beside a thread of the usual priority, which
/// is more than 2,000 exporters need.
const NICE: i32 = 5;

/// An exporter to ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Whose load it shows.
    pub node: NodeId,
    /// Where it is and what it has.
    pub exporter: Exporter,
    /// Time from scrape to scrape.
    pub interval: Duration,
    /// What its access names; none if that could never be read.
    pub credentials: Option<Arc<Credentials>>,
}

/// What tells the sources of load apart: a node, a preset by name, and where it is read.
pub type Source = (NodeId, String, String);

/// What tells an exporter of a node from others.
pub fn source(node: NodeId, exporter: &Exporter) -> Source {
    (node, exporter.preset.name.clone(), exporter.url.clone())
}

/// The outcome of one scrape.
#[derive(Debug)]
pub struct Scraped {
    /// Whose load it shows.
    pub node: NodeId,
    /// The exporter, as configured.
    pub exporter: Exporter,
    /// When the answer was complete, or given up.
    pub at: std::time::Instant,
    /// What it gave.
    pub result: Result<Counters, ScrapeError>,
}

/// Scrapes and probes until it is dropped.
#[derive(Debug)]
pub struct Scraper {
    /// None only while dropping, as the others are.
    targets: Option<watch::Sender<Vec<Target>>>,
    probes: Option<watch::Sender<Vec<Probe>>>,
    queries: Option<watch::Sender<Vec<Query>>>,
    wanted: Option<watch::Sender<Arc<[Wanted]>>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Scraper {
    /// Starts the threads, with nothing to ask yet; outcomes go to the senders, and while one is full, what it is for
    /// is left out. `salt` is another number on each nameserver, so that they do not ask all at the same moment.
    pub fn start(scraped: mpsc::Sender<Scraped>, probed: mpsc::Sender<Probed>, salt: u64) -> io::Result<Self> {
        let (targets, new_targets) = watch::channel(Vec::new());
        let (probes, new_probes) = watch::channel(Vec::new());
        let (queries, new_queries) = watch::channel(Vec::new());
        let (wanted, now_wanted) = watch::channel(Arc::default());
        let of_prometheus = scraped.clone();
        let threads = vec![
            start_thread("scrape", move |names| async move {
                tokio::join!(run(new_targets, scraped, names.clone(), salt), probe::run(new_probes, probed, names));
            })?,
            start_thread("prometheus", move |names| prometheus::run(new_queries, now_wanted, of_prometheus, names))?,
        ];
        Ok(Self { targets: Some(targets), probes: Some(probes), queries: Some(queries), wanted: Some(wanted), threads })
    }

    /// Asks these and no others from now on; those that were asked already keep their pace.
    pub fn set_targets(&self, targets: Vec<Target>) {
        if let Some(sender) = &self.targets {
            sender.send_replace(targets);
        }
    }

    /// Asks these Prometheus servers and no others from now on, for the loads of these nodes.
    pub fn set_queries(&self, queries: Vec<Query>, wanted: Arc<[Wanted]>) {
        if let (Some(servers), Some(nodes)) = (&self.queries, &self.wanted) {
            nodes.send_replace(wanted);
            servers.send_if_modified(|known| {
                let is_new = *known != queries;
                *known = queries;
                is_new
            });
        }
    }

    /// Probes these and no others from now on.
    pub fn set_probes(&self, probes: Vec<Probe>) {
        if let Some(sender) = &self.probes {
            sender.send_replace(probes);
        }
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        self.targets = None;
        self.probes = None;
        self.queries = None;
        self.wanted = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the scraper had panicked");
            }
        }
    }
}

/// A thread that does one thing, and leaves look-ups of names to others.
fn start_thread<F: Future<Output = ()>>(
    name: &str,
    task: impl FnOnce(Names) -> F + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(LOOK_UPS_AT_ONCE)
        .thread_name("look-up")
        .build()?;
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        // The threads of look-ups inherit it.
        give_way(NICE);
        runtime.block_on(task(Names::of_system()));
        // The system's look-up of a name cannot be cancelled, and may hang for a minute: it is left behind.
        runtime.shutdown_background();
    })
}

/// What the tasks of all targets have in common.
#[derive(Clone)]
struct Common {
    clients: Clients,
    sender: mpsc::Sender<Scraped>,
    epoch: Instant,
    /// Makes the offsets of one nameserver differ from those of another.
    salt: u64,
    /// Connections that may be kept.
    kept: Arc<Semaphore>,
}

async fn run(targets: watch::Receiver<Vec<Target>>, sender: mpsc::Sender<Scraped>, names: Names, salt: u64) {
    let common = Common {
        clients: Clients::new(IDLE_CONNECTIONS, names),
        sender,
        epoch: Instant::now(),
        salt,
        kept: Arc::new(Semaphore::new(MAX_KEPT)),
    };
    let key = |target: &Target| source(target.node, &target.exporter);
    keep(targets, key, |target| scrape_at_intervals(common.clone(), target)).await;
}

async fn scrape_at_intervals(common: Common, target: Target) {
    let Common { clients, sender, epoch, salt, kept } = common;
    let Target { node, exporter, interval, credentials } = target;
    let interval = interval.max(MIN_INTERVAL);
    let limit = interval.mul_f64(0.8).min(MAX_TIMEOUT);
    // It is held as long as the target is asked.
    let kept = kept.try_acquire_owned().ok();
    let mut asked = credentials
        .map(|credentials| (clients.of(&credentials), Exchange::new(&exporter, &credentials, limit, kept.is_some())));
    let share = share(&(&exporter.url, salt));
    let mut due = Instant::now() + FIRST_WITHIN.min(interval).mul_f64(share);
    tokio::time::sleep_until(due).await;
    // From here on at the URL's own phase, the first time not right after the first scrape.
    due = next_tick(epoch + interval.mul_f64(share), interval, due + interval / 2);
    let mut ticks = tokio::time::interval_at(due, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let body = match &mut asked {
            Some((client, exchange)) => {
                tokio::time::timeout(limit, exchange.body(client)).await.unwrap_or(Err(ScrapeError::Timeout(limit)))
            }
            None => Err(ScrapeError::Access),
        };
        let at = Instant::now().into_std();
        let result = body.and_then(|body| load::read(&exporter.preset, &body));
        if sender.send(Scraped { node, exporter: exporter.clone(), at, result }).await.is_err() {
            return;
        }
        ticks.tick().await;
    }
}

#[cfg(test)]
mod tests;
