//! Certificates for the encrypted streams, read from PEM files; reloads replace those that are shown.

mod expiry;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys};

use crate::diagnostic::Diagnostic;

/// A certificate with its chain and the private key that fits it.
#[derive(Clone)]
pub struct Certificate {
    certified: Arc<CertifiedKey>,
}

impl Certificate {
    /// Reads the chain (the server's own certificate first) and the key from PEM files; all that is
    /// wrong with either is reported.
    pub fn read(chain: &Path, key: &Path) -> Result<Self, Vec<Diagnostic>> {
        let [chain, key] = [chain, key].map(|path| (path, std::fs::read(path)));
        Self::of(chain, key)
    }

    /// The same of files that were read, or could not be.
    pub fn of(
        (chain, chain_text): (&Path, io::Result<Vec<u8>>),
        (key, key_text): (&Path, io::Result<Vec<u8>>),
    ) -> Result<Self, Vec<Diagnostic>> {
        let read_chain = read_chain(chain_text).map_err(|diagnostic| diagnostic.in_file(chain.display().to_string()));
        let read_key = read_key(key_text).map_err(|diagnostic| diagnostic.in_file(key.display().to_string()));
        let (chain_read, key_read) = match (read_chain, read_key) {
            (Ok(chain_read), Ok(key_read)) => (chain_read, key_read),
            (chain_read, key_read) => return Err(chain_read.err().into_iter().chain(key_read.err()).collect()),
        };
        let certified = CertifiedKey::new(chain_read, key_read);
        match certified.keys_match() {
            // Unknown is said of keys that do not tell their public half; ring's all do.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Self { certified: Arc::new(certified) })
            }
            Err(Error::InconsistentKeys(_)) => Err(vec![
                Diagnostic::error(format!("the key does not fit the first certificate in {}", chain.display()))
                    .in_file(key.display().to_string())
                    .help(
                        "give the key that the certificate was issued for; the server's own certificate stands first",
                    ),
            ]),
            Err(error) => Err(vec![
                Diagnostic::error(format!("the first certificate cannot be read: {error}"))
                    .in_file(chain.display().to_string())
                    .help(HOW_TO_MAKE),
            ]),
        }
    }

    /// What rustls takes.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// When it ends to be valid, in seconds since 1970; none if that cannot be read.
    pub fn expires(&self) -> Option<u64> {
        self.certified.cert.first().and_then(|own| expiry::of(own))
    }
}

/// The certificate that a listener shows, which a reload replaces: handshakes from then on have the new one.
#[derive(Debug)]
pub struct Shown(ArcSwap<Certificate>);

impl Shown {
    /// This one, for now.
    pub fn new(certificate: Certificate) -> Self {
        Self(ArcSwap::from_pointee(certificate))
    }

    /// Shows another one from now on.
    pub fn show(&self, certificate: Certificate) {
        self.0.store(Arc::new(certificate));
    }

    /// The one that is shown now.
    pub fn now(&self) -> Arc<Certificate> {
        self.0.load_full()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().certified))
    }
}

/// Certificates are the same if their chains are: no two keys fit one.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }
}

/// Names the certificate by nothing but its length: keys do not belong into logs.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.certified.cert.len()).finish_non_exhaustive()
    }
}

const HOW_TO_MAKE: &str = "the file has to hold PEM: the server's own certificate, then those that vouch for it";

fn read_chain(text: io::Result<Vec<u8>>) -> Result<Vec<CertificateDer<'static>>, Diagnostic> {
    let text = readable(text)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Diagnostic::error(format!("is not PEM: {}", Broken(&error))).help(HOW_TO_MAKE))?;
    if chain.is_empty() {
        return Err(Diagnostic::error("has no certificate").help(HOW_TO_MAKE));
    }
    Ok(chain)
}

fn read_key(text: io::Result<Vec<u8>>) -> Result<Arc<dyn SigningKey>, Diagnostic> {
    const HELP: &str = "the file has to hold PEM: one private key, PKCS#8, SEC1 or PKCS#1, without a passphrase";
    let key = PrivateKeyDer::from_pem_slice(&readable(text)?).map_err(|error| match error {
        pem::Error::NoItemsFound => Diagnostic::error("has no private key").help(HELP),
        error => Diagnostic::error(format!("is not PEM: {}", Broken(&error))).help(HELP),
    })?;
    ring::sign::any_supported_type(&key).map_err(|_| {
        Diagnostic::error("the private key cannot be used")
            .help("use ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits")
    })
}

