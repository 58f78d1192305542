//! Compiling: databases, rules and networks become regions and the flat tables of who is in which.
#![deny(clippy::disallowed_methods)]

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use super::check::check;
use super::claim::{Claim, Claimed, is_in_large_country};
use super::country::Countries;
use super::database::Database;
use super::facts::Facts;
use super::locate::Geo;
use super::rule::{NetworkRule, NetworkTarget, Prefix, RegionRule};
use super::runs::{Address, NOTHING, Numbering, Runs, memoised};
use crate::diagnostic::Diagnostic;

/// Stands for a subdivision that no rule asks for and that is no region: different from having none.
const OTHER_SUBDIVISION: &str = "";
/// Stands for an autonomous system that no rule asks for (reserved, RFC 7607).
const OTHER_SYSTEM: u32 = 0;

impl Geo {
    /// Makes the regions and their tables. Regions keep the numbers that they have in `previous`.
    pub fn compile(
        databases: &[Database],
        countries: &Countries,
        rules: &[RegionRule],
        networks: &[NetworkRule],
        previous: Option<&Self>,
    ) -> (Self, Vec<Diagnostic>) {
        let mut compiler = Compiler {
            databases,
            countries,
            rules,
            networks,
            clients: Numbering::new(),
            matched: Numbering::new(),
            known: Numbering::new(),
            claims: Numbering::new(),
        };
        let mut diagnostics = check(databases, countries, rules, networks);
        let v4 = compiler.claim_space(Database::v4, v4_part);
        let v6 = compiler.claim_space(Database::v6, v6_part);
        for rule in 0..rules.len() {
            compiler.claims.number(Claim::Rule(rule));
        }
        let claimed = Claimed { claims: compiler.claims.things(), databases, countries, rules, networks };
        let earlier = previous.map(Self::regions).unwrap_or_default();
        let (regions, ids, too_many) = claimed.number_regions(earlier);
        diagnostics.extend(too_many);
        (Self::new(regions, v4, &v6, |claim| ids[claim as usize]), diagnostics)
    }
}

fn v4_part(prefix: Prefix) -> Option<(u32, u8)> {
    match prefix.address() {
        IpAddr::V4(v4) => Some((v4.to_bits(), prefix.length())),
        IpAddr::V6(_) => None,
    }
}

fn v6_part(prefix: Prefix) -> Option<(u128, u8)> {
    match prefix.address() {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Some((v6.to_bits(), prefix.length())),
    }
}

/// Facts as far as a rule or an automatic region can see them; never with a position, so that equality is total.
#[derive(Debug, Clone, PartialEq)]
struct Client(Facts);

impl Eq for Client {}

impl Hash for Client {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Facts { country, continent, subdivision, position: _, asn } = &self.0;
        (country, continent, subdivision, asn).hash(state);
    }
}

struct Compiler<'a> {
    databases: &'a [Database],
    countries: &'a Countries,
    rules: &'a [RegionRule],
    networks: &'a [NetworkRule],
    clients: Numbering<Client>,
    /// Which rules have a network around a run.
    matched: Numbering<Vec<usize>>,
    /// All that is known of a run before the networks file: a client, and a list of matched rules.
    known: Numbering<(u32, u32)>,
    claims: Numbering<Claim>,
}

