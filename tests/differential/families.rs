//! Random families of zones: parents, children and neighbours that point at each other.

use thalweg::name::Name;
use thalweg::wire::RecordType;

use super::data::{self, TTLS};
use super::random::Random;
use super::zones::{Record, Zone, child, mixed, tidy_dnames};

const PLAIN_LABELS: [&[u8]; 10] =
    [b"a", b"b", b"c", b"www", b"mail", b"x-1", b"_sip", b"_tcp", b"xn--bcher-kva", b"deep"];
const ODD_LABELS: [&[u8]; 16] = [
    b"d.ot",
    b"\0",
    b"\xff",
    b"nul\0in",
    b"sp ace",
    b"qu\"ote",
    b"back\\slash",
    b"semi;colon",
    b"at@",
    b"$d",
    b"(p)",
    b"a*",
    b"*a",
    b"**",
    b"\x80\xc0\x01",
    b"0123456789-0123456789-0123456789-0123456789-0123456789-01234567",
];
const WILDCARD: &[u8] = b"*";

/// Some zones that belong together; all their names end with the family's own.
pub(crate) fn family(random: &mut Random, number: usize, most: usize) -> Vec<Zone> {
    let base = Name::parse(&format!("f{number}.test."), None).expect("a name");
    let mut labels: Vec<&[u8]> = (0..4).map(|_| *random.pick(&PLAIN_LABELS)).collect();
    labels.push(*random.pick(&ODD_LABELS));
    let apexes = apexes(random, &base, most);
    // Names first, so that records can point at all of them.
    let owners: Vec<Vec<Name>> = apexes.iter().map(|apex| owners(random, apex, &labels)).collect();
    let all: Vec<Name> = owners.iter().flatten().chain(&apexes).cloned().collect();
    let targets = Targets { all, labels, base };
    let mut zones = Vec::new();
    for (apex, owners) in apexes.iter().zip(owners) {
        let mut records = at_apex(random, apex, &targets);
        for owner in &owners {
            at_owner(random, owner, apex, &targets, &mut records);
        }
        for below in apexes.iter().filter(|below| *below != apex && below.is_at_or_below(apex)) {
            // The others are served without being delegated.
            if random.chance(80) {
                records.retain(|record| record.owner != *below);
                at_cut(random, below, apex, &targets, &mut records);
            }
        }
        let mut zone = Zone { apex: apex.clone(), records };
        zone.tidy();
        zones.push(zone);
    }
    tidy_dnames(&mut zones);
    zones
}

fn apexes(random: &mut Random, base: &Name, most: usize) -> Vec<Name> {
    let below = |label: &[u8], parent: &Name| child(label, parent).expect("a short name");
    let first = below(b"a", base);
    let second = below(b"sub", &if random.chance(30) { below(b"b", &first) } else { first.clone() });
    let third = below(b"c", &second);
    let mut apexes = vec![first];
    for (percent, apex) in [(70, second), (50, below(b"b", base)), (40, third), (30, base.clone())] {
        if random.chance(percent) && apexes.len() < most {
            apexes.push(apex);
        }
    }
    apexes
}

fn owners(random: &mut Random, apex: &Name, labels: &[&[u8]]) -> Vec<Name> {
    let mut owners = Vec::new();
    for _ in 0..random.between(6, 22) {
        let mut name = apex.clone();
        for _ in 0..*random.weighted(&[(40, 1), (35, 2), (18, 3), (7, 4)]) {
            let label = if random.chance(22) { WILDCARD } else { random.pick(labels) };
            name = child(label, &name).unwrap_or(name);
        }
        if random.chance(4) {
            name = longest(&name);
        }
        owners.push(name);
    }
    owners
}

/// A name of 255 octets below this one.
pub(crate) fn longest(name: &Name) -> Name {
    let mut name = name.clone();
    loop {
        let room = 255 - name.wire().len();
        let label = match room {
            0 | 1 => return name,
            // What is left must be a label, too.
            65 => 62,
            2..=64 => room - 1,
            _ => 63,
        };
        name = child(&vec![b'l'; label], &name).expect("there is room");
    }
}

/// What names in data are chosen from.
struct Targets<'l> {
    all: Vec<Name>,
    labels: Vec<&'l [u8]>,
    base: Name,
}

