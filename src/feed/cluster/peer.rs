//! Another nameserver as the feed knows it: who it says it is, when it was heard, and what is wrong with it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::intake::{Idle, Message, PROTOCOL, Part, PeerStatus};
use crate::steer::{Decree, Order, Override, Said};

/// Time without a word after which it is told: what it reported counts no more by then.
const SILENT: Duration = Duration::from_secs(30);
/// How long inputs may differ: longer than it takes to bring them to all nameservers.
const DIFFERS: Duration = Duration::from_secs(5 * 60);
/// Seconds that clocks may be apart: cookies bear 300 (RFC 9018 §4.3), operators' times less.
const APART: f64 = 60.0;
/// Seconds that clocks have to be apart before times of orders are converted: a message takes up to two.
const NOTABLE: f64 = 5.0;
/// A push that came through so lately that nothing needs to be repeated in a reply.
const LATELY: Duration = Duration::from_secs(10);

/// The words of all alarms about peers.
pub(super) const ALARMS: [&str; 5] = ["peer_protocol", "peer_refuses", "peer_silent", "peer_differs", "peer_clock"];

/// Another nameserver.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// The number that it drew at its start.
    server: Option<u64>,
    /// It is this nameserver itself, by another address.
    pub(super) is_self: bool,
    name: Option<String>,
    version: Option<String>,
    /// The one that it speaks, once it was heard.
    protocol: Option<u32>,
    /// Since when it is waited for.
    since: Instant,
    heard: Option<Instant>,
    /// When it answered what we told it.
    reached: Option<Instant>,
    /// Why it could not be told the last time.
    unreached: Option<String>,
    /// It does not want to hear us, and why.
    refuses: Option<String>,
    /// Since when parts of its inputs are others than ours.
    differs: BTreeMap<Part, Instant>,
    /// Seconds that its clock is ahead of ours.
    ahead: f64,
    /// What it knows of orders.
    knows: Vec<Decree>,
    /// Which of them do nothing there.
    idle: Vec<Idle>,
}

/// Why something that it was told did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::feed) enum NotTold {
    /// It does not want to hear us: in its words.
    Refused(String),
    /// No connection, no answer in time, or none that can be read.
    Unreached(String),
}

impl Peer {
    pub(super) fn new(address: SocketAddr, now: Instant) -> Self {
        Self {
            address,
            server: None,
            is_self: false,
            name: None,
            version: None,
            protocol: None,
            since: now,
            heard: None,
            reached: None,
            unreached: None,
            refuses: None,
            differs: BTreeMap::new(),
            ahead: 0.0,
            knows: Vec::new(),
            idle: Vec::new(),
        }
    }

    /// Whether what came from this address is its word: it has said so before, or it is at home there.
    pub(super) fn is_known_as(&self, message: &Message) -> bool {
        self.server == Some(message.server)
    }

    /// The same by the address at which it says that it listens; if that is any, where it came from.
    pub(super) fn is_at(&self, from: IpAddr, listen: Option<SocketAddr>) -> bool {
        let home = listen.map(|listen| match listen.ip().is_unspecified() {
            true => SocketAddr::new(from, listen.port()),
            false => listen,
        });
        home == Some(self.address)
    }

    /// Takes the head of what it tells, and says whether the rest can be understood. `clock` is ours, in milliseconds.
    pub(super) fn hear(
        &mut self,
        message: &Message,
        inputs: &BTreeMap<Part, String>,
        clock: u64,
        now: Instant,
    ) -> bool {
        self.server = Some(message.server);
        self.name = Some(message.name.clone()).filter(|name| !name.is_empty());
        self.version = Some(message.version.clone());
        self.protocol = Some(message.protocol);
        if message.protocol != PROTOCOL {
            return false;
        }
        self.heard = Some(now);
        self.ahead = if message.clock == 0 { 0.0 } else { (message.clock as f64 - clock as f64) / 1_000.0 };
        self.knows.clone_from(&message.decrees);
        self.idle.clone_from(&message.idle);
        // Another version may hash in another way.
        let is_comparable = message.version == env!("CARGO_PKG_VERSION");
        let differs = |part: &Part| {
            is_comparable && inputs.get(part).zip(message.inputs.get(part)).is_some_and(|(ours, theirs)| ours != theirs)
        };
        for part in inputs.keys() {
            // Other nodes follow from another configuration.
            let follows = *part == Part::Nodes && differs(&Part::Configuration);
            match differs(part) && !follows {
                true => drop(self.differs.entry(*part).or_insert(now)),
                false => drop(self.differs.remove(part)),
            }
        }
        true
    }

