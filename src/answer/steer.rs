//! The answer at a steered name: who asks, what is known of that key, which nodes it gets.

use super::resolve::{Resolution, Step, ready};
use super::{LocatedReason, SubjectKind};
use crate::geo::{Located, Prefix};
use crate::name::LookupName;
use crate::pool::{Family, HashKey, Policy, ServiceId};
use crate::snapshot::Snapshot;
use crate::steer::{
    Asker, Asking, Decision, Estimate, FleetService, Key, KeySlot, Observation, SteeringReasons, name_hash, pick, slot,
};
use crate::wire::{ExtendedError, Item, Records};

impl<'s> Resolution<'s, '_> {
    /// Puts the nodes of the decision into the reply, or where else viewers are sent. The client's key may be `known`.
    pub(super) fn steer(
        &mut self,
        id: ServiceId,
        family: Family,
        step: &Step<'s, '_>,
        known: Option<u64>,
    ) -> Option<Observation<'s>> {
        let snapshot = self.snapshot;
        let name = step.name;
        let service = snapshot.fleet.service(id);
        let subnet = self.query.edns.as_ref().and_then(|edns| edns.subnet.as_ref());
        let network = subnet.and_then(|subnet| subnet.network);
        let key = Key::of(network, self.context.client.ip());
        let located = snapshot.geo.locate(key.network.address());
        let (estimate, place) = self.estimate(id, service, family, &key, &located, name, known);
        let hash = match (self.query.stream, snapshot.fleet.pool(service.pool).policy) {
            (Some(stream), Policy::Hash { .. }) => stream,
            _ => key_hash(snapshot, service, &key, name),
        };
        let asker = Asker { region: located.region, hash, estimate, slot: slot(self.context.now) };
        let decision = pick(&snapshot.tables, service, family, &asker);
        if let (Some(keys), Some(place)) = (&mut self.keys, place) {
            keys.answered(place, decision.ttl, self.context.now);
        }
        // RFC 7871 §7.2.1: the answer depends on the key's network, and on nothing if the client's is not known.
        self.reply.options.scope = network.map_or(0, |network| key.scope(network));
        if self.reasons.is_some() {
            self.explain(service, family, &key, &located, &asker, &decision);
        }
        self.put(service, family, step, &decision);
        decision.site?;
        Some(Observation {
            region: located.region,
            pool: service.pool,
            family,
            nodes: decision.nodes,
            ttl: decision.ttl,
            estimate,
        })
    }

    /// What is known of the client's key; the table learns of the query.
    #[expect(clippy::too_many_arguments, reason = "all of it makes the key")]
    #[inline]
    fn estimate(
        &mut self,
        id: ServiceId,
        service: &FleetService,
        family: Family,
        key: &Key,
        located: &Located,
        name: &LookupName,
        known: Option<u64>,
    ) -> (Estimate, Option<KeySlot>) {
        let Some(keys) = &mut self.keys else { return (self.context.estimate, None) };
        // All names of a wildcard service have keys of their own: viewers of one room say nothing of another.
        let demand = self.snapshot.tables.pools[usize::from(service.pool.0)].demand(located.region);
        let asking = Asking {
            key: known.unwrap_or_else(|| keys.key(self.context.client.ip(), key, u64::from(name.hash_of_all()))),
            service: id,
            family,
            now: self.context.now,
            typical: demand.map_or(0.0, |demand| demand.plain),
        };
        let (estimate, place) = keys.observe(&asking);
        (estimate, Some(place))
    }

    /// The records of the decision.
    #[inline]
    fn put(&mut self, service: &'s FleetService, family: Family, step: &Step<'s, '_>, decision: &Decision<'s>) {
        let &Step { zone, name, owner, .. } = step;
        let fleet = &self.snapshot.fleet;
        let ttl = Some(decision.ttl);
        if !decision.nodes.is_empty() {
            let records = Records::Addresses { family, nodes: decision.nodes, book: &fleet.book };
            self.reply.answer.push(Item { ttl, ..Item::required(owner, records) });
            if self.proves(zone) {
                self.sign_steered(step, service, family, decision);
            }
            if decision.is_overfull {
                self.reply.options.error = Some(ExtendedError::ALL_FULL);
            }
            return;
        }
        let is_apex = name.label_count() == zone.apex_labels();
        let elsewhere = decision.site.and_then(|_| self.snapshot.elsewhere.records(service.pool, family, is_apex));
        if let Some((count, bytes)) = elsewhere {
            self.note(|| "there is no room: viewers are sent elsewhere".to_owned());
            self.reply.answer.push(Item { ttl, ..Item::required(owner, Records::Ready { count, bytes }) });
            if self.proves(zone) {
                self.sign_steered(step, service, family, decision);
            }
            return;
        }
        // A barrier keeps the client from every node: what the zone's file has, else nothing, and why.
        let rtype = family.into();
        self.reply.options.error = Some(ExtendedError::PROHIBITED);
        match zone.fixed(name, rtype) {
            Some(rrset) => {
                self.note(|| "a barrier keeps every node from this client: the zone's own records".to_owned());
                self.reply.answer.push(Item::required(owner, ready(rrset)));
                self.sign_answer(step, rtype);
            }
            None => {
                self.note(|| "a barrier keeps every node from this client".to_owned());
                self.subject.kind = SubjectKind::NoData;
                self.deny_addresses(step, service, family);
            }
        }
    }

    #[cold]
    fn explain(
        &mut self,
        service: &FleetService,
        family: Family,
        key: &Key,
        located: &Located,
        asker: &Asker,
        decision: &Decision<'s>,
    ) {
        let snapshot = self.snapshot;
        let subnet = self.query.edns.as_ref().and_then(|edns| edns.subnet.as_ref());
        let scope = self.reply.options.scope;
        let Some(reasons) = &mut self.reasons else { return };
        reasons.service = Some(service.service.name.to_string());
        reasons.located = Some(LocatedReason {
            network: key.network.to_string(),
            source: if key.is_resolver { "resolver's address" } else { "client subnet" }.to_owned(),
            region: snapshot.geo.region(located.region).name.clone(),
            region_network: Prefix::of(key.network.address(), located.prefix).to_string(),
        });
        reasons.scope = subnet.map(|_| {
            if key.is_resolver {
                "/0: the client asked not to be located".to_owned()
            } else {
                format!("/{scope}: region and nodes follow from the network cut to that")
            }
        });
        let (fleet, tables) = (&snapshot.fleet, &snapshot.tables);
        let region = &snapshot.geo.region(located.region).name;
        reasons.steering = Some(SteeringReasons::of(fleet, tables, service, family, region, asker, decision));
    }
}

/// The hash by which a service finds the nodes of a key.
#[inline]
pub(super) fn key_hash(snapshot: &Snapshot, service: &FleetService, key: &Key, name: &LookupName) -> u64 {
    match snapshot.fleet.pool(service.pool).policy {
        Policy::Hash { key: HashKey::Label, .. } => name_hash(snapshot.seed, leftmost(name)),
        Policy::Hash { key: HashKey::Name, .. } => name_hash(snapshot.seed, name.wire()),
        _ => key.hash(snapshot.seed),
    }
}

/// A name's leftmost label, with its length.
fn leftmost(name: &LookupName) -> &[u8] {
    &name.wire()[..=usize::from(name.wire()[0])]
}
