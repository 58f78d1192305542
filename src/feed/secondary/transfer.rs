//! The reader of transfers (RFC 5936, RFC 1995): messages of a primary → a whole zone, or what has changed in it. Pure.
#![deny(clippy::disallowed_methods)]

use std::fmt;

use super::soa::{Soa, is_newer};
use crate::name::{Name, Printed, is_at_or_below};
use crate::wire::{CLASS_IN, Rcode, Received, RecordType, Response};
use crate::zone::read_rdata;

/// Octets of messages, and records in them, that are taken of one transfer: what is larger is refused.
const MAX_OCTETS: usize = 1 << 30;
const MAX_RECORDS: usize = 16_000_000;
/// RFC 2181 §8: a TTL with its top bit set counts as 0.
const MAX_TTL: u32 = i32::MAX as u32;

/// A record in uncompressed wire form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The owner in lower case.
    pub owner: Box<[u8]>,
    /// The type.
    pub rtype: RecordType,
    /// Seconds.
    pub ttl: u32,
    /// The data, which are what the type has.
    pub rdata: Box<[u8]>,
}

/// What changed from one serial to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The SOA record that there was.
    pub from: Item,
    /// Records that are gone.
    pub deleted: Vec<Item>,
    /// The SOA record that there is.
    pub to: Item,
    /// Records that are new.
    pub added: Vec<Item>,
}

/// What a transfer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is nothing newer than what is held.
    Current,
    /// All records, the SOA record first and once.
    Whole(Vec<Item>),
    /// What changed, oldest first; the last one leads to what there is now.
    Differences(Vec<Difference>),
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// All of the zone.
    Whole,
    /// What changed since this serial.
    Since(u32),
}

impl Asked {
    /// The type of the question.
    pub fn qtype(self) -> RecordType {
        match self {
            Self::Whole => RecordType::AXFR,
            Self::Since(_) => RecordType::IXFR,
        }
    }
}

/// Why a transfer is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The primary does not give it.
    Refused(Rcode),
    /// What came is not what RFC 5936 and RFC 1995 describe.
    Malformed(String),
    /// A record in it.
    Record {
        /// Its owner and type.
        of: String,
        /// What is wrong.
        because: String,
    },
    /// It is larger than what is taken.
    TooLarge,
}

/// A transfer of which messages are coming.
#[derive(Debug)]
pub struct Transfer {
    /// In lower-case wire form.
    zone: Box<[u8]>,
    id: u16,
    asked: Asked,
    octets: usize,
    records: usize,
    has_begun: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing has come.
    Empty,
    /// The first SOA record has.
    Begun(Item),
    /// All records; ends with the first again.
    Whole(Vec<Item>),
    /// Differences; ends with this record.
    Differences { last: Item, done: Vec<Difference>, is_adding: bool },
    /// It was the whole.
    Over(Outcome),
}

impl Transfer {
    /// Of this zone, by a query with this id.
    pub fn new(zone: &Name, id: u16, asked: Asked) -> Self {
        let zone = zone.lower_wire();
        Self { zone, id, asked, octets: 0, records: 0, has_begun: false, state: State::Empty }
    }

    /// Takes the next message; whether it was the last.
    pub fn take(&mut self, message: &[u8]) -> Result<bool, Fault> {
        self.octets += message.len();
        if self.octets > MAX_OCTETS {
            return Err(Fault::TooLarge);
        }
        let malformed = |because: &str| Err(Fault::Malformed(because.to_owned()));
        let Some(response) = Response::read(message, self.id, &self.zone, self.asked.qtype()) else {
            return malformed("it is no response to what was asked");
        };
        if response.rcode() != Rcode::NOERROR {
            return Err(Fault::Refused(response.rcode()));
        }
        // RFC 5936 §2.2: the first message has the question.
        if !self.has_begun && !response.has_question() {
            return malformed("the first message has no question");
        }
        if response.is_truncated() {
            return malformed("a message is truncated");
        }
        self.has_begun = true;
        let records = self.records;
        for record in response.answers() {
            let Ok(record) = record else { return malformed("a message is cut, or a name in it is broken") };
            self.records += 1;
            if self.records > MAX_RECORDS {
                return Err(Fault::TooLarge);
            }
            let item = self.check(&record)?;
            self.add(item)?;
        }
        if self.records == records {
            return malformed("a message has no records");
        }
        // RFC 1995 §4: who has nothing newer says so with its SOA record alone.
        if let (State::Begun(soa), Asked::Since(held)) = (&self.state, self.asked)
            && Soa::of(&soa.rdata).is_some_and(|soa| !is_newer(soa.serial, held))
        {
            self.state = State::Over(Outcome::Current);
        }
        Ok(matches!(self.state, State::Over(_)))
    }

    /// What it came to; none if its end is missing.
    pub fn outcome(self) -> Option<Outcome> {
        match self.state {
            State::Over(outcome) => Some(outcome),
            _ => None,
        }
    }

