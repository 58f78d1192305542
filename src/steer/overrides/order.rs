//! Orders: an override with who gave it, why, and until when.

use serde::{Deserialize, Serialize};

use super::Override;

/// An override as somebody ordered it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Its number, by which it is lifted.
    pub id: u64,
    /// What is wanted.
    #[serde(flatten)]
    pub what: Override,
    /// Who wants it.
    pub who: String,
    /// Why.
    pub reason: String,
    /// Seconds since 1970 when it was given.
    pub since: u64,
    /// Seconds since 1970 when it ends; none = when it is lifted.
    pub until: Option<u64>,
}

impl Order {
    /// `by karl until 14:00 UTC: kernel update`, as of `now` in seconds since 1970.
    pub fn told(&self, now: u64) -> String {
        let until =
            self.until.map_or_else(|| "until it is lifted".to_owned(), |at| format!("until {}", clock(at, now)));
        format!("by {} {until}: {}", self.who, self.reason)
    }
}

/// A time of the day, `14:00 UTC`; with the date if it is not of the day of `now`. Both in seconds since 1970.
pub fn clock(at: u64, now: u64) -> String {
    const DAY: u64 = 86_400;
    let (hour, minute) = (at % DAY / 3_600, at % 3_600 / 60);
    let time = format!("{hour:02}:{minute:02} UTC");
    if at / DAY == now / DAY {
        return time;
    }
    let (year, month, day) = date(at / DAY);
    format!("{year}-{month:02}-{day:02} {time}")
}

/// The Gregorian date of a day since 1970-01-01, with years that begin in March, so that the leap day is their last.
fn date(days: u64) -> (u64, u64, u64) {
    // 719,468 days lie between 0000-03-01 and 1970-01-01, 146,097 in 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (400 * era + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_another_day_have_their_date() {
        // `date -u -d @N`
        for (at, now, told) in [
            (1_700_000_000, 1_700_000_100, "22:13 UTC"),
            (1_700_000_000, 1_700_006_400, "2023-11-14 22:13 UTC"),
            (951_782_400, 0, "2000-02-29 00:00 UTC"),
            (4_107_542_399, 0, "2100-02-28 23:59 UTC"),
            (4_107_542_400, 0, "2100-03-01 00:00 UTC"),
            (0, 86_400, "1970-01-01 00:00 UTC"),
        ] {
            assert_eq!(clock(at, now), told);
        }
    }

    #[test]
    fn an_order_says_who_until_when_and_why() {
        let what = Override::Freeze;
        let order = Order {
            id: 1,
            what,
            who: "karl@ops1".to_owned(),
            reason: "match".to_owned(),
            since: 0,
            until: Some(50_400),
        };
        assert_eq!(order.told(0), "by karl@ops1 until 14:00 UTC: match");
        assert_eq!(Order { until: None, ..order }.told(0), "by karl@ops1 until it is lifted: match");
    }
}
