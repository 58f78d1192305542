//! The types that exist at a name, as NSEC records tell them (RFC 4034 §4.1.2).

use crate::wire::RecordType;

/// The bitmap of these types, which may come in any order and more than once.
pub fn bitmap(types: impl IntoIterator<Item = RecordType>) -> Vec<u8> {
    let mut types: Vec<u16> = types.into_iter().map(|RecordType(number)| number).collect();
    types.sort_unstable();
    types.dedup();
    let mut octets = Vec::new();
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bits = [0u8; 32];
        for number in window {
            bits[usize::from(number & 0xff) / 8] |= 0x80 >> (number % 8);
        }
        let length = usize::from(window[window.len() - 1] & 0xff) / 8 + 1;
        octets.extend([(window[0] >> 8) as u8, length as u8]);
        octets.extend_from_slice(&bits[..length]);
    }
    octets
}

/// The bitmap without one of its types; what is no bitmap ends where it stops to be one.
pub fn bitmap_without(mut octets: &[u8], absent: RecordType) -> Vec<u8> {
    let mut types = Vec::new();
    while let Some((&[window, length], rest)) = octets.split_first_chunk()
        && let Some((bits, rest)) = rest.split_at_checked(usize::from(length))
    {
        let number = |at: usize| RecordType(u16::from_be_bytes([window, at as u8]));
        types.extend((0..bits.len() * 8).filter(|at| bits[at / 8] & 0x80 >> (at % 8) != 0).map(number));
        octets = rest;
    }
    bitmap(types.into_iter().filter(|rtype| *rtype != absent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_what_rfc_4034_has_in_its_example() {
        // RFC 4034 §4.3: A MX RRSIG NSEC TYPE1234.
        let types = [1234, 47, 46, 15, 1, 1].map(RecordType);
        let mut expected = vec![0, 6, 0x40, 0x01, 0, 0, 0, 0x03, 4, 0x1b];
        expected.extend([0; 26]);
        expected.push(0x20);
        assert_eq!(bitmap(types), expected);
    }

    #[test]
    fn one_type_is_taken_out_and_the_others_stay() {
        let of = |types: &[u16]| bitmap(types.iter().copied().map(RecordType));
        assert_eq!(bitmap_without(&of(&[1, 16, 28, 46, 47, 1234]), RecordType::A), of(&[16, 28, 46, 47, 1234]));
        assert_eq!(bitmap_without(&of(&[46, 47, 1234]), RecordType(1234)), of(&[46, 47]));
        assert_eq!(bitmap_without(&of(&[16, 46]), RecordType::A), of(&[16, 46]));
    }
}
