//! The serial of a zone against that of its old form: secondaries go by it (RFC 1982, RFC 1996).

use super::records::Records;
use super::store::{Rrset, Zone};
use crate::diagnostic::Diagnostic;
use crate::wire::RecordType;

impl Zone {
    /// Warns if the zone, made of these records, says something else than before without a higher serial.
    pub fn check_serial(&self, before: &Self, records: &Records) -> Option<Diagnostic> {
        let (old, new) = (before.serial(), self.serial());
        // RFC 1982 §3.2: of two serials 2^31 apart neither is the greater.
        let is_raised = (1..1 << 31).contains(&new.wrapping_sub(old));
        if is_raised || (new == old && self.has_records_of(before)) {
            return None;
        }
        let apex = self.apex();
        let message = match new == old {
            true => format!("the records of `{apex}` have changed, but its serial is {new} as before"),
            false => format!("the serial of `{apex}` went from {old} to {new}, which is not higher (RFC 1982)"),
        };
        let help = format!("secondaries keep the old records until it is higher: make it {}", old.wrapping_add(1));
        let warning = Diagnostic::warning(message).help(help);
        let soa = (0..records.len()).find(|&entry| records.entries[entry].rtype == RecordType::SOA);
        Some(match soa {
            Some(entry) => records.blame(warning, entry),
            None => warning,
        })
    }

    /// Whether both have the same records, in whatever order.
    fn has_records_of(&self, other: &Self) -> bool {
        let is_same = |(owner, rrset): (&[u8], Rrset<'_>), (other_owner, other): (&[u8], Rrset<'_>)| {
            let sorted = |rrset: Rrset<'_>| {
                let mut rdata: Vec<Vec<u8>> = rrset.rdata().map(<[u8]>::to_vec).collect();
                rdata.sort_unstable();
                rdata
            };
            owner == other_owner
                && (rrset == other
                    || (rrset.rtype, rrset.ttl) == (other.rtype, other.ttl) && sorted(rrset) == sorted(other))
        };
        let (mut ours, mut theirs) = (self.rrsets(), other.rrsets());
        loop {
            match (ours.next(), theirs.next()) {
                (Some(one), Some(two)) if is_same(one, two) => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }
}
