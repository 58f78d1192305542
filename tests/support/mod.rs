//! What several tests share: installations in directories of their own, queries, replies in words.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod bodies;
pub(crate) mod case;
pub(crate) mod child;
pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod exchange;
pub(crate) mod installation;
pub(crate) mod query;
pub(crate) mod reply;