fn readable(text: io::Result<Vec<u8>>) -> Result<Vec<u8>, Diagnostic> {
    text.map_err(|error| {
        Diagnostic::error(format!("cannot be read: {error}"))
            .help("check the path, and that the user whom the server runs as may read the file")
    })
}

/// An error of the PEM reader in words; its own repeat octets of the file as numbers, which with
/// keys do not belong into logs.
struct Broken<'e>(&'e pem::Error);

impl fmt::Display for Broken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            pem::Error::MissingSectionEnd { .. } => "a section has no END line",
            pem::Error::IllegalSectionStart { .. } => "a BEGIN line is damaged",
            pem::Error::Base64Decode(_) => "a section has octets that are not base64",
            pem::Error::NoItemsFound => "it has no section",
            _ => "it cannot be read",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::generate_simple_self_signed;
    use tempfile::TempDir;

    use super::*;

    /// Writes the two files and says what is wrong with them.
    fn problems(chain: Option<&str>, key: Option<&str>) -> Vec<String> {
        let directory = TempDir::new().unwrap();
        let [chain_path, key_path] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
        for (path, text) in [(&chain_path, chain), (&key_path, key)] {
            if let Some(text) = text {
                fs::write(path, text).unwrap();
            }
        }
        let at = format!("{}/", directory.path().display());
        let found = Certificate::read(&chain_path, &key_path).err().unwrap_or_default();
        found.iter().map(|diagnostic| diagnostic.to_string().replace(&at, "")).collect()
    }

    fn pair() -> (String, String) {
        let made = generate_simple_self_signed(["ns1.example".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn assert_starts(problems: &[String], starts: &[&str]) {
        assert_eq!(problems.len(), starts.len(), "{problems:#?}");
        for (problem, start) in problems.iter().zip(starts) {
            assert!(
                problem.starts_with(start) && problem.ends_with(')'),
                "{problem} does not start with {start}, or has no help"
            );
        }
    }

    #[test]
    fn a_certificate_with_its_key_is_read() {
        let (chain, key) = pair();
        assert_starts(&problems(Some(&chain), Some(&key)), &[]);
        // Certificate and key in one file, as some tools write them.
        let both = format!("{key}{chain}");
        assert_starts(&problems(Some(&both), Some(&both)), &[]);
    }

    #[test]
    fn all_that_is_wrong_is_reported() {
        let (chain, key) = pair();
        let missing = ["cert.pem: error: cannot be read: ", "key.pem: error: cannot be read: "];
        assert_starts(&problems(None, None), &missing);
        let empty = ["cert.pem: error: has no certificate", "key.pem: error: has no private key"];
        assert_starts(&problems(Some(""), Some("")), &empty);
        // The files are swapped.
        assert_starts(&problems(Some(&key), Some(&chain)), &empty);
        let cut = [
            "cert.pem: error: is not PEM: a section has no END line",
            "key.pem: error: is not PEM: a section has no END line",
        ];
        assert_starts(&problems(Some(&chain[..chain.len() - 30]), Some(&key[..key.len() - 30])), &cut);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let ((chain, _), (_, key)) = (pair(), pair());
        assert_starts(
            &problems(Some(&chain), Some(&key)),
            &["key.pem: error: the key does not fit the first certificate in cert.pem"],
        );
    }

    #[test]
    fn what_only_looks_like_certificate_or_key_is_refused() {
        let (chain, key) = pair();
        let forged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_starts(
            &problems(Some(forged), Some(&key)),
            &["cert.pem: error: the first certificate cannot be read: "],
        );
        let forged = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_starts(&problems(Some(&chain), Some(forged)), &["key.pem: error: the private key cannot be used"]);
    }

    #[test]
    fn keys_do_not_show_in_logs() {
        let directory = TempDir::new().unwrap();
        let (chain, key) = pair();
        let [chain_path, key_path] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
        fs::write(&chain_path, chain).unwrap();
        fs::write(&key_path, key).unwrap();
        let certificate = Certificate::read(&chain_path, &key_path).unwrap();
        assert_eq!(format!("{certificate:?}"), "Certificate { chain: 1, .. }");
    }
}
