//! What is known of an address, and the layouts in which databases write it.
#![deny(clippy::disallowed_methods)]

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Position;

/// What databases know of an address.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// ISO 3166-1 code, upper case.
    pub country: Option<String>,
    /// Its continent's code.
    pub continent: Option<String>,
    /// ISO 3166-2 code with the country in front, such as `US-CA`, upper case.
    pub subdivision: Option<String>,
    /// About where.
    pub position: Option<Position>,
    /// The autonomous system's number.
    pub asn: Option<u32>,
}

impl Facts {
    /// These, and from the other what these leave open.
    ///
    /// Where both name a country and disagree, the other's position and subdivision would be those of
    /// somewhere else; only its autonomous system is taken.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let mut merged = self.clone();
        merged.asn = merged.asn.or(other.asn);
        let disagree =
            |mine: &Option<String>, theirs: &Option<String>| mine.is_some() && theirs.is_some() && mine != theirs;
        if disagree(&self.country, &other.country) {
            return merged;
        }
        merged.country = merged.country.or_else(|| other.country.clone());
        merged.continent = merged.continent.or_else(|| other.continent.clone());
        merged.position = match disagree(&self.subdivision, &other.subdivision) {
            true => merged.position,
            false => merged.position.or(other.position),
        };
        merged.subdivision = merged.subdivision.or_else(|| other.subdivision.clone());
        merged
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A record of a database, in any of the layouts that are read.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    // MaxMind's country and city files, DB-IP's.
    country: Option<Code>,
    registered_country: Option<Code>,
    continent: Option<Code>,
    subdivisions: Option<FirstCode>,
    location: Option<Location>,
    // The flat layout of ip-location-db and others.
    country_code: Option<Code>,
    continent_code: Option<Code>,
    latitude: Option<Degrees>,
    longitude: Option<Degrees>,
    // Files of autonomous systems: MaxMind's, the flat one.
    autonomous_system_number: Option<SystemNumber>,
    asn: Option<SystemNumber>,
}

impl From<Record> for Facts {
    fn from(record: Record) -> Self {
        let Record { country, registered_country, continent, subdivisions, location, .. } = record;
        let code = |code: Option<Code>| code.and_then(|code| code.0);
        let two_letters = |text: &String| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let country = [country, record.country_code, registered_country].into_iter().find_map(code_of(two_letters));
        let continent = [continent, record.continent_code].into_iter().find_map(code_of(two_letters));
        let subdivision = code(subdivisions.map(|first| first.0))
            .zip(country.as_deref())
            .map(|(subdivision, country)| format!("{country}-{subdivision}"));
        let Location { latitude, longitude } = location.unwrap_or_default();
        let position = latitude
            .or(record.latitude)
            .zip(longitude.or(record.longitude))
            .and_then(|(latitude, longitude)| Position::checked(latitude.0, longitude.0));
        let asn = record.autonomous_system_number.or(record.asn).and_then(|number| number.0);
        Self { country, continent, subdivision, position, asn }
    }
}

fn code_of(is_valid: impl Fn(&String) -> bool) -> impl Fn(Option<Code>) -> Option<String> {
    move |code| code.and_then(|code| code.0).filter(&is_valid)
}

#[derive(Debug, Default, Deserialize)]
struct Location {
    latitude: Option<Degrees>,
    longitude: Option<Degrees>,
}

/// A code in upper case: a text, or the `iso_code` or `code` of a map; none if it is something else.
#[derive(Debug)]
struct Code(Option<String>);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CodeVisitor;
        impl<'de> Visitor<'de> for CodeVisitor {
            type Value = Code;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a code, or a map that holds one")
            }

            fn visit_str<E>(self, text: &str) -> Result<Code, E> {
                Ok(Code((!text.is_empty()).then(|| text.to_uppercase())))
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Code, M::Error> {
                let mut code = Code(None);
                while let Some(key) = map.next_key::<&str>()? {
                    if matches!(key, "iso_code" | "code") {
                        code = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(code)
            }
        }
        deserializer.deserialize_any(CodeVisitor)
    }
}

/// The code of the first of a list: subdivisions come from the largest to the smallest.
#[derive(Debug)]
struct FirstCode(Code);

impl<'de> Deserialize<'de> for FirstCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = FirstCode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of subdivisions")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<FirstCode, S::Error> {
                let first = list.next_element()?.unwrap_or(Code(None));
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(FirstCode(first))
            }
        }
        deserializer.deserialize_seq(ListVisitor)
    }
}

