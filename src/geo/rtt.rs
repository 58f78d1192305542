//! The round-trip file: measured times from regions or countries to places.
#![deny(clippy::disallowed_methods)]

use std::collections::HashMap;

use super::Position;
use super::claim::is_automatic_name;
use super::country::Countries;
use super::csv::{Field, records};
use super::rule::RegionRule;
use crate::diagnostic::{Diagnostic, Source, nearest};

/// More than this is no round trip on earth, but a wrong unit or column.
const MOST_MILLISECONDS: f64 = 10_000.0;

/// A measured round trip.
#[derive(Debug, Clone, PartialEq)]
pub struct Rtt {
    /// The name of a region, automatic ones (countries) included.
    pub region: String,
    /// The name of a place.
    pub place: String,
    /// Above 0.
    pub milliseconds: f64,
}

/// Reads `region,place,ms` lines; the region may be one of the configuration, a country or a subdivision.
pub fn read_rtt(
    source: &Source,
    countries: &Countries,
    rules: &[RegionRule],
    places: &[(String, Option<Position>)],
) -> (Vec<Rtt>, Vec<Diagnostic>) {
    let known = Known { source, countries, rules, places };
    // Lines are counted only to tell of one: to count them takes as long as the text before.
    let mut first_places: HashMap<(String, String), usize> = HashMap::new();
    let mut rtts = Vec::new();
    let mut diagnostics = Vec::new();
    for fields in records(source, &["region", "place", "ms"]) {
        let rtt = match known.read_line(&fields) {
            Ok(rtt) => rtt,
            Err(found) => {
                diagnostics.extend(found);
                continue;
            }
        };
        let start = fields[0].span.start;
        let first = *first_places.entry((rtt.region.clone(), rtt.place.clone())).or_insert(start);
        if first == start {
            rtts.push(rtt);
        } else {
            let (first, _) = source.position(first);
            let message = format!("the round trip from {} to {} is already on line {first}", rtt.region, rtt.place);
            diagnostics.push(fields[0].error(source, message).help("leave one of the two lines"));
        }
    }
    (rtts, diagnostics)
}

struct Known<'a> {
    source: &'a Source,
    countries: &'a Countries,
    rules: &'a [RegionRule],
    places: &'a [(String, Option<Position>)],
}

impl Known<'_> {
    fn read_line(&self, fields: &[Field<'_>]) -> Result<Rtt, Vec<Diagnostic>> {
        let [region, place, milliseconds] = fields else {
            let found = match fields.len() {
                1 => "1 field".to_owned(),
                count => format!("{count} fields"),
            };
            let whole = fields.iter().map(|field| field.span.clone()).reduce(|first, last| first.start..last.end);
            return Err(vec![
                Diagnostic::error(format!("a line has three fields, this has {found}"))
                    .at(self.source, whole.unwrap_or_default())
                    .help("write `DE,fra,12.5`"),
            ]);
        };
        match (self.read_region(region), self.read_place(place), self.read_milliseconds(milliseconds)) {
            (Ok(region), Ok(place), Ok(milliseconds)) => Ok(Rtt { region, place, milliseconds }),
            (region, place, milliseconds) => {
                Err([region.err(), place.err(), milliseconds.err()].into_iter().flatten().collect())
            }
        }
    }

    fn read_region(&self, field: &Field<'_>) -> Result<String, Diagnostic> {
        let name = field.text;
        let is_region = self.rules.iter().any(|rule| rule.name == name);
        if is_region || is_automatic_name(name, self.countries) {
            return Ok(name.to_owned());
        }
        let regions = self.rules.iter().map(|rule| rule.name.as_str());
        let meant = nearest(name, regions).or_else(|| self.countries.nearest(name));
        Err(field.error(self.source, format!("`{name}` is no region or country")).help(match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "write a region of the configuration, or a code of ISO 3166-1 such as `DE`".to_owned(),
        }))
    }

    fn read_place(&self, field: &Field<'_>) -> Result<String, Diagnostic> {
        let name = field.text;
        let names = || self.places.iter().map(|(place, _)| place.as_str());
        if names().any(|place| place == name) {
            return Ok(name.to_owned());
        }
        Err(field.error(self.source, format!("`{name}` is no place")).help(match nearest(name, names()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("add [place.{name}] to the configuration"),
        }))
    }

    fn read_milliseconds(&self, field: &Field<'_>) -> Result<f64, Diagnostic> {
        let valid = field.text.parse().ok().filter(|&value: &f64| value > 0.0 && value <= MOST_MILLISECONDS);
        valid.ok_or_else(|| {
            field
                .error(self.source, format!("`{}` is no round trip", field.text))
                .help(format!("write milliseconds without a unit, above 0 and at most {MOST_MILLISECONDS}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Rtt>, Vec<String>) {
        let rules = [RegionRule { name: "campus".into(), ..RegionRule::default() }];
        let places = [("fra".to_owned(), None), ("nyc".to_owned(), None)];
        let (rtts, diagnostics) = read_rtt(&Source::new("rtt.csv", text), Countries::embedded(), &rules, &places);
        (rtts, diagnostics.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn regions_countries_and_subdivisions_have_round_trips() {
        let (rtts, diagnostics) =
            read("region,place,ms\n# measured in June\ncampus,fra,2\nDE,fra,12.5\nUS-CA,nyc,62\n");
        assert_eq!(diagnostics, [""; 0]);
        let rtt =
            |region: &str, place: &str, milliseconds| Rtt { region: region.into(), place: place.into(), milliseconds };
        assert_eq!(rtts, [rtt("campus", "fra", 2.0), rtt("DE", "fra", 12.5), rtt("US-CA", "nyc", 62.0)]);
    }

    #[test]
    fn every_bad_line_is_reported_with_its_remedy() {
        let (rtts, diagnostics) = read("DE,fra,12\nDE,fra,13\ncampsu,frra,12ms\nDE,fra\nDE,tokyo,-1\nDE,nyc,NaN\n");
        assert_eq!(rtts.len(), 1, "the good line stays");
        let expected = [
            "rtt.csv:2:1: error: the round trip from DE to fra is already on line 1 (leave one of the two lines)",
            "rtt.csv:3:1: error: `campsu` is no region or country (did you mean `campus`?)",
            "rtt.csv:3:8: error: `frra` is no place (did you mean `fra`?)",
            "rtt.csv:3:13: error: `12ms` is no round trip (write milliseconds without a unit, above 0 and at most 10000)",
            "rtt.csv:4:1: error: a line has three fields, this has 2 fields (write `DE,fra,12.5`)",
            "rtt.csv:5:4: error: `tokyo` is no place (add [place.tokyo] to the configuration)",
            "rtt.csv:5:10: error: `-1` is no round trip (write milliseconds without a unit, above 0 and at most 10000)",
            "rtt.csv:6:8: error: `NaN` is no round trip (write milliseconds without a unit, above 0 and at most 10000)",
        ];
        assert_eq!(diagnostics, expected);
    }
}
