//! The feed: brings news in. One task owns the inputs, and it alone publishes.

pub mod inputs;
pub mod probe;
pub mod scrape;

mod alarms;
mod changes;
mod client;
mod credentials;
mod include;
mod names;
mod orders;
mod pace;
mod reload;
mod run;
mod secrets;
mod stamps;
mod tick;
mod trust;
mod watch;

pub use credentials::{Credentials, Keyring};
pub use run::{Feed, Options, StartError};
pub use stamps::Stamps;
