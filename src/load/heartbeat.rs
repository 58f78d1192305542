//! A heartbeat of SRS: who sends it, and its summaries as metrics that presets read.
//!
//! It is a JSON object with `device_id`, `ip`, `server`, `service`, `pid`, lists of ports by protocol, and `summaries`, which
//! are those of `/api/v1/summaries` (SRS 7, `srs_app_heartbeat.cpp`).
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use serde_json::{Map, Value};

/// Characters of the longest text that is taken of a heartbeat.
const MAX_TEXT: usize = 128;
/// Numbers of the largest summaries: there are about forty.
const MAX_NUMBERS: usize = 512;
/// How deep summaries are: `data`, `system`, and numbers.
const MAX_DEPTH: usize = 4;
/// Lists of ports that a heartbeat may have.
const PROTOCOLS: [&str; 5] = ["rtmp", "http", "api", "srt", "rtc"];

/// What a media server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// As operators call it; empty if they do not.
    pub device: String,
    /// Its own address, as far as it knows that.
    pub address: Option<IpAddr>,
    /// Drawn once, and kept over restarts of the server.
    pub server: String,
    /// The first port of each protocol that it serves.
    pub ports: BTreeMap<&'static str, u16>,
    /// Its summaries as Prometheus' text, and what names its present run; none without summaries.
    pub metrics: Option<String>,
}

impl Heartbeat {
    /// Reads the body of a heartbeat, or says what is wrong with it.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(body).map_err(|error| format!("it is not JSON: {error}"))?;
        let Value::Object(object) = value else { return Err("it is not an object".to_owned()) };
        let text = |key: &str| -> Result<String, String> {
            let text = match object.get(key) {
                None | Some(Value::Null) => return Ok(String::new()),
                Some(Value::String(text)) => text.trim().to_owned(),
                Some(Value::Number(number)) => number.to_string(),
                Some(_) => return Err(format!("`{key}` is no text")),
            };
            let is_plain =
                text.chars().count() <= MAX_TEXT && !text.chars().any(|c| c.is_whitespace() || c.is_control());
            is_plain
                .then_some(text)
                .ok_or_else(|| format!("`{key}` is longer than {MAX_TEXT} characters, or has blanks"))
        };
        let ip = text("ip")?;
        let address = match ip.as_str() {
            "" => None,
            ip => Some(ip.parse().map_err(|_| format!("`ip` is no address: {ip}"))?),
        };
        let (service, pid) = (text("service")?, text("pid")?);
        let ports = PROTOCOLS.into_iter().filter_map(|protocol| Some((protocol, first_port(object.get(protocol)?)?)));
        Ok(Self {
            device: text("device_id")?,
            address: address.map(|address: IpAddr| address.to_canonical()),
            server: text("server")?,
            ports: ports.collect(),
            metrics: object.get("summaries").and_then(|summaries| metrics(summaries, &service, &pid)),
        })
    }
}

/// The first of a list of ports: `"1935"`, `"10.0.0.1:1935"`, `"udp://0.0.0.0:8000"`, or a number.
fn first_port(list: &Value) -> Option<u16> {
    let first = match list {
        Value::Array(ports) => ports.first()?,
        one => one,
    };
    let port = match first {
        Value::String(text) => text.rsplit(':').next()?.parse().ok()?,
        Value::Number(number) => u16::try_from(number.as_u64()?).ok()?,
        _ => return None,
    };
    (port > 0).then_some(port)
}

/// Summaries as lines of metrics; none if they hold no number.
fn metrics(summaries: &Value, service: &str, pid: &str) -> Option<String> {
    // As its HTTP API has them, they stand in `data`.
    let summaries = summaries.get("data").unwrap_or(summaries).as_object()?;
    let mut numbers = BTreeMap::new();
    collect("summaries", summaries, MAX_DEPTH, &mut numbers);
    if numbers.is_empty() {
        return None;
    }
    let mut text = format!("heartbeat_info{{service=\"{}\",pid=\"{}\"}} 1\n", escaped(service), escaped(pid));
    for (name, number) in numbers {
        // What writes to a string does not fail.
        let _never = writeln!(text, "{name} {number}");
    }
    Some(text)
}

