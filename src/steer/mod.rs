//! Steering: nodes, load and time → tables, once a second; tables and a client's key → a decision.
//!
//! First form: the nearest site with room, spilling to the next as it fills; inside a site in
//! proportion to headroom. `ARCHITECTURE.md` says what the headroom planner will replace.
#![deny(clippy::disallowed_methods)]

mod controller;
mod fleet;
mod hash;
mod keys;
mod menu;
mod pick;
mod plan;
mod reasons;
#[cfg(test)]
mod tests;

pub use controller::{Controller, FamilyTables, NodeState, PoolTables, SiteState, Tables};
pub use fleet::{Assembly, Fleet, FleetNode, FleetPool, FleetService, Site};
pub use hash::{Key, mix};
pub use keys::{Asking, Estimate, GAP_BOUNDS, GapHistogram, KeyRule, KeySlot, KeyTable};
pub use menu::{BUCKETS, Menu};
pub use pick::{Decision, pick, slot};
pub use plan::Share;
pub use reasons::{NodeReason, SiteReason, SteeringReasons, UseReason};
