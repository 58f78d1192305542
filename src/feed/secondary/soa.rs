//! The SOA record with a secondary's eyes: serials that go round (RFC 1982), and times.
#![deny(clippy::disallowed_methods)]

/// What a secondary goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Soa {
    /// The version of the zone.
    pub serial: u32,
    /// Seconds from one look at a primary to the next.
    pub refresh: u32,
    /// The same while none answers.
    pub retry: u32,
    /// Seconds for which the zone is served without an answer.
    pub expire: u32,
}

impl Soa {
    /// Of the data of the record; none if they are too short.
    pub fn of(rdata: &[u8]) -> Option<Self> {
        let tail = rdata.last_chunk::<20>()?;
        let number = |at: usize| u32::from_be_bytes([tail[at], tail[at + 1], tail[at + 2], tail[at + 3]]);
        Some(Self { serial: number(0), refresh: number(4), retry: number(8), expire: number(12) })
    }
}

/// Whether a serial is above another (RFC 1982 §3.2); of two that are 2³¹ apart neither is.
pub fn is_newer(serial: u32, than: u32) -> bool {
    (1..1 << 31).contains(&serial.wrapping_sub(than))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_go_round() {
        for (one, two, expected) in [
            (2, 1, true),
            (1, 1, false),
            (1, 2, false),
            (0, u32::MAX, true),
            (u32::MAX, 0, false),
            (1 << 31, 0, false),
            (0, 1 << 31, false),
            ((1 << 31) - 1, 0, true),
        ] {
            assert_eq!(is_newer(one, two), expected, "{one} {two}");
        }
    }
}
