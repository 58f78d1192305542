//! DNSSEC end to end: zones signed in their files and zones signed here, judged by programs of others: Unbound validates, NSD is
//! the parent, ldns signs and verifies.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "dnssec/answers.rs"]
mod answers;
#[path = "dnssec/denials.rs"]
mod denials;
#[path = "dnssec/inputs.rs"]
mod inputs;
#[path = "dnssec/programs.rs"]
mod programs;
#[path = "dnssec/rollover.rs"]
mod rollover;
mod support;
#[path = "dnssec/transfer.rs"]
mod transfer;
