//! The handshake of TLS as a client that takes any certificate: whether a node serves is asked, not who it is.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::feed::trust::AnyCertificate;

/// Makes connections that are closed when they stand.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

impl Tls {
    pub(super) fn new() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
            .with_no_client_auth();
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// Goes through the handshake with whoever has the address; viewers' names for it are not known here.
    pub(super) async fn shake_hands(&self, stream: TcpStream, address: IpAddr) -> io::Result<()> {
        self.0.connect(ServerName::from(address), stream).await.map(drop)
    }
}
