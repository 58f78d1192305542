//! APL: lists of address prefixes (RFC 3123).

use std::net::IpAddr;

use super::{Context, Problem};
use crate::diagnostic::Diagnostic;
use crate::zone::lex::Word;

/// RFC 3123 §4.1 and §4.2: the families of IPv4 and IPv6.
const IPV4: u16 = 1;
const IPV6: u16 = 2;

/// Whether these are prefixes, one behind the other (RFC 3123 §4).
pub(in crate::zone) fn are_prefixes(octets: &[u8]) -> bool {
    let mut rest = octets;
    while let [f0, f1, prefix, length, after @ ..] = rest {
        let Some((address, after)) = after.split_at_checked(usize::from(length & 0x7f)) else {
            return false;
        };
        let fits = match u16::from_be_bytes([*f0, *f1]) {
            IPV4 => *prefix <= 32 && address.len() <= 4,
            IPV6 => *prefix <= 128 && address.len() <= 16,
            _ => true,
        };
        // RFC 3123 §4: trailing zero octets are left out.
        if !fits || address.last() == Some(&0) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

pub(super) fn read(context: &Context<'_>, words: &[Word], out: &mut Vec<u8>, problems: &mut Vec<Diagnostic>) {
    problems.extend(words.iter().filter_map(|&word| item(context, word, out).err()).map(|problem| *problem));
}

fn item(context: &Context<'_>, word: Word, out: &mut Vec<u8>) -> Result<(), Problem> {
    let text = context.text(word);
    let (is_negated, item) = text.strip_prefix('!').map_or((false, text), |item| (true, item));
    let parts = item.split_once(':').and_then(|(family, rest)| Some((family, rest.split_once('/')?)));
    let Some((family, (address, prefix))) = parts else {
        return Err(context.error(word, format!("`{text}` is not an address prefix"), Some(WRITTEN.to_owned())));
    };
    let family = context.u16_of(word, "address family", family)?;
    let address = match family {
        IPV4 => IpAddr::V4(context.ipv4_of(word, address)?),
        IPV6 => IpAddr::V6(context.ipv6_of(word, address)?),
        _ => {
            let message = format!("family {family} has no text form: 1 is IPv4, 2 is IPv6");
            return Err(context.error(word, message, Some(WRITTEN.to_owned())));
        }
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = context.number_of(word, "prefix length", prefix, most)? as u8;
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let length = octets.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
    out.extend(family.to_be_bytes());
    out.extend([prefix, u8::from(is_negated) << 7 | length as u8]);
    out.extend_from_slice(&octets[..length]);
    Ok(())
}

const WRITTEN: &str = "write family, address and length: `1:192.0.2.0/24`, `!2:2001:db8::/32`";
