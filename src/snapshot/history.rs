//! What changed from version to version of a zone, for secondaries that have an older one (RFC 1995).
#![deny(clippy::disallowed_methods)]

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::name::{canonical_order, wire_length};
use crate::wire::RecordType;
use crate::zone::{Rrset, Zone};

/// Versions of a zone that are known besides the newest.
const MAX_VERSIONS: usize = 128;
/// Octets of differences of a small zone; of a larger one as many as it has itself, for then it is sent whole.
const MIN_OCTETS: usize = 65_536;
/// Octets of differences of any zone.
const MAX_OCTETS: usize = 16 << 20;
/// Octets of a ready record before its type: the pointer at its owner.
const POINTER: usize = 2;
/// Octets of a record between its owner and its data: type, class, TTL, length.
const FIXED: usize = 10;

/// The last versions of a zone, as differences from each to the next.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The oldest first; each begins where the one before it ends.
    steps: VecDeque<Arc<Step>>,
    /// A serial by which two different contents were served: no difference from it is right for everybody.
    unsure: Option<u32>,
}

/// What changed from one version of a zone to the next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    from: u32,
    to: u32,
    /// Records that went, and those that came: owner, type, class, TTL, length, data; names not compressed. The first of
    /// each is the SOA.
    removed: Box<[u8]>,
    added: Box<[u8]>,
}

/// All that changed from an older version to the newest, in one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Records that went, the old SOA first.
    pub removed: Vec<u8>,
    /// Records that came, the new SOA first.
    pub added: Vec<u8>,
}

impl History {
    /// The history after `old` has given way to `new`.
    pub fn followed_by(&self, old: &Zone, new: &Zone) -> Self {
        let (from, to) = (old.serial(), new.serial());
        if !is_newer(to, from) {
            // RFC 1982: for secondaries this is no change, or an older version.
            let is_same = to == from && fingerprint(old) == fingerprint(new);
            return if is_same { self.clone() } else { Self { steps: VecDeque::new(), unsure: Some(to) } };
        }
        if self.unsure == Some(from) {
            return Self::default();
        }
        let mut steps = self.steps.clone();
        steps.push_back(Arc::new(Step::between(old, new)));
        let most = octets(new).clamp(MIN_OCTETS, MAX_OCTETS);
        let mut sum: usize = steps.iter().map(|step| step.len()).sum();
        while steps.len() > MAX_VERSIONS || sum > most {
            let Some(oldest) = steps.pop_front() else { break };
            sum -= oldest.len();
        }
        Self { steps, unsure: None }
    }

    /// What changed since the version of this serial; none if that is not known any more.
    ///
    /// What came and went meanwhile is left out (RFC 1995 §5).
    pub fn since(&self, serial: u32) -> Option<Difference> {
        let start = self.steps.iter().position(|step| step.from == serial)?;
        let steps: Vec<&Step> = self.steps.range(start..).map(|step| &**step).collect();
        let (first, last) = (steps.first()?, steps.last()?);
        if let [only] = steps.as_slice() {
            return Some(Difference { removed: only.removed.to_vec(), added: only.added.to_vec() });
        }
        let (mut removed, mut added) = (BTreeSet::new(), BTreeSet::new());
        for step in &steps {
            for record in records(&step.removed).skip(1) {
                if !added.remove(record) {
                    removed.insert(record);
                }
            }
            for record in records(&step.added).skip(1) {
                if !removed.remove(record) {
                    added.insert(record);
                }
            }
        }
        let whole = |soa: &[u8], rest: BTreeSet<&[u8]>| {
            let soa = records(soa).next().unwrap_or_default();
            std::iter::once(soa).chain(rest).flatten().copied().collect()
        };
        Some(Difference { removed: whole(&first.removed, removed), added: whole(&last.added, added) })
    }

    /// As it is kept over restarts, with what tells the zone that it leads to.
    pub fn to_octets(&self, zone: &Zone) -> Vec<u8> {
        let mut kept = fingerprint(zone).to_be_bytes().to_vec();
        kept.extend(zone.serial().to_be_bytes());
        kept.push(u8::from(self.unsure.is_some()));
        for step in &self.steps {
            kept.extend(step.from.to_be_bytes());
            kept.extend(step.to.to_be_bytes());
            for part in [&step.removed, &step.added] {
                kept.extend((part.len() as u32).to_be_bytes());
                kept.extend_from_slice(part);
            }
        }
        kept
    }

    /// What was kept, if it leads to this zone, and nothing if it leads to another one.
    pub fn of_octets(kept: &[u8], zone: &Zone) -> Self {
        Self::read(kept, zone).unwrap_or_default()
    }

