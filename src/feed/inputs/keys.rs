//! Keys that sign zones, read from their directories.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::{Loader, read_file, shown};
use crate::config::{Config, SignedZone, Written};
use crate::diagnostic::Diagnostic;
use crate::dnssec::{KeySet, Lifetime, SigningKey, key_file};
use crate::name::Name;
use crate::zone::Signing;

impl Loader {
    /// By what zones are signed, by their names.
    pub(super) fn read_keys(&mut self, config: &Config) -> Vec<(Name, Arc<Signing>)> {
        let signed = &config.zones.signed;
        signed.iter().map(|written| (written.value.name.clone(), Arc::new(self.signing(written)))).collect()
    }

    fn signing(&mut self, written: &Written<SignedZone>) -> Signing {
        let SignedZone { name, keys, validity, refresh } = &written.value;
        // Not from where inputs were kept: private keys are copied nowhere.
        let directory = self.directory.join(keys);
        self.watched.take(&directory);
        let mut key_set = KeySet::default();
        match std::fs::read_dir(&directory) {
            Ok(entries) => {
                let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
                let mut names: Vec<String> =
                    names.filter(|file| key_file::zone_of(file).is_some_and(|zone| zone == *name)).collect();
                names.sort_unstable();
                for file in names {
                    self.read_key(&directory.join(file), &mut key_set);
                }
            }
            Err(error) => {
                let message = format!("the directory of keys, {}, cannot be read: {error}", shown(&directory));
                let help = format!("make it and a key in it with `thalweg keys generate {name}`");
                self.diagnostics.push(written.error(message).help(help));
            }
        }
        let lifetime = Lifetime { validity: validity.as_secs(), refresh: refresh.as_secs() };
        Signing { keys: key_set, lifetime }
    }

    fn read_key(&mut self, private: &Path, key_set: &mut KeySet) {
        let public = private.with_extension("key");
        let mut text = |path: &Path| {
            self.watched.take(path);
            let read = read_file(path).map_err(|error| format!("cannot be read: {error}"));
            let text = read.and_then(|octets| String::from_utf8(octets).map_err(|_| "is no text".to_owned()));
            text.map_err(|error| self.diagnostics.push(Diagnostic::error(error).in_file(shown(path)))).ok()
        };
        let (Some(public_text), Some(private_text)) = (text(&public), text(private)) else { return };
        let mode = std::fs::metadata(private).map_or(0, |file| file.permissions().mode());
        if mode & 0o077 != 0 {
            let error = Diagnostic::error(format!("others than its owner can read this key (mode {:04o})", mode & 0o7777));
            let help = format!("`chmod 600 {}`, and give it to the user whom the server runs as", shown(private));
            self.diagnostics.push(error.in_file(shown(private)).help(help));
            return;
        }
        let read = key_file::read(&public_text, &private_text);
        let key = read.and_then(|(material, times)| {
            let key = SigningKey::new(&material);
            let key = key.map_err(|error| key_file::Fault { line: 0, message: error.to_string() })?;
            Ok((Arc::new(key), times))
        });
        match key {
            Ok(key) => key_set.keys.push(key),
            Err(key_file::Fault { line, message }) => {
                // The excerpt would show the secret.
                let place = if line > 0 { format!(":{line}") } else { String::new() };
                let error = Diagnostic::error(message).in_file(format!("{}{place}", shown(private)));
                self.diagnostics.push(error);
            }
        }
    }
}
