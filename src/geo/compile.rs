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
        (Self::new(regions, v4, v6, |claim| ids[claim as usize]), diagnostics)
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

    /// What of a record can make a difference: without this, a city file would keep a hundred thousand kinds of clients.
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
                && (rule.asns.is_empty() || client.asn.is_some_and(|asn| rule.asns.contains(&asn)))
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
