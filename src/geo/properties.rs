//! Properties of the compiled geography: it is what looking everything up one by one would give.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::{select, subsequence};
use proptest::test_runner::Config;

use super::{Countries, Database, Facts, Geo, NetworkRule, NetworkTarget, Prefix, RegionRule};

/// Where the databases of `tests/geoip` change.
const KNOWN_NETWORKS: [&str; 12] = [
    "192.0.2.0/25",
    "192.0.2.128/25",
    "198.51.100.0/24",
    "198.51.100.0/25",
    "198.51.100.128/26",
    "198.51.100.192/26",
    "203.0.113.0/24",
    "203.0.113.0/25",
    "203.0.113.128/26",
    "2001:db8::/32",
    "2001:db8::/33",
    "2001:db8:8000::/33",
];

#[derive(Debug, Clone)]
struct World {
    databases: Vec<Database>,
    rules: Vec<RegionRule>,
    networks: Vec<NetworkRule>,
}

impl World {
    fn compile(&self) -> Geo {
        Geo::compile(&self.databases, Countries::embedded(), &self.rules, &self.networks, None).0
    }

    /// The name of an address's region, without tables.
    fn region(&self, address: IpAddr) -> String {
        let address = address.to_canonical();
        let mut facts = Database::merged_facts(&self.databases, address);
        let lines = self.networks.iter().filter(|network| network.prefix.to_canonical().contains(address));
        match lines.max_by_key(|network| network.prefix.to_canonical().length()).map(|network| &network.target) {
            Some(NetworkTarget::Region(name)) => return name.clone(),
            Some(NetworkTarget::Place(name, _)) => return format!("at-{name}"),
            Some(NetworkTarget::Country(country, subdivision)) => {
                let (country, subdivision) = (Some(country.clone()), subdivision.clone());
                facts = Facts { country, subdivision, continent: None, position: None, asn: facts.asn };
            }
            None => {}
        }
        let country = facts.country.as_deref().and_then(|code| Countries::embedded().get(code));
        let continent = facts.continent.clone().or(country.map(|country| country.continent.clone()));
        let holds = |list: &[String], value: &Option<String>| {
            list.is_empty() || value.as_ref().is_some_and(|value| list.contains(value))
        };
        let rule = self.rules.iter().find(|rule| {
            rule.has_matchers()
                && holds(&rule.continents, &continent)
                && holds(&rule.countries, &facts.country)
                && holds(&rule.subdivisions, &facts.subdivision)
                && (rule.asns.is_empty() || facts.asn.is_some_and(|asn| rule.asns.contains(&asn)))
                && (rule.networks.is_empty()
                    || rule.networks.iter().any(|prefix| prefix.to_canonical().contains(address)))
        });
        let default = self.rules.iter().find(|rule| rule.is_default).map_or("unknown", |rule| &rule.name);
        match (rule, country, facts.subdivision) {
            (Some(rule), _, _) => rule.name.clone(),
            (None, Some(_), Some(code)) if code.starts_with("US-") || code.starts_with("AU-") => code,
            (None, Some(country), _) => country.code.clone(),
            (None, None, _) => default.to_owned(),
        }
    }

    /// Every address at which something may begin or end: between them regions are constant.
    fn edges(&self) -> Vec<u128> {
        let in_rules = self.rules.iter().flat_map(|rule| rule.networks.iter().copied());
        let in_lines = self.networks.iter().map(|network| network.prefix);
        let known = KNOWN_NETWORKS.iter().map(|text| text.parse().unwrap());
        let mapped = Prefix::of(Ipv4Addr::UNSPECIFIED.into(), 0);
        let all = in_rules.chain(in_lines).chain(known).chain([mapped]);
        all.flat_map(|prefix| {
            let (first, last) = ends(prefix);
            [Some(first), last.checked_add(1)].into_iter().flatten()
        })
        .collect()
    }

    /// Whether all of a prefix is in the region.
    fn is_all_in(&self, prefix: Prefix, region: &str) -> bool {
        let (first, last) = ends(prefix);
        let inside = self.edges().into_iter().filter(|edge| (first..=last).contains(edge));
        inside.chain([first]).all(|edge| self.region(Ipv6Addr::from_bits(edge).into()) == region)
    }
}

/// First and last address as IPv6, IPv4 mapped.
fn ends(prefix: Prefix) -> (u128, u128) {
    let (first, length) = match prefix.address() {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped(), prefix.length() + 96),
        IpAddr::V6(v6) => (v6, prefix.length()),
    };
    (first.to_bits(), first.to_bits() | u128::MAX.checked_shr(length.into()).unwrap_or(0))
}

