//! Zones: from master files to an immutable store, and look-up in it.
//!
//! `read` makes records of a file, `Zone::build` a zone of records and steered names, `Zone::lookup` finds in it.
#![deny(clippy::disallowed_methods)]

mod build;
mod check;
mod denial;
mod generate;
mod hidden;
mod include;
mod kept;
mod layout;
mod lex;
mod lookup;
mod octets;
mod rdata;
mod read;
mod records;
mod serial;
mod sign;
mod store;
mod targets;
mod transferred;
mod ttl;

#[cfg(test)]
mod tests;

pub use denial::{MAX_PROOF, Proof, Proofs};
pub use include::{Inclusion, Open};
pub use kept::Kept;
pub use lookup::{Found, Lookup};
pub use octets::text_of;
pub use read::read;
pub use records::{Record, Records};
pub use sign::{Signed, Signing};
pub use store::{Rrset, Zone};
pub use transferred::{canonical_rdata, read_rdata};

use crate::name::Name;
use crate::pool::ServiceId;

/// A steered owner name, and what addresses its pool's configured nodes have.
#[derive(Debug, Clone)]
pub struct Steered {
    /// The owner name; its leftmost label may be the asterisk.
    pub owner: Name,
    /// The service bound to it.
    pub service: ServiceId,
    /// A configured node has an IPv4 address, so the name has the type A, whatever is down.
    pub has_v4: bool,
    /// A configured node has an IPv6 address, so the name has the type AAAA, whatever is down.
    pub has_v6: bool,
}
