//! The rules that a zone must keep as a whole (RFC 1034 §3.6.2, RFC 2181 §5 and §10), and what operators get wrong.

use super::Steered;
use super::read::MAX_PROBLEMS;
use super::records::Records;
use super::store::{APEX, Zone};
use crate::diagnostic::Diagnostic;
use crate::name::{self, Name, Printed};
use crate::wire::RecordType;

/// What the rules found, by the record it is about.
pub(super) struct Findings<'r> {
    records: &'r Records,
    found: Vec<(usize, Diagnostic)>,
    errors: usize,
    left_out: usize,
}

impl<'r> Findings<'r> {
    pub(super) fn new(records: &'r Records) -> Self {
        Self { records, found: Vec::new(), errors: 0, left_out: 0 }
    }

    /// The records that they are about.
    pub(super) fn records(&self) -> &'r Records {
        self.records
    }

    /// All of them, those about the zone as a whole first, the others in the order of the file.
    pub(super) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        if self.left_out > 0 {
            let message = format!("{} more problems of its records are not shown", self.left_out);
            self.of_zone(Diagnostic::warning(message).help("mend the others first"));
        }
        self.found.sort_by_key(|(entry, _)| *entry);
        self.found.into_iter().map(|(_, diagnostic)| diagnostic).collect()
    }

    pub(super) fn of_record(&mut self, entry: usize, diagnostic: Diagnostic) {
        // Warnings never keep an error out, which alone keeps a zone from being served. What drawing costs stays bounded.
        let is_error = diagnostic.is_error();
        let of_its_kind = if is_error { self.errors } else { self.found.len() - self.errors };
        if of_its_kind >= MAX_PROBLEMS {
            self.left_out += 1;
            return;
        }
        self.errors += usize::from(is_error);
        self.found.push((entry + 1, self.records.blame(diagnostic, entry)));
    }

    pub(super) fn of_zone(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.is_error());
        self.found.push((0, diagnostic.in_file(self.records.texts.first().name.clone())));
    }
}

/// An owner name whose records are checked.
pub(super) struct Owner<'a> {
    pub(super) name: &'a [u8],
    pub(super) is_apex: bool,
    /// The numbers of its records, by type.
    pub(super) entries: &'a [usize],
}

impl Owner<'_> {
    fn first_of(&self, records: &Records, rtype: RecordType) -> Option<usize> {
        self.entries.iter().copied().find(|&entry| records.entries[entry].rtype == rtype)
    }

    /// The rules for the records of one name.
    pub(super) fn check(&self, findings: &mut Findings<'_>) {
        let records = findings.records;
        let name = Printed(self.name);
        if !self.is_apex
            && let Some(soa) = self.first_of(records, RecordType::SOA)
        {
            let error = Diagnostic::error(format!("an SOA record at `{name}`, which is not the zone's name"));
            findings.of_record(soa, error.help("a child zone has a file of its own"));
        }
        if let Some(ns) = self.first_of(records, RecordType::NS)
            && self.name.starts_with(b"\x01*")
        {
            // RFC 4592 §4.2: it has no defined meaning.
            let error = Diagnostic::error(format!("an NS record at the wildcard `{name}`"));
            findings.of_record(ns, error.help("delegate each name by itself"));
        }
        if let Some(nsec3) = self.first_of(records, RecordType::NSEC3)
            && !name::labels(self.name).next().is_some_and(is_hash)
        {
            // RFC 5155 §3: such a name proves nothing.
            let error = Diagnostic::error(format!("an NSEC3 record at `{name}`, which begins with no hash"));
            findings.of_record(nsec3, error.help("let the program that signs the zone write these records"));
        }
        self.check_alias(findings);
    }

    /// RFC 1034 §3.6.2: a CNAME stands alone; RFC 4035 §2.5: but for the records of DNSSEC.
    fn check_alias(&self, findings: &mut Findings<'_>) {
        let records = findings.records;
        let Some(cname) = self.first_of(records, RecordType::CNAME) else {
            return;
        };
        let is_other = |rtype| !matches!(rtype, RecordType::CNAME | RecordType::RRSIG | RecordType::NSEC);
        let mut others: Vec<RecordType> =
            self.entries.iter().map(|&entry| records.entries[entry].rtype).filter(|&rtype| is_other(rtype)).collect();
        others.dedup();
        if let Some(first) = others.first() {
            let list = others.iter().skip(1).fold(first.to_string(), |list, other| format!("{list}, {other}"));
            let error = Diagnostic::error(format!("`{}` has a CNAME beside other data: {list}", Printed(self.name)));
            let help = match self.is_apex {
                true => "the zone's own name cannot be an alias; give it addresses",
                false => "an alias has no other records; move one of the two to another name",
            };
            findings.of_record(cname, error.help(help));
        }
    }
}

/// Whether a label in lower case is octets in base 32 with the extended hex alphabet (RFC 4648 §7), without padding.
fn is_hash(label: &[u8]) -> bool {
    let values = label.iter().map(|&digit| char::from(digit).to_digit(32));
    let Some(Some(last)) = values.clone().next_back() else { return false };
    let surplus = label.len() * 5 % 8;
    values.flatten().count() == label.len() && surplus < 5 && last.trailing_zeros() as usize >= surplus
}

