//! IPSECKEY and AMTRELAY: what they name is an address of either family, a name or nothing (RFC 4025, RFC 8777).

use super::{Context, Problem};
use crate::diagnostic::Diagnostic;
use crate::zone::layout::name_length;
use crate::zone::lex::Word;

/// RFC 4025 §2.3, RFC 8777 §4.2.3: both types share these numbers.
const NOTHING: u8 = 0;
const IPV4: u8 = 1;
const IPV6: u8 = 2;
const NAME: u8 = 3;

/// RFC 8777 §4.2.2: the discovery bit shares its octet with the type of the relay.
const DISCOVERY: u8 = 0x80;

/// Whether this is IPSECKEY behind its precedence: gateway type, algorithm, gateway, key.
pub(in crate::zone) fn is_gateway(octets: &[u8]) -> bool {
    let [gateway_type, algorithm, rest @ ..] = octets else {
        return false;
    };
    let key = length(*gateway_type, rest).and_then(|length| rest.get(length..));
    // RFC 4025 §2.4: algorithm 0 says that there is no key.
    key.is_some_and(|key| !key.is_empty() || *algorithm == 0)
}

/// Whether this is AMTRELAY behind its precedence; RFC 8777 leaves the types from 4 on to the future.
pub(in crate::zone) fn is_relay(octets: &[u8]) -> bool {
    octets.split_first().is_some_and(|(relay_type, rest)| {
        let relay_type = relay_type & !DISCOVERY;
        relay_type > NAME || length(relay_type, rest) == Some(rest.len())
    })
}

/// Octets of the gateway that these begin with.
fn length(gateway_type: u8, rest: &[u8]) -> Option<usize> {
    match gateway_type {
        NOTHING => Some(0),
        IPV4 => Some(4),
        IPV6 => Some(16),
        NAME => name_length(rest),
        _ => None,
    }
}

pub(super) fn read_gateway(context: &Context<'_>, words: &[Word], out: &mut Vec<u8>, problems: &mut Vec<Diagnostic>) {
    let [type_word, rest @ ..] = words else {
        return;
    };
    let [algorithm, gateway, key @ ..] = rest else {
        let message = "the IPSECKEY record lacks its algorithm or its gateway";
        return problems.push(*context.error(*type_word, message, Some(WRITTEN_GATEWAY.to_owned())));
    };
    let gateway_type = context.number("gateway type", *type_word, u32::from(NAME)).map(|number| number as u8);
    let algorithm = context.u8("algorithm", *algorithm);
    out.extend(gateway_type.as_ref().ok());
    out.extend(algorithm.as_ref().ok());
    let is_key_expected = !matches!(algorithm, Ok(0)) || !key.is_empty();
    let results = [
        gateway_type.and_then(|gateway_type| read(context, gateway_type, *gateway, out)),
        algorithm.map(|_| ()),
        match key {
            [] if is_key_expected => {
                let message = "the IPSECKEY record lacks its key";
                Err(context.error(*gateway, message, Some("only algorithm 0 has none".to_owned())))
            }
            key => context.base64(key, out),
        },
    ];
    problems.extend(results.into_iter().filter_map(Result::err).map(|problem| *problem));
}

pub(super) fn read_relay(context: &Context<'_>, words: &[Word], out: &mut Vec<u8>, problems: &mut Vec<Diagnostic>) {
    let [discovery_word, rest @ ..] = words else {
        return;
    };
    let [type_word, relay, surplus @ ..] = rest else {
        let message = "the AMTRELAY record lacks its relay";
        return problems.push(*context.error(*discovery_word, message, Some(WRITTEN_RELAY.to_owned())));
    };
    let discovery = context.number("discovery bit", *discovery_word, 1);
    let relay_type = context.number("relay type", *type_word, u32::from(NAME)).map(|number| number as u8);
    if let (Ok(discovery), Ok(relay_type)) = (&discovery, &relay_type) {
        out.push((*discovery as u8) << 7 | relay_type);
    }
    let results = [
        discovery.map(|_| ()),
        relay_type.and_then(|relay_type| read(context, relay_type, *relay, out)),
        match surplus.first() {
            Some(&word) => {
                let message = "the AMTRELAY record has surplus data";
                Err(context.error(word, message, Some(WRITTEN_RELAY.to_owned())))
            }
            None => Ok(()),
        },
    ];
    problems.extend(results.into_iter().filter_map(Result::err).map(|problem| *problem));
}

fn read(context: &Context<'_>, gateway_type: u8, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
    match gateway_type {
        IPV4 => out.extend(context.ipv4(word)?.octets()),
        IPV6 => out.extend(context.ipv6(word)?.octets()),
        NAME => out.extend_from_slice(context.name(word)?.wire()),
        _ if context.text(word) == "." => {}
        _ => {
            let message = format!("`{}` where `.` is expected: type 0 says that there is none", context.text(word));
            let help = "the types are 1 for IPv4, 2 for IPv6, 3 for a name";
            return Err(context.error(word, message, Some(help.to_owned())));
        }
    }
    Ok(())
}

const WRITTEN_GATEWAY: &str =
    "write as in `IPSECKEY 10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==`";
const WRITTEN_RELAY: &str = "write as in `AMTRELAY 10 0 1 203.0.113.15`";
