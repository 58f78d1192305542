//! Geography: client address → region and matched prefix, compiled from databases and networks.
#![deny(clippy::disallowed_methods)]

/// A region's place in `Geo::regions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId(pub u16);

/// A point on the globe, in degrees; north and east are positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// −90 to 90.
    pub latitude: f64,
    /// −180 to 180.
    pub longitude: f64,
}

mod rule;

pub use rule::{NetworkRule, NetworkTarget, Prefix, PrefixError, RegionRule};
