//! What TLS connections to exporters are made with: who may vouch for a server, and the certificate that we show.

use std::fmt;
use std::sync::{Arc, OnceLock};

use hyper_rustls::ConfigBuilderExt;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::diagnostic::Diagnostic;

/// A file's name and octets.
pub(super) type Read = (String, Vec<u8>);

/// What trust is made of.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Material {
    /// Certificates in PEM that may vouch for a server; none = the system's.
    pub(super) ca: Option<Read>,
    /// Certificate chain and private key in PEM.
    pub(super) identity: Option<(Read, Read)>,
    /// The name that a server's certificate must have.
    pub(super) server_name: Option<String>,
    /// Any certificate will do.
    pub(super) is_unverified: bool,
}

/// What TLS connections are made with.
pub(super) struct Trust {
    material: Material,
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl Trust {
    /// The certificates of the system vouch for servers, and we show none.
    pub(super) fn of_system() -> Arc<Self> {
        static OF_SYSTEM: OnceLock<Arc<Trust>> = OnceLock::new();
        let make = || {
            let config = Arc::new(with_system_roots().with_no_client_auth());
            Arc::new(Self { material: Material::default(), config, server_name: None })
        };
        Arc::clone(OF_SYSTEM.get_or_init(make))
    }

    /// Trust of this material; all that is wrong with it is reported.
    pub(super) fn new(material: Material) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut keep = |problem| problems.push(problem);
        let builder = match &material {
            Material { is_unverified: true, .. } => {
                let verifier = Arc::new(AnyCertificate { provider: provider() });
                Some(builder().dangerous().with_custom_certificate_verifier(verifier))
            }
            Material { ca: Some(ca), .. } => {
                roots(ca).map(|roots| builder().with_root_certificates(roots)).map_err(&mut keep).ok()
            }
            Material { ca: None, .. } => Some(with_system_roots()),
        };
        let identity = material.identity.as_ref().map(|(certificate, key)| {
            let chain = chain(certificate).map_err(&mut keep).ok();
            let private = private_key(key).map_err(&mut keep).ok();
            (chain, private, &key.0)
        });
        let server_name = match material.server_name.clone().map(ServerName::try_from) {
            Some(Err(_)) => {
                keep(Diagnostic::error("`server_name` is not the name of a host"));
                None
            }
            name => name.and_then(Result::ok),
        };
        let config = match (builder, identity) {
            (Some(builder), Some((Some(chain), Some(private), file))) => {
                let made = builder.with_client_auth_cert(chain, private);
                // Its error says what is wrong with the key in words, and has nothing of it.
                let wrong = |error| {
                    let help = "give the key that the certificate was issued for: ECDSA, Ed25519, or RSA of 2048 bits";
                    Diagnostic::error(format!("the key cannot be used with the certificate: {error}"))
                        .in_file(file.clone())
                        .help(help)
                };
                made.map_err(|error| keep(wrong(error))).ok()
            }
            (Some(builder), None) => Some(builder.with_no_client_auth()),
            _ => None,
        };
        match config {
            Some(config) if problems.is_empty() => Ok(Self { material, config: Arc::new(config), server_name }),
            _ => Err(problems),
        }
    }

    /// Whether it was made of this.
    pub(super) fn is_of(&self, material: &Material) -> bool {
        self.material == *material
    }

    /// As rustls takes it.
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// The name that servers must have, if it is not that of their URL.
    pub(super) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.server_name.as_ref()
    }
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.is_of(&other.material)
    }
}

/// Shows nothing: a private key is in it.
impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

fn provider() -> Arc<CryptoProvider> {
    // The provider is named: the process's default may be another one, or none.
    Arc::new(ring::default_provider())
}

fn builder() -> ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3")
}

fn with_system_roots() -> ConfigBuilder<ClientConfig, WantsClientCert> {
    builder().with_native_roots().unwrap_or_else(|error| {
        // A small machine without certificates must still read exporters over HTTP.
        tracing::warn!(%error, "the system has no trusted certificates, exporters with https need a `ca` to be read");
        builder().with_root_certificates(RootCertStore::empty())
    })
}

const PEM: &str = "the file has to hold PEM";

fn roots(file: &Read) -> Result<RootCertStore, Diagnostic> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(file)? {
        roots.add(certificate).map_err(|error| {
            Diagnostic::error(format!("a certificate cannot vouch for others: {error}")).in_file(file.0.clone())
        })?;
    }
    Ok(roots)
}

fn chain((name, octets): &Read) -> Result<Vec<CertificateDer<'static>>, Diagnostic> {
    let wrong = |message: &str| Diagnostic::error(message).in_file(name.clone()).help(PEM);
    // The reader's own words repeat octets of the file.
    let chain = CertificateDer::pem_slice_iter(octets).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| wrong("is not PEM"))?;
    if chain.is_empty() { Err(wrong("has no certificate")) } else { Ok(chain) }
}

fn private_key((name, octets): &Read) -> Result<PrivateKeyDer<'static>, Diagnostic> {
    PrivateKeyDer::from_pem_slice(octets).map_err(|_| {
        let help = "the file has to hold PEM: one private key, PKCS#8, SEC1 or PKCS#1, without a passphrase";
        Diagnostic::error("has no private key that can be read").in_file(name.clone()).help(help)
    })
}

/// Believes any certificate, but still wants the server to have its key.
#[derive(Debug)]
pub(super) struct AnyCertificate {
    /// Knows the algorithms of signatures.
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
