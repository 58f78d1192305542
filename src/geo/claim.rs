//! Claims on addresses, and the regions that become of them.
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, HashMap};

use super::country::Countries;
use super::database::Database;
use super::facts::Facts;
use super::region::{Region, RegionOrigin};
use super::rule::{NetworkRule, NetworkTarget, RegionRule};
use super::{MAX_REGIONS, Position, RegionId};
use crate::diagnostic::Diagnostic;

/// Who claims a run; each becomes a region.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Claim {
    /// The rule at this index.
    Rule(usize),
    Country(String),
    Subdivision {
        country: String,
        code: String,
    },
    Place(String),
    Unknown,
}

impl Claim {
    pub(super) fn name(&self, rules: &[RegionRule]) -> String {
        match self {
            Self::Rule(index) => rules[*index].name.clone(),
            Self::Country(code) | Self::Subdivision { code, .. } => code.clone(),
            Self::Place(place) => format!("{AT_PLACE}{place}"),
            Self::Unknown => UNKNOWN.to_owned(),
        }
    }
}

/// All claims, in the order of their provisional numbers, with all that says what they are.
pub(super) struct Claimed<'a> {
    pub(super) claims: &'a [Claim],
    pub(super) databases: &'a [Database],
    pub(super) countries: &'a Countries,
    pub(super) rules: &'a [RegionRule],
    pub(super) networks: &'a [NetworkRule],
}

