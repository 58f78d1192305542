//! Overrides: what operators want for the time being, whatever is configured or learned.

use serde::{Deserialize, Serialize};

use crate::geo::RegionId;

/// What operators want for the time being.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    standing: Vec<Override>,
    /// Regions that are pinned, by number, with the place.
    pins: Vec<(RegionId, String)>,
}

/// One thing that an operator wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Override {
    /// Plans and weights stay as they are; what fails is still left out.
    Freeze,
    /// All clients of a region go to one place, as long as anything serves there.
    Pin {
        /// The region's name.
        region: String,
        /// The place's name.
        place: String,
    },
    /// A node gets a part of what it would.
    Weight {
        /// The node's name.
        node: String,
        /// 0 to 1.
        weight: f64,
    },
    /// A node's capacity is another one.
    Limit {
        /// The node's name.
        node: String,
        /// Mbit/s, or viewers where these are counted.
        capacity: f64,
    },
    /// A node gets nobody new.
    Drain {
        /// The node's name.
        node: String,
    },
    /// A service is steered by another policy.
    Policy {
        /// The service's name.
        service: String,
        /// The policy's name.
        policy: String,
    },
}

impl Overrides {
    /// These; `regions` are the names of regions by number.
    pub fn new<'r>(standing: Vec<Override>, regions: impl Iterator<Item = &'r str> + Clone) -> Self {
        let number = |name: &str| regions.clone().position(|region| region == name).map(|index| RegionId(index as u16));
        let pin = |each: &Override| match each {
            Override::Pin { region, place } => Some((number(region)?, place.clone())),
            _ => None,
        };
        let pins = standing.iter().filter_map(pin).collect();
        Self { standing, pins }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Override> {
        self.standing.iter()
    }

    /// Whether plans and weights stay as they are.
    pub fn freezes(&self) -> bool {
        self.standing.contains(&Override::Freeze)
    }

    /// The place that a region is pinned to.
    pub fn pin(&self, region: RegionId) -> Option<&str> {
        self.pins.iter().find(|(pinned, _)| *pinned == region).map(|(_, place)| place.as_str())
    }

    /// The part of what it would get that a node gets.
    pub fn weight(&self, name: &str) -> f64 {
        let of = |each: &Override| match each {
            Override::Weight { node, weight } if node == name => Some(weight.clamp(0.0, 1.0)),
            _ => None,
        };
        self.standing.iter().find_map(of).unwrap_or(1.0)
    }

    /// A node's capacity for the time being.
    pub fn limit(&self, name: &str) -> Option<f64> {
        self.standing.iter().find_map(|each| match each {
            // Without any capacity nothing could be said of its pressure; that is what draining is for.
            Override::Limit { node, capacity } if node == name => (*capacity > 0.0).then_some(*capacity),
            _ => None,
        })
    }

    /// Whether a node gets nobody new.
    pub fn is_drained(&self, name: &str) -> bool {
        self.standing.iter().any(|each| matches!(each, Override::Drain { node } if node == name))
    }
}
