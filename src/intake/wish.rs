//! Wishes: what an operator asks the feed to do for the time being.

use serde::{Deserialize, Serialize};

use crate::pool::Selection;
use crate::steer::{Order, Override, SiteForecast};

/// An override that is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// What.
    #[serde(flatten)]
    pub what: Override,
    /// Who wants it.
    pub who: String,
    /// Why.
    pub reason: String,
    /// Seconds for which it holds; none = until it is lifted.
    pub seconds: Option<u64>,
}

/// Which overrides are to be lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lift {
    /// The one of this number.
    One(u64),
    /// The drain of this node.
    Drain(String),
    /// All.
    All,
}

/// What is ordered now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ordered {
    /// The order.
    #[serde(flatten)]
    pub order: Order,
    /// Whether the disk has it, so that it survives a restart.
    #[serde(default)]
    pub is_kept: bool,
}

/// Nodes that are to get nobody new.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainWish {
    /// Which.
    pub which: Selection,
    /// Who wants it.
    pub who: String,
    /// Why.
    pub reason: String,
    /// Seconds for which it holds; none = until it is lifted.
    pub seconds: Option<u64>,
    /// Say only what would come of it.
    #[serde(default)]
    pub is_dry_run: bool,
    /// Do it though it overloads others.
    #[serde(default)]
    pub is_forced: bool,
}

/// What came of a wish to drain, or would.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drained {
    /// An order for each node; none if it was a dry run.
    pub orders: Vec<Order>,
    /// The nodes.
    pub nodes: Vec<String>,
    /// The places that lose or gain load.
    pub forecast: Vec<SiteForecast>,
    /// Whether the disk has it, so that it survives a restart.
    pub is_kept: bool,
    /// Nothing was done.
    pub is_dry_run: bool,
}

/// Nodes of heartbeats that are to be let in, or sent away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolWish {
    /// The inventory's name.
    pub inventory: String,
    /// A node's name, perhaps with `@` and its address behind; none = all that wait.
    pub node: Option<String>,
    /// Let them in; else send them away, and forget that they were ever let in.
    pub is_approval: bool,
    /// Who wants it.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A source of a node's load, and how it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceReport {
    /// The node's name.
    pub node: String,
    /// The kind of source: node, srs, process.
    pub kind: String,
    /// Where it is read.
    pub url: String,
    /// Seconds since it gave a load; none if it never did.
    pub age: Option<f64>,
    /// Why there is nothing newer; none if all is well.
    pub trouble: Option<String>,
    /// How many samples of the last answer that counted could not be: damaged lines, NaN, counters below zero.
    #[serde(default)]
    pub refused: usize,
}
