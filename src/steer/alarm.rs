//! Alarms: what an operator should know, as of the last tick, in words too.

use super::fleet::Fleet;
use super::tables::Tables;
use crate::geo::{Region, RegionId};
use crate::load::history::Reading;
use crate::pool::{Bitrate, Currency, NodeId, PoolId, Saturation};

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

    /// All of their words.
    pub const WORDS: [&str; 7] =
        ["blind", "mostly_blind", "distrusted", "saturated", "prediction_error", "flooded", "held"];

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

/// What the numbers in alarms stand for.
pub struct Names<'a> {
    /// Nodes and pools.
    pub fleet: &'a Fleet,
    /// Client regions, by `RegionId`.
    pub regions: &'a [Region],
}

impl Names<'_> {
    fn node(&self, id: NodeId) -> &str {
        &self.fleet.node(id).node.name
    }

    /// What an alarm is about: a node, or a region and a pool; empty = everything.
    pub fn subject(&self, alarm: &Alarm) -> String {
        match *alarm {
            Alarm::Flooded { pool, region, .. } => {
                format!("{} for pool {}", self.regions[usize::from(region.0)].name, self.fleet.name_of_use(pool))
            }
            _ => alarm.node().map_or_else(String::new, |node| self.node(node).to_owned()),
        }
    }

    /// An alarm of these tables in words: numbers, and what the server does now.
    pub fn tell(&self, alarm: &Alarm, tables: &Tables) -> String {
        let unit = |id: NodeId| match self.fleet.node(id).currency {
            Currency::Egress => "Mbit/s",
            Currency::Clients => "viewers",
        };
        match *alarm {
            Alarm::Blind(id) => {
                let (age, because) = match &tables.nodes[usize::from(id.0)].reading {
                    Reading::Stale { age, because, .. } => (*age, because.as_ref().map(ToString::to_string)),
                    Reading::Fresh(_) | Reading::Never { .. } => (0.0, None),
                };
                let because = because.unwrap_or_else(|| "no answer".to_owned());
                format!(
                    "{}: its load is {age:.0} s old ({because}); it goes on by dead reckoning, with 70 % of its weight \
                     unless most nodes are like that",
                    self.node(id)
                )
            }
            Alarm::MostlyBlind => "more than half of the capacity is blind, so monitoring is broken rather than the \
                                   nodes; all go on by dead reckoning, with their full weight"
                .to_owned(),
            Alarm::Distrusted(id) => {
                let node = &tables.nodes[usize::from(id.0)];
                let unit = unit(id);
                let told = node.reading.last().and_then(|load| match self.fleet.node(id).currency {
                    Currency::Egress => load.egress.map(Bitrate::megabits),
                    Currency::Clients => load.clients,
                });
                let told = told.map_or_else(|| "little load".to_owned(), |told| format!("{told:.1} {unit}"));
                format!(
                    "{}: its exporter tells of {told}, far below the {:.1} {unit} that answers brought; it is not believed, \
                     and the node goes on by dead reckoning",
                    self.node(id),
                    node.prediction.reckoned
                )
            }
            Alarm::Saturated { node: id, load } => {
                let clips = self.fleet.first_pool_of(id).is_some_and(|pool| pool.pool.saturation == Saturation::Clip);
                let done = if clips { "it is taken for that small" } else { "nothing is done about it" };
                format!(
                    "{}: sends no more than {load:.0} {} although viewers come, and is configured for {:.0}; {done}",
                    self.node(id),
                    unit(id),
                    tables.nodes[usize::from(id.0)].configured
                )
            }
            Alarm::PredictionError { node: id, error } => format!(
                "{}: its predicted pressure was wrong by {error:.2} on average for five minutes; steering goes on, but its \
                 capacity may not be what is configured, or viewers may come to it by other ways",
                self.node(id)
            ),
            Alarm::Flooded { belief, .. } => format!(
                "{}: queries promise viewers whom no node sees; {:.0} % of what they promise is believed: a flood, or viewers bring \
                 less or leave sooner than `viewer` of the pool says",
                self.subject(alarm),
                belief * 100.0
            ),
            Alarm::Held => {
                let held: Vec<&str> = tables.held().into_iter().map(|node| self.node(node)).collect();
                format!(
                    "probes fail at more nodes of a place than they may take out alone, so our own network is the \
                     likelier fault; {} still get viewers, with 70 % of their weight",
                    held.join(", ")
                )
            }
        }
    }
}
