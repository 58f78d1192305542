//! The connections of all listeners of a carrier, and who has to leave when there are too many.
//!
//! RFC 9210 §4.2 leaves two ways when the limit is reached: to close idle connections, or to refuse
//! new ones. Here the connection that has been without a complete query for longest gives its place
//! to the new one. To refuse would let anybody who holds connections open, at no cost, keep everyone else out
//! for as long as `idle` lasts; so they have to be opened again and again. It also is the idle time
//! that shrinks under load (RFC 7766 §6.2.3), without a rule of its own. gdnsd does the same.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, timeout};

use super::gathered::{Gathered, Room};
use crate::config::TcpLimits;
use crate::geo::Prefix;
use crate::intake::{Carrier, Limit, StreamCounts};

/// The connections of a server over one carrier, with their limits: one set for all of its listeners.
#[derive(Clone)]
pub struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    limits: TcpLimits,
    /// Networks of proxies that tell whose a connection is.
    proxies: Arc<[Prefix]>,
    counts: Arc<StreamCounts>,
    room: Room,
    start: Instant,
    // Taken when a connection begins or ends, never for a query.
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Known>,
    networks: HashMap<Prefix, usize>,
    /// Progress as last seen, and number, of those that may be asked to leave, the longest idle first.
    leaving: BTreeSet<(u64, u64)>,
    next: u64,
}

struct Known {
    connection: Arc<Connection>,
    /// Its progress when last looked at: it makes more without telling the table.
    seen: u64,
    /// Whose it is; none as long as that is the proxy's.
    network: Option<Prefix>,
}

struct Connection {
    /// Microseconds from the start of the server to the last complete query, or to the connection.
    progress: AtomicU64,
    is_wanted: AtomicBool,
    // Both have one who waits at most, and keep the news until then.
    wanted: Notify,
    closed: Notify,
}

/// How long a connection that has to leave may take to do so: it only has to be noticed.
const LEAVE: Duration = Duration::from_millis(100);

impl Connections {
    /// No connections over TCP yet.
    pub fn new(limits: TcpLimits) -> Self {
        Self::over(Carrier::Tcp, limits)
    }

    /// No connections yet.
    pub fn over(carrier: Carrier, limits: TcpLimits) -> Self {
        Self::behind(Arc::default(), carrier, limits)
    }

    /// The same where proxies from these networks tell by the PROXY protocol whose a connection is.
    pub fn behind(proxies: Arc<[Prefix]>, carrier: Carrier, limits: TcpLimits) -> Self {
        let counts = Arc::new(StreamCounts::of(carrier));
        let (room, start, table) = (Room::default(), Instant::now(), Mutex::default());
        Self { shared: Arc::new(Shared { limits, proxies, counts, room, start, table }) }
    }

    /// What is counted.
    pub fn counts(&self) -> &Arc<StreamCounts> {
        &self.shared.counts
    }

    /// What they have to keep to.
    pub(super) fn limits(&self) -> &TcpLimits {
        &self.shared.limits
    }

    /// A place for a connection from the client, if need be that of the longest idle one; none if its
    /// network has too many.
    pub(in crate::serve) async fn admit(&self, client: IpAddr) -> Option<Place> {
        self.admit_into(Some(network(client))).await
    }

    /// The same for a connection of a proxy, of which it is not known yet whose it is.
    pub(in crate::serve) async fn admit_proxy(&self) -> Option<Place> {
        self.admit_into(None).await
    }

    /// Whether a proxy has this address that tells whose its connections are.
    pub(in crate::serve) fn believe(&self, peer: IpAddr) -> bool {
        !self.shared.proxies.is_empty() && {
            let peer = peer.to_canonical();
            self.shared.proxies.iter().any(|prefix| prefix.contains(peer))
        }
    }

    async fn admit_into(&self, network: Option<Prefix>) -> Option<Place> {
        loop {
            let limit = match self.take_place(network) {
                Ok(place) => return Some(place),
                Err(Limit::Connections) if self.make_room().await => continue,
                Err(limit) => limit,
            };
            self.shared.counts.refused(limit);
            return None;
        }
    }

