//! The feed: brings news in. One task owns the inputs, and it alone publishes.

pub mod inputs;
pub mod probe;
pub mod scrape;

mod alarms;
mod changes;
mod include;
mod inventory;
mod orders;
mod pace;
mod reload;
mod run;
mod secrets;
mod stamps;
mod tick;
mod watch;

pub use run::{Feed, Options, StartError};
pub use stamps::Stamps;
