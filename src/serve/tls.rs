//! How the encrypted streams speak TLS.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::server::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::SingleCertAndKey;

pub use crate::intake::{Certificate, Shown};

/// TLS for HTTP/1.1, with whoever connects known by a certificate too.
pub(super) fn mutual_config(own: &Certificate, verifier: Arc<dyn ClientCertVerifier>) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(own.certified()))));
    Arc::new(config)
}

/// TLS 1.2 at least (RFC 9325 §3.1.1) with what is shown, for protocols by their ALPN names, the best first.
pub(super) fn server_config(shown: &Arc<Shown>, protocols: &[&[u8]]) -> Arc<ServerConfig> {
    // The provider is named: the process's default may be another one, or none.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(shown) as _);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}
