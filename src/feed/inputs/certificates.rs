//! Certificates of the encrypted listeners, among the inputs.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{Loader, read_file};
use crate::config::{Config, Written};
use crate::diagnostic::Diagnostic;
use crate::feed::unix_seconds;
use crate::intake::{Carrier, Certificate};

/// Seconds before its end at which a certificate is warned of: who renews by a machine has done so long before.
const SOON: f64 = 7.0 * 86_400.0;

impl Loader {
    /// Reads the certificate of each carrier; in place of one that is broken goes on what was read before.
    pub(super) fn read_certificates(
        &mut self,
        config: &Config,
        previous: Option<&BTreeMap<Carrier, Certificate>>,
    ) -> BTreeMap<Carrier, Certificate> {
        let server = &config.server;
        let mut certificates = BTreeMap::new();
        // Carriers often share files; what is wrong with them is told once.
        let mut read: BTreeMap<[PathBuf; 2], Option<Certificate>> = BTreeMap::new();
        for (carrier, secure) in
            [(Carrier::Tls, &server.tls), (Carrier::Quic, &server.quic), (Carrier::Https, &server.https)]
        {
            let Some(secure) = secure else { continue };
            let before = previous.and_then(|previous| previous.get(&carrier));
            let files = [&secure.certificate, &secure.key];
            let paths = files.map(|written| self.path(&written.value));
            let found = match read.get(&paths) {
                Some(found) => found.clone(),
                None => {
                    let found = self.read_certificate(files, &paths, before.is_some());
                    read.insert(paths, found.clone());
                    found
                }
            };
            match found.as_ref().or(before) {
                Some(certificate) => drop(certificates.insert(carrier, certificate.clone())),
                None => self.is_blocked = true,
            }
        }
        certificates
    }

    fn read_certificate(
        &mut self,
        files: [&Written<PathBuf>; 2],
        paths: &[PathBuf; 2],
        has_other: bool,
    ) -> Option<Certificate> {
        let [chain, key] = [0, 1].map(|at| self.read_part(&paths[at]));
        match Certificate::of((&paths[0], chain), (&paths[1], key)) {
            Ok(certificate) => {
                self.warn_of_end(files[0], &certificate);
                Some(certificate)
            }
            Err(problems) => {
                let what_now =
                    if has_other { "; until then the certificate that was read before is shown" } else { "" };
                let note = format!("the configuration names it{}{what_now}", files[0].in_line());
                self.diagnostics.extend(problems.into_iter().map(|problem| problem.note(note.as_str())));
                None
            }
        }
    }

    fn read_part(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self.watched.take(path);
        let octets = read_file(path)?;
        self.taken.take(path, &octets);
        Ok(octets)
    }

    fn warn_of_end(&mut self, written: &Written<PathBuf>, certificate: &Certificate) {
        let Some(end) = certificate.expires() else { return };
        let left = end as f64 - unix_seconds() as f64;
        let days = |seconds: f64| (seconds / 86_400.0).floor();
        let message = match left {
            ..0.0 => format!("the certificate has expired {:.0} days ago: most clients refuse it", days(-left)),
            ..SOON => format!("the certificate expires in {:.0} days", days(left)),
            _ => return,
        };
        let diagnostic: Diagnostic = written.warning(message);
        self.diagnostics.push(diagnostic.help("renew it; edited files are taken without a restart"));
    }
}
