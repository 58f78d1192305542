//! Addresses and URLs as operators write them, and the right spelling of what they write wrongly.
#![deny(clippy::disallowed_methods)]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::Uri;

use crate::diagnostic::nearest;
use crate::pool::{Check, PLACEHOLDER, fill};

use super::tree::Item;
use super::value::{Reading, Wrong, shown, string, write, wrong};

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
        _ if is_machine(address) => return Ok(address),
        _ => "is the broadcast address, not one machine's",
    };
    let help = "write the address at which viewers reach the node";
    Err(Wrong::new(format!("{} {why}", shown(item))).help(help))
}

/// Whether an address is that of one machine, as viewers may be told.
pub fn is_machine(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()),
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast() || v6.to_ipv4_mapped().is_some()),
    }
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

/// How it is found out whether a node serves: `tcp:PORT`, `rtmp:PORT`, `tls:PORT`, or a URL in which `{address}` may stand,
/// with the status that is expected behind it if only one will do.
pub(super) fn check(item: &Item) -> Reading<Check> {
    let expected =
        "a check: `\"tcp:1935\"`, `\"rtmp:1935\"`, `\"tls:443\"`, or a URL such as `\"http://{address}/health\"`";
    let text = string(item, expected).map_err(|wrong| wrong.maybe_help(port_alone(item.place.text())))?;
    if text.starts_with("http://") || text.starts_with("https://") {
        return check_of_url(item, text);
    }
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    let made: fn(u16) -> Check = match kind {
        "tcp" => Check::Tcp,
        "rtmp" => Check::Rtmp,
        "tls" => Check::Tls,
        _ if text.contains("://") => {
            let wrong = Wrong::new(format!("{} is not a check: no URL of http or https", shown(item)));
            return Err(wrong.maybe_help(meant_kind(kind, rest)));
        }
        _ => return Err(wrong(item, expected).maybe_help(port_alone(text).or_else(|| meant_kind(kind, rest)))),
    };
    port(rest).map(made).ok_or_else(|| {
        let message = format!("{} is not a check: no port from 1 to 65535 follows `{kind}:`", shown(item));
        let meant = port_in(rest).unwrap_or(if kind == "tls" { 443 } else { 1935 });
        let help = format!("write the port alone, as in `\"{kind}:{meant}\"`: it is tried at the node's address");
        Wrong::new(message).help(help)
    })
}

fn check_of_url(item: &Item, text: &str) -> Reading<Check> {
    let Some((address, status)) = text.trim_end().split_once(char::is_whitespace) else {
        return url(item, text, "a check").map(|url| Check::Http { url, status: None });
    };
    let status = status.trim();
    let known = status
        .parse()
        .ok()
        .filter(|status| (100..=599).contains(status) && text.ends_with(|c: char| c.is_ascii_digit()));
    let Some(status) = known else {
        let why = format!("{} is not a check: no status from 100 to 599 follows the URL, but `{status}`", shown(item));
        return Err(Wrong::new(why).help(write(format!("{address} 200"))));
    };
    url(item, address, "a check").map(|url| Check::Http { url, status: Some(status) })
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

/// The port at the end of something longer: `//{address}:1935/live`, `198.51.100.11:1935`.
fn port_in(text: &str) -> Option<u16> {
    let authority = text.trim_start_matches('/').split('/').next().unwrap_or(text);
    port(authority.rsplit(':').next()?)
}

/// The spelling of a check that was written as a bare number.
fn port_alone(text: &str) -> Option<String> {
    port(text).map(|port| write(format!("tcp:{port}")))
}

/// The spelling of a check whose kind was misspelt, or left without a port.
fn meant_kind(kind: &str, rest: &str) -> Option<String> {
    // RTMP over TLS; what is behind the handshake is not asked anyway.
    let meant = if kind == "rtmps" { "tls" } else { nearest(kind, ["tcp", "rtmp", "tls", "http", "https"])? };
    match meant {
        scheme @ ("http" | "https") => Some(write(format!("{scheme}://{}", rest.trim_start_matches('/')))),
        kind => Some(write(format!("{kind}:{}", port_in(rest)?))),
    }
}

/// Stands in place of an exporter's URL where a Prometheus server has its load, alone or with the target's label behind a
/// colon.
const PROMETHEUS: &str = "prometheus";
const EXPORTER: &str = "a URL of an exporter";

/// The URL of an exporter, in which `{address}` may stand.
pub(super) fn exporter(item: &Item) -> Reading<String> {
    let expected = "a URL such as `\"http://{address}:9100/metrics\"`";
    let text = string(item, expected)?;
    match text.strip_prefix(PROMETHEUS) {
        Some("") => Ok(text.to_owned()),
        Some(rest) if rest.len() > 1 && rest.starts_with(':') => Ok(text.to_owned()),
        _ => url(item, text, EXPORTER),
    }
}

/// The URL of a Prometheus server, up to `/api/v1`.
pub(super) fn prometheus(item: &Item) -> Reading<String> {
    let text = url(item, string(item, "a URL such as `\"http://127.0.0.1:9090\"`")?, "a URL of a Prometheus server")?;
    match text.split_once("/api/v1") {
        Some((server, _)) => Err(wrong(item, "a URL of a Prometheus server").help(write(server))),
        None => Ok(text),
    }
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
        _ if rest.contains('@') => Err(because("a user and a password cannot be given in it")
            .maybe_help((what == EXPORTER).then(|| BASIC.to_owned()))),
        _ => Err(because("the port must be a number from 1 to 65535")),
    }
}

/// Where a user and a password stand instead of in a URL, which is shown in logs.
const BASIC: &str = "write `{ url = \"…\", basic = { user = \"…\", password_file = \"…\" } }`";

/// The name that a server's certificate must have: a host or an address.
pub(super) fn server_name(item: &Item) -> Reading<String> {
    let expected = "the name of a host, such as `\"exporter.example\"`";
    let text = string(item, expected)?;
    let is_host = text.parse::<IpAddr>().is_ok()
        || (!text.is_empty()
            && text.len() <= 253
            && text.split('.').all(|label| {
                let is_inside =
                    label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'));
                (1..=63).contains(&label.len()) && is_inside
            }));
    if is_host { Ok(text.to_owned()) } else { Err(wrong(item, expected)) }
}