/// Degrees as a number or, in some flat files, as text.
#[derive(Debug, Clone, Copy)]
struct Degrees(f64);

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DegreesVisitor;
        impl Visitor<'_> for DegreesVisitor {
            type Value = Degrees;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("degrees")
            }

            fn visit_f64<E>(self, degrees: f64) -> Result<Degrees, E> {
                Ok(Degrees(degrees))
            }

            fn visit_i64<E>(self, degrees: i64) -> Result<Degrees, E> {
                Ok(Degrees(degrees as f64))
            }

            fn visit_u64<E>(self, degrees: u64) -> Result<Degrees, E> {
                Ok(Degrees(degrees as f64))
            }

            fn visit_str<E>(self, text: &str) -> Result<Degrees, E> {
                // What is no number is out of every range, and so no position.
                Ok(Degrees(text.parse().unwrap_or(f64::NAN)))
            }
        }
        deserializer.deserialize_any(DegreesVisitor)
    }
}

/// An AS number, or a text such as `AS3320`.
#[derive(Debug, Clone, Copy)]
struct SystemNumber(Option<u32>);

impl<'de> Deserialize<'de> for SystemNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = SystemNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number of an autonomous system")
            }

            fn visit_u64<E>(self, number: u64) -> Result<SystemNumber, E> {
                Ok(SystemNumber(u32::try_from(number).ok()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<SystemNumber, E> {
                Ok(SystemNumber(u32::try_from(number).ok()))
            }

            fn visit_str<E>(self, text: &str) -> Result<SystemNumber, E> {
                Ok(SystemNumber(text.trim_start_matches("AS").parse().ok()))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(json: &str) -> Facts {
        serde_json::from_str::<Record>(json).map(Facts::from).unwrap()
    }

    #[test]
    fn every_layout_says_the_same() {
        let california = Facts { country: Some("US".into()), subdivision: Some("US-CA".into()), ..Facts::default() };
        assert_eq!(
            facts(r#"{"country":{"iso_code":"US"},"subdivisions":[{"iso_code":"CA"},{"iso_code":"X"}]}"#),
            california
        );
        let germany = Facts { country: Some("DE".into()), ..Facts::default() };
        for json in [
            r#"{"country_code":"de"}"#,
            r#"{"country":"DE"}"#,
            r#"{"country":"Germany","country_code":"DE"}"#,
            r#"{"registered_country":{"names":{"en":"Germany"},"iso_code":"DE"}}"#,
            r#"{"country":{"iso_code":"DE"},"registered_country":{"iso_code":"FR"}}"#,
        ] {
            assert_eq!(facts(json), germany, "{json}");
        }
        for json in [r#"{"autonomous_system_number":3320}"#, r#"{"asn":3320}"#, r#"{"asn":"AS3320"}"#] {
            assert_eq!(facts(json), Facts { asn: Some(3320), ..Facts::default() }, "{json}");
        }
        let somewhere = Facts { position: Position::checked(50.0, -8.5), ..Facts::default() };
        for json in [r#"{"location":{"latitude":50,"longitude":-8.5}}"#, r#"{"latitude":"50","longitude":-8.5}"#] {
            assert_eq!(facts(json), somewhere, "{json}");
        }
    }

    #[test]
    fn degrees_out_of_range_are_no_position() {
        assert!(facts(r#"{"latitude":91.0,"longitude":0.0}"#).is_empty());
        assert!(facts(r#"{"latitude":"north","longitude":0.0}"#).is_empty());
    }

    #[test]
    fn the_first_file_wins_field_by_field() {
        let country = facts(r#"{"country_code":"US"}"#);
        let city =
            facts(r#"{"country":{"iso_code":"US"},"continent":{"code":"NA"},"subdivisions":[{"iso_code":"CA"}]}"#);
        assert_eq!(country.or(&city), city);
        let system = facts(r#"{"asn":3320}"#);
        assert_eq!(country.or(&system).asn, Some(3320));
    }

    #[test]
    fn a_file_that_disagrees_adds_no_place() {
        let germany = facts(r#"{"country_code":"DE"}"#);
        let paris = facts(
            r#"{"country":{"iso_code":"FR"},"subdivisions":[{"iso_code":"IDF"}],"asn":7,"latitude":48.9,"longitude":2.3}"#,
        );
        assert_eq!(germany.or(&paris), Facts { asn: Some(7), ..germany });
    }
}
