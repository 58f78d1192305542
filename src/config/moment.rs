//! Moments as operators write them: RFC 3339 times, and weekly windows in UTC.
#![deny(clippy::disallowed_methods)]

use crate::pool::When;

use super::tree::{Item, Value};
use super::value::{Reading, string, write, wrong};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// A moment, in seconds since 1970: `"2026-12-01T02:00:00Z"`, or the same without quotes.
pub(super) fn moment(item: &Item) -> Reading<u64> {
    let expected = "a time such as `\"2026-12-01T02:00:00Z\"` (RFC 3339)";
    let text = match &item.value {
        Value::Datetime => item.place.text(),
        _ => string(item, expected)?,
    };
    read_moment(text).ok_or_else(|| {
        // A time that nobody can place on the globe is one that was meant somewhere.
        let zoned = format!("{}Z", text.trim().replacen(' ', "T", 1));
        let full = format!("{}:00Z", text.trim().replacen(' ', "T", 1).trim_end_matches('Z'));
        let meant = [zoned, full].into_iter().find(|meant| read_moment(meant).is_some());
        wrong(item, expected).maybe_help(meant.map(|meant| format!("{}, if it is UTC", write(meant))))
    })
}

/// A weekly window: `"Sun 03:00-05:00"`, in UTC; an end before the beginning is on the next day.
pub(super) fn weekly(item: &Item) -> Reading<When> {
    let expected = "a day and hours in UTC, such as `\"Sun 03:00-05:00\"`";
    read_weekly(string(item, expected)?)
        .ok_or_else(|| wrong(item, expected).help(format!("days are {}", DAYS.join(" "))))
}

fn read_weekly(text: &str) -> Option<When> {
    let (day, hours) = text.trim().split_once(' ')?;
    let day = DAYS.iter().position(|known| known.eq_ignore_ascii_case(day))? as u64;
    let (from, until) = hours.trim().split_once('-')?;
    let (from, until) = (read_clock(from.trim())?, read_clock(until.trim())?);
    let lasts = if until > from { until - from } else { until + DAY - from };
    let begins = day * DAY + from;
    (from < DAY && begins < WEEK).then_some(When::Weekly { begins, lasts })
}

/// `03:00` as seconds; 24:00 is the end of a day.
fn read_clock(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours < 24 && minutes < 60 || (hours, minutes) == (24, 0)).then_some(hours * HOUR + minutes * MINUTE)
}

/// RFC 3339 §5.6: full date, `T`, time with seconds, and the offset from UTC.
fn read_moment(text: &str) -> Option<u64> {
    let (date, time) = text.trim().split_once(['T', 't', ' '])?;
    let [year, month, day] = date.split('-').collect::<Vec<_>>().try_into().ok()?;
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at(zone);
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>().try_into().ok()?;
    let second = second.split_once('.').map_or(second, |(whole, _)| whole);
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    let offset = match zone {
        "Z" | "z" => 0,
        zone => {
            let ahead = i64::try_from(read_clock(&zone[1..])?).ok()?;
            if zone.starts_with('-') { -ahead } else { ahead }
        }
    };
    // RFC 3339 §5.7: 60 is a leap second.
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if day == 0 || day > days_in(year, month) {
        return None;
    }
    let days: u64 = (1970..year).map(|year| 365 + u64::from(is_leap(year))).sum::<u64>()
        + (1..month).map(|month| days_in(year, month)).sum::<u64>()
        + day
        - 1;
    (days * DAY + hour * HOUR + minute * MINUTE + second).checked_add_signed(-offset)
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(is_leap(year)),
        _ => 31,
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// So many digits and nothing else.
fn digits(text: &str, count: usize) -> Option<u64> {
    (text.len() == count && text.bytes().all(|octet| octet.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_with_their_offset() {
        // `date -ud TEXT +%s`
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-12-01T02:00:00Z", Some(1_796_090_400)),
            ("2026-12-01 02:00:00Z", Some(1_796_090_400)),
            ("2026-12-01T03:30:00+01:30", Some(1_796_090_400)),
            ("2026-11-30t21:00:00.25-05:00", Some(1_796_090_400)),
            ("2024-02-29T23:59:60Z", Some(1_709_251_200)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("2026-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-12-01T24:00:00Z", None),
            ("2026-12-01T02:00:00", None),
            ("2026-12-01T02:00Z", None),
            ("2026-12-01", None),
            ("1970-01-01T00:00:00+01:00", None),
            ("2026-12-01T02:00:00+1", None),
            ("2026-12-01T02:00:00Z+", None),
            ("", None),
        ] {
            assert_eq!(read_moment(text), expected, "{text}");
        }
    }

    #[test]
    fn weekly_windows_may_end_on_the_next_day() {
        let weekly = |begins: u64, lasts: u64| Some(When::Weekly { begins, lasts });
        for (text, expected) in [
            ("Mon 00:00-01:00", weekly(0, HOUR)),
            ("sun 03:00-05:00", weekly(6 * DAY + 3 * HOUR, 2 * HOUR)),
            ("Sun 23:30 - 00:30", weekly(6 * DAY + 23 * HOUR + 30 * MINUTE, HOUR)),
            ("Tue 22:00-24:00", weekly(DAY + 22 * HOUR, 2 * HOUR)),
            ("Tue 22:00-22:00", weekly(DAY + 22 * HOUR, DAY)),
            ("Sunday 03:00-05:00", None),
            ("Sun 3-5", None),
            ("Sun 24:00-25:00", None),
            ("daily", None),
        ] {
            assert_eq!(read_weekly(text), expected, "{text}");
        }
    }
}
