//! Keys that sign zones, among the inputs.

use std::sync::Arc;

use super::{Loader, shown};
use crate::config::{Config, SignedZone, Written};
use crate::diagnostic::Diagnostic;
use crate::dnssec::{KeySet, Lifetime, SigningKey};
use crate::feed::zone_keys::{self, StoredKey};
use crate::name::Name;
use crate::zone::Signing;

impl Loader {
    /// By what zones are signed, by their names.
    pub(super) fn read_zone_keys(&mut self, config: &Config) -> Vec<(Name, Arc<Signing>)> {
        let signed = &config.zones.signed;
        signed.iter().map(|written| (written.value.name.clone(), Arc::new(self.signing(written)))).collect()
    }

    fn signing(&mut self, written: &Written<SignedZone>) -> Signing {
        let SignedZone { name, keys, validity, refresh, key_ttl } = &written.value;
        // Not from where inputs were kept: private keys are copied nowhere.
        let directory = self.directory.join(keys);
        self.watched.take(&directory);
        let mut key_set = KeySet::default();
        match zone_keys::list(&directory, name) {
            Ok(listing) => {
                listing.files.iter().for_each(|file| self.watched.take(file));
                key_set.unusable = listing.diagnostics.len();
                self.diagnostics.extend(listing.diagnostics);
                for StoredKey { private, material, times } in listing.keys {
                    match SigningKey::new(&material) {
                        Ok(key) => key_set.keys.push((Arc::new(key), times)),
                        Err(error) => {
                            key_set.unusable += 1;
                            self.diagnostics.push(Diagnostic::error(error.to_string()).in_file(shown(&private)));
                        }
                    }
                }
            }
            Err(error) => {
                let message = format!("the directory of keys, {}, cannot be read: {error}", shown(&directory));
                let help = format!("make it and a key in it with `thalweg keys generate {name}`");
                self.diagnostics.push(written.error(message).help(help));
            }
        }
        let lifetime = Lifetime { validity: validity.as_secs(), refresh: refresh.as_secs() };
        Signing { keys: key_set, lifetime, key_ttl: key_ttl.as_secs() as u32 }
    }
}