impl Targets<'_> {
    fn pick(&self, random: &mut Random) -> Name {
        let name = random.pick(&self.all).clone();
        let label = *random.pick(&self.labels);
        let picked = match random.below(100) {
            0..60 => Some(name),
            60..72 => child(label, &name),
            72..78 => child(b"none", &name),
            78..84 => name.parent(),
            84..88 => Some(longest(&name)),
            88..91 => child(&[b'o'; 60], &child(&[b'o'; 60], &name).unwrap_or(name)),
            91..94 => child(label, &self.base),
            94..95 => Some(Name::root()),
            _ => child(label, &Name::parse("outside.example.", None).expect("a name")),
        };
        let picked = picked.unwrap_or_else(|| self.base.clone());
        if random.chance(15) { mixed(&picked, || random.chance(50)) } else { picked }
    }
}

fn at_apex(random: &mut Random, apex: &Name, targets: &Targets<'_>) -> Vec<Record> {
    let host = child(b"ns1", apex).expect("a short name");
    let minimum = random.pick(&TTLS);
    let soa = format!("{host} host.{apex} {} 7200 900 1209600 {minimum}", random.between(1, 99_999));
    let mut records =
        vec![Record { owner: apex.clone(), ttl: *random.pick(&TTLS), rtype: RecordType::SOA, data: soa, target: None }];
    // Nothing can be below a DNAME, nor a nameserver.
    let has_dname = random.chance(6);
    if has_dname {
        let target = targets.pick(random);
        records.push(record(random, apex, RecordType::DNAME, target));
    } else if random.chance(70) {
        records.push(record(random, apex, RecordType::NS, host.clone()));
        records.push(data::record(random, &host, RecordType::A));
        if random.chance(50) {
            records.push(data::record(random, &host, RecordType::AAAA));
        }
    }
    if !records.iter().any(|record| record.rtype == RecordType::NS) || random.chance(40) {
        records.push(record(random, apex, RecordType::NS, outside(b"ns")));
    }
    for _ in 0..random.below(4) {
        data::rrset(random, apex, &mut records, &mut |random| targets.pick(random));
    }
    records
}

fn at_owner(random: &mut Random, owner: &Name, apex: &Name, targets: &Targets<'_>, records: &mut Vec<Record>) {
    match random.below(100) {
        0..24 => {
            let target = targets.pick(random);
            records.push(record(random, owner, RecordType::CNAME, target));
        }
        24..34 => {
            let target = targets.pick(random);
            records.push(record(random, owner, RecordType::DNAME, target));
            if random.chance(40) {
                data::rrset(random, owner, records, &mut |random| targets.pick(random));
            }
        }
        34..46 => at_cut(random, owner, apex, targets, records),
        46..52 => data::large_rrset(random, owner, records),
        _ => {
            for _ in 0..random.between(1, 3) {
                data::rrset(random, owner, records, &mut |random| targets.pick(random));
            }
        }
    }
}

/// A delegation with all, some or none of the addresses of its servers.
fn at_cut(random: &mut Random, cut: &Name, apex: &Name, targets: &Targets<'_>, records: &mut Vec<Record>) {
    let hosts = if random.chance(6) { random.between(8, 20) } else { random.between(1, 3) };
    for number in 0..hosts {
        let label = format!("ns{number}");
        let host = match random.below(100) {
            0..45 => child(label.as_bytes(), cut),
            45..52 => Some(cut.clone()),
            52..62 => child(label.as_bytes(), apex),
            62..85 => {
                let other = random.pick(&targets.all);
                if random.chance(50) { Some(other.clone()) } else { child(b"ns0", other) }
            }
            _ => None,
        };
        let host = host.unwrap_or_else(|| outside(label.as_bytes()));
        records.push(record(random, cut, RecordType::NS, host.clone()));
        if host.is_at_or_below(apex) && random.chance(75) {
            if random.chance(85) {
                records.push(data::record(random, &host, RecordType::A));
            }
            if random.chance(40) {
                records.push(data::record(random, &host, RecordType::AAAA));
            }
        }
    }
    for _ in 0..*random.weighted(&[(60, 0), (30, 1), (10, 2)]) {
        records.push(data::record(random, cut, RecordType::DS));
    }
    if random.chance(15) {
        // Hidden by the cut.
        data::rrset(random, cut, records, &mut |random| targets.pick(random));
    }
}

fn outside(label: &[u8]) -> Name {
    child(label, &Name::parse("outside.example.", None).expect("a name")).expect("a short name")
}

fn record(random: &mut Random, owner: &Name, rtype: RecordType, target: Name) -> Record {
    Record { owner: owner.clone(), ttl: *random.pick(&TTLS), rtype, data: String::new(), target: Some(target) }
}