    fn check(&self, record: &Received<'_>) -> Result<Item, Fault> {
        let Received { owner, rtype, class, ttl, message, start } = record;
        let wrong = |because: String| Fault::Record { of: format!("{} {rtype}", Printed(owner)), because };
        if *class != CLASS_IN {
            return Err(wrong(format!("it has class {class}")));
        }
        if !is_at_or_below(owner, &self.zone) {
            return Err(wrong("it is outside the zone".to_owned()));
        }
        if *rtype == RecordType::SOA && **owner != *self.zone {
            return Err(wrong("only the zone's own name has an SOA record".to_owned()));
        }
        let rdata = read_rdata(*rtype, message, *start).map_err(wrong)?;
        let ttl = if *ttl > MAX_TTL { 0 } else { *ttl };
        Ok(Item { owner: owner.as_slice().into(), rtype: *rtype, ttl, rdata: rdata.into() })
    }

    fn add(&mut self, item: Item) -> Result<(), Fault> {
        let malformed = |because: &str| Err(Fault::Malformed(because.to_owned()));
        let is_soa = item.rtype == RecordType::SOA;
        self.state = match (std::mem::replace(&mut self.state, State::Empty), self.asked) {
            (State::Empty, _) if is_soa => State::Begun(item),
            (State::Empty, _) => return malformed("it does not begin with the SOA record"),
            (State::Begun(last), Asked::Since(held))
                if is_soa && item.serial() == Some(held) && !item.is_soa_of(&last) =>
            {
                let difference = Difference::from(item);
                State::Differences { last, done: vec![difference], is_adding: false }
            }
            (State::Begun(first), _) => Self::whole(vec![first], item)?,
            (State::Whole(all), _) => Self::whole(all, item)?,
            (State::Differences { last, mut done, is_adding }, _) => {
                let Some(current) = done.last_mut() else { return malformed("a difference is missing") };
                match (is_soa, is_adding) {
                    (false, false) => current.deleted.push(item),
                    (false, true) => current.added.push(item),
                    (true, false) => {
                        current.to = item;
                        return self.go_on(State::Differences { last, done, is_adding: true });
                    }
                    (true, true) if current.to.is_soa_of(&last) => {
                        if !item.is_soa_of(&last) {
                            return malformed("it does not end with the SOA record that it begins with");
                        }
                        return self.go_on(State::Over(Outcome::Differences(done)));
                    }
                    (true, true) if item.is_soa_of(&current.to) => {
                        done.push(Difference::from(item));
                        return self.go_on(State::Differences { last, done, is_adding: false });
                    }
                    (true, true) => return malformed("its differences do not follow one another"),
                }
                State::Differences { last, done, is_adding }
            }
            (State::Over(_), _) => return malformed("there are records behind its end"),
        };
        Ok(())
    }

    fn go_on(&mut self, state: State) -> Result<(), Fault> {
        self.state = state;
        Ok(())
    }

    fn whole(mut all: Vec<Item>, item: Item) -> Result<State, Fault> {
        if item.rtype != RecordType::SOA {
            all.push(item);
            return Ok(State::Whole(all));
        }
        match item.is_soa_of(&all[0]) {
            true => Ok(State::Over(Outcome::Whole(all))),
            false => Err(Fault::Malformed("it does not end with the SOA record that it begins with".to_owned())),
        }
    }
}

impl Item {
    /// The serial, of an SOA record.
    pub fn serial(&self) -> Option<u32> {
        Soa::of(&self.rdata).map(|soa| soa.serial)
    }

    /// Whether both, SOA records, have the same serial.
    fn is_soa_of(&self, other: &Self) -> bool {
        self.serial() == other.serial()
    }
}

