//! Other nameservers of the installation: each tells each what it knows, every five seconds and at once when something
//! happens.
//!
//! News are pushed, not asked for: an order is everywhere as soon as it is given, and since the reply to a push holds what
//! the other has to say, one direction between two of them is enough.

mod exchange;
mod peer;
mod push;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use self::peer::Peer;
use self::push::{Outgoing, Pushed, Pusher};
use crate::config;
use crate::diagnostic::Diagnostic;
use crate::intake::{self, Applied, Idle, Message, Part};
use crate::steer::{Agreement, Decree, Override};

/// Time between exchanges, if nothing happens.
const EVERY: Duration = Duration::from_secs(5);
/// The least time between them, whatever happens: nodes that flap must not fill networks.
const AT_MOST: Duration = Duration::from_millis(250);
/// Pushes that may wait for the feed.
const MAX_PUSHED: usize = 64;
/// Numbers of orders end with one that stands for the nameserver that gave them.
pub(super) const CODES: u64 = 1_000;

/// The feed's part of the cluster.
pub(super) struct Cluster {
    shared: Arc<intake::Cluster>,
    /// The number of this nameserver, drawn at its start.
    server: u64,
    name: String,
    listen: SocketAddr,
    agreement: Agreement,
    peers: Vec<Peer>,
    pusher: Pusher,
    outbox: watch::Sender<Option<Arc<Outgoing>>>,
    tasks: JoinSet<()>,
    pushed: mpsc::Sender<Pushed>,
    news: mpsc::Receiver<Pushed>,
    sequence: u64,
    sent: Instant,
    due: Instant,
    /// Hashes of the inputs of this generation.
    inputs: (u64, BTreeMap<Part, String>),
    /// Orders that do nothing here, of this generation and version of the agreement.
    idle: ((u64, u64), Vec<Idle>),
    waiting: Vec<Waiting>,
}

/// Somebody who waits to hear whom orders have reached.
struct Waiting {
    /// What told of them.
    sequence: u64,
    until: Instant,
    /// What was ordered or lifted; none = all orders are meant.
    about: Option<Vec<Override>>,
    left: Vec<SocketAddr>,
    applied: Vec<Applied>,
    answer: oneshot::Sender<Vec<Applied>>,
}

impl Cluster {
    /// Reads what certificates there are; nothing is told before `start`.
    pub(super) fn new(config: &config::Cluster, name: Option<&str>, directory: &Path) -> Result<Self, Diagnostic> {
        let mut number = [0; 8];
        getrandom::fill(&mut number)
            .map_err(|error| Diagnostic::error(format!("the system has no randomness for the cluster: {error}")))?;
        let server = u64::from_be_bytes(number);
        let (pushed, news) = mpsc::channel(MAX_PUSHED);
        let now = Instant::now();
        let shared: Arc<intake::Cluster> = Arc::default();
        shared.set_addresses(config.peers.iter().map(|peer| peer.value).collect());
        Ok(Self {
            shared,
            server,
            name: name.map_or_else(|| config.listen.value.to_string(), str::to_owned),
            listen: config.listen.value,
            agreement: Agreement::new(server),
            peers: config.peers.iter().map(|peer| Peer::new(peer.value, now)).collect(),
            pusher: Pusher::new(config.tls.as_ref(), directory)?,
            outbox: watch::Sender::new(None),
            tasks: JoinSet::new(),
            pushed,
            news,
            sequence: 0,
            sent: now,
            due: now,
            inputs: (0, BTreeMap::new()),
            idle: ((0, 0), Vec::new()),
            waiting: Vec::new(),
        })
    }

    /// What those share who serve.
    pub(super) fn shared(&self) -> Arc<intake::Cluster> {
        Arc::clone(&self.shared)
    }

    /// Knows again what was said of orders before a restart.
    pub(super) fn recall(&mut self, (former, decrees): (Vec<u64>, Vec<Decree>)) {
        self.agreement = Agreement::restored(self.server, &former, decrees);
    }

    /// What was said of orders, here and elsewhere.
    pub(super) fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// By which the numbers of our orders end.
    pub(super) fn code(&self) -> u64 {
        self.server % CODES
    }

    /// Begins to tell them; within a runtime.
    pub(super) fn start(&mut self) {
        for peer in &self.peers {
            let (pusher, outbox, pushed) = (self.pusher.clone(), self.outbox.subscribe(), self.pushed.clone());
            self.tasks.spawn(pusher.tell(peer.address, outbox, pushed));
        }
    }

