//! Who am I: tells whoever asks what the server sees of it, in TXT.

use super::Transport;
use super::resolve::{Resolution, Step};
use super::steer::key_hash;
use crate::geo::Prefix;
use crate::name::LookupName;
use crate::pool::Family;
use crate::steer::{Asker, Estimate, FleetService, Key, pick, slot};
use crate::wire::{CLASS_IN, HEADER, Item, MIN_UDP, RecordType, ready_record};

/// Octets that are kept for the head of the record and for the OPT record: with cookie, subnet, and an NSID of 64.
const RESERVED: usize = 12 + 132;
/// Octets of one text, at most.
const MAX_TEXT: usize = 255;

impl<'s> Resolution<'s, '_> {
    /// Puts a record of short texts into the reply, for whoever asks alone.
    #[cold]
    pub(super) fn tell_whoami(&mut self, step: &Step<'s, '_>) {
        let (snapshot, context) = (self.snapshot, self.context);
        let subnet = self.query.edns.as_ref().and_then(|edns| edns.subnet.as_ref());
        let network = subnet.and_then(|subnet| subnet.network);
        let key = Key::of(network, context.client.ip());
        let located = snapshot.geo.locate(key.network.address());
        let transport = match context.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls(_) => "tls",
            Transport::Quic => "quic",
            Transport::Https => "https",
            Transport::Http => "http",
        };
        // A reply that is not much larger than other answers: it fits into what any client takes.
        let mut texts = Texts::new(MIN_UDP.saturating_sub(HEADER + self.query.question().len() + RESERVED));
        texts.tell("resolver", context.client.ip().to_canonical());
        texts.tell("transport", transport);
        texts.tell("subnet", network.map_or_else(|| "none".to_owned(), |network| network.to_string()));
        texts.tell("matched", Prefix::of(key.network.address(), located.prefix));
        texts.tell("region", &snapshot.geo.region(located.region).name);
        if let Some(name) = snapshot.identity.name() {
            texts.tell("nameserver", String::from_utf8_lossy(name));
        }
        texts.tell("generation", snapshot.generation);
        for service in snapshot.fleet.services.iter().filter(|service| !service.service.name.is_wildcard()) {
            let asker =
                |hash| Asker { region: located.region, hash, estimate: Estimate::default(), slot: slot(context.now) };
            texts.tell(service.service.name.to_string().trim_end_matches('.'), self.nodes_of(service, &key, asker));
        }
        let records = self.reply.keep_own(1, &ready_record(RecordType::TXT, CLASS_IN, 0, &texts.rdata));
        self.reply.answer.push(Item::required(step.owner, records));
        let texts = texts.rdata.into_boxed_slice();
        self.sign_own(step, (0, 0), (RecordType::TXT, || vec![texts]));
        // Nobody else may be told this: all of the client's network counts, and nothing is kept.
        self.reply.options.scope = network.map_or(0, Prefix::length);
        self.note(|| "the name tells whoever asks what is seen of it".to_owned());
    }

    /// The names of the nodes that a service would give to this key, were it one of few viewers.
    fn nodes_of(&self, service: &FleetService, key: &Key, asker: impl FnOnce(u64) -> Asker) -> String {
        let (snapshot, fleet) = (self.snapshot, &self.snapshot.fleet);
        let family = if fleet.has_family(service.pool, Family::V4) { Family::V4 } else { Family::V6 };
        let name = LookupName::from_wire(service.service.name.wire());
        let asker = asker(key_hash(snapshot, service, key, &name));
        let decision = pick(&snapshot.tables, service, family, &asker);
        let names: Vec<&str> = decision.nodes.iter().map(|node| fleet.node(*node).node.name.as_str()).collect();
        match (decision.site, names.is_empty()) {
            (_, false) => names.join(","),
            (Some(_), true) => "elsewhere".to_owned(),
            (None, true) => "none".to_owned(),
        }
    }
}

/// Character strings (RFC 1035 §3.3.14), as far as there is room for them.
struct Texts {
    rdata: Vec<u8>,
    room: usize,
}

impl Texts {
    fn new(room: usize) -> Self {
        Self { rdata: Vec::with_capacity(room), room }
    }

    /// Adds `key=value`; what does not fit is left out.
    fn tell(&mut self, key: &str, value: impl std::fmt::Display) {
        let text = format!("{key}={value}");
        if text.len() <= MAX_TEXT && self.rdata.len() + 1 + text.len() <= self.room {
            self.rdata.push(text.len() as u8);
            self.rdata.extend(text.into_bytes());
        }
    }
}
