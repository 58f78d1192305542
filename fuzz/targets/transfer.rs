//! Transfers of any messages.
#![no_main]
#![allow(dead_code, reason = "the bodies of all targets stand in one file")]

#[path = "../../tests/support/bodies.rs"]
mod bodies;
#[path = "../../tests/support/reply.rs"]
mod reply;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bodies::transfer(octets));