    fn read(kept: &[u8], zone: &Zone) -> Option<Self> {
        let (print, rest) = kept.split_first_chunk::<16>()?;
        let (serial, rest) = rest.split_first_chunk::<4>()?;
        let (is_unsure, mut rest) = rest.split_first()?;
        if u128::from_be_bytes(*print) != fingerprint(zone) {
            // It was changed while nobody served it, perhaps by the same serial.
            let unsure = Some(u32::from_be_bytes(*serial)).filter(|serial| *serial == zone.serial());
            return Some(Self { steps: VecDeque::new(), unsure });
        }
        let mut steps = VecDeque::new();
        while !rest.is_empty() {
            let mut number = || {
                let (number, after) = rest.split_first_chunk::<4>()?;
                rest = after;
                Some(u32::from_be_bytes(*number))
            };
            let (from, to) = (number()?, number()?);
            let mut part = || {
                let (length, after) = rest.split_first_chunk::<4>()?;
                let (part, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
                rest = after;
                // It was written by us, and must lead from record to record all the same.
                (records(part).map(<[u8]>::len).sum::<usize>() == part.len()).then(|| Box::from(part))
            };
            steps.push_back(Arc::new(Step { from, to, removed: part()?, added: part()? }));
        }
        let leads_on = steps.iter().zip(steps.iter().skip(1)).all(|(one, next)| one.to == next.from);
        let ends_here = steps.back().is_none_or(|step| step.to == zone.serial());
        let unsure = (*is_unsure != 0).then(|| zone.serial());
        (leads_on && ends_here).then_some(Self { steps, unsure })
    }
}

impl Step {
    fn between(old: &Zone, new: &Zone) -> Self {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        push(&mut removed, old.lower_apex(), old.raw_soa().bytes);
        push(&mut added, new.lower_apex(), new.raw_soa().bytes);
        let is_data = |(_, rrset): &(&[u8], Rrset<'_>)| rrset.rtype != RecordType::SOA;
        let (mut before, mut after) =
            (old.transferred().rrsets().filter(is_data), new.transferred().rrsets().filter(is_data));
        let (mut one, mut two) = (before.next(), after.next());
        // Both are in the same order, so that each is read once.
        loop {
            let order = match (&one, &two) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((owner, rrset)), Some((other_owner, other))) => {
                    canonical_order(owner, other_owner).then(rrset.rtype.0.cmp(&other.rtype.0))
                }
            };
            match (order, one, two) {
                (Ordering::Equal, Some((owner, rrset)), Some((_, other))) => {
                    if rrset.bytes != other.bytes {
                        change(owner, rrset, other, (&mut removed, &mut added));
                    }
                    (one, two) = (before.next(), after.next());
                }
                (Ordering::Less, Some((owner, rrset)), _) => {
                    push(&mut removed, owner, rrset.bytes);
                    one = before.next();
                }
                (_, _, Some((owner, rrset))) => {
                    push(&mut added, owner, rrset.bytes);
                    two = after.next();
                }
                _ => break,
            }
        }
        Self { from: old.serial(), to: new.serial(), removed: removed.into(), added: added.into() }
    }

    fn len(&self) -> usize {
        self.removed.len() + self.added.len()
    }
}

/// The records of one RRset that went, and those that came.
fn change(owner: &[u8], old: Rrset<'_>, new: Rrset<'_>, (removed, added): (&mut Vec<u8>, &mut Vec<u8>)) {
    let all = |rrset: Rrset<'_>| ready(rrset.bytes).map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
    let (before, after) = (all(old), all(new));
    before.difference(&after).for_each(|record| push(removed, owner, record));
    after.difference(&before).for_each(|record| push(added, owner, record));
}

/// Adds ready records with their owner.
fn push(to: &mut Vec<u8>, owner: &[u8], bytes: &[u8]) {
    for record in ready(bytes) {
        to.extend_from_slice(owner);
        to.extend_from_slice(&record[POINTER..]);
    }
}

/// Ready records one by one.
fn ready(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = rest.get(POINTER + FIXED - 2..POINTER + FIXED)?;
        let length = POINTER + FIXED + usize::from(u16::from_be_bytes([length[0], length[1]]));
        let (record, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(record)
    })
}

/// Records with their owners, one by one.
pub fn records(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        let owner = owner_length(rest)?;
        let length = rest.get(owner + FIXED - 2..owner + FIXED)?;
        let length = owner + FIXED + usize::from(u16::from_be_bytes([length[0], length[1]]));
        let (record, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(record)
    })
}

/// A record's owner, and what follows it.
pub fn split_owner(record: &[u8]) -> Option<(&[u8], &[u8])> {
    record.split_at_checked(owner_length(record)?)
}

fn owner_length(record: &[u8]) -> Option<usize> {
    // Cut short there would be no end of the name.
    let mut at = 0;
    while *record.get(at)? != 0 {
        at += 1 + usize::from(record[at]);
    }
    debug_assert_eq!(at + 1, wire_length(record));
    Some(at + 1)
}

/// Whether a serial is newer than another one (RFC 1982 §3.2).
pub fn is_newer(serial: u32, than: u32) -> bool {
    (1..1 << 31).contains(&serial.wrapping_sub(than))
}

/// Octets of all records of a zone, more or less.
fn octets(zone: &Zone) -> usize {
    zone.transferred().rrsets().map(|(owner, rrset)| owner.len() + rrset.bytes.len()).sum()
}

