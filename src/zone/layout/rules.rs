//! What the fields of a type's RDATA must be to each other, for text and wire form alike.

use crate::name;
use crate::wire::RecordType;
use crate::zone::rdata::{naptr, parameters};

/// What is wrong with RDATA whose fields are all well formed.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::zone) struct Fault {
    pub(in crate::zone) message: String,
    pub(in crate::zone) help: Option<&'static str>,
}

impl Fault {
    pub(in crate::zone) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub(in crate::zone) fn help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }
}

/// Whether RDATA, cut into the fields of its type before, keeps the type's own rule.
pub(in crate::zone) fn rule(rtype: RecordType, rdata: &[u8]) -> Result<(), Fault> {
    match rtype {
        RecordType::DS | RecordType::CDS | RecordType::TA | RecordType::DLV => match rdata {
            [_, _, _, 1, digest @ ..] => digest_length("digest of SHA-1", digest, 20),
            [_, _, _, 2, digest @ ..] => digest_length("digest of SHA-256", digest, 32),
            [_, _, _, 4, digest @ ..] => digest_length("digest of SHA-384", digest, 48),
            _ => Ok(()),
        },
        RecordType::SSHFP => match rdata {
            [_, 1, fingerprint @ ..] => digest_length("fingerprint of SHA-1", fingerprint, 20),
            [_, 2, fingerprint @ ..] => digest_length("fingerprint of SHA-256", fingerprint, 32),
            _ => Ok(()),
        },
        RecordType::ZONEMD => match rdata {
            [_, _, _, _, _, 1, digest @ ..] => digest_length("digest of SHA-384", digest, 48),
            [_, _, _, _, _, 2, digest @ ..] => digest_length("digest of SHA-512", digest, 64),
            // RFC 8976 §2.2.4: MUST NOT be shorter than 12 octets.
            [_, _, _, _, _, _, digest @ ..] if digest.len() < 12 => {
                Err(Fault::new(format!("the digest has {} octets, at least 12 are needed", digest.len())))
            }
            _ => Ok(()),
        },
        RecordType::KEY => match rdata {
            // RFC 2535 §3.1.2: both top bits say that there is no key.
            [flags, _, _, _, key @ ..] if flags & 0xc0 == 0xc0 && !key.is_empty() => {
                Err(Fault::new("there is a key, but the flags say that there is none"))
            }
            [flags, _, _, _] if flags & 0xc0 != 0xc0 => Err(Fault::new("the KEY record lacks its key")),
            _ => Ok(()),
        },
        RecordType::RKEY if !rdata.starts_with(&[0, 0]) => Err(Fault::new("the flags of RKEY must be 0")),
        RecordType::X25 => {
            let is_number = rdata.len() > 4 && rdata[1..].iter().all(u8::is_ascii_digit);
            // RFC 1183 §3.1: it begins with the country code of X.121, which has four digits.
            if is_number { Ok(()) } else { Err(Fault::new("a PSDN address consists of digits, at least four")) }
        }
        RecordType::NSEC => {
            let types = rdata.split_at_checked(super::name_length(rdata).unwrap_or(0));
            let is_empty = types.is_none_or(|(_, types)| types.is_empty());
            // RFC 4034 §4.1.2: a name without types has no NSEC record; there is the NSEC at least.
            if is_empty { Err(Fault::new("the NSEC record lacks its types")) } else { Ok(()) }
        }
        RecordType::NSEC3 => match rdata {
            [1, _, _, _, salt, rest @ ..] if rest.get(usize::from(*salt)) != Some(&20) => {
                Err(Fault::new("a name hashed with SHA-1 has 20 octets: 32 letters and digits"))
            }
            _ => Ok(()),
        },
        RecordType::RRSIG => {
            let (Some(&labels), Some(signer)) = (rdata.get(3), rdata.get(18..)) else {
                return Ok(());
            };
            let signer = name::labels(signer).count();
            // RFC 4034 §3.1.3: it counts the owner's labels, and the signer is the owner or above it.
            if usize::from(labels) < signer {
                let message = format!("the number of labels is {labels}, but the signer has {signer} already");
                return Err(Fault::new(message).help("write the number of the owner's labels, without root and `*`"));
            }
            Ok(())
        }
        RecordType::NAPTR => naptr::check(rdata),
        RecordType::SVCB | RecordType::HTTPS => parameters::check(rdata),
        _ => Ok(()),
    }
}

fn digest_length(what: &str, found: &[u8], expected: usize) -> Result<(), Fault> {
    if found.len() == expected {
        return Ok(());
    }
    let message = format!("the {what} has {} octets, it must have {expected}", found.len());
    Err(Fault::new(message).help("is it cut, or of another type?"))
}
