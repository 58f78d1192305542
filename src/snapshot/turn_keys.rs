//! Secrets that TURN servers share with us: credentials for a time are made of them.
#![deny(clippy::disallowed_methods)]

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;

use crate::name::Name;

/// Secrets of TURN servers, by the service whose nodes they are.
#[derive(Clone, Default)]
pub struct TurnKeys(Arc<[(Name, hmac::Key)]>);

/// What a browser shows to a TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// When it ends, in seconds since 1970, and whose it is.
    pub username: String,
    /// The password.
    pub password: String,
}

impl TurnKeys {
    /// Of these secrets.
    pub fn new(secrets: impl IntoIterator<Item = (Name, String)>) -> Self {
        let key = |secret: &str| hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
        Self(secrets.into_iter().map(|(service, secret)| (service, key(&secret))).collect())
    }

    /// What shows until `end` that somebody may use the TURN servers of a service: HMAC-SHA1 over the user name, as coturn
    /// (`use-auth-secret`) and others have it (draft-uberti-behave-turn-rest-00 §2.2).
    pub fn credential(&self, service: &Name, end: u64, user: &str) -> Option<Credential> {
        let (_, key) = self.0.iter().find(|(known, _)| known == service)?;
        let username = if user.is_empty() { end.to_string() } else { format!("{end}:{user}") };
        let password = BASE64_STANDARD.encode(hmac::sign(key, username.as_bytes()));
        Some(Credential { username, password })
    }

    /// Whether the other has the same secrets.
    pub fn is_same(&self, other: &Self) -> bool {
        let mark = |(service, _): &(Name, hmac::Key)| self.credential(service, 0, "");
        let same = |entry: &(Name, hmac::Key)| other.credential(&entry.0, 0, "") == mark(entry);
        self.0.len() == other.0.len() && self.0.iter().all(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_that_the_draft_and_coturn_make() {
        // printf '1735689600:alice' | openssl dgst -sha1 -hmac north -binary | base64
        let service = Name::parse("turn.live.example.", None).unwrap();
        let keys = TurnKeys::new([(service.clone(), "north".to_owned())]);
        let made = keys.credential(&service, 1_735_689_600, "alice").unwrap();
        assert_eq!(
            (made.username.as_str(), made.password.as_str()),
            ("1735689600:alice", "HbvWA6hGDtdv3wflBolXLhvzs0w=")
        );
    }
}
