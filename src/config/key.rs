//! `[key.NAME]`: keys by which servers know each other's messages (TSIG, RFC 8945).
#![deny(clippy::disallowed_methods)]

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::diagnostic::Diagnostic;
use crate::name::Name;
use crate::wire::Algorithm;

use super::table::Table;
use super::value;
use super::written::{Problems, Written};

/// A key of TSIG; both sides have it by the same name.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name, which messages bear.
    pub name: Name,
    /// How signatures are made; if it is not written, a file may say it, and else it is HMAC-SHA256.
    pub algorithm: Option<Algorithm>,
    /// What it is made of.
    pub secret: KeySecret,
}

/// What a key is made of, or where that stands.
#[derive(Clone)]
pub enum KeySecret {
    /// The octets themselves.
    Octets(Box<[u8]>),
    /// A file of base64, or as `tsig-keygen` writes it; as written.
    File(Written<PathBuf>),
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Configurations may be printed.
            Self::Octets(_) => f.write_str("…"),
            Self::File(path) => path.value.fmt(f),
        }
    }
}

/// Octets below which a secret can be found by trying: half of what HMAC-SHA256 makes (RFC 8945 §8).
const FEW_OCTETS: usize = 16;
/// How such a secret is made.
const HELP: &str = "make one with `tsig-keygen`, or `openssl rand -base64 32`";

/// Reads one; what is wrong is told without showing the secret.
pub(super) fn read(name: &Written<String>, mut table: Table<'_>, problems: &Problems) -> Option<Written<Key>> {
    let place = table.place().clone();
    let words = Algorithm::ALL.map(Algorithm::word);
    let algorithm = table.word("algorithm", &words);
    let (has_secret, has_file) = (table.has("secret"), table.has("secret_file"));
    let secret = table.value("secret", |item| Ok(value::text(item).ok()));
    let secret_file = table.value("secret_file", value::path);
    table.finish();
    let algorithm = algorithm.and_then(|word| Some(word.map(Algorithm::of_word)).filter(|word| word.value.is_some()));
    if let Some(written) = algorithm.as_ref().filter(|written| written.value == Some(Algorithm::Sha1)) {
        let warning = Diagnostic::warning("HMAC-SHA1 is for servers that know nothing better (RFC 8945 §6)");
        problems.add_to(written, warning.help("write `algorithm = \"hmac-sha256\"` on both sides"));
    }
    if has_secret == has_file {
        let message = format!("the key `{}` needs either `secret` or `secret_file`", name.value);
        let help = "write `secret_file = \"transfer.key\"`: a file as `tsig-keygen` writes it, or the secret in base64";
        problems.add(&place, Diagnostic::error(message).help(help));
        return None;
    }
    let secret = match secret {
        // Nothing of a secret is shown, whatever is wrong with it.
        Some(text) => match text.value.as_deref().and_then(octets) {
            Some(octets) => {
                if let Some(warning) = weakness(&octets) {
                    problems.add(&place, warning);
                }
                KeySecret::Octets(octets)
            }
            None => {
                let message = format!("the secret of the key `{}` is not base64", name.value);
                problems.add(&place, Diagnostic::error(message).help(HELP));
                return None;
            }
        },
        None => KeySecret::File(secret_file?),
    };
    match value::domain_name(&name.value) {
        Ok(parsed) => {
            let algorithm = algorithm.and_then(|written| written.value);
            Some(Written::at(&place, Key { name: parsed, algorithm, secret }))
        }
        Err(wrong) => {
            problems.add(&place, wrong);
            None
        }
    }
}

/// The octets of a secret in base64; none if that is none, or nothing.
pub fn octets(text: &str) -> Option<Box<[u8]>> {
    let octets = BASE64_STANDARD.decode(text.trim()).ok()?;
    (!octets.is_empty()).then(|| octets.into())
}

/// A warning of a secret that is too short.
pub fn weakness(secret: &[u8]) -> Option<Diagnostic> {
    let message = format!("a secret of {} octets can be found by trying", secret.len());
    (secret.len() < FEW_OCTETS).then(|| Diagnostic::warning(message).help(HELP))
}

/// Reports names that are there twice: `a.example` and `A.example.` are one.
pub(super) fn check(keys: &[Written<Key>], problems: &Problems) {
    for (index, key) in keys.iter().enumerate() {
        if keys[..index].iter().any(|earlier| earlier.value.name == key.value.name) {
            problems.add_to(key, Diagnostic::error(format!("the key {} is there twice", key.value.name)));
        }
    }
}