    /// Closes the longest idle connection; false if there is none, or if it takes its time.
    pub(in crate::serve) async fn make_room(&self) -> bool {
        let Some(idle) = self.table().longest_idle() else { return false };
        idle.is_wanted.store(true, Ordering::Relaxed);
        idle.wanted.notify_one();
        self.shared.counts.closed(Limit::Connections);
        // Its descriptor has to be free before the next is wanted.
        timeout(LEAVE, idle.closed.notified()).await.is_ok()
    }

    fn take_place(&self, network: Option<Prefix>) -> Result<Place, Limit> {
        let now = self.shared.now();
        let mut table = self.table();
        let limits = &self.shared.limits;
        if network.is_some_and(|network| table.is_full(network, limits)) {
            return Err(Limit::ConnectionsPerPrefix);
        }
        if table.open.len() >= limits.connections {
            return Err(Limit::Connections);
        }
        let number = table.next;
        table.next += 1;
        let connection = Arc::new(Connection {
            progress: AtomicU64::new(now),
            is_wanted: AtomicBool::new(false),
            wanted: Notify::new(),
            closed: Notify::new(),
        });
        table.open.insert(number, Known { connection: Arc::clone(&connection), seen: now, network });
        table.leaving.insert((now, number));
        table.enter(network);
        self.shared.counts.opened();
        Ok(Place { connections: self.clone(), connection, number })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing in it is half changed by a panic.
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn now(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }
}

impl Table {
    fn is_full(&self, network: Prefix, limits: &TcpLimits) -> bool {
        self.networks.get(&network).is_some_and(|&count| count >= limits.connections_per_prefix)
    }

    fn enter(&mut self, network: Option<Prefix>) {
        if let Some(network) = network {
            *self.networks.entry(network).or_default() += 1;
        }
    }

    fn leave(&mut self, network: Option<Prefix>) {
        let Some(network) = network else { return };
        if let Some(count) = self.networks.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.networks.remove(&network);
            }
        }
    }

    /// The longest idle connection, which nobody gets a second time.
    fn longest_idle(&mut self) -> Option<Arc<Connection>> {
        // Each turn ends it, or moves up a connection that was asked something since the last look.
        while let Some((seen, number)) = self.leaving.pop_first() {
            let Some(known) = self.open.get_mut(&number) else { continue };
            let progress = known.connection.progress.load(Ordering::Relaxed);
            if progress == seen {
                return Some(Arc::clone(&known.connection));
            }
            known.seen = progress;
            self.leaving.insert((progress, number));
        }
        None
    }
}

/// The network to which connections are counted: what one customer gets assigned.
fn network(client: IpAddr) -> Prefix {
    match client.to_canonical() {
        client @ IpAddr::V4(_) => Prefix::of(client, 24),
        client @ IpAddr::V6(_) => Prefix::of(client, 56),
    }
}

/// The place of one connection, which it has until this is dropped: after the socket, that is.
pub(in crate::serve) struct Place {
    connections: Connections,
    connection: Arc<Connection>,
    number: u64,
}

impl Place {
    pub(in crate::serve) fn limits(&self) -> &TcpLimits {
        self.connections.limits()
    }

    pub(in crate::serve) fn counts(&self) -> &StreamCounts {
        &self.connections.shared.counts
    }

    /// Counts the connection of a proxy to the network of whom it tells; false if that has too many.
    pub(in crate::serve) fn belong_to(&mut self, client: IpAddr) -> bool {
        let network = network(client);
        let mut table = self.connections.table();
        if table.is_full(network, self.limits()) {
            self.counts().refused(Limit::ConnectionsPerPrefix);
            return false;
        }
        if let Some(known) = table.open.get_mut(&self.number) {
            let before = known.network.replace(network);
            table.leave(before);
            table.enter(Some(network));
        }
        true
    }

    /// A message that is about to come in pieces, behind so many octets.
    pub(in crate::serve) fn gather(&self, framing: usize) -> Gathered {
        Gathered::new(&self.connections.shared.room, framing)
    }

    /// Tells that the connection was of use just now.
    pub(in crate::serve) fn progressed(&self) {
        self.connection.progress.store(self.connections.shared.now(), Ordering::Relaxed);
    }

