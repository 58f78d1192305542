//! DNSSEC: keys and their times, signatures, records of denial.
#![deny(clippy::disallowed_methods)]

mod bitmap;
mod key;
pub mod key_file;
pub mod nsec3;
mod signature;
mod timing;

pub use bitmap::{bitmap, bitmap_without};
pub use key::{Algorithm, KeyMaterial, KeyMismatch, Role, SIGNATURE, SigningKey, delegation_signer, key_tag};
pub use signature::{Canonical, Lifetime, Signer, Validity};
pub use timing::{KeySet, Times, Unsigned};
