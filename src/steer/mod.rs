//! Steering: nodes, load and promises → tables, once a second; tables and a client's key → a decision.
#![deny(clippy::disallowed_methods)]

mod alarm;
mod barrier;
mod bounded;
mod constants;
mod controller;
mod demand;
mod fleet;
mod flows;
mod forecast;
mod hash;
mod keys;
mod ledger;
mod mask;
mod menu;
mod model;
mod overrides;
mod pick;
mod plan;
mod policy;
mod quota;
mod reasons;
mod rooms;
mod standings;
mod tables;
#[cfg(test)]
mod tests;
mod weigh;

pub(crate) use bounded::first;

pub use alarm::{Alarm, Names};
pub use constants::Constants;
pub use controller::{Controller, Inputs, Learned, NodeInput, PeerFailure, PeerFlow, PeerRest, Report};
pub use fleet::{Assembly, Fleet, FleetNode, FleetPool, FleetService, Guess, Site};
pub use forecast::{SiteForecast, forecast};
pub use hash::{Key, mix, name_hash};
pub use keys::{Ahead, Asking, Estimate, GAP_BOUNDS, GapHistogram, KeyRule, KeySlot, KeyTable};
pub use ledger::{Entry, Ledger, MAX_PROMISE, Observation};
pub use menu::{Menu, Pick};
pub use model::Prediction;
pub use overrides::{Agreement, Cause, Change, Decree, Drain, Limited, Order, Override, Overrides, Said, Stamp, clock};
pub use pick::{Asker, Clamp, Decision, pick, slot};
pub use quota::BUCKETS;
pub use reasons::{
    DemandReason, KeyReason, NodeReason, NodeStanding, OverrideReason, SiteReason, SteeringReasons, UseReason,
};
pub use rooms::{Room, rooms};
pub use tables::{
    DemandState, Factors, FamilyTables, Fitness, NodeState, PoolTables, Share, SiteState, Standing, Tables,
};
