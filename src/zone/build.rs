//! From records and steered names to the zone as it is served.

use std::borrow::Cow;

use arrayvec::ArrayVec;

use super::Steered;
use super::check::{self, Findings, Owner, SteeredOwner, WhoamiOwner};
use super::denial::Denial;
use super::hidden;
use super::layout;
use super::records::Records;
use super::sign::is_of_signing;
use super::store::{self, APEX, NONE, Node, Slot, Steering, Zone};
use super::targets::check_targets;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::name::{self, MAX_LABELS, Name};
use crate::wire::RecordType;

impl Zone {
    /// Makes a zone of a file's records and of the names that are steered in it, which must be at or below its apex.
    ///
    /// There is no zone if any diagnostic is an error, or if reading the records gave one.
    pub fn build(records: &Records, steered: &[Steered]) -> (Option<Self>, Vec<Diagnostic>) {
        Self::build_with_whoami(records, steered, None)
    }

    /// The same, with a name at which whoever asks is told what the server sees of it.
    pub fn build_with_whoami(
        records: &Records,
        steered: &[Steered],
        whoami: Option<&Name>,
    ) -> (Option<Self>, Vec<Diagnostic>) {
        let findings = Findings::new(records);
        let claimants = Claimants { records, steered, whoami };
        let mut builder = Builder {
            claimants,
            zone: empty_zone(records),
            path: Vec::with_capacity(MAX_LABELS),
            slots: Vec::with_capacity(records.runs.len() + 1),
            entries: Vec::new(),
            is_full: false,
            findings,
        };
        let claims = builder.claims();
        for group in claims.chunk_by(|a, b| a.key == b.key && claimants.name(*a) == claimants.name(*b)) {
            builder.add_owner(group);
            if builder.is_full {
                builder
                    .findings
                    .of_zone(Diagnostic::error("the zone is too large: more than 4 GiB of names and records"));
                return (None, builder.findings.into_diagnostics());
            }
        }
        drop(claims);
        builder.finish()
    }
}

impl Zone {
    /// A zone that is ours and of which we have nothing: it has come from nobody yet, or has expired.
    pub fn absent(origin: &Name) -> Self {
        let mut zone = empty_zone(&Records::new(origin.clone()));
        let apex = origin.lower_wire();
        let node = zone.add(&apex, 0, 1, NONE);
        zone.slots = store::table(&[Slot { hash: name::hash_wire(&apex), node }]);
        zone.is_absent = true;
        zone
    }
}

/// A zone that is being made.
struct Builder<'r> {
    claimants: Claimants<'r>,
    zone: Zone,
    /// From the apex down to the last node.
    path: Vec<Slot>,
    /// Of all nodes, in their order.
    slots: Vec<Slot>,
    /// The numbers of one owner's records; here, so that it is allocated once.
    entries: Vec<usize>,
    /// What comes next might not be reached by places of 32 bits.
    is_full: bool,
    findings: Findings<'r>,
}

/// Who says that names exist: runs of records, behind them steered names, then `server.whoami`.
#[derive(Clone, Copy)]
struct Claimants<'r> {
    records: &'r Records,
    steered: &'r [Steered],
    whoami: Option<&'r Name>,
}

impl<'r> Claimants<'r> {
    fn count(self) -> usize {
        self.records.runs.len() + self.steered.len() + usize::from(self.whoami.is_some())
    }

    /// The records that the claim stands for.
    fn run(self, claim: Claim) -> Option<usize> {
        Some(claim.by as usize).filter(|&run| run < self.records.runs.len())
    }

    /// The steered name that the claim stands for.
    fn steered(self, claim: Claim) -> Option<&'r Steered> {
        (claim.by as usize).checked_sub(self.records.runs.len()).and_then(|index| self.steered.get(index))
    }

    /// `server.whoami`, if the claim stands for it.
    fn whoami(self, claim: Claim) -> Option<&'r Name> {
        self.whoami.filter(|_| claim.by as usize == self.records.runs.len() + self.steered.len())
    }

    /// The name in lower-case wire form.
    fn name(self, claim: Claim) -> Cow<'r, [u8]> {
        match self.steered(claim).map(|steered| &steered.owner).or(self.whoami(claim)) {
            Some(owner) => owner.lower_wire().into_vec().into(),
            None => self.records.name(self.records.runs[claim.by as usize].name).into(),
        }
    }
}