impl Claimed<'_> {
    /// All regions, those of a name that was there earlier in their old place; each claim's number; and an error if
    /// they are too many.
    pub(super) fn number_regions(&self, earlier: &[Region]) -> (Vec<Region>, Vec<RegionId>, Option<Diagnostic>) {
        let positions = self.subdivision_positions();
        let mut wanted: Vec<Region> = self.claims.iter().map(|claim| self.region(claim, &positions)).collect();
        let names: Vec<String> = wanted.iter().map(|region| region.name.clone()).collect();
        // Rules in the order written, the others by name: the same inputs give the same numbers.
        let order = |region: &Region| self.rules.iter().position(|rule| rule.name == region.name).unwrap_or(usize::MAX);
        wanted.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name)));
        let mut regions = earlier.to_vec();
        let mut by_name: HashMap<String, usize> =
            regions.iter().enumerate().map(|(place, region)| (region.name.clone(), place)).collect();
        regions.iter_mut().for_each(|region| region.is_vanished = true);
        let wanted_count = wanted.len();
        for region in wanted {
            match by_name.get(&region.name) {
                Some(place) => regions[*place] = region,
                None if regions.len() < MAX_REGIONS => {
                    by_name.insert(region.name.clone(), regions.len());
                    regions.push(region);
                }
                None => {}
            }
        }
        let too_many = names.iter().any(|name| !by_name.contains_key(name)).then(|| {
            Diagnostic::error(format!("there are {wanted_count} regions, at most {MAX_REGIONS} are possible")).help(
                "name fewer places in the networks file; if regions have come and gone, restart: vanished ones keep their numbers",
            )
        });
        // What found no room is never served, for the diagnostic is an error.
        let ids = names.iter().map(|name| RegionId(by_name.get(name).copied().unwrap_or(0) as u16)).collect();
        (regions, ids, too_many)
    }

    fn region(&self, claim: &Claim, subdivisions: &BTreeMap<&str, Position>) -> Region {
        let of_country = |code: &str| self.countries.get(code).map(|country| country.position);
        let of_subdivision = |code: &str| {
            let country = code.split('-').next().unwrap_or(code);
            subdivisions.get(code).copied().or_else(|| of_country(country))
        };
        let mut near = Vec::new();
        let mut near_only = false;
        let (position, origin) = match claim {
            Claim::Rule(index) => {
                let rule = &self.rules[*index];
                near.clone_from(&rule.near);
                near_only = rule.near_only;
                let mut members: Vec<Position> = match (rule.subdivisions.as_slice(), rule.countries.as_slice()) {
                    ([], []) => {
                        let holds = |continent: &String| rule.continents.contains(continent);
                        self.countries
                            .iter()
                            .filter(|country| holds(&country.continent))
                            .map(|country| country.position)
                            .collect()
                    }
                    ([], countries) => countries.iter().filter_map(|code| of_country(code)).collect(),
                    (codes, _) => codes.iter().filter_map(|code| of_subdivision(code)).collect(),
                };
                if !rule.has_matchers() {
                    // It may bear an automatic region's name.
                    members.extend(of_subdivision(&rule.name));
                }
                let position = Position::mean(members.into_iter().map(|position| (position, 1.0)));
                (
                    position,
                    RegionOrigin::Rule {
                        continents: rule.continents.clone(),
                        countries: rule.countries.clone(),
                        asns: rule.asns.clone(),
                    },
                )
            }
            Claim::Country(code) => (of_country(code), RegionOrigin::Country(code.clone())),
            Claim::Subdivision { country, code } => {
                (of_subdivision(code), RegionOrigin::Subdivision { country: country.clone() })
            }
            Claim::Place(place) => {
                let of_line = |network: &NetworkRule| match &network.target {
                    NetworkTarget::Place(name, position) if name == place => Some(*position),
                    _ => None,
                };
                (self.networks.iter().find_map(of_line).flatten(), RegionOrigin::Place(place.clone()))
            }
            Claim::Unknown => (None, RegionOrigin::Unknown),
        };
        let continent = self.continent_of(&origin);
        Region { name: claim.name(self.rules), position, near, near_only, continent, origin, is_vanished: false }
    }

    /// The continent that all of a region's clients are on, as far as its origin says so.
    fn continent_of(&self, origin: &RegionOrigin) -> Option<String> {
        if let RegionOrigin::Rule { continents, .. } = origin
            && let [continent] = continents.as_slice()
        {
            return Some(continent.clone());
        }
        let continent = |code: &String| {
            self.countries.iter().find(|country| country.code == *code).map(|country| country.continent.clone())
        };
        let mut continents = origin.countries().iter().map(continent);
        let first = continents.next()??;
        continents.all(|other| other.as_ref() == Some(&first)).then_some(first)
    }

    /// Where the addresses of each subdivision are, on average: `countries.csv` has none of them.
    fn subdivision_positions(&self) -> BTreeMap<&str, Position> {
        let mut found = BTreeMap::new();
        for database in self.databases {
            let placed = |facts: &Facts| facts.subdivision.is_some() && facts.position.is_some();
            if !database.records().iter().any(placed) {
                continue;
            }
            let mut weights = vec![0.0; database.records().len()];
            for (start, last, record) in database.v4().iter() {
                weights[record as usize] += f64::from(last.unwrap_or(u32::MAX) - start) + 1.0;
            }
            // An IPv6 network says little about how many live there: it counts as one address, so only where alone.
            for (_, _, record) in database.v6().iter() {
                weights[record as usize] += 1.0;
            }
            let mut members: BTreeMap<&str, Vec<(Position, f64)>> = BTreeMap::new();
            for (facts, weight) in database.records().iter().zip(weights) {
                if let (Some(code), Some(position)) = (&facts.subdivision, facts.position) {
                    members.entry(code).or_default().push((position, weight));
                }
            }
            for (code, positions) in members {
                if let (false, Some(mean)) = (found.contains_key(code), Position::mean(positions)) {
                    found.insert(code, mean);
                }
            }
        }
        found
    }
}

/// Countries of 1.9 million km² and more: across them a round trip differs by 15 ms and more, so that one region
/// for all would send one coast's viewers to the other. Smaller ones have subdivisions by rule only.
const LARGE_COUNTRIES: [&str; 14] =
    ["AR", "AU", "BR", "CA", "CD", "CN", "DZ", "ID", "IN", "KZ", "MX", "RU", "SA", "US"];

/// Whether each subdivision of the country of this ISO 3166-2 code is a region of its own.
pub(super) fn is_in_large_country(code: &str) -> bool {
    code.split_once('-').is_some_and(|(country, _)| LARGE_COUNTRIES.contains(&country))
}

/// The name of the region of those about whom nothing is known.
const UNKNOWN: &str = "unknown";
/// What the names of regions at a place begin with.
const AT_PLACE: &str = "at-";

/// Whether an automatic region could have this name.
pub(super) fn is_automatic_name(name: &str, countries: &Countries) -> bool {
    let is_country = |code: &str| countries.get(code).is_some();
    let is_subdivision = || name.split_once('-').is_some_and(|(country, _)| is_country(country));
    is_country(name) || is_subdivision() || name == UNKNOWN || name.starts_with(AT_PLACE)
}
