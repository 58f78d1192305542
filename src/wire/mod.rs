//! Stub.

mod rtype;

pub use rtype::RecordType;
