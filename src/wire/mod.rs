//! DNS messages: the query reader and the reply writer.
#![deny(clippy::disallowed_methods)]

mod cookie;
mod edns;
mod identity;
mod message;
mod query;
mod reply;
mod rtype;
mod series;
mod subnet;
mod tsig;

pub use cookie::{Cookie, MAX_SECRETS, Secret, Secrets, ServerCookie};
pub use edns::{Edns, ExtendedError, MAX_NSID, Options, Wishes, ZoneVersion};
pub use identity::{CLASS_CH, Identity};
pub use message::{Broken, Received, Response, unpack_name};
pub use query::{Problem, Query};
pub use reply::{Item, Owner, Records, Reply, rdata_of, ready_record, udp_limit};
pub use rtype::RecordType;
pub use series::{Series, SeriesRecord, TooLarge};
pub use subnet::Subnet;
pub use tsig::{Algorithm, Keys, Rejection, SignatureError, Signer, Tsig, TsigKey, Unsigned, Verifier, sign_request};

/// Octets of a message's header (RFC 1035 §4.1.1).
pub const HEADER: usize = 12;
/// The UDP payload that we offer, and the most that we send over UDP (RFC 9715 §3).
pub const MAX_UDP: usize = 1232;
/// The UDP payload of a client without EDNS (RFC 1035 §4.2.1).
pub const MIN_UDP: usize = 512;
/// The most octets of a message over a stream (RFC 1035 §4.2.2).
pub const MAX_STREAM: usize = 65_535;
/// The class of the Internet.
pub const CLASS_IN: u16 = 1;

/// A response code, extended by EDNS to twelve bits (RFC 6895 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rcode(pub u16);

impl Rcode {
    /// No error.
    pub const NOERROR: Self = Self(0);
    /// The query cannot be read.
    pub const FORMERR: Self = Self(1);
    /// The server cannot answer.
    pub const SERVFAIL: Self = Self(2);
    /// There is no such name.
    pub const NXDOMAIN: Self = Self(3);
    /// The operation is not known here.
    pub const NOTIMP: Self = Self(4);
    /// The server does not want to answer.
    pub const REFUSED: Self = Self(5);
    /// A name would exist that cannot: too long after a DNAME (RFC 6672 §2.2).
    pub const YXDOMAIN: Self = Self(6);
    /// The server is not authoritative, or the key is not known.
    pub const NOTAUTH: Self = Self(9);
    /// The EDNS version is not known here.
    pub const BADVERS: Self = Self(16);
    /// The server's cookie is missing, or not ours (RFC 7873 §5.2).
    pub const BADCOOKIE: Self = Self(23);

    /// Its mnemonic, as `dig` prints it.
    pub fn mnemonic(self) -> &'static str {
        match self {
            Self::NOERROR => "NOERROR",
            Self::FORMERR => "FORMERR",
            Self::SERVFAIL => "SERVFAIL",
            Self::NXDOMAIN => "NXDOMAIN",
            Self::NOTIMP => "NOTIMP",
            Self::REFUSED => "REFUSED",
            Self::YXDOMAIN => "YXDOMAIN",
            Self::NOTAUTH => "NOTAUTH",
            Self::BADVERS => "BADVERS",
            Self::BADCOOKIE => "BADCOOKIE",
            _ => "RESERVED",
        }
    }
}
