//! `thalweg drain` and `undrain`: nodes get nobody new, if others can take it; and waiting until their viewers have left.
//!
//! Exit status: 0 done, and reached if it was waited for; 1 refused, no daemon, or not on all nameservers; 2 wrong usage; 3 the time to wait is
//! over; 130 interrupted. What was drained stays drained in all cases.

mod wait;

use std::path::Path;

use hyper::Method;
use serde::de::DeserializeOwned;

use super::admin::{Daemon, NoAnswer};
use super::overrides::{fail, time_of, unix_seconds, who};
use super::spread::spread;
use super::table::aligned;
use super::watch::print;
use super::{SUCCESS, USAGE};
use crate::intake::{DrainWish, Drained};
use crate::pool::Selection;
use crate::steer::{Order, Override, SiteForecast, clock};

pub use wait::{Condition, Wait};

/// Exit status when the time to wait is over.
pub(super) const WAITED: u8 = 3;
/// Exit status of what was interrupted, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;

/// What the command line says.
#[derive(Debug, Clone)]
pub struct DrainArguments {
    /// Which nodes.
    pub which: Selection,
    /// How long it holds.
    pub time: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Only what would come of it.
    pub is_dry_run: bool,
    /// Though it overloads others.
    pub is_forced: bool,
    /// What is waited for, and how long.
    pub wait: Option<Wait>,
}

/// Drains, says what comes of it, and waits if that is wanted.
pub fn drain(file: &Path, arguments: DrainArguments) -> u8 {
    let DrainArguments { which, time, reason, is_dry_run, is_forced, wait } = arguments;
    let reason = match reason.as_deref().map(str::trim) {
        Some(reason) if !reason.is_empty() => reason.to_owned(),
        _ if is_dry_run => "a dry run".to_owned(),
        _ => {
            eprintln!(
                "thalweg: why? No drain without a reason\nhelp: add `--reason \"kernel update\"`: others will read it"
            );
            return USAGE;
        }
    };
    let seconds = match time_of(time.as_deref()) {
        Ok(seconds) => seconds,
        Err(message) => {
            eprintln!("thalweg: {message}");
            return USAGE;
        }
    };
    let wish = DrainWish { which, who: who(), reason, seconds, is_dry_run, is_forced };
    let drained: Drained = match send(file, "/v1/drain", &wish) {
        Ok(drained) => drained,
        Err(no_answer) => return fail(no_answer),
    };
    print(&told(&drained, unix_seconds()));
    if is_dry_run {
        return SUCCESS;
    }
    let about: Vec<&Override> = drained.orders.iter().map(|order| &order.what).collect();
    let is_everywhere = spread(file, &about);
    match wait.map(|wait| wait.until_reached(file, &drained.nodes)) {
        // Who has left one nameserver's viewers may still be sent there by another.
        None | Some(SUCCESS) => is_everywhere,
        Some(status) => status,
    }
}

/// Ends drains.
pub fn undrain(file: &Path, which: &Selection) -> u8 {
    match send::<Vec<Order>>(file, "/v1/undrain", which) {
        Ok(lifted) => {
            print(&lifted.iter().map(|order| format!("lifted: {}\n", order.what)).collect::<String>());
            spread(file, &lifted.iter().map(|order| &order.what).collect::<Vec<_>>())
        }
        Err(no_answer) => fail(no_answer),
    }
}

fn send<T: DeserializeOwned>(file: &Path, path: &str, body: &impl serde::Serialize) -> Result<T, NoAnswer> {
    let body = serde_json::to_string(body).map_err(|error| NoAnswer::Unreachable(error.to_string()))?;
    Daemon::of(file).map_err(NoAnswer::Unreachable)?.ask(&Method::POST, path, &[], Some(body))
}

fn told(drained: &Drained, now: u64) -> String {
    let Drained { orders, nodes, forecast, is_kept, is_dry_run } = drained;
    let mut text = String::new();
    let mut ids = Vec::new();
    for Order { id, what, until, .. } in orders {
        let until = until.map_or_else(|| "it is lifted".to_owned(), |at| clock(at, now));
        text.push_str(&format!("{what}: until {until}\n"));
        ids.push(id.to_string());
    }
    if *is_dry_run {
        text.push_str(&format!("would drain {}\n", nodes.join(", ")));
    }
    if !forecast.is_empty() {
        text.push_str(&aligned(&["POOL", "PLACE", "NODES", "NOW", "THEN", "GETS", ""], forecast.iter().map(row)));
    }
    if *is_dry_run {
        if forecast.iter().any(SiteForecast::is_overfull) {
            text.push_str("it would be refused without `--force`\n");
        }
    } else {
        let (last, survives) = (ids.join(", "), super::overrides::survival(*is_kept));
        text.push_str(&format!("`thalweg undrain` ends it, as does `thalweg lift` of {last}; {survives}\n"));
    }
    text
}

fn row(site: &SiteForecast) -> Vec<String> {
    let pressure = |pressure: Option<f64>| pressure.map_or_else(|| "-".to_owned(), |pressure| format!("{pressure:.2}"));
    let [before, after] = site.nodes;
    let alone = format!("nobody is left to serve the pool over {}", site.unserved.join(" and "));
    let remark = match site.after {
        _ if !site.unserved.is_empty() => &alone,
        None => "its clients go elsewhere",
        Some(_) if site.is_overfull() => "overloaded",
        Some(_) if !site.is_known => "its load is not known",
        Some(_) => "",
    };
    vec![
        site.pool.clone(),
        site.place.clone(),
        if before == after { before.to_string() } else { format!("{before} → {after}") },
        pressure(site.before),
        pressure(site.after),
        if site.gains >= 0.5 { format!("{:.0} {}", site.gains, site.unit) } else { String::new() },
        remark.to_owned(),
    ]
}
