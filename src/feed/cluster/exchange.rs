//! The exchange with other nameservers: what they are told, and what follows from what they tell.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use tokio::sync::oneshot;

use super::peer::{ALARMS, NotTold};
use super::push::{Outgoing, Pushed};
use super::{AT_MOST, EVERY, Waiting, clock};
use crate::feed::orders::check;
use crate::feed::run::Feed;
use crate::intake::{Applied, Board, Grade, MAX_MESSAGE, Message, PROTOCOL};
use crate::steer::{Change, Decree, Override, Said};

/// How long an operator's command waits for the others: less than it waits for us.
const PATIENCE: Duration = Duration::from_millis(4_200);
/// The largest number of an order that all readers of JSON bear, and the longest words of one.
const MAX_ID: u64 = 1 << 53;
/// Seconds since 1970 of the last moment that is believed of an order, in some 30,000 years: later ones only overflow.
const MAX_SECONDS: u64 = 1 << 40;
const MAX_WORDS: usize = 1_000;

impl Feed {
    /// Takes what came of a push, or tells what is due.
    pub(in crate::feed) fn take_turn(&mut self, pushed: Option<Pushed>) {
        let now = Instant::now();
        match pushed {
            Some(pushed) => self.take_pushed(pushed),
            None => {
                let is_due = self.cluster.as_ref().is_some_and(|cluster| cluster.due <= now);
                if is_due {
                    self.tell_peers();
                }
            }
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.answer_waiting(now);
        }
    }

    /// Something happened that others should know soon.
    pub(in crate::feed) fn tell_peers_soon(&mut self) {
        if let Some(cluster) = &mut self.cluster {
            cluster.due = cluster.due.min(cluster.sent + AT_MOST);
        }
    }

    /// Notices what was ordered and lifted here since, so that the others hear of it.
    pub(in crate::feed) fn observe_orders(&mut self) {
        if let Some(cluster) = &mut self.cluster
            && cluster.agreement.observe(&self.orders.standing(), clock())
        {
            cluster.due = cluster.due.min(cluster.sent + AT_MOST);
        }
    }

    /// Looks after the cluster: what was ordered since, who is silent, what the configuration says now.
    pub(in crate::feed) fn watch_peers(&mut self) {
        self.observe_orders();
        let Some(cluster) = &mut self.cluster else { return };
        if let Some(config) = &self.inputs.config.cluster {
            let addresses: Vec<_> = config.peers.iter().map(|peer| peer.value).collect();
            for gone in cluster.set_peers(&addresses) {
                tell(&self.board, &gone.to_string(), &[]);
                // At another address from now on, perhaps: its viewers would count twice.
                self.controller.forget_peer(&gone.to_string());
            }
        }
        if *cluster.shared.tokens() != self.inputs.tokens {
            cluster.shared.set_tokens(self.inputs.tokens.clone());
        }
        self.controller.expect_peers(cluster.others().count());
        let (now, unix) = (Instant::now(), clock());
        let mut statuses = Vec::new();
        for peer in &mut cluster.peers {
            let alarms = peer.alarms(now);
            tell(&self.board, &peer.address.to_string(), &alarms);
            if !peer.is_self {
                statuses.push(peer.status(cluster.agreement.unknown_to(peer.knows(), unix), alarms));
            }
        }
        cluster.shared.set_peers(statuses);
    }

    /// Takes what another nameserver tells, and says what we tell it.
    pub(in crate::feed) fn hear_peer(
        &mut self,
        from: IpAddr,
        vouched: Option<&[SocketAddr]>,
        message: Message,
    ) -> Result<Message, String> {
        let Some(cluster) = &self.cluster else { return Err("this nameserver has no cluster".to_owned()) };
        if message.server == cluster.server {
            return Ok(self.message(false));
        }
        let Some(index) = cluster.find(from, vouched, &message) else {
            return Err(format!("{from} is none of the peers of {}", cluster.name));
        };
        let is_reached = cluster.peers[index].is_reached(Instant::now());
        let is_understood = self.take_message(index, message);
        // One that cannot reach us hears all of it, one that does not understand us the head alone.
        Ok(self.message(is_understood && !is_reached))
    }

    /// Tells the others what was ordered, and says who took it once that is known.
    pub(in crate::feed) fn spread_orders(
        &mut self,
        about: Option<Vec<Override>>,
        answer: oneshot::Sender<Vec<Applied>>,
    ) {
        self.watch_peers();
        self.tell_peers();
        let Some(cluster) = &mut self.cluster else {
            // Who asked may have gone away meanwhile.
            let _gone = answer.send(Vec::new());
            return;
        };
        let left = cluster.others().map(|peer| peer.address).collect();
        let applied = vec![Applied { server: cluster.address(), because: None }];
        let until = Instant::now() + PATIENCE;
        cluster.waiting.push(Waiting { sequence: cluster.sequence, until, about, left, applied, answer });
        cluster.answer_waiting(Instant::now());
    }

