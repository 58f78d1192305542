//! The scene: sites, model nodes and the countries of their viewers, and the installation that serves them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::geo::Prefix;

/// The steered name that viewers ask for.
pub const SERVICE: &str = "play.live.example.";
/// Time between scrapes in seconds: short, because nobody likes to wait in front of a demonstration.
pub(super) const INTERVAL: f64 = 1.0;
/// What a model node can send, in bit/s.
pub(super) const CAPACITY: f64 = 100e6;
/// The share of capacity at which pressure is 1, for CPU and egress alike.
pub(super) const LIMIT: f64 = 0.8;

/// Model nodes of a site.
const NODES: usize = 2;

/// A place with nodes, and the country whose viewers are nearest to it.
#[derive(Debug)]
pub struct Site {
    /// The place's name in the configuration, with which its nodes' names begin.
    pub place: &'static str,
    /// What people call it.
    pub city: &'static str,
    /// Latitude and longitude, as the configuration has them.
    at: &'static str,
    /// Where its viewers are.
    pub country: &'static str,
    /// The country's code (ISO 3166-1).
    pub code: &'static str,
    /// The first halves of addresses there: each is a /16 that has been given out to that country as a whole.
    networks: [[u8; 2]; 4],
}

/// All sites.
pub static SITES: [Site; 3] = [
    Site {
        place: "fra",
        city: "Frankfurt",
        at: "[50.1, 8.7]",
        country: "Germany",
        code: "DE",
        networks: [[88, 198], [46, 4], [91, 0], [91, 20]],
    },
    Site {
        place: "gru",
        city: "São Paulo",
        at: "[-23.5, -46.6]",
        country: "Brazil",
        code: "BR",
        networks: [[200, 147], [200, 144], [200, 145], [189, 0]],
    },
    Site {
        place: "tyo",
        city: "Tokyo",
        at: "[35.7, 139.7]",
        country: "Japan",
        code: "JP",
        networks: [[133, 1], [126, 0], [153, 128], [219, 100]],
    },
];

/// A model node, before it is started.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// The site, by its place in `SITES`.
    pub site: usize,
    /// Counts from 1 at each site.
    number: u8,
}

/// All model nodes, site by site.
pub(super) fn roles() -> impl Iterator<Item = Role> {
    (0..SITES.len()).flat_map(|site| (1..=NODES as u8).map(move |number| Role { site, number }))
}

impl Role {
    /// Its name in the configuration, for example `fra1`.
    pub fn name(self) -> String {
        format!("{}{}", SITES[self.site].place, self.number)
    }

    /// The address that answers name, on loopback so that viewers can connect.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, self.site as u8 + 1, self.number)
    }
}

impl Site {
    /// A client network of the country, drawn by a random number.
    pub fn network(&self, dice: u64) -> Prefix {
        let [a, b] = self.networks[(dice >> 8) as usize % self.networks.len()];
        Prefix::of(IpAddr::from([a, b, dice as u8, 0]), 24)
    }

    /// The viewer of the printed examples.
    pub fn example(&self) -> Ipv4Addr {
        let [a, b] = self.networks[0];
        Ipv4Addr::new(a, b, 1, 1)
    }
}

/// The zone that is served: the shipped one.
pub(super) fn zone() -> &'static str {
    include_str!("../../../zones/live.example.zone")
}

/// The configuration, for exporters at these addresses in the order of `roles`.
pub(super) fn config(dns: SocketAddr, admin: SocketAddr, exporters: &[SocketAddr]) -> String {
    let mut text = format!(
        r#"# thalweg.toml of the demonstration. Edit it, or the zone beside it: the server takes what you save.

[server]
dns = ["{dns}"]
admin = "{admin}"
# All its viewers ask from this machine, as behind one large resolver.
rate_limit.exempt = ["127.0.0.0/8"]

# Whom no other region claims: without +subnet, that is dig on this machine.
[region.elsewhere]
default = true
near = ["fra"]

[defaults.node]
capacity.egress = "{capacity}Mbit/s"
limits.cpu = {LIMIT}
limits.egress = {LIMIT}
interval = "{INTERVAL}s"
"#,
        capacity = CAPACITY / 1e6
    );
    for site in &SITES {
        text.push_str(&format!("\n[place.{}]  # {}\nat = {}\n", site.place, site.city, site.at));
    }
    for (role, exporter) in roles().zip(exporters) {
        text.push_str(&format!(
            "\n[node.{name}]\naddresses = [\"{address}\", \"2001:db8:{site}::{number}\"]\nplace = \"{place}\"\n\
             exporters.node = \"http://{exporter}/metrics\"\n",
            name = role.name(),
            address = role.address(),
            site = role.site + 1,
            number = role.number,
            place = SITES[role.site].place,
        ));
    }
    text.push_str(
        r#"
# Viewers of the demonstration are sent little and stay for twelve seconds; those of your service for longer.
[pool.default]
viewer = { bitrate = "1Mbit/s", stays = "12s" }

[service."play.live.example"]
ttl = { min = "1s", max = "5s" }

[service."*.room.live.example"]
answers = 1
"#,
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::diagnostic::Source;
    use crate::geo::Database;

    #[test]
    fn all_networks_of_a_country_are_there() {
        let database = Database::embedded();
        for site in &SITES {
            for dice in 0..=u64::from(u16::MAX) {
                let network = site.network(dice);
                let country = database.facts(network.address()).country.as_deref();
                assert_eq!(country, Some(site.code), "{network}");
            }
        }
    }

    #[test]
    fn the_configuration_is_without_fault() {
        let address = |role: Role| SocketAddr::from((role.address(), 9100));
        let exporters: Vec<SocketAddr> = roles().map(address).collect();
        let text = config(([127, 0, 0, 1], 5300).into(), ([127, 0, 0, 1], 8053).into(), &exporters);
        let (config, diagnostics) = config::read(&Source::new("thalweg.toml", text), &[]);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let config = config.expect("a configuration");
        assert_eq!((config.nodes.len(), config.places.len(), config.services.len()), (6, 3, 2));
        let node = &config.nodes[5].value;
        assert_eq!((node.name.as_str(), node.v4), ("tyo2", Some(Ipv4Addr::new(127, 0, 3, 2))));
        assert_eq!(node.capacity.egress.map(|egress| egress.0), Some(CAPACITY));
        assert_eq!((node.limits.cpu, node.limits.egress), (LIMIT, LIMIT));
        assert_eq!(node.interval.as_secs_f64(), INTERVAL);
    }
}
