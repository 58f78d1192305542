//! Countries: their continents and where their people live.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::Position;
use crate::diagnostic::nearest;

/// The continents' codes, as databases write them.
pub const CONTINENTS: [&str; 7] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];

/// One country.
#[derive(Debug, Clone, PartialEq)]
pub struct Country {
    /// ISO 3166-1, two upper-case letters.
    pub code: String,
    /// Its continent's code.
    pub continent: String,
    /// The middle of its people.
    pub position: Position,
}

/// All countries.
#[derive(Debug)]
pub struct Countries {
    by_code: BTreeMap<String, Country>,
}

impl Countries {
    /// Those of `geoip/countries.csv`.
    pub fn embedded() -> &'static Self {
        static EMBEDDED: LazyLock<Countries> = LazyLock::new(|| Countries {
            by_code: include_str!("../../geoip/countries.csv")
                .lines()
                .skip(1)
                .filter_map(read_country)
                .map(|country| (country.code.clone(), country))
                .collect(),
        });
        &EMBEDDED
    }

    /// The country of a code, which must be in upper case.
    pub fn get(&self, code: &str) -> Option<&Country> {
        self.by_code.get(code)
    }

    /// All of them, by code.
    pub fn iter(&self) -> impl Iterator<Item = &Country> {
        self.by_code.values()
    }

    /// The code that was probably meant.
    pub fn nearest(&self, code: &str) -> Option<&str> {
        let upper = code.to_uppercase();
        // Reserved in ISO 3166-1, and what people write.
        let usual = match upper.as_str() {
            "UK" => "GB",
            "EL" => "GR",
            other => other,
        };
        if let Some((known, _)) = self.by_code.get_key_value(usual) {
            return Some(known);
        }
        // Any two letters are one edit from dozens of codes: such a guess would be noise.
        let is_guessable = upper.len() > 2;
        is_guessable.then(|| nearest(&upper, self.by_code.keys().map(String::as_str))).flatten()
    }
}

fn read_country(line: &str) -> Option<Country> {
    let mut fields = line.split(',');
    let (code, continent) = (fields.next()?.to_owned(), fields.next()?.to_owned());
    let position = Position::checked(fields.next()?.parse().ok()?, fields.next()?.parse().ok()?)?;
    Some(Country { code, continent, position })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_shipped_file_is_a_country() {
        let countries = Countries::embedded();
        assert_eq!(countries.iter().count(), include_str!("../../geoip/countries.csv").lines().count() - 1);
        for country in countries.iter() {
            assert!(CONTINENTS.contains(&country.continent.as_str()), "{country:?}");
            assert!(country.code.len() == 2 && country.code.bytes().all(|byte| byte.is_ascii_uppercase()));
        }
    }

    #[test]
    fn countries_are_where_the_atlas_has_them() {
        let brazil = Countries::embedded().get("BR").unwrap();
        assert_eq!(brazil.continent, "SA");
        assert!(brazil.position.kilometres_to(Position { latitude: -20.0, longitude: -45.0 }) < 500.0);
    }

    #[test]
    fn the_code_that_was_meant_is_found() {
        let countries = Countries::embedded();
        for (written, meant) in [("de", Some("DE")), ("UK", Some("GB")), ("DEU", Some("DE")), ("Q1", None)] {
            assert_eq!(countries.nearest(written), meant, "{written}");
        }
    }
}
