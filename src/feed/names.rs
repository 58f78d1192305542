//! Host names of exporters, looked up by the system and remembered: a look-up that hangs holds up nobody else.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tower_service::Service;

/// Look-ups at the same time. Each takes a thread until the system gives up, half a minute if nobody answers.
pub(super) const AT_ONCE: usize = 256;
/// Of these, what names may take that hung or failed the last time, so that others always find room.
const SUSPECT_AT_ONCE: usize = 64;
/// How long an address counts before it is looked up again; the system's resolver does not tell TTLs.
const FRESH: Duration = Duration::from_secs(60);
/// From a look-up that failed to the next of the same name.
const AGAIN: Duration = Duration::from_secs(5);
/// A look-up of more than this has hung.
const SLOW: Duration = Duration::from_secs(2);
/// What nobody asked for so long is forgotten when a new name comes.
const FORGET: Duration = Duration::from_secs(3600);

/// Looks names up, with a memory that all clones share.
#[derive(Clone)]
pub(super) struct Names {
    shared: Arc<Shared>,
}

struct Shared {
    known: Mutex<HashMap<String, Entry>>,
    room: Semaphore,
    suspect_room: Semaphore,
    look_up: Box<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>,
}

struct Entry {
    outcome: watch::Sender<Outcome>,
    is_running: bool,
    is_suspect: bool,
    /// When it is to be looked up again.
    due: Instant,
    used: Instant,
}

#[derive(Clone)]
enum Outcome {
    Unknown,
    Known(Arc<[IpAddr]>),
    Failed(Arc<str>),
}

