//! Addresses and URLs as operators write them, and the right spelling of what they write wrongly.
#![deny(clippy::disallowed_methods)]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::Uri;

use crate::pool::Check;

use super::tree::Item;
use super::value::{Reading, Wrong, shown, string, write, wrong};

/// Stands in a URL for the node's first address.
const PLACEHOLDER: &str = "{address}";

/// An address and port to listen on.
pub(super) fn listen(item: &Item, usual_port: u16) -> Reading<SocketAddr> {
    let expected = "an address with a port";
    let numbers = || {
        let (v4, v6) = (format!("127.0.0.1:{usual_port}"), format!("[::1]:{usual_port}"));
        format!("write it in numbers, such as `\"{v4}\"` or `\"{v6}\"`; names are not looked up")
    };
    let text = string(item, expected).map_err(|wrong| wrong.help(numbers()))?;
    text.parse().map_err(|_| {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let help = match (bare.parse::<IpAddr>(), text.strip_prefix(':').or_else(|| text.strip_prefix("*:"))) {
            (Ok(address), _) => write(SocketAddr::new(address, usual_port).to_string()),
            (_, Some(port)) => {
                format!("write `\"0.0.0.0:{port}\"` for all IPv4 addresses, `\"[::]:{port}\"` for all IPv6 ones")
            }
            _ => numbers(),
        };
        wrong(item, expected).help(help)
    })
}

/// The address of a node, to be named to viewers.
pub(super) fn of_node(item: &Item) -> Reading<IpAddr> {
    let expected = "an address";
    let text = string(item, expected)?;
    let address: IpAddr = text.parse().map_err(|_| wrong(item, expected).help(spell(text)))?;
    let why = match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            let v4 = v6.to_ipv4_mapped().map(|v4| v4.to_string()).unwrap_or_default();
            return Err(
                Wrong::new(format!("{} is an IPv4 address in the form of an IPv6 one", shown(item))).help(write(v4))
            );
        }
        _ if address.is_unspecified() => "is no machine's address",
        _ if address.is_multicast() => "is a multicast address, not one machine's",
        IpAddr::V4(v4) if v4.is_broadcast() => "is the broadcast address, not one machine's",
        IpAddr::V4(_) | IpAddr::V6(_) => return Ok(address),
    };
    let help = "write the address at which viewers reach the node";
    Err(Wrong::new(format!("{} {why}", shown(item))).help(help))
}

/// What may have been meant by a text that is no address.
fn spell(text: &str) -> String {
    let bare = text.split('/').next().unwrap_or(text);
    let bare = bare.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(bare);
    match (text.parse::<SocketAddr>(), bare.parse::<IpAddr>()) {
        (Ok(with_port), _) => format!("write it without the port: `\"{}\"`", with_port.ip()),
        (_, Ok(address)) => write(address.to_string()),
        _ => {
            "write it in numbers, such as `\"198.51.100.10\"` or `\"2001:db8::10\"`; names are not looked up".to_owned()
        }
    }
}

/// How it is found out whether a node serves: `tcp:PORT`, or a URL in which `{address}` may stand.
pub(super) fn check(item: &Item) -> Reading<Check> {
    let expected = "a check: `\"tcp:1935\"`, or a URL such as `\"http://{address}/health\"`";
    let text = string(item, expected).map_err(|wrong| wrong.maybe_help(port_alone(item)))?;
    if let Some(port) = text.strip_prefix("tcp:") {
        let help = "write the port alone, as in `\"tcp:1935\"`: it is tried at the node's address";
        let port = port.parse().ok().filter(|&port: &u16| port > 0);
        return port.map(Check::Tcp).ok_or_else(|| {
            Wrong::new(format!("{} is not a check: no port from 1 to 65535 follows `tcp:`", shown(item))).help(help)
        });
    }
    if !text.contains("://") {
        let help = text.parse().ok().filter(|&port: &u16| port > 0).map(|port| write(format!("tcp:{port}")));
        return Err(wrong(item, expected).maybe_help(help));
    }
    url(item, text, "a check").map(Check::Http)
}

/// The spelling of a check that was written as a bare number.
fn port_alone(item: &Item) -> Option<String> {
    let port: u16 = item.place.text().parse().ok()?;
    (port > 0).then(|| write(format!("tcp:{port}")))
}

/// The URL of an exporter, in which `{address}` may stand.
pub(super) fn exporter(item: &Item) -> Reading<String> {
    let expected = "a URL such as `\"http://{address}:9100/metrics\"`";
    url(item, string(item, expected)?, "a URL of an exporter")
}

/// The URL of a list of nodes.
pub(super) fn list_url(item: &Item) -> Reading<String> {
    let text = string(item, "a URL such as `\"https://inventory.example/nodes\"`")?;
    if text.contains(PLACEHOLDER) {
        return Err(Wrong::new(format!("{} is not the URL of a list: no node is known yet", shown(item))));
    }
    url(item, text, "the URL of a list")
}

fn url(item: &Item, text: &str, what: &str) -> Reading<String> {
    // Any address shows whether the rest is right.
    let filled = fill(text, Ipv6Addr::LOCALHOST.into());
    let because = |why: &str| Wrong::new(format!("{} is not {what}: {why}", shown(item)));
    if let Some(start) = filled.find(['{', '}']) {
        let end = filled[start..].find('}').map_or(filled.len(), |length| start + length + 1);
        let why = format!("only `{PLACEHOLDER}` is filled in, not `{}`", &filled[start..end]);
        return Err(because(&why));
    }
    // The same parser that the scraper's client has, so that what passes here can be asked there.
    let uri: Uri = match filled.parse() {
        Ok(uri) => uri,
        Err(_) if !text.contains("://") => {
            return Err(because("it has no scheme").help(write(format!("http://{text}"))));
        }
        Err(_) => {
            let help = "write `\"http://{address}:9100/metrics\"`; an IPv6 address stands in brackets";
            return Err(because("host and port cannot be read").help(help));
        }
    };
    let Some(authority) = uri.authority().filter(|_| matches!(uri.scheme_str(), Some("http" | "https"))) else {
        let help = (!text.contains("://")).then(|| write(format!("http://{text}")));
        return Err(because("it must begin with `http://` or `https://`").maybe_help(help));
    };
    let rest = authority.as_str().strip_prefix(authority.host()).unwrap_or("@");
    match (authority.host(), rest, authority.port_u16()) {
        ("" | "[]", _, _) => Err(because("the host is missing")),
        (_, "", None) => Ok(text.to_owned()),
        (_, _, Some(1..)) if !rest.contains('@') => Ok(text.to_owned()),
        _ if rest.contains('@') => Err(because("a user and a password cannot be given")),
        _ => Err(because("the port must be a number from 1 to 65535")),
    }
}

/// Puts the address where `{address}` stands.
pub(super) fn fill(url: &str, address: IpAddr) -> String {
    let host = match address {
        IpAddr::V4(v4) => v4.to_string(),
        // RFC 3986 §3.2.2: brackets keep its colons apart from the port's.
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    url.replace(PLACEHOLDER, &host)
}
