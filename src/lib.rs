//! thalweg: authoritative DNS for streaming services, with answers that follow geography and load.
//!
//! `config + zones + geoip + load → Snapshot → answer(query) → bytes`, one way only; start reading at [`answer`].

pub mod answer;
pub mod cli;
pub mod command;
pub mod config;
pub mod diagnostic;
pub mod dnssec;
pub mod feed;
pub mod geo;
pub mod intake;
pub mod load;
pub mod metrics;
pub mod name;
pub mod pool;
pub mod prefetch;
pub mod serve;
pub mod simulate;
pub mod snapshot;
pub mod steer;
pub mod wire;
pub mod zone;