/// Addresses near those of which something is known.
fn address() -> impl Strategy<Value = IpAddr> {
    let bases = select(KNOWN_NETWORKS.map(|text| text.parse::<Prefix>().unwrap().address()).to_vec());
    prop_oneof![
        6 => (bases, any::<u128>(), 0..=128u8).prop_map(|(base, noise, bits)| {
            // Noise in the lower bits only, so that some addresses stay in the network and some leave it.
            let noise = noise.checked_shr(bits.into()).unwrap_or(0);
            match base {
                IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() ^ (noise >> 96) as u32).into(),
                IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() ^ noise).into(),
            }
        }),
        1 => any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        1 => any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
        1 => any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped().into()),
        1 => (any::<u128>(), 60..128u8).prop_map(|(bits, zeros)| Ipv6Addr::from_bits(bits >> zeros).into()),
    ]
}

fn prefix() -> impl Strategy<Value = Prefix> {
    (address(), prop_oneof![0..=128u8, 16..=32u8]).prop_map(|(address, length)| Prefix::of(address, length))
}

fn some_of(words: &[&str]) -> impl Strategy<Value = Vec<String>> {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    prop_oneof![2 => Just(Vec::new()), 1 => subsequence(words, 1..=2)]
}

fn rule() -> impl Strategy<Value = RegionRule> {
    (
        some_of(&["NA", "EU", "AS"]),
        some_of(&["US", "DE", "BR", "FR"]),
        some_of(&["US-CA", "US-NY", "DE-HE"]),
        prop_oneof![2 => Just(Vec::new()), 1 => subsequence(vec![3320, 64500, 64501], 1..=2)],
        prop_oneof![2 => Just(Vec::new()), 1 => proptest::collection::vec(prefix(), 1..4)],
        any::<bool>(),
    )
        .prop_map(|(continents, countries, subdivisions, asns, networks, is_default)| RegionRule {
            continents,
            countries,
            subdivisions,
            asns,
            networks,
            is_default,
            ..RegionRule::default()
        })
}

fn target() -> impl Strategy<Value = NetworkTarget> {
    prop_oneof![
        Just(NetworkTarget::Country("DE".to_owned(), None)),
        Just(NetworkTarget::Country("US".to_owned(), Some("US-NY".to_owned()))),
        Just(NetworkTarget::Region("rule0".to_owned())),
        Just(NetworkTarget::Place("fra".to_owned(), None)),
    ]
}

fn world() -> impl Strategy<Value = World> {
    let file = |bytes: &[u8]| Database::open("x", bytes).unwrap();
    let files = vec![
        file(include_bytes!("../../tests/geoip/flat.mmdb")),
        file(include_bytes!("../../tests/geoip/city.mmdb")),
        file(include_bytes!("../../tests/geoip/asn.mmdb")),
    ];
    let lines = proptest::collection::vec((prefix(), target()), 0..6);
    let databases = (subsequence(files, 0..=3), any::<bool>()).prop_map(|(mut databases, is_reversed)| {
        if is_reversed {
            databases.reverse();
        }
        databases
    });
    (databases, proptest::collection::vec(rule(), 1..5), lines).prop_map(|(databases, mut rules, lines)| {
        for (number, rule) in rules.iter_mut().enumerate() {
            rule.name = format!("rule{number}");
        }
        let networks = lines.into_iter().map(|(prefix, target)| NetworkRule { prefix, target }).collect();
        World { databases, rules, networks }
    })
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(128) })]

    #[test]
    fn the_table_is_what_a_search_of_everything_gives(world in world(), addresses in proptest::collection::vec(address(), 40)) {
        let geo = world.compile();
        let edges = world.edges().into_iter().map(|edge| Ipv6Addr::from_bits(edge).into());
        for address in addresses.into_iter().chain(edges) {
            let region = geo.region(geo.locate(address).region);
            prop_assert_eq!(&region.name, &world.region(address), "{}", address);
        }
    }

    #[test]
    fn the_prefix_is_the_shortest_that_stays_in_the_region(world in world(), addresses in proptest::collection::vec(address(), 12)) {
        let geo = world.compile();
        for address in addresses {
            let located = geo.locate(address);
            let region = &geo.region(located.region).name;
            let block = Prefix::of(address, located.prefix);
            prop_assert!(world.is_all_in(block, region), "{address}: {block} leaves {region}");
            // Mapped blocks are not joined with what surrounds ::ffff:0:0/96.
            let shortest = if address.is_ipv6() && address.to_canonical().is_ipv4() { 96 } else { 0 };
            if located.prefix > shortest {
                let parent = Prefix::of(address, located.prefix - 1);
                prop_assert!(!world.is_all_in(parent, region), "{address}: {parent} is all in {region}");
            }
        }
    }
}
