//! Zones as lists of records: what makes them loadable for everybody, and their master files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use thalweg::name::Name;
use thalweg::wire::RecordType;

/// A zone that is served.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    pub(crate) apex: Name,
    pub(crate) records: Vec<Record>,
}

/// A record in text form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) owner: Name,
    pub(crate) ttl: u32,
    pub(crate) rtype: RecordType,
    pub(crate) data: String,
    /// The name that the data end with: of CNAME, DNAME, NS, MX, SRV and PTR.
    pub(crate) target: Option<Name>,
}

impl Zone {
    /// The zone's name as its file and its table in configurations have it: without the dot at the end.
    pub(crate) fn title(&self) -> String {
        self.apex.to_string().trim_end_matches('.').to_ascii_lowercase()
    }

    /// The zone's master file.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for Record { owner, ttl, rtype, data, target } in &self.records {
            let target = target.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
            let line = format!("{owner} {ttl} {rtype} {data}{target}");
            writeln!(text, "{}", line.replace("  ", " ")).expect("a string takes everything");
        }
        text
    }

    /// Takes out what some server refuses to load.
    pub(crate) fn tidy(&mut self) {
        let apex = self.apex.clone();
        self.records.retain(|record| record.owner.is_at_or_below(&apex));
        // RFC 1034 §3.6.2 and RFC 6672 §2.4: aliases stand alone, and a DNAME does not stand with a zone cut.
        let mut known: BTreeMap<Name, BTreeSet<RecordType>> = BTreeMap::new();
        for record in &self.records {
            known.entry(record.owner.clone()).or_default().insert(record.rtype);
        }
        self.records.retain(|Record { owner, rtype, .. }| {
            let has = |rtype| known[owner].contains(&rtype);
            let (is_apex, is_cut) = (*owner == apex, has(RecordType::NS) && !owner.is_wildcard());
            match *rtype {
                RecordType::SOA => is_apex,
                // RFC 4592 §4.2 leaves open what NS at a wildcard means.
                RecordType::NS => is_apex || is_cut,
                RecordType::CNAME => !is_apex && !is_cut,
                RecordType::DNAME => is_apex || !(is_cut || has(RecordType::CNAME)),
                RecordType::DS => is_cut && !is_apex,
                _ => is_apex || is_cut || !has(RecordType::CNAME),
            }
        });
        // One alias a name, and each record once.
        let mut seen = BTreeSet::new();
        self.records.retain(|Record { owner, rtype, data, target, .. }| match *rtype {
            RecordType::CNAME | RecordType::DNAME => seen.insert((owner.clone(), *rtype, String::new(), None)),
            _ => seen.insert((owner.clone(), *rtype, data.clone(), target.clone())),
        });
        // RFC 2181 §5.2: one TTL for an RRset.
        let mut ttls = BTreeMap::new();
        for record in &mut self.records {
            record.ttl = *ttls.entry((record.owner.clone(), record.rtype)).or_insert(record.ttl);
        }
    }
}

/// Takes out what is below a DNAME: RFC 6672 §2.4 forbids it, and NSD looks for it beyond the borders of zones.
pub(crate) fn tidy_dnames(zones: &mut [Zone]) {
    let apexes: Vec<Name> = zones.iter().map(|zone| zone.apex.clone()).collect();
    let is_above_zone = |owner: &Name| apexes.iter().any(|apex| apex != owner && apex.is_at_or_below(owner));
    for zone in &mut *zones {
        zone.records.retain(|record| record.rtype != RecordType::DNAME || !is_above_zone(&record.owner));
    }
    let records = zones.iter().flat_map(|zone| &zone.records);
    let dnames: BTreeSet<Name> =
        records.filter(|record| record.rtype == RecordType::DNAME).map(|record| record.owner.clone()).collect();
    let is_below =
        |owner: &Name| std::iter::successors(owner.parent(), Name::parent).any(|name| dnames.contains(&name));
    for zone in zones {
        zone.records.retain(|record| !is_below(&record.owner));
    }
}

/// The name one label below another, if that is not too long.
pub(crate) fn child(label: &[u8], parent: &Name) -> Option<Name> {
    Name::from_wire(&[&[label.len() as u8], label, parent.wire()].concat()).ok()
}

/// The name with its letters in any case.
pub(crate) fn mixed(name: &Name, mut is_upper: impl FnMut() -> bool) -> Name {
    let mut wire = name.wire().to_vec();
    for octet in &mut wire {
        // Length octets are below 64, letters above.
        if octet.is_ascii_lowercase() && is_upper() {
            octet.make_ascii_uppercase();
        }
    }
    Name::from_wire(&wire).expect("case does not touch lengths")
}
