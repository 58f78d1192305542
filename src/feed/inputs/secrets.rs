//! Secrets among the inputs: what cookies are made by, and by what nameservers and media servers are known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Loader;
use crate::config::{Config, Key, KeySecret, Written};
use crate::feed::keys::read_key;
use crate::feed::secrets::read_secrets;
use crate::feed::token::{read_tokens, warn_of_readers};
use crate::intake::Tokens;
use crate::snapshot::{TurnKeys, UrlKeys};
use crate::wire::{Algorithm, Keys, Secrets, TsigKey};

impl Loader {
    pub(super) fn read_secrets(&mut self, config: &Config) -> Option<Secrets> {
        let written = config.server.cookie_secrets.as_ref()?;
        let secrets = self.read_table(written).and_then(|source| {
            let (secrets, diagnostics) = read_secrets(&source);
            self.diagnostics.extend(diagnostics);
            secrets
        });
        // Nameservers that make cookies by other secrets than their peers would send each other's clients away.
        self.is_blocked |= secrets.is_none();
        secrets
    }

    /// Keys of TSIG; `file` is that of the configuration, which may hold secrets itself.
    pub(super) fn read_keys(&mut self, config: &Config, file: &Path) -> Keys {
        let mut keys = Vec::new();
        let mut has_secrets = false;
        for Written { value: Key { name, algorithm, secret }, .. } in &config.keys {
            match secret {
                KeySecret::Octets(octets) => {
                    has_secrets = true;
                    keys.push(TsigKey::new(name.clone(), algorithm.unwrap_or(Algorithm::Sha256), octets));
                }
                KeySecret::File(written) => {
                    let key = self.read_table(written).and_then(|source| {
                        let (key, diagnostics) = read_key(name, *algorithm, &source);
                        self.diagnostics.extend(diagnostics);
                        self.diagnostics.extend(warn_of_readers(&self.path(&written.value)));
                        key
                    });
                    // Secondaries that sign with it would be turned away.
                    self.is_blocked |= key.is_none();
                    keys.extend(key);
                }
            }
        }
        if has_secrets {
            self.diagnostics.extend(warn_of_readers(file));
        }
        Keys::new(keys)
    }

    /// By what requests over HTTP are signed.
    pub(super) fn read_url_keys(&mut self, config: &Config) -> UrlKeys {
        let written = config.server.http_dns.secrets.as_ref();
        let secrets = written.map_or_else(Tokens::default, |written| self.read_tokens(written));
        UrlKeys::new(secrets.all())
    }

    /// What credentials for TURN servers are made of.
    pub(super) fn read_turn_keys(&mut self, config: &Config) -> TurnKeys {
        let all = config.server.http_dns.ice.iter();
        let secrets: Vec<_> = all.map(|ice| (ice.service.clone(), self.read_tokens(&ice.secret))).collect();
        TurnKeys::new(secrets.into_iter().filter_map(|(service, tokens)| Some((service, tokens.own()?.to_owned()))))
    }

    pub(super) fn read_cluster_tokens(&mut self, config: &Config) -> Tokens {
        let written = config.cluster.as_ref().and_then(|cluster| cluster.token_file.as_ref());
        written.map_or_else(Tokens::default, |written| self.read_tokens(written))
    }

    pub(super) fn read_heartbeat_tokens(&mut self, config: &Config) -> BTreeMap<String, Tokens> {
        let inventories = config.inventories.iter().map(|written| &written.value);
        let mut tokens = BTreeMap::new();
        for (inventory, heartbeat) in
            inventories.filter_map(|inventory| Some((inventory, inventory.heartbeat.as_ref()?)))
        {
            tokens.insert(inventory.name.clone(), self.read_tokens(&heartbeat.token_file));
        }
        tokens
    }

    pub(super) fn read_tokens(&mut self, written: &Written<PathBuf>) -> Tokens {
        let tokens = self.read_table(written).and_then(|source| {
            let (tokens, diagnostics) = read_tokens(&source);
            self.diagnostics.extend(diagnostics);
            self.diagnostics.extend(warn_of_readers(&self.directory.join(&written.value)));
            tokens
        });
        // Without it nobody would be asked for one.
        self.is_blocked |= tokens.is_none();
        tokens.unwrap_or_default()
    }
}