    /// What it says of an order with the end by our clock: half an hour is half an hour wherever it was ordered.
    pub(super) fn by_our_clock(&self, mut decree: Decree) -> Decree {
        if let Said::Given(Order { until: Some(until), .. }) = &mut decree.said
            && self.ahead.abs() > NOTABLE
        {
            *until = until.saturating_add_signed(-self.ahead.round() as i64);
        }
        decree
    }

    /// It answered.
    pub(super) fn reached(&mut self, now: Instant) {
        (self.reached, self.unreached, self.refuses) = (Some(now), None, None);
    }

    /// It could not be told.
    pub(super) fn not_told(&mut self, why: NotTold) {
        match why {
            NotTold::Refused(because) => {
                self.refuses = Some(because.clone());
                self.unreached = Some(because);
            }
            NotTold::Unreached(because) => (self.unreached, self.refuses) = (Some(because), None),
        }
    }

    /// Whether it heard us by what we sent it: then replies can be short.
    pub(super) fn is_reached(&self, now: Instant) -> bool {
        self.reached.is_some_and(|reached| now.saturating_duration_since(reached) <= LATELY)
    }

    /// Whether what it tells is understood.
    pub(super) fn is_understood(&self) -> bool {
        self.protocol.is_none_or(|protocol| protocol == PROTOCOL)
    }

    /// The version that it runs, for messages.
    pub(super) fn version(&self) -> &str {
        self.version.as_deref().unwrap_or("of unknown version")
    }

    /// What it knows of orders.
    pub(super) fn knows(&self) -> &[Decree] {
        &self.knows
    }

    /// Why an order that it knows does nothing there.
    pub(super) fn idle(&self, what: &Override) -> Option<&str> {
        let is_it = |idle: &&Idle| (idle.what.as_str(), idle.subject.as_str()) == (what.word(), what.subject());
        self.idle.iter().find(is_it).map(|idle| idle.because.as_str())
    }

    /// What is wrong with it: a word for metrics, and what is so and what follows.
    pub(super) fn alarms(&self, now: Instant) -> Vec<(&'static str, String)> {
        let mut alarms = Vec::new();
        let Self { address, .. } = self;
        if self.is_self {
            return alarms;
        }
        if !self.is_understood() {
            let theirs = self.protocol.unwrap_or_default();
            alarms.push((
                "peer_protocol",
                format!(
                    "{address} (thalweg {}) speaks protocol {theirs} of the cluster, we {PROTOCOL}: nothing is exchanged \
                     with it until both run versions that understand each other",
                    self.version()
                ),
            ));
        } else if let Some(because) = &self.refuses {
            alarms.push((
                "peer_refuses",
                format!("{address} does not hear us: {because}; see token_file, tls and peers there"),
            ));
        }
        let quiet = now.saturating_duration_since(self.heard.unwrap_or(self.since));
        if quiet > SILENT && self.is_understood() {
            let because = self.unreached.as_deref().unwrap_or("it sends nothing");
            alarms.push((
                "peer_silent",
                format!(
                    "{address} has been silent for {} s ({because}): whom it sends to nodes is not known, and it hears of \
                     orders when it is back",
                    SILENT.as_secs()
                ),
            ));
        }
        let is_old = |since: &Instant| now.saturating_duration_since(*since) >= DIFFERS;
        let parts: Vec<_> =
            self.differs.iter().filter(|(_, since)| is_old(since)).map(|(part, _)| part.word()).collect();
        if !parts.is_empty() {
            let minutes = DIFFERS.as_secs() / 60;
            let parts = parts.join(" and ");
            alarms.push((
                "peer_differs",
                format!("{address} has had another {parts} than this nameserver for {minutes} minutes: they may answer differently"),
            ));
        }
        if self.ahead.abs() > APART {
            alarms.push((
                "peer_clock",
                format!(
                    "the clock of {address} is {:.0} s {} ours: which order came last, and when it ends, may be mistaken",
                    self.ahead.abs(),
                    if self.ahead > 0.0 { "ahead of" } else { "behind" }
                ),
            ));
        }
        alarms
    }

