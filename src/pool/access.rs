//! How a thing is reached over HTTP: whom it trusts, and how we are known to it. No secret is in it, only where each stands.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What goes with every request to an exporter; files as written, relative to the configuration.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Access {
    /// How we are known.
    pub authorization: Option<Authorization>,
    /// Whom we trust.
    pub tls: Tls,
    /// Parameters that are added to the URL's own, each with its values.
    pub params: BTreeMap<String, Vec<String>>,
    /// Headers that are added to ours.
    pub headers: BTreeMap<String, String>,
}

/// How a client shows who it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Authorization {
    /// A token (RFC 6750 §2.1).
    Bearer {
        /// The file that holds it.
        file: PathBuf,
    },
    /// A user and a password (RFC 7617).
    Basic {
        /// The user.
        user: String,
        /// The file that holds the password.
        password_file: PathBuf,
    },
}

/// What a TLS connection is made with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// The PEM file of the certificates that may vouch for a server; none = those of the system.
    pub ca: Option<PathBuf>,
    /// What we show if the server asks.
    pub identity: Option<ClientCertificate>,
    /// The name that the server's certificate must have; none = the host of the URL.
    pub server_name: Option<String>,
    /// Whether any certificate will do.
    pub is_unverified: bool,
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientCertificate {
    /// The PEM file of the certificate and its chain.
    pub certificate: PathBuf,
    /// The PEM file of the private key.
    pub key: PathBuf,
}

impl Access {
    /// The parameters, each value with its name.
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        let values = self.params.iter();
        values.flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value.as_str()))).collect()
    }
}

/// Values of headers and parameters may be keys of an interface: only their names are shown.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authorization, tls, params, headers } = self;
        f.debug_struct("Access")
            .field("authorization", authorization)
            .field("tls", tls)
            .field("params", &params.keys())
            .field("headers", &headers.keys())
            .finish()
    }
}
