//! Queries in wire form, of which each one sent differs in its ID, a number in its name, and its client subnet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::random::Random;
use crate::sets::{Expected, Queries, Question, Subnet, ZONE};

const HEADER: usize = 12;
/// Octets of a reply that clients take over UDP.
const UDP_SIZE: u16 = 1232;
const OPT: u16 = 41;
/// EDNS options (RFC 7871, RFC 7873).
const CLIENT_SUBNET: u16 = 8;
const COOKIE: u16 = 10;

/// A query that only needs its ID, its number and its client subnet.
pub(super) struct Template {
    wire: Vec<u8>,
    /// Where digits of a number stand.
    digits: std::ops::Range<usize>,
    /// Numbers are drawn below this.
    numbers: u32,
    question_end: usize,
    /// Where the address of the client subnet stands.
    subnet_at: usize,
    /// What a right answer is.
    pub(super) expected: Expected,
}

impl Template {
    /// A query for a question of a set.
    pub(super) fn new(question: &Question, queries: &Queries) -> Self {
        let mut wire = vec![0; HEADER];
        // One question and one additional record.
        (wire[5], wire[11]) = (1, 1);
        for label in question.name.split('.').chain(ZONE.split('.')) {
            wire.push(label.len() as u8);
            wire.extend_from_slice(label.as_bytes());
        }
        let digits = match wire.iter().position(|&octet| octet == b'#') {
            None => 0..0,
            Some(first) => first..first + wire.iter().filter(|&&octet| octet == b'#').count(),
        };
        wire.push(0);
        wire.extend_from_slice(&question.record_type.to_be_bytes());
        wire.extend_from_slice(&[0, 1]);
        let question_end = wire.len();

        let mut options = Vec::new();
        if queries.has_cookie {
            put_option(&mut options, COOKIE, b"a cookie");
        }
        // Family, source prefix, scope prefix, address. It stands last, so that its address does.
        let address_length = match queries.subnet {
            None => 0,
            Some(Subnet::Ipv4) => put_option(&mut options, CLIENT_SUBNET, &[0, 1, 24, 0, 0, 0, 0]) - 4,
            Some(Subnet::Ipv6) => put_option(&mut options, CLIENT_SUBNET, &[0, 2, 56, 0, 0, 0, 0, 0, 0, 0, 0]) - 4,
        };
        wire.push(0);
        wire.extend_from_slice(&OPT.to_be_bytes());
        wire.extend_from_slice(&UDP_SIZE.to_be_bytes());
        wire.extend_from_slice(&[0; 4]);
        wire.extend_from_slice(&(options.len() as u16).to_be_bytes());
        wire.extend_from_slice(&options);
        let subnet_at = wire.len() - address_length;
        let Question { numbers, expected, .. } = *question;
        Self { wire, digits, numbers, question_end, subnet_at, expected }
    }

    /// Writes a query and says how long it is.
    #[inline]
    pub(super) fn write(&self, id: u16, subnet: Option<IpAddr>, random: &mut Random, out: &mut [u8]) -> usize {
        let length = self.wire.len();
        out[..length].copy_from_slice(&self.wire);
        out[..2].copy_from_slice(&id.to_be_bytes());
        if !self.digits.is_empty() {
            let mut number = random.below(self.numbers as usize);
            for digit in out[self.digits.clone()].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        let address = &mut out[self.subnet_at..length];
        match subnet {
            None => {}
            Some(IpAddr::V4(subnet)) => address.copy_from_slice(&subnet.octets()[..3]),
            Some(IpAddr::V6(subnet)) => address.copy_from_slice(&subnet.octets()[..7]),
        }
        length
    }

    /// Name and type of the question, as in a list for dnsperf.
    pub(super) fn text(&self, random: &mut Random) -> String {
        let mut wire = vec![0; self.wire.len()];
        self.write(0, None, random, &mut wire);
        let mut rest = &wire[HEADER..];
        let mut text = String::new();
        while let Some((&length, after)) = rest.split_first()
            && length > 0
        {
            text.push_str(&String::from_utf8_lossy(&after[..usize::from(length)]));
            text.push('.');
            rest = &after[usize::from(length)..];
        }
        let record_type = u16::from_be_bytes([rest[1], rest[2]]);
        // RFC 3597 §5: any type can be written by its number.
        format!("{text} TYPE{record_type}")
    }

    /// Where the answer section of a reply begins.
    pub(super) fn question_end(&self) -> usize {
        self.question_end
    }
}

/// Adds an option; says how long its data is.
fn put_option(options: &mut Vec<u8>, code: u16, data: &[u8]) -> usize {
    options.extend_from_slice(&code.to_be_bytes());
    options.extend_from_slice(&(data.len() as u16).to_be_bytes());
    options.extend_from_slice(data);
    data.len()
}

/// Client subnets that are drawn at random.
pub(super) enum Subnets {
    /// None is sent.
    None,
    /// Each /24 of public IPv4.
    Ipv4,
    /// Each /56 of these networks: IPv6 is so empty that others would all be nowhere.
    Ipv6(Vec<(Ipv6Addr, u8)>),
}

impl Subnets {
    /// One of them.
    #[inline]
    pub(super) fn draw(&self, random: &mut Random) -> Option<IpAddr> {
        match self {
            Self::None => None,
            Self::Ipv4 => loop {
                let [first, second, third, ..] = random.next().to_be_bytes();
                if (1..224).contains(&first) && first != 10 && first != 127 {
                    return Some(Ipv4Addr::new(first, second, third, 0).into());
                }
            },
            Self::Ipv6(networks) => {
                let (first, prefix) = networks[random.below(networks.len())];
                let host = u128::from(random.next()) << 64 & (u128::MAX >> prefix) & (u128::MAX << (128 - 56));
                Some(Ipv6Addr::from(u128::from(first) | host).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sets::Set;

    #[test]
    fn a_query_has_its_number_its_subnet_and_its_length() {
        let queries = Set::E.queries(1);
        let template = Template::new(&queries.questions[0], &queries);
        let mut out = [0; 128];
        let subnet = Some(IpAddr::from([192, 0, 2, 0]));
        let length = template.write(0x1234, subnet, &mut Random::new(0), &mut out);
        assert_eq!(out[..2], [0x12, 0x34]);
        assert_eq!(out[HEADER..template.question_end()], *b"\x04live\x06stream\x07example\0\0\x01\0\x01");
        // RFC 6891 §6.1.2, RFC 7871 §6: root, OPT, size, TTL, length; option, length, family, prefixes, address.
        let options = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
        assert_eq!(out[template.question_end()..length], options);

        let queries = Set::Hit.queries(1_000_000);
        let template = Template::new(&queries.questions[0], &queries);
        let mut random = Random::new(7);
        let mut texts: Vec<_> = (0..100).map(|_| template.text(&mut random)).collect();
        assert!(
            texts.iter().all(|text| text.starts_with('h') && text.ends_with(".stream.example. TYPE1")),
            "{texts:?}"
        );
        texts.sort();
        texts.dedup();
        assert!(texts.len() > 90, "numbers are drawn anew");
    }
}
