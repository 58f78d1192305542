//! What one nameserver tells another, as JSON. Nameservers of several versions take part: what is unknown is left out, what
//! is missing is empty, and only another number of the protocol parts them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::steer::{Decree, Report, first};

/// The protocol that is spoken here; whoever speaks another is not understood.
pub const PROTOCOL: u32 = 1;
/// Octets of the longest message that is read: whoever writes one bounds each of its lists so that it is shorter.
pub const MAX_MESSAGE: usize = 4 << 20;
/// The most decrees that are read: all that a nameserver keeps.
const MAX_DECREES: usize = 2_000;
/// Characters of a name or a version that are kept.
const MAX_NAME: usize = 100;

/// What one nameserver tells another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// The protocol that it speaks.
    pub protocol: u32,
    /// A number that it drew at its start, and that nobody else has.
    pub server: u64,
    /// How it calls itself.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// Where it listens for others.
    pub listen: Option<SocketAddr>,
    /// Its clock: milliseconds since 1970.
    pub clock: u64,
    /// Hashes of what it read.
    pub inputs: BTreeMap<Part, String>,
    /// What was ordered and lifted; those of a kind that is not known are left out.
    #[serde(deserialize_with = "understood")]
    pub decrees: Vec<Decree>,
    /// The orders that do nothing there.
    #[serde(deserialize_with = "first::<_, _, MAX_DECREES>", skip_serializing_if = "Vec::is_empty")]
    pub idle: Vec<Idle>,
    /// Whom its answers send where, and which nodes fail; none in a reply to one that was told it already.
    pub report: Option<Report>,
}

/// An order that a nameserver knows and cannot follow: its inputs have no such node, for instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Idle {
    /// The word for the order's kind.
    pub what: String,
    /// What it is about.
    pub subject: String,
    /// Why it does nothing.
    pub because: String,
}

/// A part of the inputs that should be the same on all nameservers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The configuration but for `[server]` and `[cluster]`.
    Configuration,
    /// The texts of the zones.
    Zones,
    /// Databases, networks and measured times.
    Geography,
    /// The nodes, wherever they come from.
    Nodes,
    /// One of another version.
    #[serde(other)]
    Unknown,
}

impl Part {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Zones => "zones",
            Self::Geography => "geography",
            Self::Nodes => "nodes",
            Self::Unknown => "unknown",
        }
    }
}

/// What is told whatever else a protocol holds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Head {
    protocol: u32,
    server: u64,
    name: String,
    version: String,
    listen: Option<SocketAddr>,
}

impl Message {
    /// Reads a message; of one in another protocol the head alone.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let head: Head = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let message = if head.protocol == PROTOCOL {
            serde_json::from_slice(body).map_err(|error| error.to_string())?
        } else {
            let Head { protocol, server, name, version, listen } = head;
            Self { protocol, server, name, version, listen, ..Self::default() }
        };
        let idle = message.idle.into_iter().map(|idle| Idle { because: line(&idle.because), ..idle });
        Ok(Self { name: line(&message.name), version: line(&message.version), idle: idle.collect(), ..message })
    }
}

/// One line of bounded length: it stands in logs.
fn line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
}

/// Those that can be read: a newer version may have kinds of orders that we do not.
fn understood<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Decree>, D::Error> {
    let values = first::<_, Value, MAX_DECREES>(deserializer)?;
    Ok(values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::{Order, Override, PeerFlow, Said, Stamp};

    fn message() -> Message {
        let order = Order {
            id: 1417,
            what: Override::Drain { node: "fra1".to_owned() },
            who: "karl".to_owned(),
            reason: "kernel".to_owned(),
            since: 1,
            until: None,
        };
        let flow = PeerFlow {
            pool: "edge".to_owned(),
            region: "DE".to_owned(),
            node: "fra1".to_owned(),
            moved: 0.5,
            rate: 0.25,
            committed: 3.0,
        };
        Message {
            protocol: PROTOCOL,
            server: u64::MAX,
            name: "ns1".to_owned(),
            version: "0.1.0".to_owned(),
            listen: Some(([192, 0, 2, 1], 8054).into()),
            clock: 1_700_000_000_123,
            inputs: [(Part::Zones, "00ff".to_owned())].into(),
            decrees: vec![Decree { stamp: Stamp { time: 7, server: 9 }, said: Said::Given(order) }],
            idle: vec![Idle { what: "drain".to_owned(), subject: "fra1".to_owned(), because: "no node".to_owned() }],
            report: Some(Report { flows: vec![flow], down: vec!["fra2".to_owned()], ..Report::default() }),
        }
    }

    #[test]
    fn a_message_survives_json() {
        let json = serde_json::to_vec(&message()).unwrap();
        assert_eq!(Message::read(&json), Ok(message()));
    }

    #[test]
    fn a_newer_and_an_older_nameserver_are_understood_as_far_as_possible() {
        let mut json = serde_json::to_value(message()).unwrap();
        json["weather"] = "fine".into();
        json["inputs"]["certificates"] = "12".into();
        json["report"]["flows"][0]["quality"] = 0.9.into();
        json["report"]["flows"][0].as_object_mut().unwrap().remove("committed");
        json["report"].as_object_mut().unwrap().remove("down");
        let strange =
            serde_json::json!({"stamp": {"time": 8, "server": 1}, "given": {"what": "teleport", "node": "a"}});
        json["decrees"].as_array_mut().unwrap().push(strange);
        json.as_object_mut().unwrap().remove("clock");
        let read = Message::read(&serde_json::to_vec(&json).unwrap()).unwrap();
        assert_eq!(read.decrees, message().decrees);
        assert_eq!(read.inputs.get(&Part::Zones).map(String::as_str), Some("00ff"));
        let flow = &read.report.as_ref().unwrap().flows[0];
        assert_eq!((flow.moved, flow.committed, read.clock), (0.5, 0.0, 0));
        let least = Message::read(br#"{"protocol":1}"#).unwrap();
        assert_eq!(least, Message { protocol: 1, ..Message::default() });
    }

    #[test]
    fn no_more_orders_are_read_than_anybody_keeps() {
        let decree = serde_json::to_string(&message().decrees[0]).unwrap();
        let long = format!("{{\"protocol\":1,\"decrees\":[{decree}{}]}}", format!(",{decree}").repeat(MAX_DECREES + 5));
        assert_eq!(Message::read(long.as_bytes()).unwrap().decrees.len(), MAX_DECREES);
    }

    #[test]
    fn of_another_protocol_only_the_head_is_read() {
        let read = Message::read(br#"{"protocol":2,"server":5,"name":"ns\n9","report":"in another form"}"#).unwrap();
        assert_eq!(read, Message { protocol: 2, server: 5, name: "ns9".to_owned(), ..Message::default() });
        for rubbish in [&b""[..], b"{", b"7", b"{\"protocol\":1,\"report\":7}"] {
            assert!(Message::read(rubbish).is_err(), "{rubbish:?}");
        }
    }
}
