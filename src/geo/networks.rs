//! The networks file: lines of prefix and target, or a geofeed (RFC 8805).
#![deny(clippy::disallowed_methods)]

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Position;
use super::country::Countries;
use super::csv::{Field, records};
use super::rule::{NetworkRule, NetworkTarget, Prefix, PrefixError, RegionRule};
use crate::diagnostic::{Diagnostic, Source, nearest};

/// Reads `prefix,target` lines, the target being a country's code, else a region of the configuration, else one of
/// the places; and `prefix,country,subdivision,city,postal` lines.
pub fn read_networks(
    source: &Source,
    countries: &Countries,
    rules: &[RegionRule],
    places: &[(String, Option<Position>)],
) -> (Vec<NetworkRule>, Vec<Diagnostic>) {
    let known = Known { source, countries, rules, places };
    // Lines are counted only to tell of one: to count them takes as long as the text before.
    let mut first_places: HashMap<Prefix, usize> = HashMap::new();
    let mut networks = Vec::new();
    let mut diagnostics = Vec::new();
    for fields in records(source, &["prefix", "target"]) {
        match known.read_line(&fields) {
            Ok(Some(network)) => match first_places.entry(network.prefix.to_canonical()) {
                Entry::Occupied(first) => {
                    let (first, _) = source.position(*first.get());
                    diagnostics.push(
                        fields[0]
                            .error(source, format!("{} is already on line {first}", network.prefix))
                            .help("leave one of the two lines"),
                    );
                }
                Entry::Vacant(place) => {
                    place.insert(fields[0].span.start);
                    networks.push(network);
                }
            },
            Ok(None) => {}
            Err(found) => diagnostics.extend(found),
        }
    }
    (networks, diagnostics)
}

struct Known<'a> {
    source: &'a Source,
    countries: &'a Countries,
    rules: &'a [RegionRule],
    places: &'a [(String, Option<Position>)],
}

