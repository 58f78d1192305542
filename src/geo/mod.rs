//! Geography: client address → region and matched prefix, compiled from databases and networks.
#![deny(clippy::disallowed_methods)]

/// The most regions, those that vanished since the start included.
pub const MAX_REGIONS: usize = 4096;

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

mod check;
mod claim;
mod compile;
mod country;
mod csv;
mod database;
mod distance;
mod facts;
mod locate;
mod networks;
#[cfg(test)]
mod properties;
mod region;
mod rtt;
mod rule;
mod runs;
mod table;

pub use country::{CONTINENTS, Countries, Country};
pub use database::Database;
pub use distance::estimated_rtt;
pub use facts::Facts;
pub use locate::{Geo, Located};
pub use networks::read_networks;
pub use region::{Region, RegionOrigin};
pub use rtt::{Rtt, read_rtt};
pub use rule::{NetworkRule, NetworkTarget, Prefix, PrefixError, RegionRule};