/// That a name exists: a run of records or a steered name says so.
#[derive(Clone, Copy)]
struct Claim {
    key: SortKey,
    by: u32,
}

/// The first octets of a name as canonical order compares them: two words instead of two far-off names.
///
/// Labels from the apex down, each ended by 0; inside labels 0 and 1 are written 1 1 and 1 2.
type SortKey = [u64; 2];

impl<'r> Builder<'r> {
    /// All names that are claimed, in canonical order (RFC 4034 §6.1); for equal ones in that of the file.
    fn claims(&mut self) -> Vec<Claim> {
        let Self { claimants, findings, .. } = self;
        let origin = &claimants.records.origin;
        let mut claims = Vec::with_capacity(claimants.count());
        for by in 0..claimants.count() {
            let claim = Claim { key: [0; 2], by: by as u32 };
            if let Some(Steered { owner, .. }) = claimants.steered(claim)
                && !owner.is_at_or_below(origin)
            {
                findings.of_zone(Diagnostic::error(format!("the service `{owner}` is outside the zone `{origin}`")));
                continue;
            }
            claims.push(Claim { key: sort_key(&claimants.name(claim), origin.wire().len()), ..claim });
        }
        claims.sort_unstable_by(|a, b| {
            let names = || name::canonical_order(&claimants.name(*a), &claimants.name(*b));
            a.key.cmp(&b.key).then_with(names).then(a.by.cmp(&b.by))
        });
        claims
    }

    /// Adds the node of a name, after the empty non-terminals above it.
    fn add_owner(&mut self, claims: &[Claim]) {
        let claimants = self.claimants;
        let records = claimants.records;
        let name = claimants.name(claims[0]);
        let mut entries = std::mem::take(&mut self.entries);
        entries.clear();
        let runs = claims.iter().filter_map(|claim| claimants.run(*claim));
        entries.extend(runs.flat_map(|run| records.entries_of(run)));
        let octets: usize = entries.iter().map(|&entry| store::most_octets(records.rdata(entry).len())).sum();
        self.is_full = u32::try_from(self.zone.arena.len() + store::MOST_NODES + octets).is_err();
        if self.is_full {
            return;
        }
        let node = self.add_nodes(&name);
        let rtype = |entry: &usize| records.entries[*entry].rtype;
        entries.sort_by_key(rtype);

        Owner { name: &name, is_apex: node == APEX, entries: &entries }.check(&mut self.findings);
        let is_delegated = node != APEX && entries.iter().any(|entry| rtype(entry) == RecordType::NS);
        for rrset in entries.chunk_by(|a, b| rtype(a) == rtype(b)) {
            self.add_rrset(&name, rrset);
        }
        let size = self.zone.arena.len() as u32 - node;
        self.zone.change(node, |added| {
            added.size = size;
            if is_delegated && added.cut == NONE {
                added.cut = node;
            }
            added.has_dname = entries.iter().any(|entry| rtype(entry) == RecordType::DNAME);
            let mut types = entries.iter().map(rtype);
            added.is_hash = types.clone().any(|rtype| rtype == RecordType::NSEC3)
                && types.all(|rtype| matches!(rtype, RecordType::NSEC3 | RecordType::RRSIG));
        });
        for steered in claims.iter().filter_map(|claim| claimants.steered(*claim)) {
            self.bind(node, steered, &entries);
        }
        for whoami in claims.iter().filter_map(|claim| claimants.whoami(*claim)) {
            let cut = self.zone.node(node).cut;
            let cut = (cut != NONE).then(|| self.zone.owner(cut));
            // What signs it does not take it.
            let is_taken = claims.iter().any(|claim| claimants.steered(*claim).is_some())
                || entries.iter().map(rtype).any(|rtype| !is_of_signing(rtype));
            WhoamiOwner { whoami, cut, is_taken }.check(&mut self.findings);
            self.zone.whoami = node;
        }
        self.entries = entries;
    }

