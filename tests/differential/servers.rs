//! NSD, Knot DNS, BIND and our own daemon side by side.

use std::net::SocketAddr;
use std::thread;

use thalweg::diagnostic::{Source, has_errors};

use super::exchange::{Replies, ask_tcp, ask_udp};
use super::peers::{PEERS, Peer};
use super::queries::Question;
use super::support::daemon::{SERVER, Served};
use super::support::installation::Installation;
use super::zones::Zone;

/// We, then the peers.
pub(crate) const SERVERS: usize = 1 + PEERS.len();
/// Where our own reply stands.
pub(crate) const OURS: usize = 0;

/// Four servers with the same zones.
pub(crate) struct Servers {
    ours: Served,
    peers: Vec<Peer>,
    _installation: Installation,
}

/// Zones that somebody does not load, by their place in the list.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// With what we say about it.
    pub(crate) by_us: Vec<(usize, String)>,
    pub(crate) by_peers: Vec<usize>,
}

impl Servers {
    /// Starts all of them, or says which zones not all of them serve.
    pub(crate) fn start(zones: &[Zone]) -> Result<Self, Refused> {
        let by_us: Vec<(usize, String)> =
            zones.iter().enumerate().filter_map(|(index, zone)| Some((index, problems(zone)?))).collect();
        let started: Vec<(Peer, Vec<usize>)> = thread::scope(|scope| {
            let starts: Vec<_> = PEERS.iter().map(|&peer| scope.spawn(move || Peer::start(peer, zones))).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        let by_peers: Vec<usize> = started.iter().flat_map(|(_, refused)| refused.iter().copied()).collect();
        if !by_us.is_empty() || !by_peers.is_empty() {
            return Err(Refused { by_us, by_peers });
        }
        let installation = Installation::new([("thalweg.toml", SERVER)]);
        for zone in zones {
            installation.write(&format!("zones/{}.zone", zone.title()), &zone.text());
        }
        let ours = Served::start(&installation);
        Ok(Self { ours, peers: started.into_iter().map(|(peer, _)| peer).collect(), _installation: installation })
    }

    /// What each of them answers to each question, in the order of the servers.
    pub(crate) fn ask(&self, questions: &[Question]) -> Vec<Replies> {
        let peers = self.peers.iter().map(|peer| peer.address);
        let addresses: Vec<SocketAddr> = std::iter::once(self.ours.dns()).chain(peers).collect();
        thread::scope(|scope| {
            let asked: Vec<_> = addresses.iter().map(|&address| scope.spawn(move || ask(address, questions))).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).collect()
        })
    }
}

fn ask(server: SocketAddr, questions: &[Question]) -> Replies {
    let mut replies: Replies = vec![None; questions.len()];
    for is_tcp in [false, true] {
        let picked: Vec<usize> = (0..questions.len()).filter(|&index| questions[index].is_tcp == is_tcp).collect();
        let messages: Vec<Vec<u8>> = picked.iter().map(|&index| questions[index].query.message()).collect();
        let found = if is_tcp { ask_tcp(server, &messages) } else { ask_udp(server, &messages) };
        for (index, reply) in picked.into_iter().zip(found) {
            replies[index] = reply;
        }
    }
    replies
}

/// Why we do not load the zone, if we do not.
fn problems(zone: &Zone) -> Option<String> {
    let source = Source::new(zone.title(), zone.text());
    let (records, mut diagnostics) = thalweg::zone::read(&source, &zone.apex);
    diagnostics.extend(thalweg::zone::Zone::build(&records, &[]).1);
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    has_errors(&diagnostics).then(|| errors.map(|error| error.render(false)).collect::<Vec<_>>().join("\n"))
}
