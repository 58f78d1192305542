//! Random RRsets: a line for each type that zones have besides delegations and aliases.

use std::fmt::Write;

use thalweg::name::Name;
use thalweg::wire::RecordType;

use super::random::Random;
use super::zones::Record;

/// Seconds; 0 and the largest (RFC 2181 §8) are allowed.
pub(crate) const TTLS: [u32; 8] = [0, 1, 30, 300, 3_600, 7_200, 604_800, 2_147_483_647];

/// Types that nobody has heard of, and types that are written as if nobody had (RFC 3597).
pub(crate) const PRIVATE: RecordType = RecordType(65_280);
pub(crate) const PRIVATE_TOO: RecordType = RecordType(4_711);

/// The types of ordinary RRsets, and how many of a hundred are of them.
pub(crate) const TYPES: [(usize, RecordType); 20] = [
    (22, RecordType::A),
    (13, RecordType::AAAA),
    (12, RecordType::TXT),
    (9, RecordType::MX),
    (7, RecordType::SRV),
    (5, RecordType::PTR),
    (4, RecordType::CAA),
    (3, RecordType::HINFO),
    (4, RecordType::HTTPS),
    (5, PRIVATE),
    (2, PRIVATE_TOO),
    (2, RecordType::SPF),
    (2, RecordType::NAPTR),
    (2, RecordType::RP),
    (1, RecordType::AFSDB),
    (1, RecordType::LOC),
    (1, RecordType::SSHFP),
    (2, RecordType::TLSA),
    (2, RecordType::SVCB),
    (1, RecordType::URI),
];

/// Adds an RRset of any ordinary type.
pub(crate) fn rrset(
    random: &mut Random,
    owner: &Name,
    records: &mut Vec<Record>,
    target: &mut dyn FnMut(&mut Random) -> Name,
) {
    let rtype = *random.weighted(&TYPES);
    for _ in 0..*random.weighted(&[(60, 1), (25, 2), (10, 3), (5, 7)]) {
        let mut record = record(random, owner, rtype);
        if TARGETED.contains(&rtype) {
            record.target = Some(target(random));
        }
        records.push(record);
    }
}

/// The types whose data end with a name.
const TARGETED: [RecordType; 8] = [
    RecordType::MX,
    RecordType::SRV,
    RecordType::PTR,
    RecordType::NAPTR,
    RecordType::RP,
    RecordType::AFSDB,
    RecordType::HTTPS,
    RecordType::SVCB,
];

/// Adds an RRset that goes into no datagram, or hardly.
pub(crate) fn large_rrset(random: &mut Random, owner: &Name, records: &mut Vec<Record>) {
    // BIND takes 100 records an RRset, and others may have added to it.
    let rtype = *random.pick(&[RecordType::TXT, RecordType::A, RecordType::AAAA, RecordType::HINFO]);
    let count = *random.pick(&[12, 28, 29, 30, 44, 70, 90]);
    records.extend((0..count).map(|_| record(random, owner, rtype)));
}

/// A record of a type, without its target if it has one.
pub(crate) fn record(random: &mut Random, owner: &Name, rtype: RecordType) -> Record {
    let mut number = |most: usize| random.below(most + 1);
    let data = match rtype {
        RecordType::A => format!("192.0.{}.{}", number(255), number(255)),
        RecordType::AAAA => format!("2001:db8::{:x}:{:x}", number(65_535), number(65_535)),
        RecordType::MX => format!("{}", number(2) * 10),
        RecordType::SRV => format!("{} {} {}", number(2), number(2), number(65_535)),
        RecordType::PTR => String::new(),
        RecordType::CAA => format!("{} issue \"ca{}.example\"", number(1) * 128, number(99)),
        RecordType::HINFO => format!("{} {}", string(random), string(random)),
        RecordType::TXT | RecordType::SPF => {
            let strings = *random.weighted(&[(70, 1), (20, 2), (10, 5)]);
            (0..strings).map(|_| string(random)).collect::<Vec<_>>().join(" ")
        }
        RecordType::DS => format!("{} 13 2 {}", number(65_535), hex(random, 32)),
        // With its parameters it would not end with the name.
        RecordType::HTTPS | RecordType::SVCB => format!("{}", number(3)),
        RecordType::NAPTR => format!("{} {} \"u\" \"E2U+sip\" \"!^.*$!sip:a@b.example!\"", number(9), number(9)),
        RecordType::RP => format!("mailbox{}.example.", number(9)),
        RecordType::AFSDB => format!("{}", number(2)),
        RecordType::LOC => {
            format!("{} 0 0.000 N {} 30 0.000 E {}.00m 1m 10000m 10m", number(80), number(170), number(900))
        }
        RecordType::SSHFP => format!("4 2 {}", hex(random, 32)),
        RecordType::TLSA => format!("3 1 1 {}", hex(random, 32)),
        RecordType::URI => format!("{} {} \"https://www{}.example/\"", number(9), number(9), number(99)),
        _ => {
            let octets = number(40);
            format!("\\# {octets} {}", hex(random, octets))
        }
    };
    let ttl = *random.pick(&TTLS);
    Record { owner: owner.clone(), ttl, rtype, data: data.trim_end().to_owned(), target: None }
}

fn string(random: &mut Random) -> String {
    let length = *random.weighted(&[(10, 0), (60, 12), (20, 60), (10, 255)]);
    let mut text = String::from("\"");
    for _ in 0..length {
        match random.below(40) {
            0 => text.push_str("\\\""),
            1 => text.push_str("\\\\"),
            2 => write!(text, "\\{:03}", random.below(256)).expect("a string takes everything"),
            3 => text.push(';'),
            _ => text.push(char::from(b'a' + random.below(26) as u8)),
        }
    }
    text.push('"');
    text
}

fn hex(random: &mut Random, octets: usize) -> String {
    (0..octets).map(|_| format!("{:02x}", random.below(256))).collect()
}
