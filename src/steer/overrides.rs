//! Overrides: what operators want for the time being, whatever is configured or learned.

mod agreement;
mod drain;
mod order;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::geo::RegionId;
use crate::pool::Currency;

pub use agreement::{Agreement, Change, Decree, Said, Stamp};
pub use drain::{Cause, Drain};
pub use order::{Order, clock};

/// What operators want for the time being.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    standing: Vec<Override>,
    /// Regions that are pinned, by number, with the place.
    pins: Vec<(RegionId, String)>,
    /// The same with who wants it and why, if anybody is known to.
    orders: Arc<[Order]>,
    /// Drains that are configured.
    drains: Vec<Drain>,
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
        /// What it can do, all of it.
        #[serde(flatten)]
        capacity: Limited,
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

/// A capacity in what the node's load is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limited {
    /// Mbit/s that it can send.
    Egress(f64),
    /// Viewers that it can have at a time.
    Clients(f64),
}

impl Limited {
    /// Mbit/s, or viewers.
    pub fn load(self) -> f64 {
        match self {
            Self::Egress(load) | Self::Clients(load) => load,
        }
    }

    /// The same where a node's load is counted in that. None where it is counted in something else: other nameservers may
    /// count so; and none of no capacity at all, by which nothing could be said of pressures: that is what draining is for.
    fn in_currency(self, currency: Currency) -> Option<f64> {
        match (self, currency) {
            (Self::Egress(load), Currency::Egress) | (Self::Clients(load), Currency::Clients) if load > 0.0 => {
                Some(load)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Egress(megabits) => write!(f, "egress={megabits}Mbit/s"),
            Self::Clients(viewers) => write!(f, "clients={viewers}"),
        }
    }
}

impl Override {
    /// The words for its kind in metrics, commands and lists, one for each.
    pub const WORDS: [&str; 6] = ["freeze", "pin", "weight", "limit", "drain", "policy"];

    /// The word for its kind.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Pin { .. } => "pin",
            Self::Weight { .. } => "weight",
            Self::Limit { .. } => "limit",
            Self::Drain { .. } => "drain",
            Self::Policy { .. } => "policy",
        }
    }

    /// What it is about: the name of a region, a node or a service; empty = everything.
    pub fn subject(&self) -> &str {
        match self {
            Self::Freeze => "",
            Self::Pin { region, .. } => region,
            Self::Weight { node, .. } | Self::Limit { node, .. } | Self::Drain { node } => node,
            Self::Policy { service, .. } => service,
        }
    }

    /// Whether it takes the other's place: both are of one kind, and about the same thing.
    pub fn replaces(&self, other: &Self) -> bool {
        (self.word(), self.subject()) == (other.word(), other.subject())
    }
}

/// As it is written on the command line.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Freeze => f.write_str("freeze"),
            Self::Pin { region, place } => write!(f, "pin {region} {place}"),
            Self::Weight { node, weight } => write!(f, "weight {node} {weight}"),
            Self::Limit { node, capacity } => write!(f, "limit {node} {capacity}"),
            Self::Drain { node } => write!(f, "drain {node}"),
            Self::Policy { service, policy } => write!(f, "policy {service} {policy}"),
        }
    }
}

impl Overrides {
    /// These; `regions` are the names of regions by number.
    pub fn new<'r>(standing: Vec<Override>, regions: impl Iterator<Item = &'r str>) -> Self {
        let numbered: Vec<&str> = regions.collect();
        let number =
            |name: &str| numbered.iter().position(|region| *region == name).map(|index| RegionId(index as u16));
        let pin = |each: &Override| match each {
            Override::Pin { region, place } => Some((number(region)?, place.clone())),
            _ => None,
        };
        let pins = standing.iter().filter_map(pin).collect();
        Self { standing, pins, orders: Arc::default(), drains: Vec::new() }
    }

    /// These, with who ordered them and why.
    pub fn of_orders<'r>(orders: Arc<[Order]>, regions: impl Iterator<Item = &'r str>) -> Self {
        let standing = orders.iter().map(|order| order.what.clone()).collect();
        Self { orders, ..Self::new(standing, regions) }
    }

    /// The same with these drains, which nobody ordered.
    pub fn with_drains(self, drains: Vec<Drain>) -> Self {
        Self { drains, ..self }
    }

    /// Drains that nobody ordered.
    pub fn drains(&self) -> &[Drain] {
        &self.drains
    }

    /// Who ordered what, and why.
    pub fn orders(&self) -> &Arc<[Order]> {
        &self.orders
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

    /// A node's capacity for the time being, if it is limited in what its load is counted in.
    pub fn limit(&self, name: &str, currency: Currency) -> Option<f64> {
        self.standing.iter().find_map(|each| match each {
            Override::Limit { node, capacity } if node == name => capacity.in_currency(currency),
            _ => None,
        })
    }

    /// Whether a node gets nobody new.
    pub fn is_drained(&self, name: &str) -> bool {
        self.standing.iter().any(|each| matches!(each, Override::Drain { node } if node == name))
            || self.drains.iter().any(|drain| drain.node == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_written_as_they_are_ordered_and_survive_json() {
        let name = || "fra1".to_owned();
        for (each, written) in [
            (Override::Freeze, "freeze"),
            (Override::Pin { region: "dach".to_owned(), place: "fra".to_owned() }, "pin dach fra"),
            (Override::Weight { node: name(), weight: 0.3 }, "weight fra1 0.3"),
            (Override::Limit { node: name(), capacity: Limited::Egress(2_000.0) }, "limit fra1 egress=2000Mbit/s"),
            (Override::Limit { node: name(), capacity: Limited::Clients(800.0) }, "limit fra1 clients=800"),
            (Override::Drain { node: name() }, "drain fra1"),
            (
                Override::Policy { service: "play.live.example.".to_owned(), policy: "nearest".to_owned() },
                "policy play.live.example. nearest",
            ),
        ] {
            assert_eq!(each.to_string(), written);
            let json = serde_json::to_string(&each).unwrap();
            assert_eq!(serde_json::from_str::<Override>(&json).unwrap(), each, "{json}");
            assert!(Override::WORDS.contains(&each.word()));
        }
    }

    #[test]
    fn a_limit_holds_where_loads_are_counted_in_its_unit() {
        let limited = |capacity| {
            let overrides =
                Overrides::new(vec![Override::Limit { node: "a".to_owned(), capacity }], std::iter::empty());
            [Currency::Egress, Currency::Clients].map(|currency| overrides.limit("a", currency))
        };
        assert_eq!(limited(Limited::Egress(2_000.0)), [Some(2_000.0), None]);
        assert_eq!(limited(Limited::Clients(800.0)), [None, Some(800.0)]);
        assert_eq!(limited(Limited::Egress(-1.0)), [None; 2]);
    }

    #[test]
    fn a_new_wish_replaces_an_older_one_about_the_same_thing() {
        let weight = |node: &str, weight| Override::Weight { node: node.to_owned(), weight };
        assert!(weight("a", 0.1).replaces(&weight("a", 0.9)) && !weight("a", 0.1).replaces(&weight("b", 0.1)));
        assert!(!weight("a", 0.1).replaces(&Override::Drain { node: "a".to_owned() }));
    }
}
