//! The model world: how a policy does in it, and in which figures.
//!
//! A calendar of seconds for departures, scrapes and control; arrivals and caches in continuous time; one simulated viewer
//! for each viewer. A run is the same each time for the same seed, and its viewers are the same for every policy.
#![deny(clippy::disallowed_methods)]

pub mod peers;
pub mod scenario;
pub mod world;

mod catalogue;
mod details;
mod dice;
mod inventory;
mod meter;
mod monitor;
mod planner;
mod plant;
mod policy;
mod resolvers;
mod run;
#[cfg(test)]
mod tests;
mod workload;

pub use catalogue::{SCENARIOS, WORLD, is_policy, policies, policy, scenario_source, variants, world_source};
pub use details::{Details, Line, Worst};
pub use dice::Dice;
pub use inventory::{ASSUMED_EGRESS, Inventory, InventorySite, Own};
pub use meter::Figures;
pub use plant::{Node, Plant};
pub use policy::{Answer, Belief, ELSEWHERE, Fleet, FleetNode, MAX_ANSWERS, Policy, Query, Sample};
pub use resolvers::START_MS;
pub use run::{Outcome, run};
