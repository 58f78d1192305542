//! Regions: sets of clients that are steered alike.
#![deny(clippy::disallowed_methods)]

use std::fmt;

use super::Position;

/// A set of clients; its number stays its own while the program runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// The key of its rule, a country's code, a subdivision's code, `at-PLACE` or `unknown`.
    pub name: String,
    /// Where its clients are; none = distances come from `near` and measured times only.
    pub position: Option<Position>,
    /// Names of places that come before distance, in this order.
    pub near: Vec<String>,
    /// Whether no other places than those may serve it.
    pub near_only: bool,
    /// The continent that all its clients are on, if that follows from what made it.
    pub continent: Option<String>,
    /// What made it.
    pub origin: RegionOrigin,
    /// Whether it is gone: nobody is located in it, but its number stays reserved.
    pub is_vanished: bool,
}

/// What made a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegionOrigin {
    /// A rule of the configuration, with what it names.
    Rule {
        /// Two letters each: AF AN AS EU NA OC SA.
        continents: Vec<String>,
        /// ISO 3166-1 codes.
        countries: Vec<String>,
        /// Numbers of autonomous systems.
        asns: Vec<u32>,
    },
    /// The country of this code.
    Country(String),
    /// A subdivision, for which the region is named, of the country of this code.
    Subdivision {
        /// ISO 3166-1 code.
        country: String,
    },
    /// Lines of the networks file that name this place.
    Place(String),
    /// Clients about whom nothing is known.
    Unknown,
}

impl RegionOrigin {
    /// The countries of its clients, as far as it names any.
    pub fn countries(&self) -> &[String] {
        match self {
            Self::Rule { countries, .. } => countries,
            Self::Country(country) | Self::Subdivision { country } => std::slice::from_ref(country),
            Self::Place(_) | Self::Unknown => &[],
        }
    }
}

impl fmt::Display for RegionOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { .. } => write!(f, "rule of the configuration"),
            Self::Country(country) => write!(f, "country {country}"),
            Self::Subdivision { country } => write!(f, "subdivision of {country}"),
            Self::Place(place) => write!(f, "networks at place {place}"),
            Self::Unknown => write!(f, "clients whose place is unknown"),
        }
    }
}
