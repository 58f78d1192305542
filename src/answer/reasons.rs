//! The sink for reasons: what the engine says about an answer when somebody asks why.

use serde::{Deserialize, Serialize};

use crate::steer::SteeringReasons;

/// Why a query got its answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reasons {
    /// The zone that answered.
    pub zone: Option<String>,
    /// The steps of the look-up, in words.
    pub steps: Vec<String>,
    /// The service that steered the answer.
    pub service: Option<String>,
    /// Where the client is.
    pub located: Option<LocatedReason>,
    /// Why these nodes.
    pub steering: Option<SteeringReasons>,
    /// Scope prefix length of the answer, and why.
    pub scope: Option<String>,
}

/// Where a client is, and how that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocatedReason {
    /// The network that was placed.
    pub network: String,
    /// Whose it is: the client's subnet, or the resolver's address.
    pub source: String,
    /// The region.
    pub region: String,
    /// The network around it that is all in the region.
    pub region_network: String,
}
