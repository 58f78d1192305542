//! `thalweg freeze`, `pin`, `weight`, `limit`, `policy`, `overrides`, `lift`: what operators want for the time being.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::Method;

use super::admin::{Daemon, NoAnswer};
use super::spread::spread;
use super::table::aligned;
use super::{FAILURE, SUCCESS, USAGE};
use crate::config;
use crate::intake::{Ordered, Wish};
use crate::steer::{Limited, Order, Override, clock};

const PATH: &str = "/v1/overrides";
/// How long an override holds if nobody says.
const USUALLY: Duration = Duration::from_secs(3_600);
/// The word for no end.
const FOR_EVER: &str = "forever";

/// Orders an override for so long (`30m`, `2h`, `forever`; an hour if left out), for a reason.
pub fn order(file: &Path, what: Override, time: Option<&str>, reason: Option<&str>) -> u8 {
    let wish = match wish(what, time, reason) {
        Ok(wish) => wish,
        Err(message) => {
            eprintln!("thalweg: {message}");
            return USAGE;
        }
    };
    let ordered = serde_json::to_string(&wish).map_err(|error| NoAnswer::Unreachable(error.to_string()));
    let ordered = ordered.and_then(|body| ask::<Ordered>(file, &Method::POST, &[], Some(body)));
    match ordered {
        Ok(Ordered { order: Order { id, what, until, .. }, is_kept }) => {
            let until = until.map_or_else(|| "it is lifted".to_owned(), |at| clock(at, unix_seconds()));
            println!("{what}: until {until}. `thalweg lift {id}` ends it; {}.", survival(is_kept));
            spread(file, &[&what])
        }
        Err(no_answer) => fail(no_answer),
    }
}

/// What becomes of an override at a restart.
pub(super) fn survival(is_kept: bool) -> &'static str {
    if is_kept { "it survives a restart of the server" } else { "a restart of the server too" }
}

/// Lifts what these parameters of `/v1/overrides` say.
pub fn lift(file: &Path, parameter: (&str, &str)) -> u8 {
    let lifted = match ask::<Vec<Order>>(file, &Method::DELETE, &[parameter], None) {
        Ok(lifted) => lifted,
        Err(no_answer) => return fail(no_answer),
    };
    match lifted.is_empty() {
        true => println!("there is nothing to lift"),
        false => lifted.iter().for_each(|order| println!("lifted: {}", order.what)),
    }
    spread(file, &lifted.iter().map(|order| &order.what).collect::<Vec<_>>())
}

/// Lists what stands, as a table or as JSON.
pub fn list(file: &Path, is_json: bool) -> u8 {
    match ask::<Vec<Order>>(file, &Method::GET, &[], None) {
        Ok(orders) if is_json => match serde_json::to_string_pretty(&orders) {
            Ok(json) => println!("{json}"),
            Err(error) => return fail(NoAnswer::Unreachable(error.to_string())),
        },
        Ok(orders) if orders.is_empty() => println!("no override stands"),
        Ok(orders) => print!("{}", table(&orders, unix_seconds())),
        Err(no_answer) => return fail(no_answer),
    }
    SUCCESS
}

/// The capacity in `egress=2Gbit/s` or `clients=800`.
pub fn limit(text: &str) -> Result<Limited, String> {
    let usage = || format!("`{text}` is no limit: write `egress=2Gbit/s` or `clients=800`");
    let (resource, value) = text.split_once('=').ok_or_else(usage)?;
    match resource {
        "egress" => match config::bitrate(value) {
            Ok(rate) => Ok(Limited::Egress(rate.megabits())),
            Err(Some(meant)) => Err(format!("`{value}` is no bit rate; did you mean `{meant}`?")),
            Err(None) => Err(format!("`{value}` is no bit rate such as 950Mbit/s or 2Gbit/s")),
        },
        "clients" => value.parse().map(Limited::Clients).map_err(|_| format!("`{value}` is no number of viewers")),
        _ => Err(usage()),
    }
}

