//! Places for connections to the cluster's listener: who has not shown by what he is known takes none from nameservers.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections of nameservers at a time: each of 15 others keeps one, and opens a new one now and then.
const MAX_PEERS: usize = 64;
/// Connections of those who have shown nothing yet and come from no address of a peer; and of these from one address.
/// Nameservers behind one translated address are among them until they have.
const MAX_STRANGERS: usize = 32;
const MAX_FROM_ONE: usize = 4;
/// An IPv6 host has a whole network of this length.
const HOST: u32 = 64;

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    peers: Arc<Semaphore>,
    strangers: Mutex<HashMap<IpAddr, usize>>,
}

/// The place of one connection, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    /// As a stranger, from this host.
    from: Mutex<Option<IpAddr>>,
    /// As a nameserver.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    is_known: AtomicBool,
}

impl Places {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { peers: Arc::new(Semaphore::new(MAX_PEERS)), strangers: Mutex::default() })
    }

    /// A place for somebody from there; from the address of a peer it is one of a nameserver from the beginning.
    pub(super) fn take(self: &Arc<Self>, from: IpAddr, is_peers: bool) -> Option<Arc<Place>> {
        let place = |from, permit| {
            let (from, permit) = (Mutex::new(from), Mutex::new(permit));
            Arc::new(Place { places: Arc::clone(self), from, permit, is_known: AtomicBool::new(false) })
        };
        if is_peers {
            let permit = Arc::clone(&self.peers).try_acquire_owned().ok()?;
            return Some(place(None, Some(permit)));
        }
        let from = host(from);
        let mut strangers = lock(&self.strangers);
        let of_one = strangers.get(&from).copied().unwrap_or_default();
        if of_one >= MAX_FROM_ONE || strangers.values().sum::<usize>() >= MAX_STRANGERS {
            return None;
        }
        strangers.insert(from, of_one + 1);
        drop(strangers);
        Some(place(Some(from), None))
    }

    fn leave(&self, from: IpAddr) {
        let mut strangers = lock(&self.strangers);
        if let Some(of_one) = strangers.get_mut(&from) {
            *of_one -= 1;
            if *of_one == 0 {
                strangers.remove(&from);
            }
        }
    }
}

impl Place {
    /// It is a nameserver's; false if there are too many of them.
    pub(super) fn admit(&self) -> bool {
        let mut permit = lock(&self.permit);
        if permit.is_none() {
            *permit = Arc::clone(&self.places.peers).try_acquire_owned().ok();
        }
        let is_admitted = permit.is_some();
        drop(permit);
        if is_admitted {
            self.is_known.store(true, Ordering::Relaxed);
            if let Some(from) = lock(&self.from).take() {
                self.places.leave(from);
            }
        }
        is_admitted
    }

    /// Whether it was shown that it is a nameserver's.
    pub(super) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(from) = lock(&self.from).take() {
            self.places.leave(from);
        }
    }
}

fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> HOST << HOST)),
        v4 => v4,
    }
}

/// What is held is whole at any time, so a panic elsewhere has broken nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn strangers_take_no_place_of_nameservers_and_one_of_them_not_those_of_others() {
        let places = Places::new();
        let mut taken: Vec<_> = (0..10).filter_map(|_| places.take(address("192.0.2.1"), false)).collect();
        assert_eq!(taken.len(), MAX_FROM_ONE);
        let v6 = |host: u16| places.take(address(&format!("2001:db8::{host:x}")), false);
        taken.extend((0..10).filter_map(v6));
        assert_eq!(taken.len(), 2 * MAX_FROM_ONE, "one network of 64 bits is one host");
        taken.extend((0..200).filter_map(|last| places.take(address(&format!("198.51.100.{last}")), false)));
        assert_eq!(taken.len(), MAX_STRANGERS);
        let peer = places.take(address("192.0.2.9"), true).unwrap();
        assert!(!peer.is_known() && peer.admit() && peer.is_known());
        // Who has shown that he is a nameserver is no stranger any more.
        assert!(taken[0].admit());
        assert!(places.take(address("192.0.2.1"), false).is_some());
        drop(taken);
        assert!(lock(&places.strangers).is_empty());
        let peers: Vec<_> = (0..100).filter_map(|_| places.take(address("192.0.2.9"), true)).collect();
        assert_eq!(peers.len(), MAX_PEERS - 1);
        let late = places.take(address("192.0.2.1"), false).unwrap();
        assert!(!late.admit() && !late.is_known());
    }
}
