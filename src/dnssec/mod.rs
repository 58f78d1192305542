//! DNSSEC: keys, signatures and records of denial.
#![deny(clippy::disallowed_methods)]

pub mod nsec3;