impl Known<'_> {
    /// None for a line that says nothing.
    fn read_line(&self, fields: &[Field<'_>]) -> Result<Option<NetworkRule>, Vec<Diagnostic>> {
        let [prefix, target, more @ ..] = fields else {
            return Err(fields
                .iter()
                .map(|field| field.error(self.source, "a target is missing").help("write `192.0.2.0/24,DE`"))
                .collect());
        };
        let subdivision = more.first().filter(|field| !field.text.is_empty());
        let prefix = prefix.text.parse::<Prefix>().map_err(|error| self.bad_prefix(prefix, error));
        // RFC 8805 §2.1.1: without a country the publisher asks that nothing be concluded.
        let target = match (target.text, subdivision) {
            ("", None) => Ok(None),
            ("", Some(subdivision)) => Err(self.alone(subdivision)),
            _ => self.read_target(target, subdivision).map(Some),
        };
        match (prefix, target) {
            (Ok(prefix), Ok(target)) => Ok(target.map(|target| NetworkRule { prefix, target })),
            (prefix, target) => Err(prefix.err().into_iter().chain(target.err()).collect()),
        }
    }

    fn bad_prefix(&self, field: &Field<'_>, error: PrefixError) -> Diagnostic {
        let help = match error {
            PrefixError::Address => "write `192.0.2.0/24` or `2001:db8::/32`".to_owned(),
            PrefixError::Length(full) => format!("lengths are 0 to {full}"),
            PrefixError::HostBits(prefix) => format!("write `{prefix}`"),
        };
        field.error(self.source, format!("`{}` is no prefix: {error}", field.text)).help(help)
    }

    fn alone(&self, subdivision: &Field<'_>) -> Diagnostic {
        subdivision.error(self.source, format!("subdivision `{}` stands without its country", subdivision.text))
    }

    fn read_target(&self, field: &Field<'_>, subdivision: Option<&Field<'_>>) -> Result<NetworkTarget, Diagnostic> {
        let name = field.text;
        let upper = name.to_uppercase();
        let place = || self.places.iter().find(|(place, _)| place == name);
        let target = if self.countries.get(name).is_some() {
            self.read_country(name, subdivision)?
        } else if self.rules.iter().any(|rule| rule.name == name) {
            NetworkTarget::Region(name.to_owned())
        } else if let Some((place, position)) = place() {
            NetworkTarget::Place(place.clone(), *position)
        } else if self.countries.get(&upper).is_some() {
            // RFC 8805 §2.1.1.2: the case of codes does not matter.
            self.read_country(&upper, subdivision)?
        } else {
            let regions = self.rules.iter().map(|rule| rule.name.as_str());
            let places = self.places.iter().map(|(place, _)| place.as_str());
            let meant = nearest(name, regions.chain(places)).or_else(|| self.countries.nearest(name));
            return Err(field.error(self.source, format!("`{name}` is no country, region or place")).help(
                match meant {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => {
                        "write a code of ISO 3166-1 such as `DE`, or a region or place of the configuration".to_owned()
                    }
                },
            ));
        };
        match (&target, subdivision) {
            (NetworkTarget::Region(_) | NetworkTarget::Place(..), Some(subdivision)) => Err(self.alone(subdivision)),
            _ => Ok(target),
        }
    }

    fn read_country(&self, country: &str, subdivision: Option<&Field<'_>>) -> Result<NetworkTarget, Diagnostic> {
        let code = subdivision.map(|field| field.text.to_uppercase());
        let belongs = |code: &String| {
            let rest = code.strip_prefix(country).and_then(|rest| rest.strip_prefix('-'));
            rest.is_some_and(|rest| {
                (1..=3).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
            })
        };
        match (subdivision, &code) {
            (Some(field), Some(code)) if !belongs(code) => {
                let error = format!("`{}` is no subdivision of {country}", field.text);
                let help = match code.contains('-') {
                    true => format!("codes of ISO 3166-2 begin with the country: `{country}-…`"),
                    false => format!("did you mean `{country}-{code}`?"),
                };
                Err(field.error(self.source, error).help(help))
            }
            _ => Ok(NetworkTarget::Country(country.to_owned(), code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<NetworkRule>, Vec<String>) {
        let rules = [RegionRule { name: "campus".into(), ..RegionRule::default() }];
        let places = [("fra".to_owned(), Some(Position { latitude: 50.1, longitude: 8.7 })), ("de".to_owned(), None)];
        let (networks, diagnostics) =
            read_networks(&Source::new("networks.csv", text), Countries::embedded(), &rules, &places);
        (networks, diagnostics.iter().map(ToString::to_string).collect())
    }

    fn targets(text: &str) -> Vec<NetworkTarget> {
        let (networks, diagnostics) = read(text);
        assert_eq!(diagnostics, [""; 0]);
        networks.into_iter().map(|network| network.target).collect()
    }

    fn country(code: &str, subdivision: Option<&str>) -> NetworkTarget {
        NetworkTarget::Country(code.to_owned(), subdivision.map(str::to_owned))
    }

    #[test]
    fn a_target_is_a_country_else_a_region_else_a_place() {
        let found = targets(
            "prefix,target\n192.0.2.0/24,DE\n198.51.100.0/24 , campus\n203.0.113.0/24,fra\n2001:db8::/32,de\n10.0.0.0/8,fr\n",
        );
        let at = |name: &str, position| NetworkTarget::Place(name.to_owned(), position);
        let frankfurt = Some(Position { latitude: 50.1, longitude: 8.7 });
        let campus = NetworkTarget::Region("campus".to_owned());
        assert_eq!(found, [country("DE", None), campus, at("fra", frankfurt), at("de", None), country("FR", None)]);
    }

    #[test]
    fn a_geofeed_is_read_as_its_publishers_write_it() {
        let text = "\u{feff}# feed\n192.0.2.0/25,US,US-AL,,\n192.0.2.5,US,US-AL,Alabaster,\n192.0.2.128/25,PL,pl-mz,,02-784\n\
                    2001:db8::/32,us,US-DC,\"Washington, D.C.\",\n198.51.100.0/24,,,,\n\n203.0.113.0/24,ZW,,,\n";
        let alabama = country("US", Some("US-AL"));
        let others = [country("PL", Some("PL-MZ")), country("US", Some("US-DC")), country("ZW", None)];
        let expected: Vec<NetworkTarget> = [alabama.clone(), alabama].into_iter().chain(others).collect();
        assert_eq!(targets(text), expected);
    }

    #[test]
    fn every_bad_line_is_reported_with_its_remedy() {
        let (networks, diagnostics) = read(
            "192.0.2.0/24,DE\n\
             192.0.2.0/24,FR\n\
             198.51.100.7/24,frra\n\
             198.51.100.0/33,DE\n\
             here,UK\n\
             203.0.113.0/24\n\
             203.0.113.0/24,US,CA\n\
             203.0.113.0/25,campus,US-CA\n\
             203.0.113.0/26,,US-CA\n\
             ::ffff:192.0.2.0/120,FR\n",
        );
        assert_eq!(networks.len(), 1, "the good line stays");
        let expected = [
            "networks.csv:2:1: error: 192.0.2.0/24 is already on line 1 (leave one of the two lines)",
            "networks.csv:3:1: error: `198.51.100.7/24` is no prefix: bits behind the prefix are set; the prefix is \
             198.51.100.0/24 (write `198.51.100.0/24`)",
            "networks.csv:3:17: error: `frra` is no country, region or place (did you mean `fra`?)",
            "networks.csv:4:1: error: `198.51.100.0/33` is no prefix: the prefix length must be a number from 0 to 32 \
             (lengths are 0 to 32)",
            "networks.csv:5:1: error: `here` is no prefix: not an address (write `192.0.2.0/24` or `2001:db8::/32`)",
            "networks.csv:5:6: error: `UK` is no country, region or place (did you mean `GB`?)",
            "networks.csv:6:1: error: a target is missing (write `192.0.2.0/24,DE`)",
            "networks.csv:7:19: error: `CA` is no subdivision of US (did you mean `US-CA`?)",
            "networks.csv:8:23: error: subdivision `US-CA` stands without its country",
            "networks.csv:9:17: error: subdivision `US-CA` stands without its country",
            "networks.csv:10:1: error: ::ffff:192.0.2.0/120 is already on line 1 (leave one of the two lines)",
        ];
        assert_eq!(diagnostics, expected);
    }
}
