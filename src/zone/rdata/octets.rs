//! Octets in text: hexadecimal, base64, base32, and the addresses that are written with them.

use super::{Context, Problem};
use crate::zone::layout::name_length;
use crate::zone::lex::Word;

impl Context<'_> {
    /// Hexadecimal digits over any number of words.
    pub(super) fn hex(&self, words: &[Word], out: &mut Vec<u8>) -> Result<(), Problem> {
        let mut high = None;
        for &word in words {
            for digit in self.text(word).chars() {
                let Some(value) = digit.to_digit(16).filter(|_| !word.is_quoted) else {
                    let message = format!("`{}` is not hexadecimal", self.text(word));
                    return Err(self.error(word, message, None));
                };
                match high.take() {
                    None => high = Some(value),
                    Some(high) => out.push((high << 4 | value) as u8),
                }
            }
        }
        match (high, words.last()) {
            (Some(_), Some(&last)) => {
                Err(self.error(last, "an odd number of hexadecimal digits; each octet has two", None))
            }
            _ => Ok(()),
        }
    }

    /// Base64 over any number of words (RFC 4648 §4).
    pub(super) fn base64(&self, words: &[Word], out: &mut Vec<u8>) -> Result<(), Problem> {
        let mut base64 = Base64::default();
        for &word in words {
            if !self.text(word).bytes().all(|byte| base64.push(byte, out)) {
                let message = format!("`{}` is not base64", self.text(word));
                return Err(self.error(word, message, Some(WRITTEN_BASE64.to_owned())));
            }
        }
        match words.last() {
            Some(&last) if !base64.is_whole() => {
                let message = "the base64 is cut: its length must be a multiple of four, with `=` at its end";
                Err(self.error(last, message, None))
            }
            _ => Ok(()),
        }
    }

    /// RFC 5155 §3.3: a length, then the digits; `-` for no salt.
    pub(super) fn salt(&self, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
        let at = out.len();
        out.push(0);
        if self.text(word) != "-" {
            self.hex(&[word], out)?;
        }
        let length = out.len() - at - 1;
        out[at] = u8::try_from(length)
            .map_err(|_| self.error(word, format!("a salt of {length} octets, at most 255 are allowed"), None))?;
        Ok(())
    }

    /// Base32 with the extended hex alphabet and without padding, behind its length (RFC 4648 §7, RFC 5155 §3.3).
    pub(super) fn hash(&self, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
        let text = self.text(word);
        let at = out.len();
        out.push(0);
        let (mut bits, mut count) = (0u32, 0);
        for byte in text.bytes() {
            let Some(value) = char::from(byte).to_digit(32) else {
                let message = format!("`{text}` is no hashed name: digits and the letters A to V are expected");
                return Err(self.error(word, message, None));
            };
            (bits, count) = (bits << 5 | value, count + 5);
            if count >= 8 {
                count -= 8;
                out.push((bits >> count) as u8);
                bits &= (1 << count) - 1;
            }
        }
        let length = out.len() - at - 1;
        match u8::try_from(length) {
            Ok(octets) if count < 5 && bits == 0 && octets > 0 => out[at] = octets,
            _ => return Err(self.error(word, format!("`{text}` is no hashed name: it is cut or too long"), None)),
        }
        Ok(())
    }

    /// RFC 7043 §3.2 and §4.2: octets of two digits; one is enough, as BIND takes it.
    pub(super) fn eui(&self, octets: usize, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
        let groups: Option<Vec<u8>> =
            self.text(word).split('-').map(|group| hex_group(group, 2).map(|octet| octet as u8)).collect();
        match groups.filter(|groups| groups.len() == octets) {
            Some(groups) => out.extend(groups),
            None => {
                let message = format!("`{}` is not an EUI-{} address", self.text(word), octets * 8);
                let help = format!("write {octets} octets in hexadecimal: `{}2a`", "00-".repeat(octets - 1));
                return Err(self.error(word, message, Some(help)));
            }
        }
        Ok(())
    }

    /// RFC 6742 §2.1.2: four groups, none left out.
    pub(super) fn locator(&self, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
        let groups: Option<Vec<u16>> = self.text(word).split(':').map(|group| hex_group(group, 4)).collect();
        match groups.filter(|groups| groups.len() == 4) {
            Some(groups) => out.extend(groups.into_iter().flat_map(u16::to_be_bytes)),
            None => {
                let message = format!("`{}` is not a 64-bit locator or identifier", self.text(word));
                let help = "write four groups of up to four hex digits: `2001:db8:1140:1000`";
                return Err(self.error(word, message, Some(help.to_owned())));
            }
        }
        Ok(())
    }

    /// RFC 1706 §7: `0x`, then digits with dots where one likes.
    pub(super) fn nsap(&self, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
        let text = self.text(word);
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let start = out.len();
        match digits.and_then(|digits| dotted_hex(digits.bytes().filter(|&byte| byte != b'.'), out)) {
            Some(()) if out.len() > start => Ok(()),
            _ => {
                let message = format!("`{text}` is not an NSAP address");
                Err(self.error(word, message, Some("write `0x` and an even number of hex digits".to_owned())))
            }
        }
    }

    /// The ATM Forum's af-dans-0152: E.164 behind `+`, else an address in hexadecimal digits.
    pub(super) fn atma(&self, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
        let text = self.text(word);
        let start = out.len();
        let is_address = match text.strip_prefix('+') {
            Some(number) => {
                out.push(ATMA_E164);
                out.extend(number.bytes().filter(|&byte| byte != b'.'));
                number.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit())
            }
            None => {
                out.push(ATMA_AESA);
                let has_stray_dot = text.starts_with('.') || text.ends_with('.') || text.contains("..");
                !has_stray_dot && dotted_hex(text.bytes().filter(|&byte| byte != b'.'), out).is_some()
            }
        };
        if is_address && out.len() > start + 1 {
            return Ok(());
        }
        let help = "write `+` and digits, or an even number of hex digits with single dots between";
        Err(self.error(word, format!("`{text}` is not an ATM address"), Some(help.to_owned())))
    }

    /// RFC 2874 §3.1: a prefix length, the address bits behind it, and a name if there is a prefix.
    pub(super) fn a6(&self, words: &[Word], out: &mut Vec<u8>) -> Result<(), Problem> {
        let [prefix_word, rest @ ..] = words else {
            return Ok(());
        };
        let prefix = self.number("prefix length", *prefix_word, 128)? as u8;
        let skipped = usize::from(prefix / 8);
        out.push(prefix);
        let (has_address, has_name) = (prefix < 128, prefix > 0);
        if rest.len() != usize::from(has_address) + usize::from(has_name) {
            let message = format!(
                "behind a prefix length of {prefix}, A6 has {}",
                match (has_address, has_name) {
                    (true, true) => "an address and a name",
                    (true, false) => "an address and no name",
                    _ => "a name and no address",
                }
            );
            return Err(self.error(*prefix_word, message, None));
        }
        let mut rest = rest.iter();
        if let Some(&word) = rest.next().filter(|_| has_address) {
            let mut address = self.ipv6(word)?.octets();
            if let Some(first) = address.get_mut(skipped) {
                *first &= 0xff >> (prefix % 8);
            }
            out.extend_from_slice(&address[skipped..]);
        }
        if let Some(&word) = words.last().filter(|_| has_name) {
            out.extend_from_slice(self.name(word)?.wire());
        }
        Ok(())
    }
}

