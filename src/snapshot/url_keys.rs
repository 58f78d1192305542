//! Keys by which requests over HTTP are signed that are for another client than the one who sends them.
#![deny(clippy::disallowed_methods)]

use std::sync::Arc;

use ring::hmac;

/// Secrets of signed URLs; none = nobody can sign.
#[derive(Clone, Default)]
pub struct UrlKeys(Arc<[hmac::Key]>);

impl UrlKeys {
    /// Of these secrets, by HMAC-SHA256 (RFC 2104).
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Self {
        Self(secrets.into_iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())).collect())
    }

    /// Whether the other has the same secrets.
    pub fn is_same(&self, other: &Self) -> bool {
        let mark = |key: &hmac::Key| hmac::sign(key, b"thalweg: to be compared").as_ref().to_vec();
        self.0.iter().map(mark).eq(other.0.iter().map(mark))
    }

    /// Whether one of them has signed a text; how long that takes says nothing of how far it is from right.
    pub fn have_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        self.0.iter().any(|key| hmac::verify(key, text, signature).is_ok())
    }
}