/// Numbers by the path of their keys; times, which are milliseconds, in seconds.
fn collect(path: &str, object: &Map<String, Value>, depth: usize, numbers: &mut BTreeMap<String, f64>) {
    for (key, value) in object {
        let is_word = !key.is_empty() && key.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_');
        if !is_word || key.len() > MAX_TEXT || numbers.len() >= MAX_NUMBERS {
            continue;
        }
        match value {
            Value::Object(inner) if depth > 1 => collect(&format!("{path}_{key}"), inner, depth - 1, numbers),
            Value::Number(number) => {
                let Some(number) = number.as_f64() else { continue };
                let (name, number) = match key.strip_suffix("_ms") {
                    Some(name) => (format!("{path}_{name}_seconds"), number / 1e3),
                    None if key.ends_with("_time") && key.contains("sample") => {
                        (format!("{path}_{key}_seconds"), number / 1e3)
                    }
                    None => (format!("{path}_{key}"), number),
                };
                numbers.insert(name, number);
            }
            _ => {}
        }
    }
}

/// As the text format wants values of labels.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::embedded_presets;
    use crate::load;

    const BODY: &str = include_str!("../../tests/load/srs_heartbeat.json");

    #[test]
    fn a_heartbeat_says_who_sends_it_and_what_it_does() {
        let heartbeat = Heartbeat::read(BODY.as_bytes()).expect("a heartbeat");
        assert_eq!((heartbeat.device.as_str(), heartbeat.server.as_str()), ("edge-0", "srs-0"));
        assert_eq!(heartbeat.address, Some([198, 51, 100, 7].into()));
        let ports: Vec<_> = heartbeat.ports.into_iter().collect();
        assert_eq!(ports, [("api", 1985), ("http", 8080), ("rtc", 8000), ("rtmp", 1935), ("srt", 10080)]);
        let metrics = heartbeat.metrics.expect("summaries");
        for line in [
            "heartbeat_info{service=\"gi0405m6\",pid=\"29735\"} 1",
            "summaries_now_seconds 1795371434.28",
            "summaries_self_cpu_percent 0.02",
            "summaries_system_srs_sample_time_seconds 1795371432.563",
            "summaries_system_srs_send_bytes 252286018",
            "summaries_system_conn_srs 34",
        ] {
            assert!(metrics.lines().any(|found| found == line), "{line} is missing in\n{metrics}");
        }
        let counters = load::read(&embedded_presets()["srs_heartbeat"], metrics.as_bytes()).expect("counters");
        assert_eq!((counters.refused, counters.rules.iter().filter(|rule| !rule.is_empty()).count()), (0, 4));
    }

    #[test]
    fn summaries_may_be_left_out_and_stand_with_or_without_data_around_them() {
        let read = |summaries: &str| {
            let body = format!("{{\"device_id\": \"a\"{summaries}}}");
            Heartbeat::read(body.as_bytes()).expect("a heartbeat").metrics
        };
        let expected = "heartbeat_info{service=\"\",pid=\"\"} 1\nsummaries_system_conn_srs 3\n";
        let inner = "{\"ok\": true, \"system\": {\"conn_srs\": 3}}";
        assert_eq!(read(&format!(", \"summaries\": {inner}")).as_deref(), Some(expected));
        assert_eq!(read(&format!(", \"summaries\": {{\"data\": {inner}}}")).as_deref(), Some(expected));
        assert_eq!((read(""), read(", \"summaries\": {}"), read(", \"summaries\": 7")), (None, None, None));
    }

    #[test]
    fn what_is_no_heartbeat_is_told() {
        for (body, told) in [
            ("", "not JSON"),
            ("[]", "not an object"),
            ("{\"ip\": \"edge.example\"}", "`ip` is no address"),
            ("{\"device_id\": \"a b\"}", "`device_id` is longer"),
            ("{\"device_id\": []}", "`device_id` is no text"),
        ] {
            let wrong = Heartbeat::read(body.as_bytes()).expect_err(body);
            assert!(wrong.contains(told), "{wrong}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Heartbeat::read(deep.as_bytes()).is_err());
    }

    #[test]
    fn names_and_words_of_a_sender_forge_no_metric() {
        let body = "{\"service\": \"x\\\"}\\\\\", \"pid\": \"1\", \"summaries\": {\"self\": {\"cpu_percent\": 0.5, \"a b 1\\n\
                    summaries_self_cpu_percent\": 0.1, \"cpu_percent 0.1 #\": 1}}}";
        let metrics = Heartbeat::read(body.as_bytes()).expect("a heartbeat").metrics.expect("a number");
        assert_eq!(metrics.lines().count(), 2, "{metrics}");
        let counters = load::read(&embedded_presets()["srs_heartbeat"], metrics.as_bytes()).expect("counters");
        assert_eq!(counters.refused, 0, "{metrics}");
    }
}
