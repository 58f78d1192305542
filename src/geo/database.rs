//! Databases of addresses: MaxMind DB files, read once and whole, so that nothing can fail later.
#![deny(clippy::disallowed_methods)]

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use maxminddb::{LookupResult, MaxMindDbError, Reader, WithinOptions};
use rustc_hash::FxHashMap;

use super::facts::{Facts, Record};
use super::runs::{NOTHING, Runs};
use crate::diagnostic::Diagnostic;

/// A database whose every record has been read; copies share it.
#[derive(Debug, Clone)]
pub struct Database(Arc<Contents>);

#[derive(Debug)]
struct Contents {
    name: String,
    /// What the runs' values stand for; the first is what is known of nobody.
    records: Vec<Facts>,
    v4: Runs<u32>,
    v6: Runs<u128>,
}

impl Database {
    /// Reads a file whose name is used in messages.
    pub fn open(name: &str, bytes: &[u8]) -> Result<Self, Diagnostic> {
        let damaged = |error: MaxMindDbError| {
            Diagnostic::error(format!("the database cannot be read: {error}")).in_file(name).help(remedy(bytes))
        };
        let reader = Reader::from_source(bytes).map_err(damaged)?;
        let database = Walk::over(&reader).map_err(damaged)?.into_database(name);
        if database.records().iter().all(Facts::is_empty) {
            return Err(Diagnostic::error("the database has neither countries nor positions nor AS numbers")
                .in_file(name)
                .help("use a country, city or ASN file, such as GeoLite2-Country.mmdb"));
        }
        Ok(database)
    }

    /// The country database that is part of the program.
    pub fn embedded() -> Self {
        static EMBEDDED: LazyLock<Database> = LazyLock::new(|| {
            Database::open("embedded country.mmdb", include_bytes!("../../geoip/country.mmdb"))
                .expect("the shipped file is whole; a test reads it")
        });
        EMBEDDED.clone()
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it knows of an address.
    pub fn facts(&self, address: IpAddr) -> &Facts {
        let record = match address.to_canonical() {
            IpAddr::V4(v4) => self.0.v4.at(v4.to_bits()),
            IpAddr::V6(v6) => self.0.v6.at(v6.to_bits()),
        };
        &self.0.records[record as usize]
    }

    /// What the databases know together: each field from the first that has it.
    pub fn merged_facts<'a>(databases: impl IntoIterator<Item = &'a Self>, address: IpAddr) -> Facts {
        databases.into_iter().fold(Facts::default(), |known, database| known.or(database.facts(address)))
    }

    pub(super) fn records(&self) -> &[Facts] {
        &self.0.records
    }

    pub(super) fn v4(&self) -> &Runs<u32> {
        &self.0.v4
    }

    pub(super) fn v6(&self) -> &Runs<u128> {
        &self.0.v6
    }
}

fn remedy(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "the file is empty; fetch it again",
        [0x1f, 0x8b, ..] => "this is a gzip archive; unpack it and name the .mmdb file in it",
        [b'P', b'K', ..] => "this is a zip archive; unpack it and name the .mmdb file in it",
        _ => "this is no whole MaxMind DB file; perhaps a download was cut off: fetch it again",
    }
}

/// One pass over the tree.
struct Walk {
    records: Vec<Facts>,
    /// Many networks share a record: each is decoded once, at the first sight of its place in the file.
    by_offset: FxHashMap<usize, u32>,
    v4: Runs<u32>,
    v6: Runs<u128>,
}

impl Walk {
    fn over(reader: &Reader<&[u8]>) -> Result<Self, MaxMindDbError> {
        let mut walk = Self {
            records: vec![Facts::default()],
            by_offset: FxHashMap::default(),
            v4: Runs::whole(NOTHING),
            v6: Runs::whole(NOTHING),
        };
        // A tree has one leaf more than nodes. Many more mean that damage made branches share subtrees,
        // which could keep us busy for ever. Leaves without data are asked for so that they count too.
        let most_leaves = reader.metadata().node_count as usize * 4 + 1024;
        // Aliases of the IPv4 tree (::ffff:0:0/96, 2002::/16) are skipped by the reader.
        let options = WithinOptions::default().include_networks_without_data();
        for (count, leaf) in reader.networks(options)?.enumerate() {
            if count > most_leaves {
                return Err(MaxMindDbError::invalid_database("the search tree refers to itself"));
            }
            walk.add(&leaf?)?;
        }
        Ok(walk)
    }

    fn add(&mut self, leaf: &LookupResult<'_, &[u8]>) -> Result<(), MaxMindDbError> {
        let Some(offset) = leaf.offset() else {
            return Ok(());
        };
        let record = match self.by_offset.get(&offset) {
            Some(record) => *record,
            None => self.read(leaf, offset)?,
        };
        let network = leaf.network()?;
        match network.ip() {
            IpAddr::V4(v4) => self.v4.push_prefix(v4.to_bits(), network.prefix(), record),
            // A record at or above ::/96 is that of the whole IPv4 tree, which has no leaves of its own then.
            IpAddr::V6(v6) if v6.is_unspecified() && network.prefix() <= 96 => {
                self.v4.push(0, record);
                self.v6.push_prefix(0, network.prefix(), record);
            }
            IpAddr::V6(v6) => self.v6.push_prefix(v6.to_bits(), network.prefix(), record),
        }
        Ok(())
    }

