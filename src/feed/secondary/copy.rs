//! A copy of a zone: records that came, what changes them, and the master file that they are written as.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use super::soa::Soa;
use super::transfer::{Difference, Item};
use crate::diagnostic::{Diagnostic, Source, has_errors};
use crate::name::{Name, Printed};
use crate::wire::RecordType;
use crate::zone::{self, Inclusion, Records, Zone, canonical_rdata};

/// A zone as a primary has it, checked, as a master file.
#[derive(Debug, Clone)]
pub struct Copy {
    /// The zone.
    pub zone: Name,
    /// Its SOA record.
    pub soa: Soa,
    /// The data of that.
    pub soa_rdata: Box<[u8]>,
    /// The file, by the name that messages have for it.
    pub source: Source,
    /// Whom it came from.
    pub primary: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Only what had changed came.
    pub is_changed: bool,
}

/// Where a record is sorted: its owner, its type, its data in canonical form.
type Key = (Box<[u8]>, RecordType, Box<[u8]>);

/// The records of a zone but its SOA record.
struct Set {
    soa: Item,
    records: BTreeMap<Key, (u32, Box<[u8]>)>,
}

impl Copy {
    /// Of records that came whole; what is wrong with them, if they are no zone.
    pub fn of_whole(zone: &Name, items: Vec<Item>, primary: &str, at: u64) -> Result<Self, Vec<Diagnostic>> {
        let lacks_soa = || vec![Diagnostic::error(format!("the transfer of {zone} has no SOA record"))];
        let mut items = items.into_iter();
        let soa = items.next().filter(|first| first.rtype == RecordType::SOA).ok_or_else(lacks_soa)?;
        let mut set = Set { soa, records: BTreeMap::new() };
        // RFC 5936 §3: a record that comes twice is one.
        for Item { owner, rtype, ttl, rdata } in items {
            let canonical = canonical_rdata(rtype, &rdata);
            set.records.entry((owner, rtype, canonical)).or_insert((ttl, rdata));
        }
        set.into_copy(zone, primary, at)
    }

    /// This with differences applied; none if they do not fit it, so that the whole is to be asked for.
    pub fn with(&self, differences: Vec<Difference>, primary: &str, at: u64) -> Option<Result<Self, Vec<Diagnostic>>> {
        let (records, _) = read(&self.zone, &self.source);
        let mut set = Set::of(&records)?;
        drop(records);
        for Difference { from, deleted, to, added } in differences {
            if from.serial() != set.soa.serial() {
                return None;
            }
            for Item { owner, rtype, rdata, ttl: _ } in deleted {
                let canonical = canonical_rdata(rtype, &rdata);
                set.records.remove(&(owner, rtype, canonical))?;
            }
            for Item { owner, rtype, ttl, rdata } in added {
                let canonical = canonical_rdata(rtype, &rdata);
                if set.records.insert((owner, rtype, canonical), (ttl, rdata)).is_some() {
                    return None;
                }
            }
            set.soa = to;
        }
        Some(set.into_copy(&self.zone, primary, at).map(|copy| Self { is_changed: true, ..copy }))
    }

    /// Reads a copy that was kept; none if it is no zone.
    pub fn of_text(text: String) -> Option<Self> {
        let mut words = text.lines().next()?.strip_prefix(HEAD)?.split(' ');
        let (zone, primary, at) = (words.next()?, words.next()?.to_owned(), words.next()?.parse().ok()?);
        let zone = Name::parse(zone, None).ok()?;
        Self::of(zone, text, primary, at).ok()
    }

    fn of(zone: Name, text: String, primary: String, at: u64) -> Result<Self, Vec<Diagnostic>> {
        let source = Source::new(format!("{zone} from {primary}"), text);
        let (records, mut wrong) = read(&zone, &source);
        if !has_errors(&wrong) {
            // The same as of a zone file; what is bound to names of the zone is looked at later.
            wrong.extend(Zone::build(&records, &[]).1);
        }
        let soa_rdata = records.iter().find(|record| record.rtype == RecordType::SOA).map(|record| record.rdata.into());
        let soa =
            soa_rdata.filter(|_| !has_errors(&wrong)).and_then(|rdata: Box<[u8]>| Some((Soa::of(&rdata)?, rdata)));
        match soa {
            Some((soa, soa_rdata)) => Ok(Self { zone, soa, soa_rdata, source, primary, at, is_changed: false }),
            None => Err(wrong.into_iter().filter(Diagnostic::is_error).collect()),
        }
    }
}

/// How a copy's first line begins: zone, primary, when.
const HEAD: &str = "; copy of ";

