//! Checks: how it is found out whether a node serves at all.

use std::fmt;
use std::net::IpAddr;

/// Stands in a URL for a node's address.
pub const PLACEHOLDER: &str = "{address}";

/// How it is found out whether a node serves at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Something accepts TCP connections on this port of its address.
    Tcp(u16),
    /// Something there goes through the handshake of RTMP (Adobe's RTMP specification §5.2).
    Rtmp(u16),
    /// Something there goes through the handshake of TLS, with whatever certificate.
    Tls(u16),
    /// Something answers a GET of this URL.
    Http {
        /// The URL, in which `{address}` may stand for its address.
        url: String,
        /// The status that is good; none = any below 400.
        status: Option<u16>,
    },
}

impl Check {
    /// Whether it asks at the node's own address, and so once for each family.
    pub fn is_at_address(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Rtmp(_) | Self::Tls(_) => true,
            Self::Http { url, .. } => url.contains(PLACEHOLDER),
        }
    }
}

/// As it is written in the configuration.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "tcp:{port}"),
            Self::Rtmp(port) => write!(f, "rtmp:{port}"),
            Self::Tls(port) => write!(f, "tls:{port}"),
            Self::Http { url, status: None } => f.write_str(url),
            Self::Http { url, status: Some(status) } => write!(f, "{url} {status}"),
        }
    }
}

/// Puts the address where `{address}` stands.
pub fn fill(url: &str, address: IpAddr) -> String {
    let host = match address {
        IpAddr::V4(v4) => v4.to_string(),
        // RFC 3986 §3.2.2: brackets keep its colons apart from the port's.
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    url.replace(PLACEHOLDER, &host)
}