impl Difference {
    /// One of which only this much has come.
    fn from(from: Item) -> Self {
        Self { to: from.clone(), from, deleted: Vec::new(), added: Vec::new() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(rcode) => write!(f, "it answers {}", rcode.mnemonic()),
            Self::Malformed(because) => f.write_str(because),
            Self::Record { of, because } => write!(f, "{of}: {because}"),
            Self::TooLarge => write!(f, "it has more than {MAX_OCTETS} octets or {MAX_RECORDS} records"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u16 = 7;

    fn zone() -> Name {
        Name::parse("live.example", None).unwrap()
    }

    fn soa(serial: u32) -> Vec<u8> {
        let numbers = [serial, 3600, 600, 86_400, 60].map(u32::to_be_bytes).concat();
        record("live.example", RecordType::SOA, &[&b"\0\0"[..], &numbers].concat())
    }

    fn a(owner: &str, last: u8) -> Vec<u8> {
        record(owner, RecordType::A, &[192, 0, 2, last])
    }

    fn record(owner: &str, rtype: RecordType, rdata: &[u8]) -> Vec<u8> {
        let mut record = Name::parse(owner, None).unwrap().wire().to_vec();
        record.extend(rtype.0.to_be_bytes());
        record.extend([0, 1, 0, 0, 0, 60]);
        record.extend((rdata.len() as u16).to_be_bytes());
        record.extend(rdata);
        record
    }

    fn message(asked: Asked, records: &[Vec<u8>]) -> Vec<u8> {
        let mut message = ID.to_be_bytes().to_vec();
        message.extend([0x84, 0, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        message.extend_from_slice(zone().wire());
        message.extend(asked.qtype().0.to_be_bytes());
        message.extend([0, 1]);
        message.extend(records.concat());
        message
    }

    /// What these records come to, all in one message, and each in one of its own.
    fn outcome(asked: Asked, records: &[Vec<u8>]) -> Result<Option<Outcome>, Fault> {
        let come = |messages: Vec<Vec<u8>>| {
            let mut transfer = Transfer::new(&zone(), ID, asked);
            for message in messages {
                transfer.take(&message)?;
            }
            Ok(transfer.outcome())
        };
        let together = come(vec![message(asked, records)]);
        let apart = come(records.iter().map(|record| message(asked, std::slice::from_ref(record))).collect());
        assert_eq!(together, apart);
        together
    }

    const SINCE_1: Asked = Asked::Since(1);

    #[test]
    fn a_whole_zone_ends_with_the_record_that_it_begins_with() {
        let all = [soa(3), a("a.live.example", 1), a("b.live.example", 2), soa(3)];
        for asked in [Asked::Whole, SINCE_1] {
            let Ok(Some(Outcome::Whole(items))) = outcome(asked, &all) else { panic!("{asked:?}") };
            assert_eq!((items.len(), items[0].serial(), &*items[2].rdata), (3, Some(3), &[192, 0, 2, 2][..]));
            assert_eq!(outcome(asked, &all[..3]), Ok(None), "its end is missing");
        }
    }

    #[test]
    fn differences_come_one_after_the_other() {
        let [one, two, three] = [1, 2, 3].map(soa);
        let all = [
            three.clone(),
            one,
            a("a.live.example", 1),
            two.clone(),
            a("a.live.example", 2),
            two,
            a("b.live.example", 1),
            three.clone(),
            three,
        ];
        let Ok(Some(Outcome::Differences(differences))) = outcome(SINCE_1, &all) else { panic!() };
        let counts: Vec<_> = differences
            .iter()
            .map(|each| (each.from.serial(), each.deleted.len(), each.to.serial(), each.added.len()))
            .collect();
        assert_eq!(counts, [(Some(1), 1, Some(2), 1), (Some(2), 1, Some(3), 0)]);
        assert_eq!(outcome(SINCE_1, &all[..8]), Ok(None), "its end is missing");
    }

    #[test]
    fn who_has_nothing_newer_says_so() {
        assert_eq!(outcome(SINCE_1, &[soa(1)]), Ok(Some(Outcome::Current)));
        assert_eq!(outcome(SINCE_1, &[soa(0)]), Ok(Some(Outcome::Current)));
        assert_eq!(outcome(SINCE_1, &[soa(2)]), Ok(None), "more is to come");
    }

    #[test]
    fn what_is_no_transfer_is_told() {
        let refused = |asked, records: &[Vec<u8>]| outcome(asked, records).unwrap_err().to_string();
        let class = {
            let mut record = a("a.live.example", 1);
            let at = record.len() - 11;
            record[at] = 3;
            record
        };
        for (records, told) in [
            (vec![a("live.example", 1)], "it does not begin with the SOA record"),
            (vec![soa(3), a("live.example", 1), soa(4)], "it does not end with the SOA record that it begins with"),
            (vec![soa(3), soa(3), a("live.example", 1)], "there are records behind its end"),
            (vec![soa(3), a("other.example", 1)], "other.example. A: it is outside the zone"),
            (vec![soa(3), class], "a.live.example. A: it has class 3"),
            (
                vec![soa(3), record("live.example", RecordType::A, &[1, 2, 3])],
                "live.example. A: these octets are no A record",
            ),
            (
                vec![soa(3), record("live.example", RecordType::MX, &[0, 5, 0xc0, 0xff])],
                "live.example. MX: these octets are no MX record",
            ),
            (
                vec![soa(3), record("live.example", RecordType::AXFR, &[])],
                "live.example. AXFR: `AXFR` is a type of messages, not of records",
            ),
        ] {
            assert_eq!(refused(Asked::Whole, &records), told);
        }
        let [one, two, three, four] = [1, 2, 3, 4].map(soa);
        for chain in [
            vec![three.clone(), one.clone(), two.clone(), four.clone()],
            vec![three.clone(), one.clone(), two, three.clone(), four],
            vec![three.clone(), one, three.clone(), a("a.live.example", 1), soa(2)],
        ] {
            assert!(outcome(SINCE_1, &chain).is_err(), "{chain:?}");
        }
        assert!(Transfer::new(&zone(), ID + 1, Asked::Whole).take(&message(Asked::Whole, &[three])).is_err());
    }

    #[test]
    fn refusals_bear_their_code() {
        let mut refusal = message(Asked::Whole, &[]);
        refusal[3] = 9;
        let refused = Transfer::new(&zone(), ID, Asked::Whole).take(&refusal);
        assert_eq!(refused, Err(Fault::Refused(Rcode::NOTAUTH)));
    }
}