    /// Adds the name and what is missing above it; the place of the name's node.
    fn add_nodes(&mut self, name: &[u8]) -> u32 {
        let starts = label_starts(name);
        let labels = starts.len() - 1;
        // Where the suffix of so many labels starts in the name.
        let suffix = |count: usize| starts[labels - count];
        while let Some(&last) = self.path.last() {
            let depth = self.zone.apex_labels + self.path.len() - 1;
            if depth <= labels && self.zone.owner(last.node) == &name[suffix(depth)..] {
                break;
            }
            self.path.pop();
        }
        self.zone.most_labels = self.zone.most_labels.max(labels);
        while self.zone.apex_labels + self.path.len() <= labels {
            let depth = self.zone.apex_labels + self.path.len();
            self.add_node(name, suffix(depth), labels - depth + 1);
        }
        self.path.last().map_or(APEX, |last| last.node)
    }

    /// Adds the node of the suffix of an owner's name that starts at an octet; so many are missing, this one included.
    fn add_node(&mut self, owner: &[u8], start: usize, missing: usize) {
        let name = &owner[start..];
        let (cut, hash) = match self.path.last() {
            Some(&parent) => {
                let label = &name[1..1 + usize::from(name[0])];
                let Node { cut, has_dname, .. } = self.zone.node(parent.node);
                let cut = if has_dname && cut == NONE { parent.node } else { cut };
                (cut, name::extend_hash(parent.hash, label))
            }
            None => (NONE, name::hash_wire(name)),
        };
        let node = self.zone.add(owner, start, missing, cut);
        if let (Some(parent), true) = (self.path.last(), name.starts_with(b"\x01*")) {
            self.zone.change(parent.node, |parent| parent.wildcard = node);
        }
        let slot = Slot { hash, node };
        self.slots.push(slot);
        self.path.push(slot);
    }

    fn add_rrset(&mut self, owner: &[u8], entries: &[usize]) {
        let records = self.claimants.records;
        let mut entries = without_duplicates(records, entries);
        let rtype = records.entries[entries[0]].rtype;
        if rtype == RecordType::RRSIG {
            // RFC 4035 §2.2: each belongs to the RRset that it covers, and has the TTL of that.
            entries.to_mut().sort_by_key(|&entry| records.rdata(entry).first_chunk::<2>().copied());
        } else {
            check::check_rrset(owner, &entries, &mut self.findings);
        }
        // RFC 2181 §5.2 wants one TTL; the lowest never outlives what the operator meant.
        let ttl = entries.iter().map(|&entry| records.entries[entry].ttl).min().unwrap_or(0);
        // More than fit have been reported.
        let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
        let octets: usize = entries.iter().map(|&entry| store::record_length(records.rdata(entry).len())).sum();
        self.zone.arena.extend(store::rrset_head(rtype, count, octets as u32));
        for &entry in &*entries {
            let ttl = if rtype == RecordType::RRSIG { records.entries[entry].ttl } else { ttl };
            store::push_record(&mut self.zone.arena, rtype, ttl, records.rdata(entry));
        }
    }

    fn bind(&mut self, node: u32, steered: &'r Steered, entries: &[usize]) {
        let &Steered { service, has_v4, has_v6, .. } = steered;
        let cut = self.zone.node(node).cut;
        let is_renamed = cut != NONE && self.zone.is_dname(cut);
        let cut = (cut != NONE).then(|| self.zone.owner(cut));
        SteeredOwner { steered, cut, is_renamed, entries }.check(&mut self.findings);
        if self.zone.node(node).steering.service.is_some() {
            self.findings.of_zone(Diagnostic::error(format!("the service `{}` is given twice", steered.owner)));
        }
        self.zone.change(node, |node| node.steering = Steering { service: Some(service), has_v4, has_v6 });
    }

