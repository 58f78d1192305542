//! DNS cookies: what a client sent, and what this server makes and knows again (RFC 7873, RFC 9018).

use std::hash::Hasher;
use std::net::IpAddr;

use arrayvec::ArrayVec;
use siphasher::sip::SipHasher24;

use super::edns::Malformed;

/// Octets of a client's cookie (RFC 7873 §4.1).
const CLIENT: usize = 8;
/// The only version there is (RFC 9018 §4.1).
const VERSION: u8 = 1;
/// How old a cookie may be, in seconds (RFC 9018 §4.3).
const MAX_AGE: u32 = 3_600;
/// How far ahead of us the clock of the server that made it may be, in seconds (RFC 9018 §4.3).
const MAX_AHEAD: u32 = 300;
/// The most secrets that are known at a time: the one in use, the one before it, and one to come (RFC 9018 §5).
pub const MAX_SECRETS: usize = 4;

/// A server's cookie as this server makes it: version, three octets reserved, time stamp, hash (RFC 9018 §4).
pub type ServerCookie = [u8; 16];
/// The key of the hash (RFC 9018 §4.4).
pub type Secret = [u8; 16];

/// What a query's COOKIE option holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie<'m> {
    /// The client's, eight octets, to be echoed.
    pub client: &'m [u8],
    /// That of a server, 8 to 32 octets, or none.
    pub server: &'m [u8],
}

impl<'m> Cookie<'m> {
    /// Octets of the option in a reply.
    pub(super) const MAX_REPLY: usize = CLIENT + size_of::<ServerCookie>();

    /// Reads the option's data; RFC 7873 §5.2.2: other lengths are malformed.
    pub(super) fn read(data: &'m [u8]) -> Result<Self, Malformed> {
        match data.len() {
            8 | 16..=40 => {
                let (client, server) = data.split_at(CLIENT);
                Ok(Self { client, server })
            }
            _ => Err(Malformed),
        }
    }
}

/// The secrets that cookies are made and known by: the first makes, all of them know.
///
/// Servers that share an address, or a name, have to share them. Without any there are no cookies.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Secrets {
    secrets: ArrayVec<Secret, MAX_SECRETS>,
}

// Secrets are not for logs.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.secrets.len())
    }
}

impl Secrets {
    /// These, the one to make cookies by first; those beyond `MAX_SECRETS` are left out.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self { secrets: secrets.into_iter().take(MAX_SECRETS).collect() }
    }

    /// A fresh cookie for a client that sent its own; `now` in seconds since 1970.
    pub fn make(&self, client_cookie: &[u8], client: IpAddr, now: u32) -> Option<ServerCookie> {
        self.secrets.first().map(|secret| seal(secret, client_cookie, client, now))
    }

    /// Whether this server, or one that shares its secrets, made the cookie for this client within the hour.
    pub fn know(&self, cookie: &Cookie<'_>, client: IpAddr, now: u32) -> bool {
        let Ok(server) = ServerCookie::try_from(cookie.server) else { return false };
        let [VERSION, _, _, _, t0, t1, t2, t3, ..] = server else { return false };
        let made = u32::from_be_bytes([t0, t1, t2, t3]);
        // RFC 1982: the stamp is a serial number, so that it may wrap in 2106.
        let is_recent = now.wrapping_sub(made) <= MAX_AGE || made.wrapping_sub(now) <= MAX_AHEAD;
        is_recent && self.secrets.iter().any(|secret| seal(secret, cookie.client, client, made) == server)
    }
}

/// RFC 9018 §4.4: SipHash-2-4 of client cookie, version, reserved octets, time stamp and client address. The reserved
/// octets are 0, in what other servers made too (§4.2).
fn seal(secret: &Secret, client_cookie: &[u8], client: IpAddr, made: u32) -> ServerCookie {
    let mut cookie = [0; 16];
    cookie[0] = VERSION;
    cookie[4..8].copy_from_slice(&made.to_be_bytes());
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(client_cookie);
    hasher.write(&cookie[..8]);
    match client {
        IpAddr::V4(address) => hasher.write(&address.octets()),
        IpAddr::V6(address) => hasher.write(&address.octets()),
    }
    cookie[8..].copy_from_slice(&hasher.finish().to_le_bytes());
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn secret(text: &str) -> Secret {
        hex(text).try_into().unwrap()
    }

    /// RFC 9018, appendix A.
    #[test]
    fn the_test_vectors_of_the_rfc_hold() {
        let old = secret("e5e973e5a6b2a43f48e7dc849e37bfcf");
        let new = secret("445536bcd2513298075a5d379663c962");
        for (by, client, address, now, expected) in [
            (old, "2464c4abcf10c957", "198.51.100.100", 1_559_731_985, "010000005cf79f111f8130c3eee29480"),
            (old, "fc93fc62807ddb86", "203.0.113.203", 1_559_734_700, "010000005cf7a9acf73a7810aca2381e"),
            (
                new,
                "22681ab97d52c298",
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                1_559_741_961,
                "010000005cf7c609a6bb79d16625507a",
            ),
        ] {
            let address = address.parse().unwrap();
            let made = Secrets::new([by]).make(&hex(client), address, now);
            assert_eq!(made, Some(hex(expected).try_into().unwrap()), "{client}");
        }
    }

    #[test]
    fn a_cookie_is_known_for_an_hour_by_all_who_share_the_secret_and_for_its_client_only() {
        let [mine, other] = [[1; 16], [2; 16]];
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let client = [9; 8];
        let made = Secrets::new([mine]).make(&client, address, 10_000).unwrap();
        let knows = |secrets: &[Secret], client: &[u8], address: &str, now| {
            let cookie = Cookie { client, server: &made };
            Secrets::new(secrets.iter().copied()).know(&cookie, address.parse().unwrap(), now)
        };
        assert!(knows(&[mine], &client, "192.0.2.1", 10_000));
        assert!(knows(&[other, mine], &client, "192.0.2.1", 13_600), "a rolled secret still knows");
        assert!(knows(&[mine], &client, "192.0.2.1", 9_700), "a clock five minutes behind");
        for (secrets, client, address, now, because) in [
            (&[mine][..], client, "192.0.2.1", 13_601, "too old"),
            (&[mine], client, "192.0.2.1", 9_699, "from the future"),
            (&[other], client, "192.0.2.1", 10_000, "another secret"),
            (&[], client, "192.0.2.1", 10_000, "no secret"),
            (&[mine], [8; 8], "192.0.2.1", 10_000, "another client's cookie"),
            (&[mine], client, "192.0.2.2", 10_000, "another address"),
        ] {
            assert!(!knows(secrets, &client, address, now), "{because}");
        }
    }

    #[test]
    fn stamps_wrap() {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let secrets = Secrets::new([[1; 16]]);
        let made = secrets.make(&[9; 8], address, u32::MAX - 10).unwrap();
        assert!(secrets.know(&Cookie { client: &[9; 8], server: &made }, address, 100));
    }

    #[test]
    fn lengths_are_those_of_the_rfc() {
        for length in 0..50 {
            let is_right = length == 8 || (16..=40).contains(&length);
            assert_eq!(Cookie::read(&vec![0; length]).is_ok(), is_right, "{length}");
        }
    }
}
