//! `/resolve`: the JSON of DNS over HTTPS as Google has it, bare lists of addresses, and that of the article on load balancing
//! of media servers (`?domain=`).

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use hickory_proto::rr::Record;
use serde::Serialize;

use super::Doors;
use super::refusal::Refusal;
use super::reply::{addresses, ask, name};
use super::visit::Visit;
use crate::geo::Prefix;
use crate::wire::RecordType;

/// A reply, with the keys that clients of that shape look for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reply {
    status: u16,
    #[serde(rename = "TC")]
    is_truncated: bool,
    #[serde(rename = "RD")]
    is_recursion_desired: bool,
    #[serde(rename = "RA")]
    is_recursion_available: bool,
    #[serde(rename = "AD")]
    is_authentic: bool,
    #[serde(rename = "CD")]
    is_checking_disabled: bool,
    question: [Asked; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answer: Vec<Told>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authority: Vec<Told>,
    #[serde(rename = "edns_client_subnet")]
    subnet: String,
    comment: String,
}

#[derive(Debug, Serialize)]
struct Asked {
    name: String,
    #[serde(rename = "type")]
    qtype: u16,
}

#[derive(Debug, Serialize)]
struct Told {
    name: String,
    #[serde(rename = "type")]
    rtype: u16,
    #[serde(rename = "TTL")]
    ttl: u32,
    data: String,
}

/// The door.
pub(super) async fn resolve(State(doors): State<Doors>, request: Request<Body>) -> Response {
    answer(&doors, &request).unwrap_or_else(IntoResponse::into_response)
}

fn answer(doors: &Doors, request: &Request<Body>) -> Result<Response, Refusal> {
    let mut visit = Visit::begin(doors, request)?;
    let qtype = |text: &str| text.parse::<u16>().ok().map(RecordType).or_else(|| text.parse().ok());
    let qtype = visit.read("type", "a type of records, such as A, AAAA or 28", qtype)?.unwrap_or(RecordType::A);
    if let Some(domain) = visit.parameter("domain").map(str::to_owned) {
        visit.for_client("ip", false)?;
        let found = ask(&visit, &name(&domain)?, qtype, None)?;
        return Ok(Json(addresses(&found).0).into_response());
    }
    let Some(asked) = visit.parameter("name") else {
        return Err(Refusal::bad("`name` is missing (or `domain`): the name that is asked for"));
    };
    let asked = name(asked)?;
    // It is as public as in DNS, where anybody may tell one.
    let subnet = |text: &str| text.parse::<Prefix>().ok().or_else(|| text.parse().ok().map(whole));
    let subnet = visit.read("edns_client_subnet", "a network such as 192.0.2.0/24", subnet)?;
    let found = ask(&visit, &asked, qtype, subnet)?;
    if visit.parameter("short").is_some_and(|short| short != "0") {
        let data: Vec<String> = found.answers.iter().map(|record| record.data.to_string()).collect();
        return Ok(Json(data).into_response());
    }
    let is_checking_disabled = matches!(visit.parameter("cd"), Some("1" | "true"));
    let told = |records: &[Record]| records.iter().map(Told::of).collect();
    let used = subnet.unwrap_or_else(|| {
        crate::answer::Question::of_client(asked.clone(), qtype, visit.client)
            .subnet
            .unwrap_or_else(|| whole(visit.client))
    });
    Ok(Json(Reply {
        status: u16::from(found.metadata.response_code),
        is_truncated: found.metadata.truncation,
        is_recursion_desired: true,
        is_recursion_available: false,
        is_authentic: false,
        is_checking_disabled,
        question: [Asked { name: asked.to_string(), qtype: qtype.0 }],
        answer: told(&found.answers),
        authority: told(&found.authorities),
        subnet: used.to_string(),
        comment: format!("generation {}", visit.snapshot().generation),
    })
    .into_response())
}

fn whole(address: std::net::IpAddr) -> Prefix {
    Prefix::of(address, if address.is_ipv4() { 32 } else { 128 })
}

impl Told {
    fn of(record: &Record) -> Self {
        let Record { name, ttl, data, .. } = record;
        Self { name: name.to_string(), rtype: u16::from(record.record_type()), ttl: *ttl, data: data.to_string() }
    }
}
