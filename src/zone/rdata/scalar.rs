//! Fields of one word: numbers, names, addresses, strings, and words that stand for numbers.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Context, Problem, type_bitmap};
use crate::diagnostic::nearest;
use crate::name::{Name, unescape};
use crate::wire::RecordType;
use crate::zone::layout::Named;
use crate::zone::lex::Word;
use crate::zone::ttl::{self, TtlError};

impl Context<'_> {
    pub(super) fn ipv4(&self, word: Word) -> Result<Ipv4Addr, Problem> {
        self.ipv4_of(word, self.text(word))
    }

    /// An address that is a part of the word.
    pub(super) fn ipv4_of(&self, word: Word, text: &str) -> Result<Ipv4Addr, Problem> {
        text.parse().map_err(|_| {
            let help = match text.parse::<Ipv6Addr>() {
                Ok(_) if self.rtype == RecordType::A => "an IPv6 address needs the type AAAA",
                _ => "write four numbers from 0 to 255: `192.0.2.1`",
            };
            self.error(word, format!("`{text}` is not an IPv4 address"), Some(help.to_owned()))
        })
    }

    pub(super) fn ipv6(&self, word: Word) -> Result<Ipv6Addr, Problem> {
        self.ipv6_of(word, self.text(word))
    }

    /// An address that is a part of the word.
    pub(super) fn ipv6_of(&self, word: Word, text: &str) -> Result<Ipv6Addr, Problem> {
        text.parse().map_err(|_| {
            let help = match text.parse::<Ipv4Addr>() {
                Ok(_) if self.rtype == RecordType::AAAA => "an IPv4 address needs the type A",
                _ => "write up to eight groups of hex digits: `2001:db8::1`",
            };
            self.error(word, format!("`{text}` is not an IPv6 address"), Some(help.to_owned()))
        })
    }

    pub(super) fn name(&self, word: Word) -> Result<Name, Problem> {
        Name::parse(self.text(word), Some(self.origin)).map_err(|error| self.error(word, error, None))
    }

    pub(super) fn u8(&self, name: &str, word: Word) -> Result<u8, Problem> {
        self.number(name, word, u32::from(u8::MAX)).map(|number| number as u8)
    }

    pub(super) fn u16(&self, name: &str, word: Word) -> Result<u16, Problem> {
        self.u16_of(word, name, self.text(word))
    }

    /// A number that is a part of the word.
    pub(super) fn u16_of(&self, word: Word, name: &str, text: &str) -> Result<u16, Problem> {
        self.number_of(word, name, text, u32::from(u16::MAX)).map(|number| number as u16)
    }

    pub(super) fn number(&self, name: &str, word: Word, max: u32) -> Result<u32, Problem> {
        self.number_of(word, name, self.text(word), max)
    }

    /// A number that is a part of the word.
    pub(super) fn number_of(&self, word: Word, name: &str, text: &str, max: u32) -> Result<u32, Problem> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.error(word, format!("`{text}` is not a number: the {name} is expected"), None));
        }
        let number = text.parse().ok().filter(|&number| number <= max);
        number.ok_or_else(|| self.out_of_range(word, name, text, max))
    }

    pub(super) fn seconds(&self, name: &str, word: Word) -> Result<u32, Problem> {
        let text = self.text(word);
        ttl::seconds(text).map_err(|error| match error {
            TtlError::TooLong => self.out_of_range(word, name, text, u32::MAX),
            TtlError::NotATime => {
                let message = format!("`{text}` is not a time: the {name} is expected");
                self.error(word, message, Some("write seconds, or units as in `1h30m`".to_owned()))
            }
        })
    }

    /// A number, or one of the words that stand for one.
    pub(super) fn named(&self, name: &str, named: &Named, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
        let text = self.text(word);
        let known = named.words.iter().find(|(known, _)| known.eq_ignore_ascii_case(text));
        let number = match known {
            Some((_, number)) => *number,
            None if text.starts_with(|first: char| first.is_ascii_digit()) => {
                let max = if named.octets == 1 { u32::from(u8::MAX) } else { u32::from(u16::MAX) };
                self.number(name, word, max)? as u16
            }
            None => {
                let help = match nearest(text, named.words.iter().map(|(known, _)| *known)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write its number".to_owned(),
                };
                return Err(self.error(word, format!("`{text}` is no known {name}"), Some(help)));
            }
        };
        out.extend_from_slice(&number.to_be_bytes()[2 - named.octets..]);
        Ok(())
    }

    /// RFC 2535 §7.1: a number, in hexadecimal digits too as BIND takes it, or words with `|` between.
    pub(super) fn key_flags(&self, name: &str, word: Word) -> Result<u16, Problem> {
        let text = self.text(word);
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return self.u16(name, word);
        }
        if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            && let Ok(flags) = u16::from_str_radix(digits, 16)
        {
            return Ok(flags);
        }
        let flag = |word: &str| KEY_FLAGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        let flags: Option<u16> = text.split('|').try_fold(0, |flags, word| Some(flags | flag(word)?.1));
        flags.ok_or_else(|| {
            let help = "write a number: 256 for a key of the zone, 257 for a key that signs keys";
            self.error(word, format!("`{text}` are no known flags"), Some(help.to_owned()))
        })
    }

    /// A record type by its mnemonic or its number.
    pub(super) fn rtype(&self, word: Word) -> Result<u16, Problem> {
        match self.text(word).parse::<RecordType>() {
            Ok(rtype) => Ok(rtype.0),
            Err(_) if self.text(word).starts_with(|first: char| first.is_ascii_digit()) => self.u16("type", word),
            Err(_) => Err(type_bitmap::unknown(self, word)),
        }
    }

    /// A character-string of RFC 1035 §3.3: its length and up to 255 octets.
    pub(super) fn string(&self, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
        let at = out.len();
        out.push(0);
        self.unescape(word, self.text(word), out)?;
        let length = out.len() - at - 1;
        out[at] = u8::try_from(length).map_err(|_| {
            let help = "split it into several quoted strings, in parentheses if they go over several lines";
            let message = format!("a string of {length} octets, at most 255 are allowed");
            self.error(word, message, Some(help.to_owned()))
        })?;
        Ok(())
    }

    /// RFC 8659 §4.1: letters and digits.
    pub(super) fn tag(&self, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
        let text = self.text(word);
        let Some(length) = u8::try_from(text.len()).ok().filter(|_| text.bytes().all(|b| b.is_ascii_alphanumeric()))
        else {
            let message = format!("`{text}` is no tag: letters and digits are allowed, at most 255");
            return Err(self.error(word, message, None));
        };
        out.push(length);
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// RFC 7553 §4.4: quotes around it, and something inside.
    pub(super) fn quoted(&self, name: &str, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
        let text = self.text(word);
        if !word.is_quoted || text.is_empty() {
            let message = format!("the {name} is expected");
            return Err(self.error(word, message, Some("write as in `\"https://www.example.com/\"`".to_owned())));
        }
        self.unescape(word, text, out)
    }

    /// Appends text with its escapes resolved (RFC 1035 §5.1).
    pub(super) fn unescape(&self, word: Word, text: &str, out: &mut Vec<u8>) -> Result<(), Problem> {
        let mut rest = text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte == b'\\' {
                let (octet, after) = unescape(rest).map_err(|error| self.error(word, error, None))?;
                out.push(octet);
                rest = after;
            } else {
                out.push(byte);
            }
        }
        Ok(())
    }

    fn out_of_range(&self, word: Word, name: &str, text: &str, max: u32) -> Problem {
        self.error(word, format!("`{text}` is out of range: the {name} is 0 to {max}"), None)
    }
}

/// RFC 2535 §3.1.2 and RFC 4034 §2.1.1.
const KEY_FLAGS: [(&str, u16); 32] = [
    ("NOCONF", 0x4000),
    ("NOAUTH", 0x8000),
    ("NOKEY", 0xc000),
    ("FLAG2", 0x2000),
    ("EXTEND", 0x1000),
    ("FLAG4", 0x0800),
    ("FLAG5", 0x0400),
    ("USER", 0x0000),
    ("ZONE", 0x0100),
    ("HOST", 0x0200),
    ("NTYP3", 0x0300),
    ("FLAG8", 0x0080),
    ("FLAG9", 0x0040),
    ("FLAG10", 0x0020),
    ("FLAG11", 0x0010),
    ("SIG0", 0),
    ("SIG1", 1),
    ("SIG2", 2),
    ("SIG3", 3),
    ("SIG4", 4),
    ("SIG5", 5),
    ("SIG6", 6),
    ("SIG7", 7),
    ("SIG8", 8),
    ("SIG9", 9),
    ("SIG10", 10),
    ("SIG11", 11),
    ("SIG12", 12),
    ("SIG13", 13),
    ("SIG14", 14),
    ("SIG15", 15),
    ("KSK", 0x0001),
];
