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
            (State::Begun(last), Asked::Since(held)) if is_soa && item.serial() == Some(held) && !item.is_soa_of(&last) => {
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