    /// When it was of use last.
    pub(in crate::serve) fn progress(&self) -> Instant {
        let progress = Duration::from_micros(self.connection.progress.load(Ordering::Relaxed));
        self.connections.shared.start + progress
    }

    /// Waits until the place is wanted by another one.
    pub(in crate::serve) fn wanted(&self) -> Notified<'_> {
        self.connection.wanted.notified()
    }

    /// Whether the place is wanted by another one.
    pub(in crate::serve) fn is_wanted(&self) -> bool {
        self.connection.is_wanted.load(Ordering::Relaxed)
    }

    /// Counts the connection as ended by a limit.
    pub(in crate::serve) fn count_closed(&self, limit: Limit) {
        self.connections.shared.counts.closed(limit);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        if let Some(Known { seen, network, .. }) = table.open.remove(&self.number) {
            table.leaving.remove(&(seen, self.number));
            table.leave(network);
        }
        drop(table);
        self.connections.shared.counts.ended();
        self.connection.closed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(limits: TcpLimits) -> Connections {
        Connections::new(limits)
    }

    fn client(host: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, host])
    }

    /// Lets a place go once it is wanted, as a connection does.
    fn leave_when_wanted(place: Place) -> tokio::task::JoinHandle<u64> {
        tokio::spawn(async move {
            place.wanted().await;
            place.number
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_leaves_and_not_the_oldest() {
        let connections = connections(TcpLimits { connections: 3, ..TcpLimits::default() });
        let mut places = Vec::new();
        for host in 0..3 {
            places.push(connections.admit(client(host)).await.unwrap());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // The order of progress is 1, 2, 0 from here on.
        places[0].progressed();
        let waiting: Vec<_> = places.into_iter().map(leave_when_wanted).collect();
        let fourth = connections.admit(client(4)).await.unwrap();
        let fifth = connections.admit(client(5)).await.unwrap();
        let mut left = Vec::new();
        for (index, waiting) in waiting.into_iter().enumerate() {
            if index != 0 {
                left.push(waiting.await.unwrap());
            } else {
                assert!(!waiting.is_finished());
                waiting.abort();
            }
        }
        assert_eq!(left, [1, 2]);
        assert_eq!(connections.counts().closed_by(Limit::Connections), 2);
        drop((fourth, fifth));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_leave_keeps_the_next_out() {
        let connections = connections(TcpLimits { connections: 1, ..TcpLimits::default() });
        let stubborn = connections.admit(client(1)).await.unwrap();
        assert!(connections.admit(client(2)).await.is_none());
        assert!(connections.admit(client(3)).await.is_none());
        assert_eq!(connections.counts().refused_by(Limit::Connections), 2);
        assert!(stubborn.is_wanted());
    }

    #[tokio::test]
    async fn a_network_has_its_own_limit_whatever_its_host() {
        let limits = TcpLimits { connections_per_prefix: 1, ..TcpLimits::default() };
        for (first, same, other) in [
            ("192.0.2.1", "192.0.2.255", "192.0.3.1"),
            ("2001:db8::1", "2001:db8:0:ff::1", "2001:db8:0:100::1"),
            ("192.0.2.1", "::ffff:192.0.2.9", "::ffff:192.0.3.9"),
        ] {
            let connections = connections(limits);
            let place = connections.admit(first.parse().unwrap()).await.unwrap();
            assert!(connections.admit(same.parse().unwrap()).await.is_none(), "{same}");
            let elsewhere = connections.admit(other.parse().unwrap()).await;
            assert!(elsewhere.is_some(), "{other}");
            drop(place);
            assert!(connections.admit(same.parse().unwrap()).await.is_some(), "{same}");
        }
    }

    #[tokio::test]
    async fn what_ended_leaves_nothing_behind() {
        let connections = connections(TcpLimits::default());
        for host in 0..100 {
            let place = connections.admit(client(host)).await.unwrap();
            place.progressed();
        }
        let table = connections.table();
        assert!(table.open.is_empty() && table.leaving.is_empty() && table.networks.is_empty());
        assert_eq!(connections.counts().open(), 0);
    }
}
