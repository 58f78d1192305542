//! The services of a WKS record: one bit for each port (RFC 1035 §3.4.2).

use super::Context;
use crate::diagnostic::Diagnostic;
use crate::zone::lex::Word;

/// Octets that have a bit for every port.
const MAX_OCTETS: usize = 1 << 13;

/// Whether this is a bitmap of ports without zeros at its end.
pub(in crate::zone) fn are_ports(octets: &[u8]) -> bool {
    octets.len() <= MAX_OCTETS && octets.last() != Some(&0)
}

pub(super) fn read(context: &Context<'_>, words: &[Word], out: &mut Vec<u8>, problems: &mut Vec<Diagnostic>) {
    let start = out.len();
    for &word in words {
        let text = context.text(word);
        let service = SERVICES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        let port = match service {
            Some((_, port)) => Ok(*port),
            None if text.starts_with(|first: char| first.is_ascii_digit()) => context.u16("port", word),
            None => Err(context.error(word, format!("unknown service `{text}`"), Some("write its port".to_owned()))),
        };
        match port {
            Ok(port) => {
                let at = start + usize::from(port / 8);
                out.resize(out.len().max(at + 1), 0);
                out[at] |= 0x80 >> (port % 8);
            }
            Err(problem) => problems.push(*problem),
        }
    }
}

/// The services of RFC 1010 and later that WKS records have named; the type is too old for more.
const SERVICES: [(&str, u16); 18] = [
    ("echo", 7),
    ("discard", 9),
    ("daytime", 13),
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("time", 37),
    ("domain", 53),
    ("tftp", 69),
    ("finger", 79),
    ("http", 80),
    ("pop3", 110),
    ("sunrpc", 111),
    ("nntp", 119),
    ("ntp", 123),
    ("https", 443),
];