    /// As operators see it.
    pub(super) fn status(&self, orders_pending: usize, alarms: Vec<(&'static str, String)>) -> PeerStatus {
        PeerStatus {
            address: self.address,
            name: self.name.clone(),
            version: self.version.clone(),
            heard: self.heard,
            differs: self.differs.keys().copied().collect(),
            orders_pending,
            unreached: self.unreached.clone(),
            alarms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(zones: &str, configuration: &str) -> BTreeMap<Part, String> {
        let nodes = format!("nodes of {configuration}");
        [(Part::Zones, zones), (Part::Configuration, configuration), (Part::Nodes, nodes.as_str())]
            .map(|(part, hash)| (part, hash.to_owned()))
            .into()
    }

    fn message() -> Message {
        Message {
            protocol: PROTOCOL,
            server: 7,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            inputs: inputs("a", "b"),
            clock: 1_000_000,
            ..Message::default()
        }
    }

    fn words(peer: &Peer, now: Instant) -> Vec<&'static str> {
        peer.alarms(now).into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn a_silent_peer_is_told_after_30_seconds_from_the_start_too() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut peer = Peer::new(([192, 0, 2, 1], 8054).into(), start);
        peer.not_told(NotTold::Unreached("no connection".to_owned()));
        assert_eq!(words(&peer, at(30)), [""; 0]);
        assert_eq!(words(&peer, at(31)), ["peer_silent"]);
        assert!(
            peer.alarms(at(31))[0].1.contains("192.0.2.1:8054") && peer.alarms(at(31))[0].1.contains("no connection")
        );
        assert!(peer.hear(&message(), &inputs("a", "b"), 1_000_000, at(40)));
        assert_eq!(words(&peer, at(70)), [""; 0]);
        assert_eq!(words(&peer, at(71)), ["peer_silent"]);
    }

    #[test]
    fn inputs_that_differ_are_told_after_five_minutes_by_part() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut peer = Peer::new(([192, 0, 2, 1], 8054).into(), start);
        let differ = inputs("other", "b");
        peer.hear(&message(), &differ, 1_000_000, at(0));
        peer.hear(&message(), &differ, 1_000_000, at(299));
        assert_eq!(words(&peer, at(299)), [""; 0]);
        peer.hear(&message(), &differ, 1_000_000, at(300));
        let told = peer.alarms(at(300));
        assert!(told.len() == 1 && told[0].1.contains("another zones than") && told[0].0 == "peer_differs", "{told:?}");
        // Alike for a moment: it begins anew.
        peer.hear(&message(), &inputs("a", "b"), 1_000_000, at(301));
        peer.hear(&message(), &differ, 1_000_000, at(302));
        assert_eq!(words(&peer, at(310)), [""; 0]);
        // Nodes differ because the configuration does.
        peer.hear(&message(), &inputs("a", "other"), 1_000_000, at(311));
        peer.hear(&message(), &inputs("a", "other"), 1_000_000, at(620));
        assert_eq!(peer.status(0, Vec::new()).differs, [Part::Configuration]);
        // Another version hashes in its own way.
        let newer = Message { version: "99.0".to_owned(), ..message() };
        peer.hear(&newer, &inputs("a", "other"), 1_000_000, at(621));
        assert_eq!(words(&peer, at(622)), [""; 0]);
    }

    #[test]
    fn another_protocol_and_a_wrong_clock_are_told_at_once() {
        let now = Instant::now();
        let mut peer = Peer::new(([192, 0, 2, 1], 8054).into(), now);
        assert!(!peer.hear(&Message { protocol: PROTOCOL + 1, ..message() }, &inputs("a", "b"), 1_000_000, now));
        assert_eq!(words(&peer, now), ["peer_protocol"]);
        assert!(peer.hear(&Message { clock: 1_061_000, ..message() }, &inputs("a", "b"), 1_000_000, now));
        let told = peer.alarms(now);
        assert!(told.len() == 1 && told[0].1.contains("61 s ahead of ours"), "{told:?}");
        peer.not_told(NotTold::Refused("wrong token".to_owned()));
        assert_eq!(words(&peer, now), ["peer_refuses", "peer_clock"]);
        peer.reached(now);
        peer.hear(&message(), &inputs("a", "b"), 1_000_000, now);
        assert_eq!(words(&peer, now), [""; 0]);
    }
}
