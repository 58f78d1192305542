//! The geography that all servers share: four places, the world's networks, and loopback divided among the places.

mod mmdb;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context, Result};
use maxminddb::Reader;
use serde::Deserialize;

use crate::sets::{MANY, Steered};
use mmdb::{Network, Writer};

/// Where servers stand, and whom they serve.
#[derive(Debug)]
pub struct Place {
    /// What it is called in all configurations.
    pub name: &'static str,
    /// Continents whose clients it serves.
    pub continents: &'static [&'static str],
    /// The country that has its part of loopback.
    country: &'static str,
    /// Latitude and longitude in degrees.
    pub position: (f64, f64),
    /// All places, the nearest first.
    pub near: [&'static str; 4],
    /// Third octet of its servers' addresses.
    octet: u8,
}

/// The places.
pub const PLACES: [Place; 4] = [
    Place {
        name: "eu",
        continents: &["EU", "AF"],
        country: "DE",
        position: (50.1, 8.7),
        near: ["eu", "na", "sa", "as"],
        octet: 1,
    },
    Place {
        name: "na",
        continents: &["NA"],
        country: "US",
        position: (39.0, -77.5),
        near: ["na", "eu", "sa", "as"],
        octet: 2,
    },
    Place {
        name: "sa",
        continents: &["SA"],
        country: "BR",
        position: (-23.5, -46.6),
        near: ["sa", "na", "eu", "as"],
        octet: 3,
    },
    Place {
        name: "as",
        continents: &["AS", "OC"],
        country: "JP",
        position: (35.7, 139.7),
        near: ["as", "eu", "na", "sa"],
        octet: 4,
    },
];

impl Place {
    /// Addresses of the servers that stand here for a name, from the block for benchmarks (RFC 2544).
    pub fn addresses(&self, steered: Steered) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let first = if steered == MANY { 101 } else { 1 };
        let octet = self.octet;
        (first..first + steered.answers).map(move |last| Ipv4Addr::new(198, 18, octet, last))
    }

    /// Whether a server with this address stands here.
    pub fn has(&self, address: [u8; 4]) -> bool {
        matches!(address, [198, 18, octet, _] if octet == self.octet)
    }
}

/// A database in the schema of GeoIP2-Country, which all servers read.
pub struct Geography {
    reader: Reader<Vec<u8>>,
}

#[derive(Deserialize)]
struct SourceRecord {
    country_code: String,
}

#[derive(Deserialize)]
struct Record {
    continent: Option<Continent>,
}

#[derive(Deserialize)]
struct Continent {
    code: String,
}

impl Geography {
    /// Makes the database of the project's own, `country.mmdb` and `countries.csv` of this directory, and opens it.
    pub fn build(sources: &Path, path: &Path) -> Result<Self> {
        let source_path = sources.join("country.mmdb");
        let source = Reader::open_readfile(&source_path).with_context(|| source_path.display().to_string())?;
        let csv_path = sources.join("countries.csv");
        let csv = fs::read_to_string(&csv_path).with_context(|| csv_path.display().to_string())?;
        let continent_of = |country: &str| {
            let of = |line: &'_ str| line.strip_prefix(country)?.strip_prefix(',')?.get(..2).map(str::to_owned);
            csv.lines().find_map(of)
        };

        let mut writer = Writer::default();
        for entry in source.networks(Default::default())? {
            let entry = entry?;
            let Some(SourceRecord { country_code }) = entry.decode()? else { continue };
            let network = entry.network()?;
            // Countries of no continent that is known here are in no place.
            if let Some(record) = writer.record(&country_code, continent_of) {
                writer.insert(Network::new(network.ip(), network.prefix()), record);
            }
        }
        // Each source address of the generator is in one of 256 networks, which belong to the places in turn.
        for block in 0..=255u8 {
            let place = &PLACES[usize::from(block) % PLACES.len()];
            let record =
                writer.record(place.country, continent_of).context("a place is in a country that is not listed")?;
            writer.insert(Network::new(Ipv4Addr::new(127, block, 0, 0).into(), 16), record);
        }
        fs::write(path, writer.finish(source.metadata().build_epoch)).with_context(|| path.display().to_string())?;
        Self::open(path)
    }

    /// Opens the database.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { reader: Reader::open_readfile(path).with_context(|| path.display().to_string())? })
    }

    /// The place that serves a client, if its continent is known.
    pub fn place_of(&self, client: IpAddr) -> Option<&'static Place> {
        let continent = self.reader.lookup(client).ok()?.decode::<Record>().ok()??.continent?.code;
        PLACES.iter().find(|place| place.continents.contains(&continent.as_str()))
    }

    /// First addresses of the IPv6 networks in the database, of which client subnets are drawn, and how long each prefix is. Longer
    /// ones than /48 are left out: thalweg tells clients apart by no more than that.
    pub fn ipv6_networks(&self) -> Result<Vec<(Ipv6Addr, u8)>> {
        let mut networks = Vec::new();
        for entry in self.reader.networks(Default::default())? {
            let network = entry?.network()?;
            if let IpAddr::V6(first) = network.ip()
                && network.prefix() <= 48
                && first.segments()[0] >= 0x2000
            {
                networks.push((first, network.prefix()));
            }
        }
        Ok(networks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_and_loopback_have_places() {
        let directory = tempfile::tempdir().expect("a directory");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../geoip");
        let geography = Geography::build(&sources, &directory.path().join("test.mmdb")).expect("built");
        geography.reader.verify().expect("it obeys the format");
        for (client, place) in [
            ("127.0.0.7", "eu"),
            ("127.1.0.7", "na"),
            ("127.6.255.7", "sa"),
            ("127.255.0.7", "as"),
            ("8.8.8.8", "na"),
            ("88.198.1.1", "eu"),
            ("200.160.2.3", "sa"),
            ("1.1.1.1", "as"),
            ("2a01:4f8::1", "eu"),
        ] {
            let found = geography.place_of(client.parse().expect(client));
            assert_eq!(found.map(|place| place.name), Some(place), "{client}");
        }
        assert!(geography.place_of(Ipv4Addr::new(10, 0, 0, 1).into()).is_none(), "private networks are nowhere");
        let networks = geography.ipv6_networks().expect("listed");
        assert!(networks.len() > 10_000, "{} networks of IPv6", networks.len());
    }
}
