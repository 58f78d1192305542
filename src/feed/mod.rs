//! The feed: brings news in. One task owns the inputs, and it alone publishes.

pub mod inputs;
pub mod probe;
pub mod scrape;
pub mod secondary;
pub mod zone_keys;

mod alarms;
mod changes;
mod client;
mod cluster;
mod credentials;
mod enrolment;
mod health;
mod include;
mod inventory;
mod keys;
mod maintenance;
mod names;
mod notify;
mod orders;
mod pace;
mod parts;
mod priority;
mod prometheus;
mod readiness;
mod reload;
mod run;
mod seal;
mod secrets;
mod signing;
mod stamps;
mod start;
mod state;
mod tick;
mod token;
mod trust;
mod watch;

pub use credentials::{Credentials, Keyring};
pub use run::{Feed, Options, StartError};
pub use stamps::Stamps;
pub use state::{NoStore, Store};

use std::time::{SystemTime, UNIX_EPOCH};

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
