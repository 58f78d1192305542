//! Random queries on, above, below and beside the names of zones.

use thalweg::name::Name;
use thalweg::wire::RecordType;

use super::data::{PRIVATE, PRIVATE_TOO, TYPES};
use super::families::longest;
use super::random::Random;
use super::support::query::{AD, CD, Edns, Query, RD};
use super::zones::{Record, Zone, child, mixed};

/// A query and the way it goes.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) query: Query,
    pub(crate) is_tcp: bool,
}

const QTYPES: [(usize, RecordType); 18] = [
    (22, RecordType::A),
    (6, RecordType::AAAA),
    (9, RecordType::NS),
    (6, RecordType::SOA),
    (4, RecordType::MX),
    (6, RecordType::TXT),
    (8, RecordType::CNAME),
    (6, RecordType::DNAME),
    (9, RecordType::DS),
    (3, RecordType::SRV),
    (7, RecordType::ANY),
    (2, RecordType::RRSIG),
    (1, RecordType::NSEC),
    (2, RecordType::DNSKEY),
    (1, RecordType::NSEC3),
    (3, RecordType::HTTPS),
    (4, PRIVATE),
    (2, PRIVATE_TOO),
];

/// A query about something in or near these zones.
pub(crate) fn question(random: &mut Random, zones: &[Zone]) -> Question {
    let zone = random.pick(zones);
    let record = random.pick(&zone.records);
    let name = name(random, zone, record);
    let qtype = match random.below(100) {
        0..18 => record.rtype,
        18..30 => random.weighted(&TYPES).to_owned(),
        _ => *random.weighted(&QTYPES),
    };
    let name = if random.chance(25) { mixed(&name, || random.chance(50)) } else { name };
    let flags = [(30, RD), (8, CD), (8, AD)].into_iter().filter(|(percent, _)| random.chance(*percent));
    let flags = flags.fold(0, |flags, (_, flag)| flags | flag);
    let class = *random.weighted(&[(97, 1), (2, 3), (1, 255)]);
    let edns = random.chance(60).then(|| Edns {
        payload: *random.pick(&[0, 512, 700, 1_232, 1_232, 4_096, 65_535]),
        dnssec_ok: random.chance(40),
        ..Edns::default()
    });
    let query = Query { name, qtype, class, flags, edns };
    Question { query, is_tcp: random.chance(20) }
}

fn name(random: &mut Random, zone: &Zone, record: &Record) -> Name {
    let owner = record.owner.clone();
    let target = record.target.clone().unwrap_or_else(|| owner.clone());
    let other = random.pick(&zone.records).owner.clone();
    let label = random.pick(&zone.records).owner.labels().next().unwrap_or(b"x").to_vec();
    let replaced = |random: &mut Random, name: &Name, label: &[u8]| {
        // A wildcard below the last one asks for what the last one covers, and for itself.
        let label = if random.chance(20) { b"*" } else { label };
        name.parent().and_then(|parent| child(label, &parent))
    };
    let name = match random.below(100) {
        0..30 => Some(owner.clone()),
        30..36 => owner.parent(),
        36..39 => owner.parent().and_then(|parent| parent.parent()),
        39..52 => child(b"none", &owner),
        52..60 => child(&label, &owner),
        60..63 => child(b"*", &owner),
        63..69 => child(b"x", &owner).and_then(|below| child(&label, &below)),
        69..76 => replaced(random, &owner, b"beside"),
        76..80 => replaced(random, &owner, &label),
        80..83 => child(&[b'y'; 60], &owner).and_then(|below| child(&[b'z'; 60], &below)),
        83..85 => Some(longest(&owner)),
        85..91 => Some(target),
        91..94 => child(&label, &target),
        94..97 => child(&label, &zone.apex),
        97..98 => zone.apex.parent(),
        98..99 => child(b"www", &Name::parse("elsewhere.example.", None).expect("a name")),
        _ => Some(Name::root()),
    };
    name.unwrap_or(other)
}
