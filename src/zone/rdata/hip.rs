//! HIP: a host identity and its rendezvous servers (RFC 8005 §5).

use super::Context;
use crate::diagnostic::Diagnostic;
use crate::zone::layout::name_length;
use crate::zone::lex::Word;

/// Whether these are a tag, a key and names of rendezvous servers.
pub(in crate::zone) fn is_host_identity(octets: &[u8]) -> bool {
    let [tag_length, _algorithm, k0, k1, rest @ ..] = octets else {
        return false;
    };
    let (tag, key) = (usize::from(*tag_length), usize::from(u16::from_be_bytes([*k0, *k1])));
    let Some(mut servers) = rest.get(tag + key..).filter(|_| tag > 0 && key > 0) else {
        return false;
    };
    while !servers.is_empty() {
        match name_length(servers) {
            Some(length) => servers = &servers[length..],
            None => return false,
        }
    }
    true
}

pub(super) fn read(context: &Context<'_>, words: &[Word], out: &mut Vec<u8>, problems: &mut Vec<Diagnostic>) {
    let [algorithm, tag, key, servers @ ..] = words else {
        let message = "the HIP record lacks its host identity tag or its key";
        return problems.push(*context.error(context.type_word, message, Some(WRITTEN.to_owned())));
    };
    let mut results = Vec::new();
    let (mut tag_octets, mut key_octets) = (Vec::new(), Vec::new());
    results.extend(context.hex(&[*tag], &mut tag_octets).err());
    results.extend(context.base64(&[*key], &mut key_octets).err());
    let algorithm = context.u8("algorithm", *algorithm).map_err(|problem| results.push(problem));
    match (u8::try_from(tag_octets.len()), u16::try_from(key_octets.len())) {
        (Ok(tag_length), Ok(key_length)) => {
            out.extend([tag_length, algorithm.unwrap_or(0)]);
            out.extend(key_length.to_be_bytes());
        }
        _ => {
            let message = "the tag has at most 255 octets and the key at most 65535";
            results.push(context.error(*tag, message, None));
        }
    }
    out.append(&mut tag_octets);
    out.append(&mut key_octets);
    for &server in servers {
        match context.name(server) {
            Ok(name) => out.extend_from_slice(name.wire()),
            Err(problem) => results.push(problem),
        }
    }
    problems.extend(results.into_iter().map(|problem| *problem));
}

const WRITTEN: &str = "write algorithm, tag in hexadecimal, key in base64 without blanks, names of servers";