    /// Makes the table, and looks at what can be judged only now.
    fn finish(self) -> (Option<Zone>, Vec<Diagnostic>) {
        let Self { claimants, mut zone, slots, mut findings, .. } = self;
        zone.slots = store::table(&slots);
        drop(slots);
        zone.arena.shrink_to_fit();

        check::check_apex(&zone, &mut findings);
        let has_apex = zone.node_count() > 0 && zone.close_soa();
        if has_apex {
            zone.find_denial();
        }
        if has_apex {
            check_targets(&zone, &mut findings);
            hidden::check_hidden(&zone, &mut findings);
        }
        let diagnostics = findings.into_diagnostics();
        let is_good = has_apex && claimants.records.is_whole && !has_errors(&diagnostics);
        (is_good.then_some(zone), diagnostics)
    }
}

impl Zone {
    /// Takes serial and negative TTL from the SOA record; false if there is none.
    fn close_soa(&mut self) -> bool {
        let Some(soa) = self.rrset(APEX, RecordType::SOA) else {
            return false;
        };
        let Some((rdata, tail)) =
            soa.rdata().next().and_then(|rdata| rdata.last_chunk::<20>().map(|tail| (rdata, *tail)))
        else {
            return false;
        };
        let [s0, s1, s2, s3, .., m0, m1, m2, m3] = tail;
        // RFC 2308 §3: the TTL of a negative answer's SOA is the lesser of the two.
        let ttl = soa.ttl.min(u32::from_be_bytes([m0, m1, m2, m3]));
        let mut negative = Vec::new();
        store::push_record(&mut negative, RecordType::SOA, ttl, rdata);
        self.serial = u32::from_be_bytes([s0, s1, s2, s3]);
        self.negative_soa = negative.into();
        true
    }
}

fn empty_zone(records: &Records) -> Zone {
    // Names and RRsets are mostly fewer than runs and records; with empty non-terminals the arena may grow.
    let data: usize = records.entries.iter().map(|entry| store::most_octets(usize::from(entry.length))).sum();
    Zone {
        apex: records.origin.clone(),
        apex_labels: records.origin.label_count(),
        most_labels: 0,
        serial: 0,
        arena: Vec::with_capacity(data + records.names.len() + records.runs.len() * Node::HEAD),
        node_count: 0,
        slots: Vec::new(),
        negative_soa: Box::new([]),
        whoami: NONE,
        denial: Denial::default(),
        signatures_end: None,
        signer: None,
        transferred: None,
        is_absent: false,
    }
}

/// The records of an RRset, each once, in the order of the file (RFC 2181 §5).
fn without_duplicates<'e>(records: &Records, entries: &'e [usize]) -> Cow<'e, [usize]> {
    if entries.len() < 2 {
        return entries.into();
    }
    let rtype = records.entries[entries[0]].rtype;
    let mut by_data: Vec<(Box<[u8]>, usize)> =
        entries.iter().map(|&entry| (layout::canonical(rtype, records.rdata(entry)), entry)).collect();
    by_data.sort_unstable();
    by_data.dedup_by(|later, earlier| later.0 == earlier.0);
    let mut kept: Vec<usize> = by_data.into_iter().map(|(_, entry)| entry).collect();
    kept.sort_unstable();
    kept.into()
}

/// Where each label starts, the root's included.
fn label_starts(name: &[u8]) -> ArrayVec<usize, { MAX_LABELS + 1 }> {
    let mut starts = ArrayVec::new();
    let mut at = 0;
    for label in name::labels(name) {
        starts.push(at);
        at += 1 + label.len();
    }
    starts.push(at);
    starts
}

fn sort_key(name: &[u8], apex_length: usize) -> SortKey {
    let mut key = [0u8; 16];
    let mut free = key.iter_mut();
    let mut put = |octet: u8| free.next().map(|place| *place = octet).is_some();
    let below_apex = &name[..name.len() - apex_length];
    let starts = label_starts(name);
    'labels: for &start in starts.iter().rev().filter(|&&start| start < below_apex.len()) {
        let label = &name[start + 1..start + 1 + usize::from(name[start])];
        for &octet in label {
            let fits = match octet {
                0 | 1 => put(1) && put(octet + 1),
                other => put(other),
            };
            if !fits {
                break 'labels;
            }
        }
        if !put(0) {
            break;
        }
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = key;
    [u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes([i, j, k, l, m, n, o, p])]
}