fn wish(what: Override, time: Option<&str>, reason: Option<&str>) -> Result<Wish, String> {
    let Some(reason) = reason.filter(|reason| !reason.trim().is_empty()) else {
        let help =
            "add `--reason \"kernel update\"`: whoever asks `thalweg explain` or `thalweg overrides` will read it";
        return Err(format!("why? No override without a reason\nhelp: {help}"));
    };
    let seconds = time_of(time)?;
    Ok(Wish { what, who: who(), reason: reason.trim().to_owned(), seconds })
}

/// Seconds of `--for`: `30m`, `2h`, `forever`, an hour if left out; none = no end.
pub(super) fn time_of(time: Option<&str>) -> Result<Option<u64>, String> {
    match time {
        None => Ok(Some(USUALLY.as_secs())),
        Some(FOR_EVER) => Ok(None),
        Some(text) => match config::duration(text) {
            Ok(time) if time.as_secs() > 0 => Ok(Some(time.as_secs())),
            Ok(_) => Err(format!("`--for {text}`: it would hold for no time at all")),
            Err(meant) => {
                let meant = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                Err(format!("`--for {text}`: write a time such as 30m or 2h, or `{FOR_EVER}`{meant}"))
            }
        },
    }
}

/// Who gives the order: whoever called sudo, else the user; and where.
pub(super) fn who() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|key| std::env::var(key).ok());
    let user = user.filter(|user| !user.is_empty()).unwrap_or_else(|| "somebody".to_owned());
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(host) if !host.trim().is_empty() => format!("{user}@{}", host.trim()),
        _ => user,
    }
}

fn table(orders: &[Order], now: u64) -> String {
    let row = |order: &Order| {
        vec![
            order.id.to_string(),
            order.what.to_string(),
            order.who.clone(),
            clock(order.since, now),
            order.until.map_or_else(|| "it is lifted".to_owned(), |at| clock(at, now)),
            order.reason.clone(),
        ]
    };
    aligned(&["ID", "WHAT", "WHO", "SINCE", "UNTIL", "WHY"], orders.iter().map(row))
}

fn ask<T: serde::de::DeserializeOwned>(
    file: &Path,
    method: &Method,
    parameters: &[(&str, &str)],
    body: Option<String>,
) -> Result<T, NoAnswer> {
    Daemon::of(file).map_err(NoAnswer::Unreachable)?.ask(method, PATH, parameters, body)
}

pub(super) fn fail(no_answer: NoAnswer) -> u8 {
    let (NoAnswer::Refused(message) | NoAnswer::Unreachable(message)) = no_answer;
    eprintln!("thalweg: {message}");
    FAILURE
}

pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_in_the_units_of_the_configuration() {
        assert_eq!(limit("egress=2Gbit/s"), Ok(Limited::Egress(2_000.0)));
        assert_eq!(limit("clients=800"), Ok(Limited::Clients(800.0)));
        for (text, told) in [
            ("egress=2Gbps", "did you mean `2Gbit/s`?"),
            ("clients=many", "is no number of viewers"),
            ("cpu=3", "write `egress=2Gbit/s` or `clients=800`"),
            ("2Gbit/s", "write `egress=2Gbit/s` or `clients=800`"),
        ] {
            let error = limit(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn a_wish_needs_a_reason_and_holds_for_an_hour() {
        let wish = |time, reason| wish(Override::Freeze, time, reason);
        assert!(wish(None, None).unwrap_err().contains("--reason") && wish(None, Some(" ")).is_err());
        assert_eq!(wish(None, Some("match")).unwrap().seconds, Some(3_600));
        assert_eq!(wish(Some("30m"), Some("match")).unwrap().seconds, Some(1_800));
        assert_eq!(wish(Some("forever"), Some("match")).unwrap().seconds, None);
        assert!(wish(Some("2 hours"), Some("match")).unwrap_err().contains("did you mean `2h`?"));
        assert!(wish(Some("500ms"), Some("match")).is_err());
    }
}
