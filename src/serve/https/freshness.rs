//! For how long an HTTP client may keep a reply: the smallest TTL of its answer (RFC 8484 §5.1).

use crate::wire::HEADER;

/// Types whose TTL counts apart from those of the answer, or not at all.
const SOA: u16 = 6;

/// Seconds for which a reply of our own is good; 0 if it has nothing to keep.
pub(super) fn freshness(reply: &[u8]) -> u32 {
    smallest_ttl(reply).flatten().unwrap_or(0)
}

/// The smallest TTL of the answer, and of the SOA that says how long there is none (RFC 2308 §5); none within if there
/// is neither, none at all if the reply cannot be read.
fn smallest_ttl(reply: &[u8]) -> Option<Option<u32>> {
    let count = |at: usize| Some(u16::from_be_bytes([*reply.get(at)?, *reply.get(at + 1)?]));
    let (questions, answers, authorities) = (count(4)?, count(6)?, count(8)?);
    let mut rest = reply.get(HEADER..)?;
    for _ in 0..questions {
        rest = behind_name(rest)?.get(4..)?;
    }
    let mut smallest: Option<u32> = None;
    for index in 0..u32::from(answers) + u32::from(authorities) {
        let (fixed, behind) = behind_name(rest)?.split_first_chunk::<10>()?;
        let [type_high, type_low, _, _, ttl @ .., length_high, length_low] = *fixed;
        let ttl = u32::from_be_bytes(ttl);
        if index < u32::from(answers) || u16::from_be_bytes([type_high, type_low]) == SOA {
            smallest = Some(smallest.map_or(ttl, |smallest| smallest.min(ttl)));
        }
        rest = behind.get(usize::from(u16::from_be_bytes([length_high, length_low]))..)?;
    }
    Some(smallest)
}

/// What follows a name, which may end in a pointer (RFC 1035 §4.1.4).
fn behind_name(mut octets: &[u8]) -> Option<&[u8]> {
    loop {
        let (&first, rest) = octets.split_first()?;
        match first {
            0 => return Some(rest),
            0xc0.. => return rest.get(1..),
            length => octets = rest.get(usize::from(length)..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(rtype: u16, ttl: u32) -> Vec<u8> {
        [b"\xc0\x0c", &rtype.to_be_bytes()[..], b"\0\x01", &ttl.to_be_bytes(), b"\0\x01x"].concat()
    }

    fn reply(answers: &[(u16, u32)], authorities: &[(u16, u32)]) -> Vec<u8> {
        let mut reply = b"\0\0\x84\0\0\x01\0".to_vec();
        reply.extend([answers.len() as u8, 0, authorities.len() as u8, 0, 0]);
        reply.extend(b"\x01a\x07example\0\0\x01\0\x01");
        reply.extend(answers.iter().chain(authorities).flat_map(|(rtype, ttl)| record(*rtype, *ttl)));
        reply
    }

    #[test]
    fn a_reply_is_good_for_its_smallest_ttl() {
        for (answers, authorities, expected) in [
            (&[(1, 300), (1, 7)][..], &[][..], 7),
            (&[(5, 60)], &[(SOA, 300)], 60),
            (&[], &[(SOA, 300)], 300),
            (&[], &[(2, 3_600)], 0),
            (&[(1, 300)], &[(2, 5)], 300),
            (&[], &[], 0),
        ] {
            let reply = reply(answers, authorities);
            assert_eq!(freshness(&reply), expected, "{answers:?} {authorities:?}");
            for cut in 0..reply.len() {
                freshness(&reply[..cut]);
            }
        }
    }
}