impl Names {
    /// By the system's resolver, which may take any time.
    pub(super) fn of_system() -> Self {
        Self::looked_up_by(|name| Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
    }

    fn looked_up_by(look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        let shared = Shared {
            known: Mutex::default(),
            room: Semaphore::new(AT_ONCE - SUSPECT_AT_ONCE),
            suspect_room: Semaphore::new(SUSPECT_AT_ONCE),
            look_up: Box::new(look_up),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The addresses of a name: the last ones that are known, at once, else those that a look-up finds.
    async fn addresses(self, name: String) -> io::Result<Arc<[IpAddr]>> {
        let mut outcomes = self.ask(&name);
        // Whoever looks up says what came of it, or the runtime has ended.
        let outcome = outcomes.wait_for(|outcome| !matches!(outcome, Outcome::Unknown)).await.map(|it| it.clone());
        match outcome {
            Ok(Outcome::Known(addresses)) => Ok(addresses),
            Ok(Outcome::Failed(why)) => Err(io::Error::other(format!("`{name}` cannot be looked up: {why}"))),
            Ok(Outcome::Unknown) | Err(_) => Err(io::Error::other(format!("`{name}` is looked up no more"))),
        }
    }

    /// What is known of a name, now and later; begins a look-up if it is time for one.
    fn ask(&self, name: &str) -> watch::Receiver<Outcome> {
        let now = Instant::now();
        let mut known = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(name) {
            known.retain(|_, entry| entry.is_running || now.duration_since(entry.used) < FORGET);
            let outcome = watch::Sender::new(Outcome::Unknown);
            let entry = Entry { outcome, is_running: false, is_suspect: false, due: now, used: now };
            known.insert(name.to_owned(), entry);
        }
        let entry = known.get_mut(name).expect("it was put in above");
        entry.used = now;
        if !entry.is_running && now >= entry.due {
            entry.is_running = true;
            // After a failure, who asks now waits for this look-up.
            entry.outcome.send_if_modified(|outcome| {
                let has_failed = matches!(outcome, Outcome::Failed(_));
                if has_failed {
                    *outcome = Outcome::Unknown;
                }
                has_failed
            });
            tokio::spawn(self.clone().look_up(name.to_owned(), entry.is_suspect));
        }
        entry.outcome.subscribe()
    }

    async fn look_up(self, name: String, is_suspect: bool) {
        let room = if is_suspect { &self.shared.suspect_room } else { &self.shared.room };
        // It is never closed; without room there is nothing to be said of the name.
        let Ok(_permit) = room.acquire().await else { return };
        let begun = Instant::now();
        let (shared, asked) = (Arc::clone(&self.shared), name.clone());
        let found = tokio::task::spawn_blocking(move || (shared.look_up)(&asked)).await;
        let found = found.unwrap_or_else(|error| Err(io::Error::other(error)));
        self.learn(&name, begun, found);
    }

    fn learn(&self, name: &str, begun: Instant, found: io::Result<Vec<IpAddr>>) {
        let now = Instant::now();
        let mut known = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = known.get_mut(name) else { return };
        let had_failed = entry.is_suspect;
        entry.is_running = false;
        entry.is_suspect = now.duration_since(begun) > SLOW;
        let why: Arc<str> = match found {
            Ok(addresses) if !addresses.is_empty() => {
                entry.due = now + FRESH;
                entry.outcome.send_replace(Outcome::Known(addresses.into()));
                return;
            }
            Ok(_) => "it has no address".into(),
            Err(error) => error.to_string().into(),
        };
        entry.is_suspect = true;
        entry.due = now + AGAIN;
        let is_known = matches!(*entry.outcome.borrow(), Outcome::Known(_));
        if !is_known {
            entry.outcome.send_replace(Outcome::Failed(why));
        } else if !had_failed {
            tracing::warn!(name, %why, "the name cannot be looked up; its last address goes on being asked");
        }
    }
}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let addresses = self.clone().addresses(name.as_str().to_ascii_lowercase());
        Box::pin(async move {
            // The connector puts the URL's port in place of this one.
            let addresses: Vec<_> = addresses.await?.iter().map(|address| SocketAddr::new(*address, 0)).collect();
            Ok(addresses.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn look_ups_that_hang_hold_up_nobody() {
        // They hang until the test is over.
        let over = Arc::new(Mutex::new(()));
        let held = over.lock().unwrap();
        let gate = Arc::clone(&over);
        let names = Names::looked_up_by(move |name| {
            if name.starts_with("hangs") {
                drop(gate.lock());
            }
            Ok(vec![HERE])
        });
        let hanging: Vec<_> =
            (0..200).map(|index| tokio::spawn(names.clone().addresses(format!("hangs{index}")))).collect();
        tokio::task::yield_now().await;
        assert_eq!(*names.clone().addresses("good".to_owned()).await.unwrap(), [HERE]);
        assert!(hanging.iter().all(|each| !each.is_finished()));
        drop(held);
        for each in hanging {
            assert!(each.await.unwrap().is_ok());
        }
    }

    #[tokio::test]
    async fn names_that_hung_or_failed_leave_room_for_others() {
        let over = Arc::new(Mutex::new(()));
        let held = over.lock().unwrap();
        let gate = Arc::clone(&over);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let names = Names::looked_up_by(move |name| {
            if name.starts_with("bad") && count.fetch_add(1, Ordering::Relaxed) >= 300 {
                drop(gate.lock());
            }
            if name.starts_with("bad") { Err(io::Error::other("no such host")) } else { Ok(vec![HERE]) }
        });
        for index in 0..300 {
            let failed = names.clone().addresses(format!("bad{index}")).await.unwrap_err();
            assert_eq!(failed.to_string(), format!("`bad{index}` cannot be looked up: no such host"));
        }
        tokio::time::pause();
        tokio::time::advance(AGAIN).await;
        tokio::time::resume();
        for index in 0..300 {
            tokio::spawn(names.clone().addresses(format!("bad{index}")));
        }
        tokio::task::yield_now().await;
        assert_eq!(*names.addresses("good".to_owned()).await.unwrap(), [HERE]);
        drop(held);
    }

    #[tokio::test]
    async fn the_last_address_is_used_while_a_name_cannot_be_looked_up() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let names = Names::looked_up_by(move |_| match count.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(vec![HERE]),
            1 => Err(io::Error::other("the resolver is away")),
            _ => Ok(vec![IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))]),
        });
        let addresses = || names.clone().addresses("node.example".to_owned());
        let looked_up = async |times: usize| {
            while asked.load(Ordering::Relaxed) < times || names.shared.known.lock().unwrap()["node.example"].is_running
            {
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(*addresses().await.unwrap(), [HERE]);
        assert_eq!(*addresses().await.unwrap(), [HERE]);
        assert_eq!(asked.load(Ordering::Relaxed), 1, "what is fresh is not looked up again");
        tokio::time::pause();
        tokio::time::advance(FRESH).await;
        tokio::time::resume();
        assert_eq!(*addresses().await.unwrap(), [HERE], "at once, while it is looked up");
        looked_up(2).await;
        assert_eq!(*addresses().await.unwrap(), [HERE]);
        tokio::time::pause();
        tokio::time::advance(AGAIN).await;
        tokio::time::resume();
        assert_eq!(*addresses().await.unwrap(), [HERE]);
        looked_up(3).await;
        assert_eq!(*addresses().await.unwrap(), [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))]);
    }
}