/// Whether these are the format of an ATM address and the address.
pub(in crate::zone) fn is_atma(octets: &[u8]) -> bool {
    match octets {
        [ATMA_E164, number @ ..] => !number.is_empty() && number.iter().all(u8::is_ascii_digit),
        [_, address @ ..] => !address.is_empty(),
        [] => false,
    }
}

/// Octets of a whole A6 record; none if these are not one.
pub(in crate::zone) fn a6_length(octets: &[u8]) -> Option<usize> {
    let (&prefix, rest) = octets.split_first()?;
    let suffix = rest.get(..16usize.checked_sub(usize::from(prefix / 8))?)?;
    // RFC 2874 §3.1: the bits of the prefix are zero; 129 to 135 are no length.
    let is_padded = suffix.first().map_or(prefix == 128, |first| first & !(0xff >> (prefix % 8)) == 0);
    let name = &rest[suffix.len()..];
    let name_length = if prefix == 0 { 0 } else { name_length(name)? };
    is_padded.then_some(1 + suffix.len() + name_length)
}

/// The name at the end of an A6 record, empty if there is none.
pub(in crate::zone) fn a6_name(octets: &[u8]) -> &[u8] {
    match octets {
        [prefix @ 1..=128, rest @ ..] => rest.get(16 - usize::from(prefix / 8)..).unwrap_or_default(),
        _ => &[],
    }
}

/// Base64 that comes octet by octet.
#[derive(Default)]
pub(super) struct Base64 {
    bits: u32,
    /// Characters of the group of four that is open, with its padding.
    count: u32,
    padding: u32,
}

impl Base64 {
    /// Takes one character; false if it cannot stand here.
    pub(super) fn push(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if self.count >= 2 => {
                self.padding += 1;
                0
            }
            _ => return false,
        };
        if self.padding > 0 && byte != b'=' {
            return false;
        }
        self.bits = self.bits << 6 | u32::from(value);
        self.count += 1;
        if self.count == 4 {
            let [_, octets @ ..] = self.bits.to_be_bytes();
            let (octets, unused) = octets.split_at(3 - self.padding as usize);
            out.extend_from_slice(octets);
            self.count = 0;
            self.bits = 0;
            // Bits that stand for nothing must be zero (RFC 4648 §3.5).
            return unused.iter().all(|&octet| octet == 0);
        }
        true
    }

    /// Whether it may end here.
    pub(super) fn is_whole(&self) -> bool {
        self.count == 0
    }
}

/// One to so many hexadecimal digits.
fn hex_group(text: &str, most: usize) -> Option<u16> {
    let is_group = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_group { u16::from_str_radix(text, 16).ok() } else { None }
}

/// An even number of hexadecimal digits.
fn dotted_hex(mut digits: impl Iterator<Item = u8>, out: &mut Vec<u8>) -> Option<()> {
    while let Some(high) = digits.next() {
        let value = |digit: u8| char::from(digit).to_digit(16);
        out.push((value(high)? << 4 | value(digits.next()?)?) as u8);
    }
    Some(())
}

const ATMA_AESA: u8 = 0;
const ATMA_E164: u8 = 1;
const WRITTEN_BASE64: &str = "letters, digits, `+` and `/` are allowed, and `=` at the end";
