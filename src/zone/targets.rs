//! What names point at, and whether a dot was forgotten: things that load, and that nobody meant.

use super::check::Findings;
use super::layout;
use super::store::{NONE, Zone};
use crate::diagnostic::Diagnostic;
use crate::name::{LookupName, Printed};
use crate::wire::RecordType;

/// Looks at owners, at what records point at, and whether that can be reached (RFC 2181 §10.3, RFC 2782).
pub(super) fn check_targets(zone: &Zone, findings: &mut Findings<'_>) {
    let records = findings.records();
    // After an error the address may just not have been read.
    if !records.is_whole {
        return;
    }
    let dots = Dots::of(zone);
    for (run, at) in records.runs.iter().enumerate() {
        let name = records.name(at.name);
        if dots.are_missing(name) {
            let message = format!("the owner `{}` has the zone's name twice", Printed(name));
            findings.of_record(at.first as usize, Diagnostic::warning(message).help(DOT));
        }
        let owner = LookupName::from_wire(name);
        let mut owner_node = None;
        for entry in records.entries_of(run) {
            let rtype = records.entries[entry].rtype;
            let Some(target) = layout::target(rtype, records.rdata(entry)) else {
                continue;
            };
            let node = *owner_node.get_or_insert_with(|| zone.find(&owner, owner.label_count()));
            let Some(node) = node else {
                continue;
            };
            let cut = zone.node(node).cut;
            // What is occluded is never given out.
            if cut != NONE && (cut != node || rtype != RecordType::NS) {
                continue;
            }
            let problem = match rtype {
                RecordType::NS | RecordType::MX | RecordType::SRV => reach(zone, target, cut),
                _ => None,
            };
            let is_dot_missing = dots.are_missing(target) || (rtype == RecordType::PTR && dots.leads_into_arpa(target));
            let problem = match problem {
                Some(problem) => problem,
                None if is_dot_missing && !exists(zone, target) => "does not exist",
                None => continue,
            };
            let message = format!("the {rtype} record points at `{}`, which {problem}", Printed(target));
            let help = is_dot_missing.then(|| DOT.to_owned());
            findings.of_record(entry, Diagnostic::warning(message).maybe_help(help));
        }
    }
}

const DOT: &str = "is the dot at the end of the name missing?";

/// How names look whose last dot was forgotten: `ns1.live.example` in `live.example` means
/// `ns1.live.example.live.example.`.
struct Dots {
    apex: Vec<u8>,
    twice: Vec<u8>,
}

impl Dots {
    fn of(zone: &Zone) -> Self {
        let apex = zone.apex().lower_wire().into_vec();
        Self { twice: [&apex[..apex.len() - 1], &apex].concat(), apex }
    }

    fn are_missing(&self, name: &[u8]) -> bool {
        // Everything ends with the root, once or twice.
        self.apex.len() > 1 && ends_with(name, &self.twice)
    }

    /// Hosts have no names there, so a PTR record that points into its own reverse zone was to point elsewhere.
    fn leads_into_arpa(&self, target: &[u8]) -> bool {
        ends_with(&self.apex, b"\x04arpa\0") && ends_with(target, &self.apex)
    }
}

fn ends_with(name: &[u8], suffix: &[u8]) -> bool {
    name.len().checked_sub(suffix.len()).is_some_and(|start| name[start..].eq_ignore_ascii_case(suffix))
}

fn exists(zone: &Zone, name: &[u8]) -> bool {
    let name = LookupName::from_wire(name);
    zone.find(&name, name.label_count()).is_some()
}

/// What is wrong with a target; none if nothing is, or if it is not for this zone to say.
fn reach(zone: &Zone, target: &[u8], owner_cut: u32) -> Option<&'static str> {
    let target = LookupName::from_wire(target);
    let apex = zone.apex().lower_wire();
    if target.label_count() < zone.apex_labels() || target.suffix(zone.apex_labels()) != &*apex || apex.len() == 1 {
        return None;
    }
    let exact = zone.find(&target, target.label_count());
    let encloser = exact.unwrap_or_else(|| zone.closest_encloser(&target).0);
    let cut = zone.node(encloser).cut;
    // Below a cut the child zone has the addresses; only a delegation to names inside itself needs them here as well.
    if cut != NONE && cut != owner_cut {
        return None;
    }
    let node = exact.or(Some(zone.node(encloser).wildcard).filter(|&wildcard| wildcard != NONE && cut == NONE));
    let has = |rtype| node.is_some_and(|node| zone.rrset(node, rtype).is_some());
    let is_steered = node.is_some_and(|node| zone.node(node).steering.service.is_some());
    if has(RecordType::A) || has(RecordType::AAAA) || is_steered {
        None
    } else if has(RecordType::CNAME) {
        Some("is an alias, not a name with addresses")
    } else if cut != NONE {
        Some("is inside the delegated zone and has no address here: nobody can reach it")
    } else {
        Some("has no address in this zone")
    }
}