    fn tell_peers(&mut self) {
        let message = self.message(true);
        let Some(cluster) = &mut self.cluster else { return };
        (cluster.sent, cluster.due) = (Instant::now(), Instant::now() + EVERY);
        let body = match encode(message) {
            Ok(body) => body,
            Err(error) => return tracing::error!(%error, "other nameservers are told nothing: it cannot be written"),
        };
        // Tokens are letters and digits, as was checked when they were read.
        let authorization = self.inputs.tokens.own().and_then(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        cluster.sequence += 1;
        cluster.outbox.send_replace(Some(Arc::new(Outgoing { sequence: cluster.sequence, body, authorization })));
    }

    /// What there is to tell.
    fn message(&mut self, has_report: bool) -> Message {
        let report = has_report.then(|| self.controller.report(&self.inputs.fleet, self.inputs.geo.regions()));
        let Some(cluster) = &mut self.cluster else { return Message::default() };
        if cluster.inputs.0 != self.generation {
            cluster.inputs = (self.generation, self.inputs.parts.told(&self.inputs.fleet));
        }
        let of = (self.generation, cluster.agreement.version());
        if cluster.idle.0 != of {
            cluster.idle = (of, self.orders.idle(&self.inputs));
        }
        Message {
            protocol: PROTOCOL,
            server: cluster.server,
            name: cluster.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen: Some(cluster.listen),
            clock: clock(),
            inputs: cluster.inputs.1.clone(),
            decrees: cluster.agreement.decrees().cloned().collect(),
            idle: cluster.idle.1.clone(),
            report,
        }
    }

    fn take_pushed(&mut self, pushed: Pushed) {
        let Pushed { peer: address, sequence, result } = pushed;
        let Some(cluster) = &mut self.cluster else { return };
        let Some(index) = cluster.peers.iter().position(|peer| peer.address == address) else { return };
        let result = match result {
            Ok(message) if message.server == cluster.server => {
                if !std::mem::replace(&mut cluster.peers[index].is_self, true) {
                    tracing::info!("{address} of cluster.peers is this nameserver itself");
                }
                Ok(())
            }
            Ok(message) => {
                // Somebody else may have the address by now.
                cluster.peers[index].is_self = false;
                cluster.peers[index].reached(Instant::now());
                self.take_message(index, message);
                Ok(())
            }
            Err(why) => {
                let (NotTold::Refused(because) | NotTold::Unreached(because)) = &why;
                tracing::debug!(%address, because, "another nameserver could not be told");
                let because = because.clone();
                cluster.peers[index].not_told(why);
                Err(because)
            }
        };
        let Some(cluster) = &mut self.cluster else { return };
        let is_self = cluster.peers[index].is_self;
        let mut all = std::mem::take(&mut cluster.waiting);
        for waiting in &mut all {
            if sequence >= waiting.sequence && waiting.left.contains(&address) {
                waiting.left.retain(|left| *left != address);
                if !is_self {
                    waiting.applied.push(cluster.judge(address, result.as_ref().err(), waiting.about.as_deref()));
                }
            }
        }
        cluster.waiting = all;
    }

    /// Takes a message of the peer at this place, and says whether it was understood.
    fn take_message(&mut self, index: usize, message: Message) -> bool {
        let generation = self.generation;
        let Some(cluster) = &mut self.cluster else { return false };
        if cluster.inputs.0 != generation {
            cluster.inputs = (generation, self.inputs.parts.told(&self.inputs.fleet));
        }
        let unix = clock();
        let address = cluster.peers[index].address;
        if !cluster.peers[index].hear(&message, &cluster.inputs.1, unix, Instant::now()) {
            return false;
        }
        // What was ordered here meanwhile is said before what they say.
        cluster.agreement.observe(&self.orders.standing(), unix);
        let peer = &cluster.peers[index];
        let sound = message.decrees.into_iter().filter(is_sound).map(|decree| peer.by_our_clock(decree));
        let sound: Vec<Decree> = sound.collect();
        let before = cluster.agreement.version();
        let changes = cluster.agreement.merge(&sound, unix);
        // Also that something was lifted which never stood here: whoever comes back with it must not bring it back.
        let is_new = cluster.agreement.version() != before;
        if let Some(report) = message.report {
            self.controller.take_report(&address.to_string(), report, self.epoch.elapsed().as_secs_f64());
        }
        self.take_changes(address, changes);
        if is_new {
            self.save_orders(None);
        }
        true
    }

    /// Steers by what was ordered elsewhere.
    fn take_changes(&mut self, peer: SocketAddr, changes: Vec<Change>) {
        let mut changed = Vec::new();
        let board = Arc::clone(&self.board);
        let note = |told: String| board.note("override", Grade::Note, &told);
        for change in changes {
            match change {
                Change::Give(order) => {
                    let (id, who, reason) = (order.id, &order.who, &order.reason);
                    tracing::warn!(id, who, reason, %peer, "override given at another nameserver: {}", order.what);
                    if let Err(because) = check::check(order.what.clone(), &self.inputs) {
                        tracing::warn!(id, "`{}` does nothing here: {because}", order.what);
                    }
                    note(format!("{}: {who} at {peer}: {reason}", order.what));
                    self.orders.adopt(order.clone());
                    changed.push(order);
                }
                Change::Lift(what) => {
                    for order in self.orders.withdraw(&what) {
                        tracing::warn!(id = order.id, who = order.who, %peer, "override lifted at another nameserver: {what}");
                        note(format!("{what}: lifted at {peer}"));
                        changed.push(order);
                    }
                }
            }
        }
        if changed.is_empty() {
            return;
        }
        if let Err(because) = self.follow(&changed) {
            tracing::error!("{because}");
        }
    }
}

/// Tells operators of alarms that begin and end.
fn tell(board: &Board, peer: &str, alarms: &[(&'static str, String)]) {
    for alarm in ALARMS {
        match alarms.iter().find(|(word, _)| *word == alarm) {
            Some((_, told)) => {
                if board.raise(alarm, peer, told) {
                    tracing::warn!(alarm, "{told}");
                }
            }
            None => {
                if board.clear(alarm, peer) {
                    tracing::info!(alarm, "{peer}: {} is over", alarm.replace('_', " "));
                }
            }
        }
    }
}

/// Whether an order of somebody else's can be kept and shown.
fn is_sound(decree: &Decree) -> bool {
    match &decree.said {
        Said::Given(order) => {
            order.id <= MAX_ID
                && order.since <= MAX_SECONDS
                && is_sane(&order.what)
                && order.what.to_string().len() <= MAX_WORDS
                && check::told(&order.who, &order.reason).is_ok()
        }
        Said::Lifted(what) => what.to_string().len() <= MAX_WORDS,
    }
}

/// Whether the numbers of an override make sense anywhere.
fn is_sane(what: &Override) -> bool {
    match what {
        Override::Weight { weight, .. } => (0.0..=1.0).contains(weight),
        Override::Limit { capacity, .. } => capacity.load() > 0.0,
        Override::Freeze | Override::Pin { .. } | Override::Drain { .. } | Override::Policy { .. } => true,
    }
}

/// A message as it is sent. Reports are bounded so that it fits; if it does not all the same, orders matter more.
fn encode(message: Message) -> serde_json::Result<Bytes> {
    let body = serde_json::to_vec(&message)?;
    if body.len() <= MAX_MESSAGE || message.report.is_none() {
        return Ok(Bytes::from(body));
    }
    let octets = body.len();
    tracing::error!(
        "other nameservers hear of orders alone: with flows the message has {octets} octets, {MAX_MESSAGE} fit"
    );
    serde_json::to_vec(&Message { report: None, ..message }).map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::{Limited, Order, PeerFlow, Report, Stamp};

    #[test]
    fn numbers_that_nobody_gives_are_not_taken() {
        let sound = Order {
            id: MAX_ID,
            what: Override::Freeze,
            who: "karl".to_owned(),
            reason: "test".to_owned(),
            since: 1_700_000_000,
            until: Some(u64::MAX),
        };
        let name = || "fra1".to_owned();
        let of = |what| Order { what, ..sound.clone() };
        for (order, is_taken) in [
            (sound.clone(), true),
            (Order { id: MAX_ID + 1, ..sound.clone() }, false),
            (Order { since: u64::MAX, ..sound.clone() }, false),
            (of(Override::Weight { node: name(), weight: 0.5 }), true),
            (of(Override::Weight { node: name(), weight: -0.5 }), false),
            (of(Override::Limit { node: name(), capacity: Limited::Egress(2_000.0) }), true),
            (of(Override::Limit { node: name(), capacity: Limited::Egress(-2_000.0) }), false),
        ] {
            let decree = Decree { stamp: Stamp::default(), said: Said::Given(order) };
            assert_eq!(is_sound(&decree), is_taken, "{decree:?}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_told_without_its_report() {
        let of = |length: usize| {
            let flow = PeerFlow { node: "x".repeat(length), ..PeerFlow::default() };
            let report = Some(Report { flows: vec![flow], ..Report::default() });
            let message = Message { protocol: PROTOCOL, server: 7, report, ..Message::default() };
            Message::read(&encode(message).unwrap()).unwrap()
        };
        assert!(of(10).report.is_some());
        let long = of(MAX_MESSAGE);
        assert!(long.report.is_none() && long.server == 7);
    }
}
