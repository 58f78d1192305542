//! Wishes: what an operator asks the feed to do for the time being.

use serde::{Deserialize, Serialize};

use crate::steer::Override;

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