/// A hash of all that a transfer carries, the same in each run of the program.
fn fingerprint(zone: &Zone) -> u128 {
    let mut hasher = SipHasher13::new();
    for (owner, rrset) in zone.transferred().rrsets() {
        hasher.write(owner);
        hasher.write(rrset.bytes);
    }
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::diagnostic::Source;
    use crate::name::Name;
    use crate::zone::{self, Inclusion};

    fn zone(serial: u32, more: &str) -> Zone {
        let text = format!("$TTL 60\n@ SOA ns h {serial} 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n{more}\n");
        let mut open = |_: &Inclusion<'_>| unreachable!("the zone includes nothing");
        let (records, _) = zone::read(&Source::new("zone", text), &Name::parse("e.", None).unwrap(), &mut open);
        Zone::build(&records, &[]).0.unwrap()
    }

    /// Every record of a zone but the SOA.
    fn all(zone: &Zone) -> BTreeSet<Vec<u8>> {
        let mut octets = Vec::new();
        zone.rrsets()
            .filter(|(_, rrset)| rrset.rtype != RecordType::SOA)
            .for_each(|(owner, rrset)| push(&mut octets, owner, rrset.bytes));
        records(&octets).map(<[u8]>::to_vec).collect()
    }

    const VERSIONS: [&str; 5] = [
        "a A 192.0.2.1\na A 192.0.2.2\nz.deep TXT one",
        "a A 192.0.2.2\na A 192.0.2.3\nb A 192.0.2.4",
        "a 30 A 192.0.2.2\nb A 192.0.2.4\nb AAAA 2001:db8::1\n*.w CNAME b",
        "b A 192.0.2.4\n*.w CNAME a",
        "a A 192.0.2.1\na A 192.0.2.2\nz.deep TXT one",
    ];

    #[test]
    fn differences_lead_from_any_version_to_the_newest() {
        let versions: Vec<Zone> = (1..).zip(VERSIONS).map(|(serial, text)| zone(serial, text)).collect();
        let mut history = History::default();
        for (index, pair) in versions.windows(2).enumerate() {
            history = history.followed_by(&pair[0], &pair[1]);
            let newest = &pair[1];
            for old in &versions[..=index] {
                let Difference { removed, added } = history.since(old.serial()).unwrap();
                let (removed, added): (Vec<_>, Vec<_>) = (records(&removed).collect(), records(&added).collect());
                let mut zone = all(old);
                assert!(removed[1..].iter().all(|record| zone.remove(*record)), "what goes was there");
                assert!(added[1..].iter().all(|record| zone.insert(record.to_vec())), "what comes was not");
                assert_eq!(zone, all(newest));
            }
            assert_eq!(history.since(newest.serial()), None);
            assert_eq!(History::of_octets(&history.to_octets(newest), newest).since(1), history.since(1));
        }
        // All that changed was undone.
        let Difference { removed, added } = history.since(1).unwrap();
        assert_eq!((records(&removed).count(), records(&added).count()), (1, 1));
    }

    #[test]
    fn what_is_no_higher_serial_ends_the_history() {
        let [one, two, again, three] =
            [zone(1, ""), zone(2, "a A 192.0.2.1"), zone(2, "a A 192.0.2.2"), zone(3, "a A 192.0.2.3")];
        let history = History::default().followed_by(&one, &two);
        assert!(history.since(1).is_some());
        let unsure = history.followed_by(&two, &again);
        assert_eq!(unsure.since(1), None);
        // Some have one of two zones by this serial, others the other.
        assert_eq!(unsure.followed_by(&again, &three).since(2), None);
        assert_eq!(history.followed_by(&two, &one).since(1), None, "it went back");
        let same = zone(2, "a A 192.0.2.1");
        assert!(history.followed_by(&two, &same).since(1).is_some(), "nothing has changed");
    }

    #[test]
    fn a_history_that_was_kept_of_another_zone_is_none() {
        let (one, two, three) = (zone(1, ""), zone(2, "a A 192.0.2.1"), zone(3, "a A 192.0.2.3"));
        let history = History::default().followed_by(&one, &two);
        let kept = history.to_octets(&two);
        assert_eq!(History::of_octets(&kept, &three).since(1), None);
        let edited = zone(2, "a A 192.0.2.9");
        let edited_history = History::of_octets(&kept, &edited);
        assert_eq!(edited_history.followed_by(&edited, &three).since(2), None, "edited by the same serial meanwhile");
        for length in 0..kept.len() {
            assert_eq!(History::of_octets(&kept[..length], &two).since(1), None, "cut to {length}");
        }
    }

    #[test]
    fn a_history_is_no_larger_than_its_zone() {
        let many = |serial| zone(serial, &format!("$GENERATE 1-4000 n$ A 192.0.2.{serial}"));
        let mut history = History::default();
        let mut old = many(1);
        for serial in 2..6 {
            let new = many(serial);
            history = history.followed_by(&old, &new);
            old = new;
        }
        assert!(history.steps.iter().map(|step| step.len()).sum::<usize>() <= octets(&old).max(MIN_OCTETS));
        let mut history = History::default();
        for serial in 1..=200 {
            history = history.followed_by(&zone(serial, ""), &zone(serial + 1, ""));
        }
        assert_eq!(history.steps.len(), MAX_VERSIONS);
    }
}
