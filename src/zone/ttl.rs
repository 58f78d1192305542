//! Times in zone files: seconds, or numbers with units as in `1h30m`.

/// The longest TTL (RFC 2181 §8).
pub(super) const MAX_TTL: u32 = i32::MAX as u32;

/// What is wrong with a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TtlError {
    /// It is not a number with or without units.
    NotATime,
    /// It has more than 32 bits.
    TooLong,
}

/// Reads a number of seconds, or numbers each followed by a unit: `w`, `d`, `h`, `m`, `s` in either case.
pub(super) fn seconds(text: &str) -> Result<u32, TtlError> {
    let mut total = 0u64;
    let mut number = None;
    let mut has_units = false;
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(TtlError::NotATime);
    }
    for byte in text.bytes() {
        let scale = match byte.to_ascii_lowercase() {
            b'0'..=b'9' => {
                // Numbers of any length are read to their end, so that `TooLong` and `NotATime` stay apart.
                let digit = u64::from(byte - b'0');
                number = Some((number.unwrap_or(0u64) * 10 + digit).min(u64::from(u32::MAX) + 1));
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return Err(TtlError::NotATime),
        };
        total = total.saturating_add(number.take().ok_or(TtlError::NotATime)? * scale);
        has_units = true;
    }
    match number {
        // `1h30` says nothing about what thirty it is.
        Some(_) if has_units => return Err(TtlError::NotATime),
        Some(plain) => total = plain,
        None => {}
    }
    u32::try_from(total).map_err(|_| TtlError::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_units() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("300", Ok(300)),
            ("1h30m", Ok(5_400)),
            ("1W2D3H4M5S", Ok(604_800 + 2 * 86_400 + 3 * 3_600 + 245)),
            ("4294967295", Ok(u32::MAX)),
            ("4294967296", Err(TtlError::TooLong)),
            ("99999999999999999999999999999w9w", Err(TtlError::TooLong)),
            ("", Err(TtlError::NotATime)),
            ("h", Err(TtlError::NotATime)),
            ("1hh", Err(TtlError::NotATime)),
            ("1h30", Err(TtlError::NotATime)),
            ("-1", Err(TtlError::NotATime)),
            ("1y", Err(TtlError::NotATime)),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
