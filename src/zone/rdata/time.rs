//! The times of signatures: dates, or seconds since 1970 (RFC 4034 §3.2).

use super::{Context, Problem};
use crate::zone::lex::Word;

pub(super) fn read(context: &Context<'_>, word: Word, name: &str) -> Result<u32, Problem> {
    let text = context.text(word);
    // RFC 4034 §3.2: a date has exactly 14 digits, and no number of seconds has more than ten.
    if text.len() <= 10 {
        return context.number(name, word, u32::MAX);
    }
    date(text.as_bytes()).ok_or_else(|| {
        let message = format!("`{text}` is not a time: the {name} is expected");
        context.error(word, message, Some("write year to second as in `20300131235959`, or seconds".to_owned()))
    })
}

/// Seconds since 1970 of `YYYYMMDDHHmmSS`, modulo 2^32 (RFC 4034 §3.1.5: serial number arithmetic).
fn date(text: &[u8]) -> Option<u32> {
    if text.len() != 14 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
    let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
    let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // A leap second may be 60.
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years that begin in March have their leap day last; 719468 days lie between 0000-03-01 and 1970-01-01.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds_since_1970() {
        for (text, seconds) in [
            ("19700101000000", Some(0)),
            ("20200101000000", Some(0x5e0b_e100)),
            ("20300101000000", Some(0x70db_d880)),
            ("20400229000000", Some(0x83f8_4700)),
            ("20380228235960", Some(0x8035_e000)),
            ("21380228235900", Some(0x3c4d_a1c4)),
            ("19691231235959", Some(u32::MAX)),
            ("99991231235959", Some(0xfff4_417f)),
            ("00000101000000", Some(0x868b_8400)),
            ("20380229000000", None),
            ("21000229000000", None),
            ("20381301000000", None),
            ("20380001000000", None),
            ("20380100000000", None),
            ("20380228245900", None),
            ("20380228236000", None),
            ("20380228235961", None),
            ("2038022823590", None),
            ("2038022823590x", None),
        ] {
            assert_eq!(date(text.as_bytes()), seconds, "{text}");
        }
    }
}