/// The rules for one RRset, whose records are given without duplicates.
pub(super) fn check_rrset(owner: &[u8], entries: &[usize], findings: &mut Findings<'_>) {
    let records = findings.records;
    let [first, rest @ ..] = entries else {
        return;
    };
    let (rtype, ttl) = (records.entries[*first].rtype, records.entries[*first].ttl);
    if let ([second, ..], RecordType::CNAME | RecordType::DNAME | RecordType::SOA) = (rest, rtype) {
        let error = Diagnostic::error(format!("a second {rtype} record at `{}`", Printed(owner)));
        findings.of_record(*second, error.help("keep one of them"));
    }
    // RFC 2181 §5.2.
    if let Some(&other) = rest.iter().find(|&&entry| records.entries[entry].ttl != ttl) {
        let lowest = entries.iter().map(|&entry| records.entries[entry].ttl).min().unwrap_or(ttl);
        let message = format!(
            "the TTL {} differs from {ttl} in the same RRset, {rtype} of `{}`",
            records.entries[other].ttl,
            Printed(owner)
        );
        let help = format!("the records of an RRset have one TTL; the lowest, {lowest}, is used");
        findings.of_record(other, Diagnostic::warning(message).help(help));
    }
    if entries.len() > usize::from(u16::MAX) {
        let message = format!("{} records in one RRset, at most 65535 are allowed", entries.len());
        findings.of_record(*first, Diagnostic::error(message));
    }
}

/// What a node is, where a service is bound to it.
pub(super) struct SteeredOwner<'a> {
    pub(super) steered: &'a Steered,
    /// What occludes it: the zone cut that it is at or below, or the DNAME that it is below.
    pub(super) cut: Option<&'a [u8]>,
    /// A DNAME occludes it, not a cut.
    pub(super) is_renamed: bool,
    /// The numbers of the records that the file has for it, by type.
    pub(super) entries: &'a [usize],
}

impl SteeredOwner<'_> {
    pub(super) fn check(&self, findings: &mut Findings<'_>) {
        let name = &self.steered.owner;
        let records = findings.records;
        if let (Some(from), true) = (self.cut, self.is_renamed) {
            let message = format!("the service `{name}` is below the DNAME record of `{}`", Printed(from));
            let help = "queries for it are led to another name; take the DNAME away or move the service";
            return findings.of_zone(Diagnostic::error(message).help(help));
        }
        if let Some(cut) = self.cut {
            let message = format!("the service `{name}` is below the delegation of `{}`", Printed(cut));
            let help =
                "queries for it are referred to the child zone; take the NS records away or serve the name there";
            return findings.of_zone(Diagnostic::error(message).help(help));
        }
        for &entry in self.entries {
            let (rtype, help) = match records.entries[entry].rtype {
                RecordType::CNAME => ("CNAME", "a steered name cannot be an alias; remove the record"),
                RecordType::DNAME => ("DNAME", "a steered name cannot lead elsewhere; remove the record"),
                _ => continue,
            };
            let error = Diagnostic::error(format!("the service `{name}` has a {rtype} record"));
            return findings.of_record(entry, error.help(help));
        }
        // After an error its records may just not have been read.
        if self.entries.is_empty() && records.is_whole {
            let warning = Diagnostic::warning(format!("the service `{name}` has no records in the zone file"));
            let help = format!(
                "it is steered here, but secondaries, which get the file's records, answer that it does not exist: \
                 add `{name} A` with the address of a node"
            );
            findings.of_zone(warning.help(help));
        }
    }
}

/// The name that tells whoever asks what the server sees of it.
pub(super) struct WhoamiOwner<'a> {
    pub(super) whoami: &'a Name,
    /// The cut or the DNAME's owner that it is at or below.
    pub(super) cut: Option<&'a [u8]>,
    /// Something else has the name.
    pub(super) is_taken: bool,
}

impl WhoamiOwner<'_> {
    pub(super) fn check(&self, findings: &mut Findings<'_>) {
        let name = self.whoami;
        if let Some(cut) = self.cut {
            let message = format!("`server.whoami` is `{name}`, for which `{}` answers", Printed(cut));
            let help = "queries for it are led elsewhere, by NS or DNAME records; take a name that is not below these";
            findings.of_zone(Diagnostic::error(message).help(help));
        } else if self.is_taken {
            let message = format!("`server.whoami` is `{name}`, which has records in the zone file");
            findings.of_zone(Diagnostic::error(message).help("take a name that nothing else has"));
        }
    }
}

/// What must be at the apex.
pub(super) fn check_apex(zone: &Zone, findings: &mut Findings<'_>) {
    // After an error the record may just not have been read.
    if !findings.records.is_whole {
        return;
    }
    let apex = findings.records.origin.clone();
    for (rtype, help) in [
        (RecordType::SOA, "write `@ SOA ns1 hostmaster 1 1h 15m 2w 5m`"),
        (RecordType::NS, "write `@ NS` and the name of each nameserver"),
    ] {
        let is_there = zone.node_count() > 0 && zone.rrset(APEX, rtype).is_some();
        if !is_there {
            findings.of_zone(Diagnostic::error(format!("the zone `{apex}` has no {rtype} record")).help(help));
        }
    }
}