    fn read(&mut self, leaf: &LookupResult<'_, &[u8]>, offset: usize) -> Result<u32, MaxMindDbError> {
        let facts = leaf.decode::<Record>()?.map(Facts::from).unwrap_or_default();
        let record = match facts.is_empty() {
            true => NOTHING,
            false => {
                self.records.push(facts);
                // Offsets are below 4 GiB, the reach of the tree's records.
                (self.records.len() - 1) as u32
            }
        };
        self.by_offset.insert(offset, record);
        Ok(record)
    }

    fn into_database(self, name: &str) -> Database {
        let Self { records, by_offset: _, v4, v6 } = self;
        Database(Arc::new(Contents { name: name.to_owned(), records, v4, v6 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CITY: &[u8] = include_bytes!("../../tests/geoip/city.mmdb");
    const FLAT: &[u8] = include_bytes!("../../tests/geoip/flat.mmdb");
    const ASN: &[u8] = include_bytes!("../../tests/geoip/asn.mmdb");

    fn facts(bytes: &[u8], address: &str) -> Facts {
        Database::open("x", bytes).unwrap().facts(address.parse().unwrap()).clone()
    }

    #[test]
    fn the_city_layout_has_places() {
        let california = facts(CITY, "192.0.2.1");
        assert_eq!(california.subdivision.as_deref(), Some("US-CA"));
        assert_eq!(california.continent.as_deref(), Some("NA"));
        assert_eq!(california.position, Some(super::super::Position { latitude: 34.0, longitude: -118.2 }));
        assert_eq!(facts(CITY, "2001:db8:8000::1").subdivision.as_deref(), Some("AU-WA"));
        assert_eq!(facts(CITY, "203.0.113.1").country.as_deref(), Some("BR"), "the registered country stands in");
        assert!(facts(CITY, "203.0.113.200").is_empty());
    }

    #[test]
    fn the_flat_layout_has_countries() {
        assert_eq!(facts(FLAT, "198.51.100.7").country.as_deref(), Some("FR"));
        assert!(facts(FLAT, "2001:db8::1").is_empty(), "it has no IPv6");
    }

    #[test]
    fn systems_are_read_in_three_forms() {
        for (address, asn) in [
            ("198.51.100.1", Some(3320)),
            ("198.51.100.129", Some(64500)),
            ("198.51.100.193", Some(64501)),
            ("2001:db8:1::1", Some(3320)),
            ("192.0.2.1", None),
        ] {
            assert_eq!(facts(ASN, address).asn, asn, "{address}");
        }
    }

    #[test]
    fn mapped_addresses_are_those_they_map() {
        assert_eq!(facts(FLAT, "::ffff:198.51.100.7").country.as_deref(), Some("FR"));
    }

    #[test]
    fn databases_complete_each_other_in_their_order() {
        let open = |bytes| Database::open("x", bytes).unwrap();
        let all = [open(FLAT), open(ASN), open(CITY)];
        let merged = Database::merged_facts(&all, [198, 51, 100, 1].into());
        assert_eq!((merged.country.as_deref(), merged.asn, merged.subdivision), (Some("FR"), Some(3320), None));
        let merged = Database::merged_facts(&all, [192, 0, 2, 1].into());
        assert_eq!(merged.subdivision.as_deref(), Some("US-CA"));
    }

    #[test]
    fn the_embedded_database_knows_the_world() {
        for (address, country) in [
            ("8.8.8.8", "US"),
            ("88.198.1.1", "DE"),
            ("200.160.2.3", "BR"),
            ("2a01:4f8::1", "DE"),
            ("2001:4860:4860::8888", "US"),
        ] {
            let facts = Database::merged_facts(&[Database::embedded()], address.parse().unwrap());
            assert_eq!(facts.country.as_deref(), Some(country), "{address}");
        }
    }

    #[test]
    fn what_is_no_database_is_one_diagnostic() {
        let unknown = include_bytes!("../../tests/geoip/other.mmdb").as_slice();
        for (bytes, part) in [
            (b"".as_slice(), "the file is empty"),
            (b"\x1f\x8b\x08\x00", "gzip archive"),
            (b"not a database at all", "perhaps a download was cut off"),
            (&CITY[..CITY.len() / 2], "perhaps a download was cut off"),
            (unknown, "neither countries nor positions nor AS numbers"),
        ] {
            let message = Database::open("geoip/x.mmdb", bytes).unwrap_err().to_string();
            assert!(message.starts_with("geoip/x.mmdb: error: ") && message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_file_that_ends_early_or_late_never_panics() {
        for file in [CITY, FLAT, ASN] {
            for part in 0..50 {
                assert!(Database::open("x", &file[..file.len() * part / 50]).is_err(), "part {part}");
                // Cut at the front: the metadata is whole, the tree is not.
                let _either = Database::open("x", &file[file.len() * part / 50..]);
            }
        }
    }

    #[test]
    fn a_damaged_octet_never_panics() {
        for file in [CITY, FLAT, ASN] {
            for at in 0..file.len() {
                for mask in [0x01, 0x80, 0xff] {
                    let mut damaged = file.to_vec();
                    damaged[at] ^= mask;
                    let _either = Database::open("x", &damaged);
                }
            }
        }
    }
}
