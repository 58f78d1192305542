//! A writer of the MaxMind DB format, version 2.0 (<https://maxmind.github.io/MaxMind-DB/>): a binary tree of networks over a
//! section of records.

use std::collections::HashMap;
use std::net::IpAddr;

/// Octets of a node: two pointers of 24 bits.
const RECORD_SIZE: u16 = 24;
/// Zero octets between the tree and the records.
const SEPARATOR: usize = 16;
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// A network of the tree, in which IPv4 lies below ::/96.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network {
    first: u128,
    length: u32,
}

impl Network {
    pub(super) fn new(first: IpAddr, length: u8) -> Self {
        let length = u32::from(length);
        match first {
            IpAddr::V4(first) => Self { first: u32::from(first).into(), length: length + 96 },
            IpAddr::V6(first) => Self { first: first.into(), length },
        }
    }

    /// The bit that decides at a node of this depth.
    fn side(self, depth: u32) -> usize {
        usize::from(self.first >> (127 - depth) & 1 == 1)
    }
}

/// A record in the section of records, by its offset there.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordOffset(u32);

#[derive(Debug, Clone, Copy)]
enum Pointer {
    Nothing,
    Node(u32),
    Record(RecordOffset),
}

/// A database that is being made.
pub(super) struct Writer {
    nodes: Vec<[Pointer; 2]>,
    records: Vec<u8>,
    offsets: HashMap<String, RecordOffset>,
}

impl Default for Writer {
    fn default() -> Self {
        Self { nodes: vec![[Pointer::Nothing; 2]], records: Vec::new(), offsets: HashMap::new() }
    }
}

impl Writer {
    /// The record of a country; none if its continent is unknown.
    pub(super) fn record(
        &mut self,
        country: &str,
        continent_of: impl Fn(&str) -> Option<String>,
    ) -> Option<RecordOffset> {
        if let Some(&offset) = self.offsets.get(country) {
            return Some(offset);
        }
        let continent = continent_of(country)?;
        let offset = RecordOffset(self.records.len() as u32);
        let parts = [("continent", "code", continent.as_str()), ("country", "iso_code", country)];
        put_size(&mut self.records, MAP, parts.len());
        for (part, key, value) in parts {
            put_text(&mut self.records, part);
            put_size(&mut self.records, MAP, 1);
            put_text(&mut self.records, key);
            put_text(&mut self.records, value);
        }
        self.offsets.insert(country.to_owned(), offset);
        Some(offset)
    }

    /// Gives a network its record, in the place of what it or a part of it had.
    pub(super) fn insert(&mut self, network: Network, record: RecordOffset) {
        let mut node = 0;
        for depth in 0..network.length - 1 {
            let side = network.side(depth);
            node = match self.nodes[node][side] {
                Pointer::Node(next) => next as usize,
                // What held for all of it holds for both halves.
                before @ (Pointer::Nothing | Pointer::Record(_)) => {
                    let next = self.nodes.len();
                    self.nodes.push([before; 2]);
                    self.nodes[node][side] = Pointer::Node(next as u32);
                    next
                }
            };
        }
        self.nodes[node][network.side(network.length - 1)] = Pointer::Record(record);
    }

    /// The file, dated in seconds since 1970.
    pub(super) fn finish(self, build_epoch: u64) -> Vec<u8> {
        let node_count = self.nodes.len() as u32;
        let mut file = Vec::with_capacity(self.nodes.len() * 6 + self.records.len() + 512);
        for pointer in self.nodes.iter().flatten() {
            let value = match *pointer {
                Pointer::Nothing => node_count,
                Pointer::Node(node) => node,
                Pointer::Record(RecordOffset(offset)) => node_count + SEPARATOR as u32 + offset,
            };
            file.extend_from_slice(&value.to_be_bytes()[1..]);
        }
        file.extend_from_slice(&[0; SEPARATOR]);
        file.extend_from_slice(&self.records);
        file.extend_from_slice(METADATA_MARKER);
        put_metadata(&mut file, node_count, build_epoch);
        file
    }
}

fn put_metadata(file: &mut Vec<u8>, node_count: u32, build_epoch: u64) {
    put_size(file, MAP, 9);
    put_text(file, "binary_format_major_version");
    put_number(file, UINT16, 2);
    put_text(file, "binary_format_minor_version");
    put_number(file, UINT16, 0);
    put_text(file, "build_epoch");
    put_number(file, UINT64, build_epoch);
    // BIND takes a file only if it knows this word.
    put_text(file, "database_type");
    put_text(file, "GeoLite2-Country");
    put_text(file, "description");
    put_size(file, MAP, 1);
    put_text(file, "en");
    put_text(file, "countries, for benchmarks");
    put_text(file, "ip_version");
    put_number(file, UINT16, 6);
    put_text(file, "languages");
    put_size(file, ARRAY, 1);
    put_text(file, "en");
    put_text(file, "node_count");
    put_number(file, UINT32, node_count.into());
    put_text(file, "record_size");
    put_number(file, UINT16, RECORD_SIZE.into());
}

const TEXT: u8 = 2;
const UINT16: u8 = 5;
const UINT32: u8 = 6;
const MAP: u8 = 7;
const UINT64: u8 = 9;
const ARRAY: u8 = 11;

/// The control octet: type and size. Types above 7 stand in an octet of their own; nothing here is longer than 28.
fn put_size(out: &mut Vec<u8>, kind: u8, size: usize) {
    assert!(size < 29, "a longer size is written otherwise");
    if kind <= 7 {
        out.push(kind << 5 | size as u8);
    } else {
        out.extend_from_slice(&[size as u8, kind - 7]);
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_size(out, TEXT, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Without leading zeros.
fn put_number(out: &mut Vec<u8>, kind: u8, number: u64) {
    let octets = number.to_be_bytes();
    let significant = &octets[number.leading_zeros() as usize / 8..];
    put_size(out, kind, significant.len());
    out.extend_from_slice(significant);
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use maxminddb::{Reader, path};

    use super::*;

    #[test]
    fn a_network_within_another_has_its_own_record_and_leaves_the_rest() {
        let mut writer = Writer::default();
        let continent_of = |country: &str| (country != "XX").then(|| "EU".to_owned());
        assert!(writer.record("XX", continent_of).is_none(), "a country of no continent has none");
        for (network, length, country) in [([10, 0, 0, 0], 8, "DE"), ([10, 1, 0, 0], 16, "FR")] {
            let record = writer.record(country, continent_of).expect("its continent is known");
            writer.insert(Network::new(network.into(), length), record);
        }
        let reader = Reader::from_source(writer.finish(1_700_000_000)).expect("it is a database");
        reader.verify().expect("it obeys the format");
        assert_eq!(reader.metadata().build_epoch, 1_700_000_000);
        let country = |address: [u8; 4]| -> Option<&str> {
            let found = reader.lookup(IpAddr::from(address)).expect("looked up");
            found.decode_path(&path!["country", "iso_code"]).expect("decoded")
        };
        assert_eq!(
            [[10, 0, 255, 255], [10, 1, 0, 0], [10, 2, 0, 0], [11, 0, 0, 0]].map(country),
            [Some("DE"), Some("FR"), Some("DE"), None]
        );
    }
}
