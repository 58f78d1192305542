//! Durations, bit rates and sizes as operators write them, and the right spelling of what they write wrongly.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use crate::pool::Bitrate;

/// Reads `500ms`, `30s`, `5m` or `2h`; an error is the right spelling, if it can be guessed.
pub fn duration(text: &str) -> Result<Duration, Option<String>> {
    let (number, unit) = split(text);
    let per_unit = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let whole: Option<u64> = number.parse().ok();
    if let (Some(whole), Some(per_unit)) = (whole, per_unit) {
        return whole.checked_mul(per_unit).map(Duration::from_millis).ok_or(None);
    }
    Err(guess_duration(number, unit.trim()))
}

/// Prints a duration as it would be written.
pub(super) fn print_duration(duration: Duration) -> String {
    match duration.as_millis() {
        0 => "0s".to_owned(),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

fn guess_duration(number: &str, unit: &str) -> Option<String> {
    let value: f64 = number.parse().ok()?;
    let ms_per_unit = match unit.to_lowercase().as_str() {
        "ms" | "msec" | "millis" | "millisecond" | "milliseconds" => 1.0,
        // A bare number is most often meant in seconds.
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1000.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000.0,
        "d" | "day" | "days" => 86_400_000.0,
        _ => return None,
    };
    let ms = value * ms_per_unit;
    (ms.fract() == 0.0 && (0.0..1e15).contains(&ms)).then(|| print_duration(Duration::from_millis(ms as u64)))
}

/// The prefixes of bit rates: decimal, as network people count.
const BIT_RATES: [(&str, f64); 5] =
    [("bit/s", 1.0), ("kbit/s", 1e3), ("Mbit/s", 1e6), ("Gbit/s", 1e9), ("Tbit/s", 1e12)];

/// Reads `64kbit/s`, `950Mbit/s` or `2.5Gbit/s`; an error is the right spelling, if it can be guessed.
pub fn bitrate(text: &str) -> Result<Bitrate, Option<String>> {
    let (number, unit) = split(text);
    let factor = BIT_RATES.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
    if let (Some(value), Some(factor)) = (decimal(number), factor) {
        return Ok(Bitrate(value * factor));
    }
    Err(guess_bitrate(number, unit.trim()))
}

fn guess_bitrate(number: &str, unit: &str) -> Option<String> {
    let value = decimal(number)?;
    let lower = unit.to_lowercase();
    let (prefix, rest) = match lower.chars().next() {
        Some(prefix @ ('k' | 'm' | 'g' | 't')) => (Some(prefix), &lower[1..]),
        _ => (None, lower.as_str()),
    };
    let name = match prefix {
        Some('k') => "kbit/s",
        Some('m') => "Mbit/s",
        Some('g') => "Gbit/s",
        Some('t') => "Tbit/s",
        // Without any unit nobody can know what was meant.
        _ if unit.is_empty() => return None,
        _ => "bit/s",
    };
    // A capital B means octets (`MB/s`), a small b means bits (`Mb/s`, `Mbps`).
    let is_octets = rest.contains("byte") || rest.contains("octet") || unit.chars().any(|c| c == 'B');
    let what = ["/sec", "/s", "ps"].iter().find_map(|per| rest.strip_suffix(per)).unwrap_or(rest);
    let is_rate = ["", "b", "bit", "bits", "byte", "bytes", "octets"].contains(&what);
    let bits = if is_octets { value * 8.0 } else { value };
    is_rate.then(|| format!("{bits}{name}"))
}

/// The prefixes of sizes in memory: powers of 1024, as memory is counted.
const SIZES: [(&str, u32); 2] = [("KiB", 1 << 10), ("MiB", 1 << 20)];

/// Reads `64KiB` or `1MiB` as octets; an error is the right spelling, if it can be guessed.
pub(super) fn size(text: &str) -> Result<u32, Option<String>> {
    let (number, unit) = split(text);
    let per_unit = SIZES.iter().find(|(name, _)| *name == unit).map(|(_, per_unit)| *per_unit);
    if let (Ok(whole), Some(per_unit)) = (number.parse::<u32>(), per_unit) {
        return whole.checked_mul(per_unit).ok_or(None);
    }
    Err(guess_size(number, unit.trim()))
}

/// Prints a size as it would be written.
pub(super) fn print_size(octets: u32) -> String {
    if octets.is_multiple_of(1 << 20) { format!("{}MiB", octets >> 20) } else { format!("{}KiB", octets >> 10) }
}

fn guess_size(number: &str, unit: &str) -> Option<String> {
    let whole: u32 = number.parse().ok()?;
    let per_unit = match unit.to_lowercase().as_str() {
        "" | "b" | "byte" | "bytes" | "octets" => 1,
        "k" | "kb" | "ki" | "kib" => 1 << 10,
        "m" | "mb" | "mi" | "mib" => 1 << 20,
        _ => return None,
    };
    let octets = whole.checked_mul(per_unit)?;
    (octets > 0 && octets.is_multiple_of(1 << 10)).then(|| print_size(octets))
}

/// Digits, and perhaps a point and digits: no sign, no exponent, no `inf`.
fn decimal(number: &str) -> Option<f64> {
    number.parse().ok().filter(|value: &f64| value.is_finite())
}

/// The number in front and the unit behind it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_printed() {
        for (text, ms) in [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(print_duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn wrong_durations_get_the_right_spelling() {
        for (text, spelling) in [
            ("5", Some("5s")),
            ("5 s", Some("5s")),
            ("5sec", Some("5s")),
            ("10min", Some("10m")),
            ("1.5s", Some("1500ms")),
            ("90 seconds", Some("90s")),
            ("1d", Some("24h")),
            ("-5s", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999h", None),
            ("18446744073709551615h", None),
            ("1.2.3s", None),
        ] {
            assert_eq!(duration(text), Err(spelling.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_printed_and_spelled() {
        for (text, octets) in [("4KiB", 4 << 10), ("64KiB", 64 << 10), ("16MiB", 16 << 20)] {
            assert_eq!(size(text), Ok(octets), "{text}");
            assert_eq!(print_size(octets), text);
        }
        for (text, spelling) in [
            ("65536", Some("64KiB")),
            ("64k", Some("64KiB")),
            ("64 kB", Some("64KiB")),
            ("1MB", Some("1MiB")),
            ("1000", None),
            ("4096MiB", None),
            ("1.5MiB", None),
            ("-1KiB", None),
            ("64kbit", None),
            ("", None),
        ] {
            assert_eq!(size(text), Err(spelling.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn bit_rates_have_decimal_prefixes() {
        for (text, bits) in
            [("64kbit/s", 64e3), ("950Mbit/s", 950e6), ("2.5Gbit/s", 2.5e9), ("1Tbit/s", 1e12), ("9bit/s", 9.0)]
        {
            assert_eq!(bitrate(text), Ok(Bitrate(bits)), "{text}");
        }
    }

    #[test]
    fn wrong_bit_rates_get_the_right_spelling() {
        for (text, spelling) in [
            ("950Mbps", Some("950Mbit/s")),
            ("950 Mbit/s", Some("950Mbit/s")),
            ("950mbit/s", Some("950Mbit/s")),
            ("1Gb/s", Some("1Gbit/s")),
            ("1G", Some("1Gbit/s")),
            ("100MB/s", Some("800Mbit/s")),
            ("100MBps", Some("800Mbit/s")),
            ("64Kbit", Some("64kbit/s")),
            ("10 megabits", None),
            ("1000", None),
            ("1Gibit/s", None),
            ("fast", None),
            ("", None),
        ] {
            assert_eq!(bitrate(text), Err(spelling.map(str::to_owned)), "{text}");
        }
    }
}