impl Compiler<'_> {
    /// One family's space: what the databases know of each run, which rules hold it by address, what the networks
    /// file says of it, and so who claims it.
    fn claim_space<A: Address>(
        &mut self,
        runs_of: impl Fn(&Database) -> &Runs<A>,
        part: impl Fn(Prefix) -> Option<(A, u8)>,
    ) -> Runs<A> {
        let clients = self.overlay_databases(runs_of);
        let by_address = self.rules.iter().enumerate().flat_map(|(rule, written)| {
            written
                .networks
                .iter()
                .filter_map(|prefix| part(prefix.to_canonical()))
                .map(move |(start, length)| (start, length, rule))
        });
        let matched = &mut self.matched;
        // Nothing, the value outside all prefixes, is the number of the empty list.
        matched.number(Vec::new());
        let matched_runs = Runs::of_prefixes(by_address.collect(), |rules| matched.number(rules.to_vec()));
        let known = &mut self.known;
        let known_runs = clients.overlay(&matched_runs, memoised(|client, matched| known.number((client, matched))));
        let lines = self.networks.iter().zip(NOTHING + 1..).filter_map(|(network, line)| {
            part(network.prefix.to_canonical()).map(|(start, length)| (start, length, line))
        });
        // Longest prefix wins: the last of those that hold a run.
        let line_runs = Runs::of_prefixes(lines.collect(), |lines| lines.last().copied().unwrap_or(NOTHING));
        known_runs.overlay(&line_runs, memoised(|known, line| self.claim(known, line)))
    }

    fn overlay_databases<A: Address>(&mut self, runs_of: impl Fn(&Database) -> &Runs<A>) -> Runs<A> {
        // Nothing, the value where no database knows anything, is the number of the client without facts.
        self.clients.number(Client(Facts::default()));
        let mut merged = Runs::whole(NOTHING);
        for database in self.databases {
            let seen: Vec<Client> = database.records().iter().map(|facts| self.seen(facts)).collect();
            let numbers: Vec<u32> = seen.into_iter().map(|client| self.clients.number(client)).collect();
            let clients = &mut self.clients;
            let add = |client, record: u32| {
                let (known, more) = (clients.thing(client), clients.thing(numbers[record as usize]));
                let both = Client(known.0.or(&more.0));
                clients.number(both)
            };
            merged = merged.overlay(runs_of(database), memoised(add));
        }
        merged
    }

    /// What of a record can make a difference: else a city file would keep a hundred thousand kinds of clients.
    fn seen(&self, facts: &Facts) -> Client {
        let Facts { country, continent, subdivision, position: _, asn } = facts;
        let subdivision = subdivision.as_ref().map(|code| match self.asks_for_subdivision(code) {
            true => code.clone(),
            false => OTHER_SUBDIVISION.to_owned(),
        });
        let asked = |asn: &u32| self.rules.iter().any(|rule| rule.asns.contains(asn));
        let asn = asn.map(|asn| if asked(&asn) { asn } else { OTHER_SYSTEM });
        Client(Facts { country: country.clone(), continent: continent.clone(), subdivision, position: None, asn })
    }

    fn asks_for_subdivision(&self, code: &str) -> bool {
        is_in_large_country(code) || self.rules.iter().any(|rule| rule.subdivisions.iter().any(|known| known == code))
    }

    /// Who claims a run of which this is known, and of which this line of the networks file speaks.
    fn claim(&mut self, known: u32, line: u32) -> u32 {
        let (client, matched) = *self.known.thing(known);
        let (client, matched) = (&self.clients.thing(client).0, self.matched.thing(matched));
        let target = line.checked_sub(NOTHING + 1).map(|line| &self.networks[line as usize].target);
        let claim = match target {
            None => self.by_rules(client, matched),
            Some(NetworkTarget::Country(country, subdivision)) => {
                let written = Facts {
                    country: Some(country.clone()),
                    subdivision: subdivision.clone(),
                    asn: client.asn,
                    ..Facts::default()
                };
                self.by_rules(&self.seen(&written).0, matched)
            }
            Some(NetworkTarget::Region(name)) => match self.rules.iter().position(|rule| rule.name == *name) {
                Some(rule) => Claim::Rule(rule),
                // `check` has said that there is no such region.
                None => self.by_rules(client, matched),
            },
            Some(NetworkTarget::Place(place, _)) => self.automatic(Claim::Place(place.clone())),
        };
        self.claims.number(claim)
    }

    /// The first rule that matches, else the smallest automatic region, else the default.
    fn by_rules(&self, client: &Facts, matched: &[usize]) -> Claim {
        let country = client.country.as_deref().and_then(|code| self.countries.get(code));
        let continent = client.continent.as_deref().or(country.map(|country| country.continent.as_str()));
        let is_in = |list: &[String], value: Option<&str>| {
            list.is_empty() || value.is_some_and(|value| list.iter().any(|known| known == value))
        };
        let holds = |(index, rule): (usize, &RegionRule)| {
            rule.has_matchers()
                && is_in(&rule.continents, continent)
                && is_in(&rule.countries, client.country.as_deref())
                && is_in(&rule.subdivisions, client.subdivision.as_deref())
                && (rule.asns.is_empty()
                    || client.asn.is_some_and(|asn| asn != OTHER_SYSTEM && rule.asns.contains(&asn)))
                && (rule.networks.is_empty() || matched.contains(&index))
        };
        if let Some(rule) = self.rules.iter().enumerate().position(holds) {
            return Claim::Rule(rule);
        }
        // Codes that are no country's (`EU`, `AP`, `ZZ`) say too little for a region of their own.
        match (country, client.subdivision.as_deref()) {
            (Some(country), Some(code)) if is_in_large_country(code) => {
                self.automatic(Claim::Subdivision { country: country.code.clone(), code: code.to_owned() })
            }
            (Some(country), _) => self.automatic(Claim::Country(country.code.clone())),
            (None, _) => match self.rules.iter().position(|rule| rule.is_default) {
                Some(default) => Claim::Rule(default),
                None => self.automatic(Claim::Unknown),
            },
        }
    }

    /// An automatic region, or the rule that bears its name.
    fn automatic(&self, claim: Claim) -> Claim {
        let name = claim.name(self.rules);
        self.rules.iter().position(|rule| rule.name == name).map_or(claim, Claim::Rule)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::diagnostic::has_errors;
    use crate::geo::{MAX_REGIONS, Position, Region, RegionOrigin};

    /// Compiling the embedded database is the one slow thing here: all tests share it.
    static EMBEDDED: LazyLock<Geo> = LazyLock::new(|| compile(&[Database::embedded()], &[], &[]));

    fn city() -> Database {
        Database::open("city", include_bytes!("../../tests/geoip/city.mmdb")).unwrap()
    }

    fn flat() -> Database {
        Database::open("flat", include_bytes!("../../tests/geoip/flat.mmdb")).unwrap()
    }

    fn asn() -> Database {
        Database::open("asn", include_bytes!("../../tests/geoip/asn.mmdb")).unwrap()
    }

    fn compile(databases: &[Database], rules: &[RegionRule], networks: &[NetworkRule]) -> Geo {
        let (geo, diagnostics) = Geo::compile(databases, Countries::embedded(), rules, networks, None);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        geo
    }

    fn complaints(databases: &[Database], rules: &[RegionRule], networks: &[NetworkRule]) -> Vec<String> {
        let (_, diagnostics) = Geo::compile(databases, Countries::embedded(), rules, networks, None);
        diagnostics.iter().map(ToString::to_string).collect()
    }

    fn rule(name: &str) -> RegionRule {
        RegionRule { name: name.to_owned(), ..RegionRule::default() }
    }

    fn of_countries(name: &str, codes: &[&str]) -> RegionRule {
        RegionRule { countries: codes.iter().map(|&code| code.to_owned()).collect(), ..rule(name) }
    }

    fn line(prefix: &str, target: NetworkTarget) -> NetworkRule {
        NetworkRule { prefix: prefix.parse().unwrap(), target }
    }

    fn at<'a>(geo: &'a Geo, address: &str) -> &'a Region {
        geo.region(geo.locate(address.parse().unwrap()).region)
    }

    fn name<'a>(geo: &'a Geo, address: &str) -> &'a str {
        &at(geo, address).name
    }

    #[test]
    fn known_addresses_are_in_their_countries() {
        for (address, country) in [
            ("8.8.8.8", "US"),
            ("88.198.1.1", "DE"),
            ("200.160.2.3", "BR"),
            ("2a01:4f8::1", "DE"),
            ("::ffff:200.160.2.3", "BR"),
            ("10.0.0.1", "unknown"),
        ] {
            assert_eq!(name(&EMBEDDED, address), country, "{address}");
        }
        let germany = EMBEDDED.region(EMBEDDED.find("DE").unwrap());
        assert_eq!(germany.position, Countries::embedded().get("DE").map(|country| country.position));
        assert_eq!(germany.origin, RegionOrigin::Country("DE".to_owned()));
    }

    #[test]
    fn large_countries_have_a_region_for_each_subdivision() {
        let geo = compile(&[city()], &[], &[]);
        assert_eq!(name(&geo, "192.0.2.1"), "US-CA");
        assert_eq!(name(&geo, "2001:db8:8000::1"), "AU-WA");
        assert_eq!(name(&geo, "198.51.100.1"), "DE");
        let position = at(&geo, "192.0.2.1").position.unwrap();
        let los_angeles = Position { latitude: 34.0, longitude: -118.2 };
        assert!(position.kilometres_to(los_angeles) < 10.0, "{position:?}: 128 addresses outweigh one IPv6 network");
    }

    #[test]
    fn keys_and_values_or() {
        let telekom = RegionRule { asns: vec![3320, 1], ..of_countries("telekom", &["AT", "DE"]) };
        let geo = compile(&[city(), asn()], &[telekom], &[]);
        assert_eq!(name(&geo, "198.51.100.1"), "telekom");
        assert_eq!(name(&geo, "198.51.100.130"), "DE", "another system");
        assert_eq!(name(&geo, "2001:db8::1"), "US-CA", "another country");
    }

    #[test]
    fn networks_of_a_rule_are_one_of_its_keys() {
        let networks = vec!["198.51.100.0/26".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        let lab = RegionRule { networks, ..of_countries("lab", &["DE"]) };
        let geo = compile(&[city()], &[lab], &[]);
        assert_eq!(name(&geo, "198.51.100.63"), "lab");
        assert_eq!(name(&geo, "198.51.100.64"), "DE");
        assert_eq!(name(&geo, "10.1.2.3"), "unknown", "no country is known there");
    }

    #[test]
    fn the_first_rule_that_matches_wins() {
        let (europe, dach) =
            (RegionRule { continents: vec!["EU".to_owned()], ..rule("europe") }, of_countries("dach", &["DE"]));
        assert_eq!(name(&compile(&[city()], &[europe.clone(), dach.clone()], &[]), "198.51.100.1"), "europe");
        assert_eq!(name(&compile(&[city()], &[dach, europe], &[]), "198.51.100.1"), "dach");
    }

    #[test]
    fn continents_come_from_the_country_where_the_database_has_none() {
        let america = RegionRule { continents: vec!["NA".to_owned()], ..rule("america") };
        assert_eq!(name(&compile(&[flat()], &[america], &[]), "192.0.2.1"), "america");
    }

    #[test]
    fn the_default_takes_whom_no_country_claims() {
        let elsewhere = RegionRule { is_default: true, ..rule("elsewhere") };
        let geo = compile(&[city()], &[elsewhere], &[]);
        assert_eq!(name(&geo, "10.0.0.1"), "elsewhere");
        assert_eq!(name(&geo, "198.51.100.1"), "DE");
        assert_eq!(geo.find("unknown"), None);
    }

    #[test]
    fn the_networks_file_wins_over_databases_and_its_longest_prefix_over_others() {
        let paris = Some(Position { latitude: 48.9, longitude: 2.3 });
        let country = |code: &str| NetworkTarget::Country(code.to_owned(), None);
        let geo = compile(
            &[city()],
            &[of_countries("dach", &["DE", "AT"]), rule_of_network("campus")],
            &[
                line("192.0.2.0/24", country("AT")),
                line("192.0.2.0/25", NetworkTarget::Place("par".to_owned(), paris)),
                line("192.0.2.64/26", NetworkTarget::Region("campus".to_owned())),
                line("198.51.100.0/24", NetworkTarget::Country("US".to_owned(), Some("US-NY".to_owned()))),
                line("2001:db8::/32", country("JP")),
            ],
        );
        for (address, region) in [
            ("192.0.2.200", "dach"),
            ("192.0.2.1", "at-par"),
            ("192.0.2.100", "campus"),
            ("198.51.100.9", "US-NY"),
            ("2001:db8::1", "JP"),
        ] {
            assert_eq!(name(&geo, address), region, "{address}");
        }
        assert_eq!(at(&geo, "192.0.2.1").position, paris);
    }

    fn rule_of_network(name: &str) -> RegionRule {
        RegionRule { networks: vec!["203.0.113.0/24".parse().unwrap()], ..rule(name) }
    }

    #[test]
    fn a_rule_is_where_its_countries_are() {
        let both = of_countries("both", &["DE", "FR"]);
        let europe = RegionRule { continents: vec!["EU".to_owned()], ..rule("europe") };
        let geo = compile(&[city()], &[both, europe, rule_of_network("campus")], &[]);
        let position = |name: &str| geo.region(geo.find(name).unwrap()).position;
        let of = |code: &str| Countries::embedded().get(code).unwrap().position;
        let middle = position("both").unwrap();
        assert!((middle.kilometres_to(of("DE")) - middle.kilometres_to(of("FR"))).abs() < 1.0);
        assert!(position("europe").unwrap().kilometres_to(of("DE")) < 1000.0);
        assert_eq!(position("campus"), None);
    }

    #[test]
    fn a_rule_may_say_what_is_near_an_automatic_region() {
        let geo = compile(&[flat()], &[RegionRule { near: vec!["fra".to_owned()], ..rule("FR") }], &[]);
        let france = at(&geo, "198.51.100.1");
        assert_eq!((france.name.as_str(), france.near.as_slice()), ("FR", ["fra".to_owned()].as_slice()));
        assert_eq!(france.position, Countries::embedded().get("FR").map(|country| country.position).map(rounded));
    }

    /// A mean of one is itself but for rounding.
    fn rounded(position: Position) -> Position {
        Position::mean([(position, 1.0)]).unwrap()
    }

    #[test]
    fn numbers_stay_and_those_of_the_vanished_stay_reserved() {
        let first = compile(&[flat()], &[of_countries("dach", &["DE"]), of_countries("gaul", &["FR"])], &[]);
        let (second, _) =
            Geo::compile(&[flat()], Countries::embedded(), &[of_countries("south", &["BR"])], &[], Some(&first));
        for region in ["US", "unknown"] {
            assert_eq!(first.find(region), second.find(region), "{region}");
        }
        let gaul = first.find("gaul").unwrap();
        assert!(second.find("gaul").is_none() && second.region(gaul).is_vanished);
        assert_eq!(name(&second, "203.0.113.1"), "south");
        assert!(usize::from(second.find("south").unwrap().0) >= first.regions().len());
        let (third, _) =
            Geo::compile(&[flat()], Countries::embedded(), &[of_countries("gaul", &["FR"])], &[], Some(&second));
        assert_eq!(third.find("gaul"), Some(gaul), "it has come back");
    }

    #[test]
    fn rules_are_numbered_in_the_order_written_and_the_others_by_name() {
        let geo = compile(&[flat()], &[of_countries("z", &["FR"]), of_countries("a", &["DE"])], &[]);
        let names: Vec<&str> = geo.regions().iter().map(|region| region.name.as_str()).collect();
        assert_eq!(names, ["z", "a", "BR", "US", "unknown"]);
    }

    #[test]
    fn too_many_regions_are_refused() {
        let place = |number: u32| NetworkTarget::Place(format!("p{number}"), None);
        let lines: Vec<NetworkRule> = (0..=MAX_REGIONS as u32)
            .map(|number| NetworkRule {
                prefix: Prefix::of(std::net::Ipv4Addr::from_bits(number << 8).into(), 24),
                target: place(number),
            })
            .collect();
        let (_, diagnostics) = Geo::compile(&[], Countries::embedded(), &[], &lines, None);
        assert!(has_errors(&diagnostics), "{diagnostics:?}");
        assert!(diagnostics[0].to_string().starts_with("error: there are 4098 regions, at most 4096 are possible"));
        // `unknown` is one of them: this many still fit.
        compile(&[], &[], &lines[2..]);
    }

    #[test]
    fn what_rules_ask_for_in_vain_is_reported() {
        let named =
            |name: &str, subdivision: &str| RegionRule { subdivisions: vec![subdivision.to_owned()], ..rule(name) };
        let rules = [
            RegionRule { asns: vec![3320], ..rule("telekom") },
            named("west", "US-CAA"),
            rule("empty"),
            RegionRule { is_default: true, ..rule("one") },
            RegionRule { is_default: true, ..rule("two") },
            RegionRule { asns: vec![1], ..rule("DE") },
        ];
        let lines = [line("192.0.2.0/24", NetworkTarget::Region("telecom".to_owned()))];
        let expected = [
            "error: region `empty` does not say whom it holds (give it `continents`, `countries`, `subdivisions`, `asns` \
             or `networks`, or `default = true`)",
            "warning: region `DE` also holds all whom the automatic region of that name would hold (give it another name, \
             if only its own clients are meant)",
            "error: region `two` is the default, but `one` is already (leave `default = true` with one of them)",
            "warning: region `telekom` asks for AS numbers, but no database has them (add a file such as \
             GeoLite2-ASN.mmdb to `databases` of [geoip])",
            "warning: region `DE` asks for AS numbers, but no database has them (add a file such as GeoLite2-ASN.mmdb \
             to `databases` of [geoip])",
            "warning: region `west` asks for US-CAA, which no database knows (did you mean `US-CA`?)",
            "error: network 192.0.2.0/24 is put into region `telecom`, which does not exist (did you mean `telekom`?)",
        ];
        assert_eq!(complaints(&[city()], &rules, &lines), expected);
    }

    #[test]
    fn without_any_input_all_are_unknown() {
        let geo = compile(&[], &[], &[]);
        let located = geo.locate("2001:db8::1".parse().unwrap());
        assert_eq!((name(&geo, "2001:db8::1"), located.prefix), ("unknown", 0));
        assert_eq!(geo.locate("192.0.2.1".parse().unwrap()).prefix, 0);
    }
}
