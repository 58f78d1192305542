//! Signed requests: who has a secret may ask for another client, until a time.
//!
//! The parameters `expires` (seconds since 1970) and `sign` come last of all: `sign` is HMAC-SHA256, in hexadecimal digits, over
//! the path, a question mark, and all other pairs as they stand in the URL, in the order of their octets, joined by `&`.

use super::refusal::Refusal;
use crate::snapshot::UrlKeys;

/// Octets of a signature.
const LENGTH: usize = 32;

/// Whether a request is signed, at `now` in seconds since 1970; a signature that is wrong or over is refused.
pub(super) fn is_signed(path: &str, query: &str, keys: &UrlKeys, now: u64) -> Result<bool, Refusal> {
    let (mut pairs, mut sign, mut expires) = (Vec::new(), None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if let Some(value) = pair.strip_prefix("sign=") {
            sign = Some(value);
            continue;
        }
        if let Some(value) = pair.strip_prefix("expires=") {
            expires = Some(value);
        }
        pairs.push(pair);
    }
    let Some(sign) = sign else { return Ok(false) };
    pairs.sort_unstable();
    let forged =
        || Refusal::forbidden("`sign` is not the signature of this request by a secret of `server.http_dns.secrets`");
    let signature = octets(sign).ok_or_else(forged)?;
    if !keys.have_signed(format!("{path}?{}", pairs.join("&")).as_bytes(), &signature) {
        return Err(forged());
    }
    match expires.and_then(|expires| expires.parse::<u64>().ok()) {
        Some(end) if now < end => Ok(true),
        Some(end) => Err(Refusal::forbidden(format!("the signature has expired {} s ago", now - end))),
        None => Err(Refusal::forbidden("a signed request needs `expires`, in seconds since 1970")),
    }
}

fn octets(digits: &str) -> Option<[u8; LENGTH]> {
    let mut octets = [0; LENGTH];
    if digits.len() != 2 * LENGTH || !digits.is_ascii() {
        return None;
    }
    for (at, octet) in octets.iter_mut().enumerate() {
        *octet = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(octets)
}

/// Octets as they stand in URLs: all but those that mean nothing there (RFC 3986 §2.3) and slashes are written by their numbers.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => escaped.push(octet.into()),
            _ => escaped += &format!("%{octet:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use ring::hmac;

    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn signed(text: &str) -> String {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), text.as_bytes());
        tag.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
    }

    fn judge(query: &str, now: u64) -> Result<bool, Refusal> {
        is_signed("/v1/route", query, &UrlKeys::new([SECRET]), now)
    }

    #[test]
    fn a_signature_covers_path_and_parameters_in_any_order_until_it_expires() {
        let sign = signed("/v1/route?client=192.0.2.1&expires=1000&name=play.live.example");
        let query = format!("name=play.live.example&client=192.0.2.1&sign={sign}&expires=1000");
        assert_eq!(judge(&query, 999), Ok(true));
        assert!(judge(&query, 1_000).is_err(), "it is over");
        assert_eq!(judge("name=play.live.example", 999), Ok(false));
        assert!(judge(&query.replace("192.0.2.1", "192.0.2.2"), 999).is_err(), "for another client");
        assert!(judge(&format!("{query}&n=2"), 999).is_err(), "with more in it");
        assert!(is_signed("/d", &query, &UrlKeys::new([SECRET]), 999).is_err(), "for another door");
        assert!(is_signed("/v1/route", &query, &UrlKeys::new(["another secret"]), 999).is_err());
        assert!(is_signed("/v1/route", &query, &UrlKeys::default(), 999).is_err());
        for wrong in ["", "00", &"é".repeat(32), &"zz".repeat(32)] {
            assert!(judge(&format!("name=a&sign={wrong}&expires=1000"), 999).is_err(), "{wrong}");
        }
        let endless = signed("/v1/route?name=a");
        assert!(judge(&format!("name=a&sign={endless}"), 999).is_err(), "no end");
    }
}
