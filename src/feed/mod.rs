//! Stub.

pub mod scrape;
