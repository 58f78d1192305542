//! LOC: a position on the earth, its size and how precise it is (RFC 1876).

use super::{Context, Problem};
use crate::zone::lex::Word;

/// Thousandths of a second of arc in a degree.
const DEGREE: u32 = 3_600_000;
/// RFC 1876 §2: the equator and the prime meridian.
const ORIGIN: u32 = 1 << 31;
/// RFC 1876 §2: altitudes count centimetres from 100 km below the WGS 84 spheroid.
const DATUM: i64 = 10_000_000;
/// Metres; a size is one digit and a power of ten of centimetres.
const MAX_SIZE: u64 = 90_000_000;

/// Whether these are a position of version 0, or anything of a later version (RFC 1876 §2).
pub(in crate::zone) fn is_location(octets: &[u8]) -> bool {
    let [0, size, horizontal, vertical, a0, a1, a2, a3, o0, o1, o2, o3, _, _, _, _] = *octets else {
        return octets.first().is_some_and(|&version| version != 0);
    };
    let is_size = |octet: u8| {
        let (digit, power) = (octet >> 4, octet & 0xf);
        digit <= 9 && power <= 9 && (digit > 0 || power == 0)
    };
    [size, horizontal, vertical].into_iter().all(is_size)
        && u32::from_be_bytes([a0, a1, a2, a3]).abs_diff(ORIGIN) <= 90 * DEGREE
        && u32::from_be_bytes([o0, o1, o2, o3]).abs_diff(ORIGIN) <= 180 * DEGREE
}

pub(super) fn read(context: &Context<'_>, words: &[Word], out: &mut Vec<u8>) -> Result<(), Problem> {
    let mut rest = words;
    let latitude = angle(context, &mut rest, &LATITUDE)?;
    let longitude = angle(context, &mut rest, &LONGITUDE)?;
    let Some((&altitude_word, mut rest)) = rest.split_first() else {
        return Err(missing(context, words, "the LOC record lacks its altitude"));
    };
    let altitude = altitude(context, altitude_word)?;
    // RFC 1876 §3: a metre, ten kilometres, ten metres.
    let mut sizes = [0x12, 0x16, 0x13];
    for (size, name) in sizes.iter_mut().zip(["size", "horizontal precision", "vertical precision"]) {
        let Some((&word, after)) = rest.split_first() else {
            break;
        };
        *size = encoded_size(context, word, name)?;
        rest = after;
    }
    if let Some(&surplus) = rest.first() {
        return Err(context.error(surplus, "the LOC record has surplus data", Some(WRITTEN.to_owned())));
    }
    out.push(0);
    out.extend(sizes);
    out.extend(latitude.to_be_bytes());
    out.extend(longitude.to_be_bytes());
    out.extend(altitude.to_be_bytes());
    Ok(())
}

struct Angle {
    name: &'static str,
    degrees: u32,
    positive: &'static str,
    negative: &'static str,
}

const LATITUDE: Angle = Angle { name: "latitude", degrees: 90, positive: "N", negative: "S" };
const LONGITUDE: Angle = Angle { name: "longitude", degrees: 180, positive: "E", negative: "W" };

/// Degrees, minutes and seconds, the last two optional, up to the letter behind them.
fn angle(context: &Context<'_>, rest: &mut &[Word], angle: &Angle) -> Result<u32, Problem> {
    let Angle { name, degrees: most, positive, negative } = *angle;
    let all = *rest;
    let mut thousandths = 0;
    for part in 0..4 {
        let Some((&word, after)) = rest.split_first() else {
            break;
        };
        *rest = after;
        let text = context.text(word);
        if part > 0 && (text == positive || text == negative) {
            if thousandths > most * DEGREE {
                return Err(context.error(word, format!("the {name} is more than {most} degrees"), None));
            }
            return Ok(if text == positive { ORIGIN + thousandths } else { ORIGIN - thousandths });
        }
        thousandths += match part {
            0 => context.number_of(word, "number of degrees", text, most)? * DEGREE,
            1 => context.number_of(word, "number of minutes", text, 59)? * 60_000,
            2 => fixed(text, 3).filter(|&seconds| seconds < 60_000).ok_or_else(|| {
                let message = format!("`{text}` is not a number of seconds: 0 to 59.999");
                context.error(word, message, Some(WRITTEN.to_owned()))
            })? as u32,
            _ => break,
        };
    }
    let message = format!("the {name} lacks its end: `{positive}` or `{negative}`, in capitals");
    Err(missing(context, all, &message))
}

fn altitude(context: &Context<'_>, word: Word) -> Result<u32, Problem> {
    let text = context.text(word);
    let metres = text.strip_suffix('m').unwrap_or(text);
    let (sign, digits) = match metres.as_bytes().first() {
        Some(b'-') => (-1, &metres[1..]),
        Some(b'+') => (1, &metres[1..]),
        _ => (1, metres),
    };
    let Some(centimetres) = fixed(digits, 2).and_then(|number| i64::try_from(number).ok()) else {
        return Err(not_metres(context, word, "altitude"));
    };
    u32::try_from(DATUM.saturating_add(sign * centimetres)).map_err(|_| {
        let message = format!("`{text}` is out of range: the altitude is -100000.00 to 42849672.95 metres");
        context.error(word, message, None)
    })
}

/// One digit and a power of ten, of centimetres; what does not fit is cut off (RFC 1876 §2).
fn encoded_size(context: &Context<'_>, word: Word, name: &str) -> Result<u8, Problem> {
    let text = context.text(word);
    let Some(mut digit) = fixed(text.strip_suffix('m').unwrap_or(text), 2) else {
        return Err(not_metres(context, word, name));
    };
    if digit / 100 > MAX_SIZE {
        let message = format!("`{text}` is out of range: the {name} is 0 to {MAX_SIZE} metres");
        return Err(context.error(word, message, None));
    }
    let mut power = 0;
    while digit >= 10 {
        digit /= 10;
        power += 1;
    }
    Ok((digit as u8) << 4 | power)
}

fn not_metres(context: &Context<'_>, word: Word, name: &str) -> Problem {
    let message = format!("`{}` is not a number of metres: the {name} is expected", context.text(word));
    context.error(word, message, Some("write metres, with at most two decimals: `-2.50m`".to_owned()))
}

/// A number with so many decimals at most, times ten to the power of that many.
fn fixed(text: &str, decimals: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !are_digits || whole.len() + fraction.len() == 0 || fraction.len() > decimals {
        return None;
    }
    let padding = std::iter::repeat_n(b'0', decimals - fraction.len());
    let mut digits = whole.bytes().chain(fraction.bytes()).chain(padding).map(|digit| u64::from(digit - b'0'));
    let number = digits.try_fold(0u64, |number, digit| number.checked_mul(10)?.checked_add(digit));
    // Numbers of any length are out of range, not malformed.
    Some(number.unwrap_or(u64::MAX))
}

fn missing(context: &Context<'_>, words: &[Word], message: &str) -> Problem {
    let place = words.last().copied().unwrap_or(context.type_word);
    context.error(place, message, Some(WRITTEN.to_owned()))
}

const WRITTEN: &str = "write as in `LOC 52 22 23.000 N 4 53 32.000 E -2.00m 1m 10000m 10m`";
