//! Tokens: the secrets that nameservers of one installation share, and what is made of them.

use ring::hmac;

/// Secrets that nameservers share: the first is shown to others, each of them is known. None at all: nobody shows one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    tokens: Vec<Box<str>>,
}

// Secrets are not for logs.
impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.tokens.len())
    }
}

impl Tokens {
    /// These, the one to show first.
    pub fn new(tokens: impl IntoIterator<Item = Box<str>>) -> Self {
        Self { tokens: tokens.into_iter().collect() }
    }

    /// Whether nobody needs one.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|token| &**token)
    }

    /// The one that is shown to others.
    pub fn own(&self) -> Option<&str> {
        self.tokens.first().map(|token| &**token)
    }

    /// Whether somebody who shows this is to be heard. How long that takes tells nothing of the tokens.
    pub fn know(&self, shown: &str) -> bool {
        const PURPOSE: &[u8] = b"thalweg: to be compared";
        // What is compared are keyed hashes, octet by octet to the end (`ring::hmac::verify`): where they begin to differ
        // says nothing of where the tokens do.
        let shown = hmac::Key::new(hmac::HMAC_SHA256, shown.as_bytes());
        let is_same = |token: &str| {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes()), PURPOSE);
            hmac::verify(&shown, PURPOSE, tag.as_ref()).is_ok()
        };
        self.tokens.iter().fold(false, |known, token| known | is_same(token))
    }

    /// 32 octets for a purpose from each token, in their order (HMAC-SHA256): nobody learns the token from them.
    pub fn derive(&self, purpose: &str) -> impl Iterator<Item = [u8; 32]> {
        self.tokens.iter().map(move |token| {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes()), purpose.as_bytes());
            let mut octets = [0; 32];
            octets.copy_from_slice(tag.as_ref());
            octets
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(all: &[&str]) -> Tokens {
        Tokens::new(all.iter().map(|token| Box::from(*token)))
    }

    #[test]
    fn each_token_is_known_and_no_other() {
        let two = tokens(&["first-of-two-tokens", "second-of-two-tokens"]);
        assert_eq!(two.own(), Some("first-of-two-tokens"));
        assert!(two.know("first-of-two-tokens") && two.know("second-of-two-tokens"));
        for wrong in ["", "first-of-two-token", "first-of-two-tokens ", "FIRST-OF-TWO-TOKENS"] {
            assert!(!two.know(wrong), "{wrong}");
        }
        assert!(!tokens(&[]).know(""));
    }

    #[test]
    fn what_is_derived_depends_on_token_and_purpose() {
        let derive = |token: &str, purpose: &str| tokens(&[token]).derive(purpose).next().unwrap();
        assert_eq!(derive("a", "seed"), derive("a", "seed"));
        assert_ne!(derive("a", "seed"), derive("b", "seed"));
        assert_ne!(derive("a", "seed"), derive("a", "cookie"));
        // `printf seed | openssl dgst -sha256 -hmac a`
        let hex: String = derive("a", "seed").iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(hex, "2361f51c52337dfd11b7fd10270437426388178aa61b9512b572bf1c1cf03e1e");
    }
}
