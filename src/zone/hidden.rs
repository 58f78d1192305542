//! Data that no query gets to see, and names for which a wildcard does not answer: mostly neither is meant.

use std::collections::{BTreeMap, HashSet};

use super::check::Findings;
use super::layout;
use super::store::{NONE, Zone};
use crate::diagnostic::Diagnostic;
use crate::name::{self, LookupName, Printed};
use crate::wire::RecordType;

/// Warns of data at and below zone cuts that are no glue, of data below DNAMEs, and of names beside wildcards that
/// lack what the wildcard gives.
pub(super) fn check_hidden(zone: &Zone, findings: &mut Findings<'_>) {
    // After an error, what seems to be missing may just not have been read.
    if !findings.records().is_whole {
        return;
    }
    let has_occluded = zone.nodes().any(|(_, node)| node.cut != NONE);
    let shadowed = shadowed(zone);
    // Most zones have neither, and then nothing is looked up.
    if !has_occluded && shadowed.is_empty() {
        return;
    }
    let nameservers = if has_occluded { nameservers(zone) } else { HashSet::new() };
    let mut occluded: BTreeMap<u32, Hidden> = BTreeMap::new();
    let mut beside: BTreeMap<u32, usize> = BTreeMap::new();
    let records = findings.records();
    for (run, at) in records.runs.iter().enumerate() {
        let owner = LookupName::from_wire(records.name(at.name));
        let Some(node) = zone.find(&owner, owner.label_count()) else {
            continue;
        };
        let entries = records.entries_of(run);
        if shadowed.contains_key(&node) {
            beside.entry(node).or_insert(entries.start);
        }
        let occluder = zone.node(node).cut;
        if occluder == NONE {
            continue;
        }
        for entry in entries {
            let is_of_use = !zone.is_dname(occluder)
                && match records.entries[entry].rtype {
                    RecordType::NS | RecordType::DS | RecordType::NSEC | RecordType::RRSIG => node == occluder,
                    RecordType::A | RecordType::AAAA => nameservers.contains(&node),
                    _ => false,
                };
            if !is_of_use {
                occluded.entry(occluder).or_insert(Hidden { entry, count: 0 }).count += 1;
            }
        }
    }
    for (occluder, hidden) in occluded {
        findings.of_record(hidden.entry, occlusion(zone, occluder, hidden.count));
    }
    for (node, entry) in beside {
        findings.of_record(entry, shadowed[&node].warning(zone));
    }
}

/// A record that stands for all that are hidden by the same name.
struct Hidden {
    entry: usize,
    count: usize,
}

fn occlusion(zone: &Zone, occluder: u32, count: usize) -> Diagnostic {
    let (owner, more) = (Printed(zone.owner(occluder)), others(count, "record"));
    if zone.is_dname(occluder) {
        let message = format!("no query gets this record{more}: below the DNAME record of `{owner}` there is nothing");
        return Diagnostic::warning(message)
            .help("names below a DNAME are led to another name (RFC 6672); put it there");
    }
    let message = format!("no query gets this record{more}: `{owner}` is delegated");
    let help = "here only NS and DS records and the addresses of nameservers are of use; \
                all else belongs into the child's own zone file";
    Diagnostic::warning(message).help(help)
}

/// ` or 3 other records`; nothing if there is but one.
fn others(count: usize, noun: &str) -> String {
    match count {
        0 | 1 => String::new(),
        2 => format!(", or one other {noun}"),
        _ => format!(", or {} other {noun}s", count - 1),
    }
}

/// The nodes that NS records of the zone point at, so that their addresses may be glue.
fn nameservers(zone: &Zone) -> HashSet<u32> {
    let mut nameservers = HashSet::new();
    for (_, rrset) in zone.rrsets().filter(|(_, rrset)| rrset.rtype == RecordType::NS) {
        for target in rrset.rdata().filter_map(|rdata| layout::target(RecordType::NS, rdata)) {
            let target = LookupName::from_wire(&target.to_ascii_lowercase());
            if let Some(node) = zone.find(&target, target.label_count()) {
                nameservers.insert(node);
            }
        }
    }
    nameservers
}