impl Set {
    fn of(records: &Records) -> Option<Self> {
        let mut soa = None;
        let mut all = BTreeMap::new();
        for record in records.iter() {
            let zone::Record { owner, rtype, ttl, rdata } = record;
            if rtype == RecordType::SOA {
                soa = Some(Item { owner: owner.into(), rtype, ttl, rdata: rdata.into() });
                continue;
            }
            all.insert((owner.into(), rtype, canonical_rdata(rtype, rdata)), (ttl, rdata.into()));
        }
        Some(Self { soa: soa?, records: all })
    }

    fn into_copy(self, zone: &Name, primary: &str, at: u64) -> Result<Copy, Vec<Diagnostic>> {
        let text = self.text(zone, primary, at);
        drop(self);
        Copy::of(zone.clone(), text, primary.to_owned(), at)
    }

    /// A master file, the SOA record first.
    fn text(&self, zone: &Name, primary: &str, at: u64) -> String {
        let mut text = format!("{HEAD}{zone} {primary} {at}\n");
        let Item { owner, rtype, ttl, rdata } = &self.soa;
        write_record(&mut text, owner, *rtype, *ttl, rdata);
        for ((owner, rtype, _), (ttl, rdata)) in &self.records {
            write_record(&mut text, owner, *rtype, *ttl, rdata);
        }
        text
    }
}

fn read(zone: &Name, source: &Source) -> (Records, Vec<Diagnostic>) {
    // Nothing that is written here includes anything.
    let mut open = |_: &Inclusion<'_>| Err(Box::new(Diagnostic::error("a copy includes nothing")));
    zone::read(source, zone, &mut open)
}

/// Writes a record as one line: addresses and names as people read them, anything else as RFC 3597 §5 writes it.
fn write_record(text: &mut String, owner: &[u8], rtype: RecordType, ttl: u32, rdata: &[u8]) {
    // To write into a text cannot fail.
    let _ = write!(text, "{} {ttl} IN {rtype} ", Printed(owner));
    if write_data(text, rtype, rdata).is_none() {
        let _ = write!(text, "\\# {}", rdata.len());
        if !rdata.is_empty() {
            text.push(' ');
        }
        for octet in rdata {
            let _ = write!(text, "{octet:02x}");
        }
    }
    text.push('\n');
}

fn write_data(text: &mut String, rtype: RecordType, rdata: &[u8]) -> Option<()> {
    let written = match rtype {
        RecordType::A => write!(text, "{}", std::net::Ipv4Addr::from(<[u8; 4]>::try_from(rdata).ok()?)),
        RecordType::AAAA => write!(text, "{}", std::net::Ipv6Addr::from(<[u8; 16]>::try_from(rdata).ok()?)),
        RecordType::NS | RecordType::CNAME | RecordType::PTR | RecordType::DNAME => write!(text, "{}", Printed(rdata)),
        RecordType::MX => {
            let (&[high, low], exchange) = rdata.split_first_chunk()?;
            write!(text, "{} {}", u16::from_be_bytes([high, low]), Printed(exchange))
        }
        RecordType::SOA => {
            let (names, numbers) = rdata.split_last_chunk::<20>()?;
            let (primary, mailbox) = names.split_at_checked(crate::name::wire_length(names))?;
            let numbers: Vec<String> = numbers
                .chunks_exact(4)
                .map(|number| u32::from_be_bytes([number[0], number[1], number[2], number[3]]).to_string())
                .collect();
            write!(text, "{} {} {}", Printed(primary), Printed(mailbox), numbers.join(" "))
        }
        _ => return None,
    };
    written.ok()
}

/// Copies that are served, by zone.
#[derive(Debug, Clone, Default)]
pub(in crate::feed) struct Copies(BTreeMap<Name, Arc<Copy>>);

impl Copies {
    /// The copy of a zone.
    pub(in crate::feed) fn of(&self, zone: &Name) -> Option<&Arc<Copy>> {
        self.0.get(zone)
    }

    /// Takes a copy, in the place of an older one.
    pub(in crate::feed) fn put(&mut self, copy: Arc<Copy>) {
        self.0.insert(copy.zone.clone(), copy);
    }

    /// Whether these are the same copies.
    pub(super) fn are(&self, others: &Self) -> bool {
        let is_same = |(one, two): (&Arc<Copy>, &Arc<Copy>)| Arc::ptr_eq(one, two);
        self.0.len() == others.0.len() && self.iter().zip(others.iter()).all(is_same)
    }

    /// Leaves only those of zones that are wanted.
    pub(in crate::feed) fn retain(&mut self, is_wanted: impl Fn(&Name) -> bool) {
        self.0.retain(|zone, _| is_wanted(zone));
    }

