//! Zone files are octets (RFC 1035 §5.1), messages about them are text: how octets that are no text become it.

/// The text of a zone file. Octets that are not UTF-8 stand in it as `\DDD`, which means the same.
pub fn text_of(octets: Vec<u8>) -> String {
    let octets = match String::from_utf8(octets) {
        Ok(text) => return text,
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(octets.len() + octets.len() / 8);
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        for octet in chunk.invalid() {
            // Behind a backslash that is not itself escaped, the octet stands for itself: there the digits do.
            let backslashes = text.bytes().rev().take_while(|&before| before == b'\\').count();
            let backslash = if backslashes % 2 == 1 { "" } else { "\\" };
            text.push_str(&format!("{backslash}{octet:03}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_that_are_no_text_become_escapes() {
        for (octets, expected) in [
            (&b"a A 192.0.2.1"[..], "a A 192.0.2.1"),
            ("ä \u{0}".as_bytes(), "ä \u{0}"),
            (b"\xe4\xff TXT \"\xc3\"", "\\228\\255 TXT \"\\195\""),
            (b"a\\\xe4 b\\\\\xe4", "a\\228 b\\\\\\228"),
        ] {
            assert_eq!(text_of(octets.to_vec()), expected);
        }
    }
}