/// What a wildcard would answer, did it not exist.
#[derive(Debug, Clone, Copy)]
struct Shadowed {
    wildcard: u32,
    /// The name; the node whose record is blamed may be below it.
    node: u32,
    /// How many names there are beside the wildcard of which the same holds.
    count: usize,
}

impl Shadowed {
    fn warning(self, zone: &Zone) -> Diagnostic {
        let (name, wildcard) = (Printed(zone.owner(self.node)), Printed(zone.owner(self.wildcard)));
        let more = match self.count {
            1 => String::new(),
            2 => ", nor for one other name".to_owned(),
            count => format!(", nor for {} other names", count - 1),
        };
        let message = format!("`{name}` has no address, and the wildcard `{wildcard}` does not answer for it{more}");
        let help = "a name that exists is not covered by a wildcard (RFC 4592); give it an address or alias of its own";
        Diagnostic::warning(message).help(help)
    }
}

/// For each wildcard that gives addresses: the first name beside it that exists without having any, by the node whose
/// record is to be blamed.
///
/// That names hide the wildcard from what is below them is what wildcards are used with, so it is not warned of. Nor
/// are service labels, as in `_dmarc`, which no address is asked of, nor empty non-terminals, but for those which only
/// have service labels below them: who writes `_sip._tcp.voice` takes `voice` for a name that works.
fn shadowed(zone: &Zone) -> BTreeMap<u32, Shadowed> {
    let mut found = BTreeMap::new();
    for (parent, node) in zone.nodes().filter(|(_, node)| node.wildcard != NONE) {
        if !gives_addresses(zone, node.wildcard) {
            continue;
        }
        let names = children(zone, parent).filter(|&child| child != node.wildcard);
        let mut first = None;
        let mut count = 0;
        for (child, blamed) in names.filter_map(|child| Some((child, without_addresses(zone, child)?))) {
            first = first.or(Some((child, blamed)));
            count += 1;
        }
        if let Some((child, blamed)) = first {
            found.insert(blamed, Shadowed { wildcard: node.wildcard, node: child, count });
        }
    }
    found
}

fn gives_addresses(zone: &Zone, node: u32) -> bool {
    let known = zone.node(node);
    let of_address = |rtype| matches!(rtype, RecordType::A | RecordType::AAAA | RecordType::CNAME);
    known.cut == NONE && (known.steering.service.is_some() || zone.rrsets_of(node).any(|rrset| of_address(rrset.rtype)))
}

/// The node whose record is to be blamed if the name is one that should have addresses and has none.
fn without_addresses(zone: &Zone, node: u32) -> Option<u32> {
    let is_service = |node| zone.owner(node).get(1) == Some(&b'_');
    if is_service(node) || zone.node(node).cut != NONE || gives_addresses(zone, node) {
        return None;
    }
    let has_records = |node: &u32| zone.rrsets_of(*node).next().is_some();
    if has_records(&node) {
        return Some(node);
    }
    let are_services = children(zone, node).all(is_service);
    let mut below = behind(zone, node);
    below.find(has_records).filter(|_| are_services)
}

/// The nodes just below a node. In canonical order all that is below it follows it.
fn children(zone: &Zone, parent: u32) -> impl Iterator<Item = u32> {
    let name = zone.owner(parent);
    let depth = |node: u32| {
        let owner = zone.owner(node);
        let mut start = 0;
        for (depth, label) in name::labels(owner).enumerate() {
            if owner.len() - start == name.len() {
                return (owner[start..] == *name).then_some(depth);
            }
            start += 1 + label.len();
        }
        (owner[start..] == *name).then(|| name::labels(owner).count())
    };
    behind(zone, parent)
        .map_while(move |node| Some((node, depth(node)?)))
        .filter(|(_, depth)| *depth == 1)
        .map(|(node, _)| node)
}

/// The nodes that follow a node.
fn behind(zone: &Zone, node: u32) -> impl Iterator<Item = u32> {
    zone.nodes_from(node).skip(1).map(|(at, _)| at)
}
