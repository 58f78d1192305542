//! From a query to a typed reply: the look-up through zones (RFC 1034 §4.3.2), and the decision at steered names.

use std::ptr;

use arrayvec::ArrayVec;

use super::{Context, LocatedReason, Observation, Reasons};
use crate::geo::Prefix;
use crate::name::{LookupName, MAX_LABELS, Printed, labels};
use crate::pool::{Family, ServiceId};
use crate::snapshot::Snapshot;
use crate::steer::{Key, SteeringReasons, pick, slot};
use crate::wire::{CLASS_IN, ExtendedError, Item, Owner, Query, Rcode, RecordType, Records, Reply};
use crate::zone::{Found, Rrset, Zone};

/// CNAMEs that are followed; longer chains end there, with the chain so far (RFC 1034 §3.6.2 asks for a bound).
const MAX_CHAIN: usize = 16;

/// Finds what a query without problems gets.
pub(super) fn resolve<'s>(
    snapshot: &'s Snapshot,
    query: &Query<'_>,
    context: &Context,
    mut reasons: Option<&mut Reasons>,
) -> (Reply<'s>, Option<Observation<'s>>) {
    let mut reply = Reply::default();
    let is_transfer = matches!(query.qtype, RecordType::AXFR | RecordType::IXFR);
    if query.qclass != CLASS_IN || is_transfer {
        reply.rcode = Rcode::REFUSED;
        return (reply, None);
    }
    let mut aliased: LookupName;
    let mut name = &query.name;
    let mut owner = Owner::Question;
    loop {
        let hashes = name.suffix_hashes();
        // RFC 4035 §3.1.4.1: DS belongs to the parent, also where parent and child are both served here.
        let above = if query.qtype == RecordType::DS { name.label_count().saturating_sub(1) } else { MAX_LABELS };
        let zone = snapshot.zones.find(name, &hashes, above).or_else(|| snapshot.zones.find(name, &hashes, MAX_LABELS));
        let Some(zone) = zone else {
            // Outside our zones a chain just ends; a question does not belong here.
            if owner == Owner::Question {
                reply.rcode = Rcode::REFUSED;
                reply.error = Some(ExtendedError::NOT_AUTHORITATIVE);
            }
            note(&mut reasons, || format!("{} is in no zone that is served here", Printed(name.wire())));
            return (reply, None);
        };
        if let Some(reasons) = reasons.as_deref_mut() {
            reasons.zone = Some(zone.apex().to_string());
        }
        reply.is_authoritative = true;
        match zone.lookup(name, &hashes, query.qtype).found {
            Found::Records(rrset) | Found::Any(rrset) => {
                note(&mut reasons, || format!("{} has records of the type", Printed(name.wire())));
                reply.answer.push(Item::required(owner, ready(rrset)));
                add_addresses(&mut reply, zone, rrset);
                return (reply, None);
            }
            Found::Steered { service, family } => {
                let observation = steer(snapshot, service, family, query, context, owner, &mut reply, reasons);
                return (reply, observation);
            }
            Found::Cname { record, target } => {
                note(&mut reasons, || format!("{} is an alias of {}", Printed(name.wire()), Printed(target)));
                let is_this = |item: &Item<'_>| matches!(item.records, Records::Ready { bytes, .. } if ptr::eq(bytes, record.bytes));
                if reply.answer.iter().any(is_this) {
                    // RFC 2181 §5: a record is there once; more of a loop would only truncate the reply.
                    note(&mut reasons, || "the aliases are a loop".to_owned());
                    return (reply, None);
                }
                reply.answer.push(Item::required(owner, ready(record)));
                if reply.answer.len() >= MAX_CHAIN {
                    return (reply, None);
                }
                owner = Owner::Target;
                aliased = LookupName::from_wire(target);
                name = &aliased;
            }
            Found::NoData { service } => {
                note(&mut reasons, || format!("{} exists without the type", Printed(name.wire())));
                reply.authority = Some(negative(zone, service.map(|id| snapshot.fleet.service(id).service.ttl.max)));
                return (reply, None);
            }
            Found::NxDomain => {
                note(&mut reasons, || format!("{} does not exist", Printed(name.wire())));
                // RFC 6604 §3: the response code is that of the last name of a chain.
                reply.rcode = Rcode::NXDOMAIN;
                reply.authority = Some(negative(zone, None));
                return (reply, None);
            }
            Found::Referral { cut, ns, .. } => {
                note(&mut reasons, || format!("{} is delegated", Printed(cut)));
                // RFC 1034 §4.3.2 step 3b: a referral is not authoritative; a chain before it is.
                reply.is_authoritative = owner != Owner::Question;
                reply.authority = Some(Item::required(Owner::Name(cut), ready(ns)));
                add_glue(&mut reply, zone, cut, ns);
                return (reply, None);
            }
        }
    }
}