    /// Talks with these from now on, and says with whom no more; what is known of those that stay is kept.
    fn set_peers(&mut self, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        if self.peers.iter().map(|peer| peer.address).eq(addresses.iter().copied()) {
            return Vec::new();
        }
        let now = Instant::now();
        let mut known = std::mem::take(&mut self.peers);
        for address in addresses {
            let at = known.iter().position(|peer| peer.address == *address);
            self.peers.push(at.map_or_else(|| Peer::new(*address, now), |at| known.swap_remove(at)));
        }
        self.shared.set_addresses(addresses.to_vec());
        self.tasks = JoinSet::new();
        self.start();
        self.due = now;
        known.into_iter().map(|peer| peer.address).collect()
    }

    /// Whose word a message is, by the number it has, by where it listens, or by where it comes from if only one is there.
    /// With certificates it can only be one of those for which that of the sender stands, whatever it says of itself.
    fn find(&self, from: IpAddr, vouched: Option<&[SocketAddr]>, message: &Message) -> Option<usize> {
        let from = from.to_canonical();
        let may_be = |peer: &Peer| vouched.is_none_or(|vouched| vouched.contains(&peer.address));
        let by = |is: &dyn Fn(&Peer) -> bool| self.peers.iter().position(|peer| may_be(peer) && is(peer));
        let only = |is: &dyn Fn(&Peer) -> bool| {
            let is_only = self.peers.iter().filter(|peer| may_be(peer) && is(peer)).count() == 1;
            is_only.then(|| by(is))?
        };
        by(&|peer| peer.is_known_as(message))
            .or_else(|| by(&|peer| peer.is_at(from, message.listen)))
            .or_else(|| only(&|peer| peer.address.ip().to_canonical() == from))
            .or_else(|| vouched.and_then(|_| only(&|_| true)))
    }

    /// Where this nameserver is: as the list of peers has it, if it is there.
    fn address(&self) -> SocketAddr {
        self.peers.iter().find(|peer| peer.is_self).map_or(self.listen, |peer| peer.address)
    }

    /// The others; not this nameserver by another address.
    fn others(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(|peer| !peer.is_self)
    }

    /// What a peer made of what it was told, if it could be told: of orders about these things, or of all.
    fn judge(&self, peer: SocketAddr, not_told: Option<&String>, about: Option<&[Override]>) -> Applied {
        let because = match (not_told, self.peers.iter().find(|each| each.address == peer)) {
            (Some(because), _) => Some(because.clone()),
            (None, Some(peer)) if !peer.is_understood() => {
                Some(format!("thalweg {} speaks another protocol", peer.version()))
            }
            (None, Some(peer)) => {
                let is_unknown = match about {
                    // An older order, of a kind that it does not know, is no fault of the one that somebody waits for.
                    Some(about) => self.agreement.is_unknown_to(about, peer.knows(), clock()),
                    None => self.agreement.unknown_to(peer.knows(), clock()) > 0,
                };
                let idle = |what: &Override| Some(format!("`{what}` does nothing there: {}", peer.idle(what)?));
                match is_unknown {
                    true => Some(format!("thalweg {} did not take it", peer.version())),
                    false => about.unwrap_or_default().iter().find_map(idle),
                }
            }
            (None, None) => Some("it is no longer configured".to_owned()),
        };
        Applied { server: peer, because }
    }

    /// Answers those who know of all peers now, or have waited for long enough.
    fn answer_waiting(&mut self, now: Instant) {
        for mut waiting in std::mem::take(&mut self.waiting) {
            if !waiting.left.is_empty() && now < waiting.until {
                self.waiting.push(waiting);
                continue;
            }
            let late =
                waiting.left.drain(..).map(|server| Applied { server, because: Some("no answer in time".to_owned()) });
            waiting.applied.extend(late);
            let order = |server: &SocketAddr| self.peers.iter().position(|peer| peer.address == *server);
            waiting.applied.sort_by_key(|applied| order(&applied.server));
            // Who asked may have gone away meanwhile.
            let _gone = waiting.answer.send(waiting.applied);
        }
    }
}

/// The next moment at which the cluster has something to do; never without one.
pub(super) async fn cluster_turn(cluster: &mut Option<Cluster>) -> Option<Pushed> {
    let Some(cluster) = cluster else { return std::future::pending().await };
    let due = cluster.waiting.iter().map(|waiting| waiting.until).fold(cluster.due, Instant::min);
    tokio::select! {
        pushed = cluster.news.recv() => pushed,
        () = tokio::time::sleep_until(due.into()) => None,
    }
}

/// Milliseconds since 1970.
fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
