//! Alarms: what an operator should know, as of the last tick.

use crate::geo::RegionId;
use crate::pool::{NodeId, PoolId};

/// Something that an operator should know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Alarm {
    /// A node's load is too old: it goes on by dead reckoning.
    Blind(NodeId),
    /// More than half of the capacity is blind: monitoring is broken rather than the nodes.
    MostlyBlind,
    /// A node's load is not believed: it is far below what was sent there.
    Distrusted(NodeId),
    /// A node sends no more than this although viewers come: its capacity seems to be smaller than configured.
    Saturated {
        /// Which.
        node: NodeId,
        /// Load at which it stays, in its currency.
        load: f64,
    },
    /// Predicted pressure was wrong by this on average, for five minutes.
    PredictionError {
        /// Of which node.
        node: NodeId,
        /// Without sign.
        error: f64,
    },
    /// Queries promise viewers whom no node sees: they are not reckoned with.
    Flooded {
        /// The use of a pool that they ask for.
        pool: PoolId,
        /// Where they come from.
        region: RegionId,
        /// How much of the promises is believed, 0 to 1.
        belief: f64,
    },
    /// Probes fail at more nodes than they may take out alone.
    Held,
}

impl Alarm {
    /// The node that it is about, if it is about one.
    pub fn node(&self) -> Option<NodeId> {
        match *self {
            Self::Blind(node)
            | Self::Distrusted(node)
            | Self::Saturated { node, .. }
            | Self::PredictionError { node, .. } => Some(node),
            Self::MostlyBlind | Self::Flooded { .. } | Self::Held => None,
        }
    }

    /// Its word in metrics and logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Blind(_) => "blind",
            Self::MostlyBlind => "mostly_blind",
            Self::Distrusted(_) => "distrusted",
            Self::Saturated { .. } => "saturated",
            Self::PredictionError { .. } => "prediction_error",
            Self::Flooded { .. } => "flooded",
            Self::Held => "held",
        }
    }
}
