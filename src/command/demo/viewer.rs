//! Viewers: they ask where to go over DNS, connect to the address that they were told, and leave after a while.
//!
//! They know nothing but sockets: the server's, and the port at which nodes take viewers. Each comes from
//! one of a thousand networks and asks by itself: with so many networks and such a short TTL, a resolver
//! would hardly ever have the answer still.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ask::ask;
use super::scene::{SERVICE, SITES};
use crate::geo::Prefix;
use crate::steer::mix;

/// Viewers of a country at a time, on average: not quite half of what its two nodes have room for.
pub(super) const MEAN_VIEWERS: f64 = 75.0;
/// Seconds that a viewer stays, on average: short, so that load follows the answers while one watches.
const MEAN_STAY: f64 = 12.0;
/// The most viewers of a country at a time.
const MAX_VIEWERS: usize = 150;
/// Answers that may wait to be looked at; more are forgotten.
const MAX_TOLD: usize = 4096;

/// What a viewer was told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Told {
    /// When.
    pub at: Instant,
    /// Where the viewer is, by the place in `SITES`.
    pub site: usize,
    /// The first address of the answer; none if there was no answer.
    pub address: Option<Ipv4Addr>,
}

/// A way for viewers to say what they were told, and for one who listens.
pub(super) fn told() -> (mpsc::Sender<Told>, mpsc::Receiver<Told>) {
    mpsc::channel(MAX_TOLD)
}

/// The viewers of one country.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Where they are, by the place in `SITES`.
    pub site: usize,
    /// The server that they ask.
    pub dns: SocketAddr,
    /// The port at which nodes take viewers.
    pub media_port: u16,
    /// Where they say what they were told.
    pub told: mpsc::Sender<Told>,
}

impl Crowd {
    /// Lets viewers come and go until they are stopped; then all hang up at once.
    pub(super) async fn live(self, stop: CancellationToken) {
        let mut dice = Dice::new();
        let mut viewers = JoinSet::new();
        // Stays have no memory, so that the mean number at once is what a long time would lead to.
        for _ in 0..MEAN_VIEWERS as usize {
            viewers.spawn(self.visit(&mut dice));
        }
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(_gone) = viewers.join_next() => {}
                () = tokio::time::sleep_until(next) => {
                    next += dice.wait(MEAN_STAY / MEAN_VIEWERS);
                    if viewers.len() < MAX_VIEWERS {
                        viewers.spawn(self.visit(&mut dice));
                    }
                }
            }
        }
    }

    /// One viewer's visit, from the question to the end.
    fn visit(&self, dice: &mut Dice) -> impl Future<Output = ()> + use<> {
        let (network, stay) = (SITES[self.site].network(dice.roll()), dice.wait(MEAN_STAY));
        let Self { site, dns, media_port, ref told } = *self;
        let told = told.clone();
        async move {
            let address = first_address(dns, network).await;
            // Nobody has to listen.
            let _unheard = told.try_send(Told { at: Instant::now(), site, address });
            let Some(address) = address else { return };
            // A node that takes nobody has one viewer less, that is all.
            let Ok(mut connection) = TcpStream::connect((address, media_port)).await else { return };
            let mut buffer = [0; 64];
            // It ends when the viewer has seen enough, or the node hangs up.
            let _either = tokio::time::timeout(stay, connection.read(&mut buffer)).await;
        }
    }
}

async fn first_address(dns: SocketAddr, network: Prefix) -> Option<Ipv4Addr> {
    ask(dns, SERVICE, network).await.ok()?.first().copied()
}

/// Chance: a counter behind a mixer, started anywhere.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    /// A time without memory: exponential, with this mean in seconds.
    fn wait(&mut self, mean: f64) -> Duration {
        let unit = ((self.roll() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        Duration::from_secs_f64(-unit.ln() * mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_have_their_mean_and_no_memory() {
        let mut dice = Dice(7);
        let waits: Vec<f64> = (0..20_000).map(|_| dice.wait(2.0).as_secs_f64()).collect();
        let mean = |waits: &[f64]| waits.iter().sum::<f64>() / waits.len() as f64;
        assert!((mean(&waits) - 2.0).abs() < 0.06, "{}", mean(&waits));
        let rest: Vec<f64> = waits.iter().filter(|wait| **wait > 3.0).map(|wait| wait - 3.0).collect();
        assert!((mean(&rest) - 2.0).abs() < 0.15, "{}", mean(&rest));
    }
}
