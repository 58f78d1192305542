//! `/d`: HTTP-DNS in the shapes of Alibaba Cloud (`host=`, JSON) and Tencent Cloud (`dn=`, text), whose client libraries then need
//! no more than another address.

use std::net::IpAddr;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Doors;
use super::refusal::Refusal;
use super::reply::{addresses, ask, name};
use super::visit::Visit;
use crate::pool::Family;

/// Names that one request may ask for.
const MOST: usize = 5;
const TEXT: &str = "text/plain; charset=utf-8";

/// Alibaba's answer for one name.
#[derive(Debug, Serialize)]
struct Host {
    host: String,
    ips: Vec<IpAddr>,
    ipsv6: Vec<IpAddr>,
    /// Seconds.
    ttl: u32,
    origin_ttl: u32,
    client_ip: IpAddr,
}

/// Several of them.
#[derive(Debug, Serialize)]
struct Hosts {
    dns: Vec<Host>,
}

/// The door.
pub(super) async fn addresses_of(State(doors): State<Doors>, request: Request<Body>) -> Response {
    answer(&doors, &request).unwrap_or_else(IntoResponse::into_response)
}

fn answer(doors: &Doors, request: &Request<Body>) -> Result<Response, Refusal> {
    let mut visit = Visit::begin(doors, request)?;
    visit.for_client("ip", false)?;
    match (visit.parameter("host"), visit.parameter("dn")) {
        (Some(hosts), None) => by_host(&visit, hosts),
        (None, Some(names)) => by_dn(&visit, names),
        _ => Err(Refusal::bad("give either `host` or `dn`: the name, or up to 5 with commas between")),
    }
}

fn listed(names: &str) -> Result<Vec<&str>, Refusal> {
    let names: Vec<&str> = names.split(',').collect();
    if names.len() > MOST {
        return Err(Refusal::bad(format!("{} names, at most {MOST} are answered at a time", names.len())));
    }
    Ok(names)
}

/// The addresses of a family, and how long they may be kept.
fn of_family(visit: &Visit, text: &str, family: Family) -> Result<(Vec<IpAddr>, u32), Refusal> {
    Ok(addresses(&ask(visit, &name(text)?, family.into(), None)?))
}

fn by_host(visit: &Visit, hosts: &str) -> Result<Response, Refusal> {
    let families = |text: &str| {
        let family = |digit: &str| match digit {
            "4" => Some(Family::V4),
            "6" => Some(Family::V6),
            _ => None,
        };
        text.split(',').map(family).collect::<Option<Vec<_>>>()
    };
    let families = visit.read("query", "4, 6 or 4,6", families)?.unwrap_or_else(|| vec![Family::V4]);
    let one = |host: &str| -> Result<Host, Refusal> {
        let mut found = Host {
            host: host.to_owned(),
            ips: Vec::new(),
            ipsv6: Vec::new(),
            ttl: 0,
            origin_ttl: 0,
            client_ip: visit.client,
        };
        let mut least = None;
        for family in Family::ALL.into_iter().filter(|family| families.contains(family)) {
            let (addresses, ttl) = of_family(visit, host, family)?;
            if !addresses.is_empty() {
                least = Some(least.map_or(ttl, |least: u32| least.min(ttl)));
            }
            *(if family == Family::V4 { &mut found.ips } else { &mut found.ipsv6 }) = addresses;
        }
        let ttl = least.unwrap_or(0);
        Ok(Host { ttl, origin_ttl: ttl, ..found })
    };
    let mut dns = listed(hosts)?.into_iter().map(one).collect::<Result<Vec<Host>, Refusal>>()?;
    Ok(match dns.pop() {
        Some(only) if dns.is_empty() && !hosts.contains(',') => Json(only).into_response(),
        last => {
            dns.extend(last);
            Json(Hosts { dns }).into_response()
        }
    })
}

fn by_dn(visit: &Visit, names: &str) -> Result<Response, Refusal> {
    let families: &[Family] = match visit.parameter("type") {
        None | Some("a") => &[Family::V4],
        Some("aaaa") => &[Family::V6],
        Some("addrs") => &Family::ALL,
        Some(other) => return Err(Refusal::bad(format!("`type={}` is not a, aaaa or addrs", other.escape_debug()))),
    };
    let has = |parameter| visit.parameter(parameter) == Some("1");
    let names = listed(names)?;
    let is_named = has("query") || names.len() > 1;
    let mut lines = Vec::new();
    for text in &names {
        let mut parts = Vec::new();
        for family in families {
            let (addresses, ttl) = of_family(visit, text, *family)?;
            let mut part = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(";");
            if part.is_empty() {
                // With anything around it, nothing is written as 0.
                part.push_str(if is_named || families.len() > 1 { "0" } else { "" });
            } else if has("ttl") {
                part += &format!(",{ttl}");
            }
            parts.push(part);
        }
        let addresses = parts.join("-");
        lines.push(if is_named { format!("{}.:{addresses}", text.trim_end_matches('.')) } else { addresses });
    }
    let mut text = lines.join("\n");
    if has("clientip") {
        text += &format!("|{}", visit.client);
    }
    Ok(([(header::CONTENT_TYPE, TEXT)], text).into_response())
}
