//! Who this server says it is: NSID, and the names of class CHAOS (RFC 5001, RFC 4892).

use super::reply::RECORD_FIXED;
use super::{RecordType, Records, ready_record};

/// The class CHAOS.
pub const CLASS_CH: u16 = 3;
/// Names that ask who the server is (RFC 4892 §3, and `named`'s own).
const OF_SERVER: [&[u8]; 2] = [b"\x02id\x06server\0", b"\x08hostname\x04bind\0"];
/// Names that ask what it runs.
const OF_VERSION: [&[u8]; 2] = [b"\x07version\x04bind\0", b"\x07version\x06server\0"];

/// What the server tells of itself; what it does not, it refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    nsid: Option<Box<[u8]>>,
    /// TXT records of class CH, ready.
    server: Option<Box<[u8]>>,
    version: Option<Box<[u8]>>,
}

impl Identity {
    /// Texts of at most 255 octets, and an NSID of at most `MAX_NSID`; longer ones are cut.
    pub fn new(server: Option<&str>, version: Option<&str>, nsid: Option<&str>) -> Self {
        let cut = |text: &str, most: usize| Box::from(&text.as_bytes()[..text.len().min(most)]);
        Self {
            nsid: nsid.map(|text| cut(text, super::MAX_NSID)),
            server: server.map(|text| record(&cut(text, 255))),
            version: version.map(|text| record(&cut(text, 255))),
        }
    }

    /// The name for EDNS.
    pub fn nsid(&self) -> Option<&[u8]> {
        self.nsid.as_deref()
    }

    /// The name that class CHAOS gets.
    pub fn name(&self) -> Option<&[u8]> {
        // Behind the head of its record and the length of its text.
        self.server.as_deref().and_then(|record| record.get(RECORD_FIXED + 1..))
    }

    /// The answer to a question of class CHAOS; none if it is to be refused. The name is in lower case.
    pub fn answer(&self, name: &[u8], qtype: RecordType) -> Option<Records<'_>> {
        if !matches!(qtype, RecordType::TXT | RecordType::ANY) {
            return None;
        }
        let text = if OF_SERVER.contains(&name) {
            &self.server
        } else if OF_VERSION.contains(&name) {
            &self.version
        } else {
            &None
        };
        text.as_deref().map(|bytes| Records::Ready { count: 1, bytes })
    }
}

/// A TXT record of the question's name, class CH, TTL 0.
fn record(text: &[u8]) -> Box<[u8]> {
    ready_record(RecordType::TXT, CLASS_CH, 0, &[&[text.len() as u8], text].concat()).into()
}
