//! Records as other servers send them: the data of each type, checked and without compression.

use super::layout::{self, Kind};
use crate::wire::{RecordType, unpack_name};

/// The data that lie from `start` to the end of the message, in uncompressed wire form; what is wrong with them, if they are
/// not what the type has.
pub fn read_rdata(rtype: RecordType, message: &[u8], start: usize) -> Result<Vec<u8>, String> {
    let broken = || format!("these octets are no {rtype} record");
    if rtype.is_meta() {
        return Err(format!("`{rtype}` is a type of messages, not of records"));
    }
    let plain = message.get(start..).ok_or_else(broken)?;
    let rdata = match layout::fields(rtype).filter(|_| may_be_compressed(rtype)) {
        None => plain.to_vec(),
        Some(fields) => {
            let (mut rdata, mut at) = (Vec::with_capacity(plain.len()), start);
            for field in fields {
                if field.kind == Kind::DomainName {
                    let (name, end) = unpack_name(message, at).ok_or_else(broken)?;
                    rdata.extend(name);
                    at = end;
                    continue;
                }
                let rest = message.get(at..).ok_or_else(broken)?;
                let length =
                    layout::length(field.kind, rest).filter(|length| *length <= rest.len()).ok_or_else(broken)?;
                rdata.extend_from_slice(&rest[..length]);
                at += length;
            }
            if at != message.len() {
                return Err(broken());
            }
            rdata
        }
    };
    // Without compression they may be longer.
    if rdata.len() > usize::from(u16::MAX) {
        return Err(broken());
    }
    layout::wire_fault(rtype, &rdata).map_or(Ok(rdata), |fault| Err(fault.message))
}

/// Data in which records of equal meaning are equal (RFC 2181 §5, RFC 4034 §6.2).
pub fn canonical_rdata(rtype: RecordType, rdata: &[u8]) -> Box<[u8]> {
    layout::canonical(rtype, rdata)
}

/// RFC 3597 §4: names are compressed in the types of RFC 1035, and taken so in those before it whose data hold names.
fn may_be_compressed(rtype: RecordType) -> bool {
    matches!(
        rtype,
        RecordType::NS
            | RecordType::MD
            | RecordType::MF
            | RecordType::CNAME
            | RecordType::SOA
            | RecordType::MB
            | RecordType::MG
            | RecordType::MR
            | RecordType::PTR
            | RecordType::MINFO
            | RecordType::MX
            | RecordType::RP
            | RecordType::AFSDB
            | RecordType::RT
            | RecordType::SIG
            | RecordType::PX
            | RecordType::NXT
            | RecordType::NAPTR
            | RecordType::SRV
    )
}