/// Puts the nodes of the decision into the reply.
fn steer<'s>(
    snapshot: &'s Snapshot,
    id: ServiceId,
    family: Family,
    query: &Query<'_>,
    context: &Context,
    owner: Owner<'s>,
    reply: &mut Reply<'s>,
    reasons: Option<&mut Reasons>,
) -> Option<Observation<'s>> {
    let service = snapshot.fleet.service(id);
    let subnet = query.edns.as_ref().and_then(|edns| edns.subnet.as_ref());
    let network = subnet.and_then(|subnet| subnet.network);
    let key = Key::of(network, context.client.ip());
    let located = snapshot.geo.locate(key.network.address());
    let slot = slot(context.now);
    let decision = pick(&snapshot.tables, service, family, located.region, &key, slot, snapshot.seed);
    let records = Records::Addresses { family, nodes: decision.nodes, book: &snapshot.fleet.book };
    reply.answer.push(Item { ttl: Some(decision.ttl), ..Item::required(owner, records) });
    // RFC 7871 §7.2.1: the answer depends on the key's network, and on nothing if the client's is not known.
    reply.scope = if network.is_some() { key.network.length() } else { 0 };

    if let Some(reasons) = reasons {
        let region = snapshot.geo.region(located.region);
        reasons.service = Some(service.service.name.to_string());
        reasons.located = Some(LocatedReason {
            network: key.network.to_string(),
            source: if network.is_some() { "client subnet" } else { "resolver's address" }.to_owned(),
            region: region.name.clone(),
            region_network: Prefix::of(key.network.address(), located.prefix).to_string(),
        });
        reasons.scope = subnet.map(|_| match network {
            Some(_) => format!("/{}: region and nodes follow from the network cut to that", reply.scope),
            None => "/0: the client asked not to be located".to_owned(),
        });
        reasons.steering =
            Some(SteeringReasons::of(&snapshot.fleet, &snapshot.tables, service, family, located.region, &decision));
    }
    Some(Observation {
        key: decision.hash,
        region: located.region,
        pool: service.pool,
        nodes: decision.nodes,
        ttl: decision.ttl,
    })
}

/// The SOA of a negative answer (RFC 2308 §3), its TTL at most that of the service at the name.
fn negative(zone: &Zone, longest: Option<u32>) -> Item<'_> {
    let soa = zone.negative_soa();
    let ttl = longest.filter(|longest| *longest < soa.ttl);
    Item { ttl, ..Item::required(Owner::Name(zone.apex().wire()), ready(soa)) }
}

/// Addresses of the hosts that NS, MX and SRV records name, where there is room (RFC 1035 §3.3, 2782).
fn add_addresses<'s>(reply: &mut Reply<'s>, zone: &'s Zone, rrset: Rrset<'s>) {
    let before_name = match rrset.rtype {
        RecordType::NS => 0,
        RecordType::MX => 2,
        RecordType::SRV => 6,
        _ => return,
    };
    for data in rrset.rdata() {
        add_host(reply, zone, &data[before_name..], false);
    }
}

/// Glue: addresses of the child's nameservers. Those below the cut must be there (RFC 9471 §2.1);
/// others of this zone are welcome.
fn add_glue<'s>(reply: &mut Reply<'s>, zone: &'s Zone, cut: &[u8], ns: Rrset<'s>) {
    // Those that are required go first: what follows may be left out.
    for is_required in [true, false] {
        for host in ns.rdata() {
            if is_below(host, cut) == is_required {
                add_host(reply, zone, host, is_required);
            }
        }
    }
}

fn add_host<'s>(reply: &mut Reply<'s>, zone: &'s Zone, host: &'s [u8], is_required: bool) {
    let (v4, v6) = zone.addresses(host);
    for rrset in [v4, v6].into_iter().flatten() {
        let item = Item { is_required, ..Item::required(Owner::Name(host), ready(rrset)) };
        if reply.additional.try_push(item).is_err() {
            // More hosts than an answer needs; resolvers ask for the others.
            return;
        }
    }
}

fn is_below(name: &[u8], ancestor: &[u8]) -> bool {
    let Some(start) = name.len().checked_sub(ancestor.len()) else { return false };
    let mut at = 0;
    let starts: ArrayVec<usize, MAX_LABELS> = labels(name)
        .map(|label| {
            let start = at;
            at += 1 + label.len();
            start
        })
        .collect();
    starts.contains(&start) && name[start..].eq_ignore_ascii_case(ancestor)
}

fn ready(rrset: Rrset<'_>) -> Records<'_> {
    Records::Ready { count: rrset.count, bytes: rrset.bytes }
}

fn note(reasons: &mut Option<&mut Reasons>, step: impl FnOnce() -> String) {
    if let Some(reasons) = reasons {
        reasons.steps.push(step());
    }
}
