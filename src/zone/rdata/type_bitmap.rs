//! Lists of record types: the windows of RFC 4034 §4.1.2, and the one bitmap of RFC 2535 §5.2.

use super::{Context, Problem};
use crate::diagnostic::{Diagnostic, nearest};
use crate::wire::RecordType;
use crate::zone::lex::Word;

/// Octets of the longest bitmap of a window.
const MAX_WINDOW: usize = 32;
/// Types of 128 and above do not fit into NXT.
const MAX_OLD_TYPE: u16 = 127;

/// Whether these are windows in ascending order without empty ones or zeros at their ends.
pub(in crate::zone) fn is_bitmap(octets: &[u8]) -> bool {
    let (mut rest, mut last) = (octets, None);
    while let [window, length, after @ ..] = rest {
        let length = usize::from(*length);
        let Some((bits, after)) = after.split_at_checked(length) else {
            return false;
        };
        if last >= Some(*window) || length > MAX_WINDOW || bits.last().is_none_or(|&octet| octet == 0) {
            return false;
        }
        (rest, last) = (after, Some(*window));
    }
    rest.is_empty()
}

/// Whether this is the bitmap of NXT: types below 128, without type 0 and without zeros at its end.
pub(in crate::zone) fn is_old_bitmap(octets: &[u8]) -> bool {
    let is_short = octets.len() <= usize::from(MAX_OLD_TYPE / 8 + 1);
    is_short && octets.last() != Some(&0) && octets.first().is_none_or(|first| first & 0x80 == 0)
}

pub(super) fn read(context: &Context<'_>, words: &[Word], out: &mut Vec<u8>, problems: &mut Vec<Diagnostic>) {
    let mut types = Vec::new();
    for &word in words {
        match context.text(word).parse::<RecordType>() {
            Ok(rtype) => types.push(rtype.0),
            Err(_) => problems.push(*unknown(context, word)),
        }
    }
    types.sort_unstable();
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bits = [0u8; MAX_WINDOW];
        let mut length = 0;
        for &rtype in window {
            length = usize::from(rtype & 0xff) / 8 + 1;
            bits[length - 1] |= 0x80 >> (rtype % 8);
        }
        out.extend([(window[0] >> 8) as u8, length as u8]);
        out.extend_from_slice(&bits[..length]);
    }
}

pub(super) fn read_old(context: &Context<'_>, words: &[Word], out: &mut Vec<u8>, problems: &mut Vec<Diagnostic>) {
    let start = out.len();
    for &word in words {
        let rtype = match context.rtype(word) {
            Ok(rtype) if (1..=MAX_OLD_TYPE).contains(&rtype) => rtype,
            Ok(rtype) => {
                let message = format!("type {rtype} is out of range: NXT can tell 1 to {MAX_OLD_TYPE}");
                problems.push(*context.error(word, message, None));
                continue;
            }
            Err(problem) => {
                problems.push(*problem);
                continue;
            }
        };
        let at = start + usize::from(rtype / 8);
        out.resize(out.len().max(at + 1), 0);
        out[at] |= 0x80 >> (rtype % 8);
    }
}

/// What is said of a word that is no mnemonic of a type.
pub(super) fn unknown(context: &Context<'_>, word: Word) -> Problem {
    let text = context.text(word);
    let help = nearest(text, RecordType::mnemonics()).map(|known| format!("did you mean `{known}`?"));
    context.error(word, format!("unknown record type `{text}`"), help)
}
