//! Whose a request is: the peer's, unless a trusted proxy says otherwise.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, header};

use crate::geo::Prefix;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client of a request: the last one in the chain of proxies that no trusted one stands for. Whatever is before that
/// anybody can have written.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Prefix]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|prefix| prefix.contains(*address));
    let mut client = peer.to_canonical();
    for told in chain(headers).into_iter().rev() {
        if !is_trusted(&client) {
            return client;
        }
        // What is no address was not written by a proxy of ours.
        let Some(before) = told else { return client };
        client = before;
    }
    client
}

/// Whether a proxy that is trusted has sent the request.
pub(super) fn is_proxied(peer: IpAddr, trusted: &[Prefix]) -> bool {
    trusted.iter().any(|prefix| prefix.contains(peer.to_canonical()))
}

/// The addresses in the order in which proxies have added them; none for what is no address, such as `unknown`.
fn chain(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let lines = |name| headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    if headers.contains_key(X_FORWARDED_FOR) {
        return lines(X_FORWARDED_FOR).flat_map(|line| line.split(',')).map(address).collect();
    }
    lines(header::FORWARDED).flat_map(|line| line.split(',')).map(forwarded).collect()
}

/// The address of an element of Forwarded (RFC 7239 §4, §6): `for="[2001:db8::1]:4711"`.
fn forwarded(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") { address(value.trim().trim_matches('"')) } else { None }
    })
}

/// An address, in brackets or not, with a port or not.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _port)) => address,
        None => match text.rsplit_once(':') {
            Some((address, _port)) if !address.contains(':') => address,
            _ => text,
        },
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(peer: &str, lines: &[(&'static str, &'static str)]) -> String {
        let trusted: Vec<Prefix> =
            ["10.0.0.0/8", "2001:db8:1::/48"].iter().map(|prefix| prefix.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_what_they_added() {
        const XFF: &str = "x-forwarded-for";
        for (peer, lines, expected) in [
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &[(XFF, "198.51.100.7")], "192.0.2.1"),
            ("10.0.0.1", &[(XFF, "198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[(XFF, "203.0.113.9, 198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[(XFF, "198.51.100.7, 10.1.1.1")], "198.51.100.7"),
            ("10.0.0.1", &[(XFF, "198.51.100.7"), (XFF, "10.1.1.1")], "198.51.100.7"),
            ("10.0.0.1", &[(XFF, "nonsense")], "10.0.0.1"),
            ("10.0.0.1", &[(XFF, "198.51.100.7:4711")], "198.51.100.7"),
            ("10.0.0.1", &[(XFF, "[2001:db8::7]:4711")], "2001:db8::7"),
            ("::ffff:10.0.0.1", &[(XFF, "::ffff:198.51.100.7")], "198.51.100.7"),
            (
                "2001:db8:1::1",
                &[("forwarded", "for=198.51.100.7;proto=https, FOR=\"[2001:db8:1::2]\"")],
                "198.51.100.7",
            ),
            ("10.0.0.1", &[("forwarded", "for=unknown")], "10.0.0.1"),
            ("10.0.0.1", &[("forwarded", "by=198.51.100.7")], "10.0.0.1"),
            ("10.0.0.1", &[("forwarded", "for=203.0.113.9"), (XFF, "198.51.100.7")], "198.51.100.7"),
        ] {
            assert_eq!(of(peer, lines), expected, "{peer} {lines:?}");
        }
    }
}