    /// All of them.
    pub(in crate::feed) fn iter(&self) -> impl Iterator<Item = &Arc<Copy>> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        Name::parse("live.example", None).unwrap()
    }

    fn item(owner: &str, rtype: RecordType, rdata: &[u8]) -> Item {
        Item { owner: Name::parse(owner, None).unwrap().lower_wire(), rtype, ttl: 60, rdata: rdata.into() }
    }

    fn soa(serial: u32) -> Item {
        let names = b"\x02ns\xc0"[..3].iter().copied().chain(*b"\0\0");
        let numbers = [serial, 3600, 600, 86_400, 60].map(u32::to_be_bytes).concat();
        item("live.example", RecordType::SOA, &names.chain(numbers).collect::<Vec<u8>>())
    }

    fn copy() -> Copy {
        let items = vec![
            soa(1),
            item("live.example", RecordType::NS, b"\x02NS\x04live\x07example\0"),
            item("ns.live.example", RecordType::A, &[192, 0, 2, 1]),
            item("ns.live.example", RecordType::A, &[192, 0, 2, 1]),
            item("a\\.b\\032\\000\\@.live.example", RecordType::TXT, b"\x03\"\\\0"),
            item("odd.live.example", RecordType(65_280), &[]),
            item("mail.live.example", RecordType::MX, b"\0\x05\x02\xc3;\0"),
        ];
        Copy::of_whole(&name(), items, "192.0.2.53:53", 1_700_000_000).unwrap()
    }

    #[test]
    fn a_copy_is_read_again_as_it_was() {
        let copy = copy();
        let again = Copy::of_text(copy.source.text.to_string()).unwrap();
        assert_eq!((again.zone.clone(), again.soa, again.at), (name(), copy.soa, 1_700_000_000));
        assert_eq!(again.soa_rdata, copy.soa_rdata);
        let records = |copy: &Copy| {
            let (records, wrong) = read(&copy.zone, &copy.source);
            assert!(wrong.is_empty(), "{wrong:?}");
            records
                .iter()
                .map(|record| (record.owner.to_vec(), record.rtype, record.rdata.to_vec()))
                .collect::<Vec<_>>()
        };
        assert_eq!(records(&again), records(&copy));
        assert_eq!(records(&copy).len(), 6, "what came twice is there once");
        assert!(records(&copy).iter().any(|(_, rtype, rdata)| *rtype == RecordType::TXT && rdata == b"\x03\"\\\0"));
        assert!(
            records(&copy).iter().any(|(_, rtype, rdata)| *rtype == RecordType::MX && rdata == b"\0\x05\x02\xc3;\0")
        );
    }

    #[test]
    fn differences_are_applied_if_they_fit() {
        let copy = copy();
        let difference =
            |deleted: Vec<Item>, added: Vec<Item>| vec![Difference { from: soa(1), deleted, to: soa(2), added }];
        let old = || item("ns.live.example", RecordType::A, &[192, 0, 2, 1]);
        let new = || item("ns.live.example", RecordType::A, &[192, 0, 2, 2]);
        // Case makes no difference in a name.
        let ns = item("live.example", RecordType::NS, b"\x02ns\x04LIVE\x07example\0");
        let other = item("live.example", RecordType::NS, b"\x02ns\x05other\0");
        let changed = copy.with(difference(vec![old(), ns], vec![new(), other]), "p", 5).unwrap().unwrap();
        assert_eq!(changed.soa.serial, 2);
        assert!(changed.source.text.contains("ns.live.example. 60 IN A 192.0.2.2\n"), "{}", changed.source.text);
        assert!(!changed.source.text.contains("192.0.2.1"));
        assert!(copy.with(difference(vec![new()], vec![]), "p", 5).is_none(), "what is gone was not there");
        assert!(copy.with(difference(vec![], vec![old()]), "p", 5).is_none(), "what is new was there");
        let later = vec![Difference { from: soa(2), deleted: vec![], to: soa(3), added: vec![] }];
        assert!(copy.with(later, "p", 5).is_none(), "they begin elsewhere");
    }

    #[test]
    fn what_is_no_zone_is_told_as_of_a_file() {
        let wrong = Copy::of_whole(&name(), vec![soa(1)], "192.0.2.53:53", 0).unwrap_err();
        assert_eq!(wrong[0].message, "the zone `live.example.` has no NS record");
        let twice = vec![
            soa(1),
            item("live.example", RecordType::NS, b"\x02ns\x05other\0"),
            item("a.live.example", RecordType::CNAME, b"\x01b\0"),
            item("a.live.example", RecordType::A, &[192, 0, 2, 1]),
        ];
        assert!(!Copy::of_whole(&name(), twice, "192.0.2.53:53", 0).unwrap_err().is_empty());
        for text in
            ["", "; copy of", "; copy of live.example. 192.0.2.53:53 x\n", "; copy of live.example. 192.0.2.53:53 5\n"]
        {
            assert!(Copy::of_text(text.to_owned()).is_none(), "{text}");
        }
    }
}
