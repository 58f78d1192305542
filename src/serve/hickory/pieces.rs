//! A reply of the engine, taken apart into the pieces that hickory-server sends.

use hickory_proto::op::{Edns, EdnsFlags, Header, Metadata};
use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};
use hickory_server::zone_handler::Queries;

use crate::wire::{HEADER, MAX_STREAM};

/// The pieces. Record data and options are plain octets, whatever their type: what hickory does not
/// read it can neither change nor refuse. The engine never compresses names within data.
pub(super) struct Pieces {
    pub(super) metadata: Metadata,
    pub(super) queries: Queries,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
    pub(super) edns: Option<Edns>,
}

impl Pieces {
    /// Takes a reply apart. What hickory could not send whole becomes a truncated reply without
    /// records: of 120 names on it does not compress, and what does not fit it leaves out, OPT first.
    pub(super) fn read(reply: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = BinDecoder::new(reply);
        let Header { metadata, counts } = Header::read(&mut decoder)?;
        // From the reply, not from the query: a reply to what could not be read has no question.
        let queries = Queries::read(&mut decoder, usize::from(counts.queries))?;
        let mut pieces = Self {
            metadata,
            queries,
            answers: Vec::with_capacity(usize::from(counts.answers)),
            authorities: Vec::with_capacity(usize::from(counts.authorities)),
            additionals: Vec::with_capacity(usize::from(counts.additionals)),
            edns: None,
        };
        let mut longest = HEADER + pieces.queries.as_bytes().len();
        let mut next = || Raw::read(&mut decoder).inspect(|raw| longest += raw.longest());
        for _ in 0..counts.answers {
            pieces.answers.push(next()?.record());
        }
        for _ in 0..counts.authorities {
            pieces.authorities.push(next()?.record());
        }
        for _ in 0..counts.additionals {
            let raw = next()?;
            if raw.rtype == RecordType::OPT {
                let [extended_rcode, ..] = raw.ttl.to_be_bytes();
                pieces.metadata.merge_response_code(extended_rcode);
                pieces.edns = Some(raw.edns());
            } else {
                pieces.additionals.push(raw.record());
            }
        }
        if longest > MAX_STREAM {
            pieces.metadata.truncation = true;
            for section in [&mut pieces.answers, &mut pieces.authorities, &mut pieces.additionals] {
                section.clear();
            }
        }
        Ok(pieces)
    }
}

/// A record as it stands in the reply.
struct Raw<'r> {
    owner: Name,
    rtype: RecordType,
    class: u16,
    ttl: u32,
    data: &'r [u8],
}

impl<'r> Raw<'r> {
    fn read(decoder: &mut BinDecoder<'r>) -> Result<Self, DecodeError> {
        // hickory marks what came from the wire as unverified; this came from our engine.
        let owner = Name::read(decoder)?;
        let rtype = RecordType::from(decoder.read_u16()?.unverified());
        let class = decoder.read_u16()?.unverified();
        let ttl = decoder.read_u32()?.unverified();
        let length = decoder.read_u16()?.unverified();
        let data = decoder.read_slice(usize::from(length))?.unverified();
        Ok(Self { owner, rtype, class, ttl, data })
    }

    /// Octets that it takes if its owner is written out: with a root, type, class, TTL and length.
    fn longest(&self) -> usize {
        self.owner.len() + 11 + self.data.len()
    }

    fn record(self) -> Record {
        // `NULL::with` wants at least one octet, and data may have none (RFC 1035 §3.3.10, APL).
        let mut rdata = NULL::new();
        rdata.anything = self.data.to_vec();
        let mut record = Record::from_rdata(self.owner, self.ttl, RData::Unknown { code: self.rtype, rdata });
        record.dns_class = DNSClass::from(self.class);
        record
    }

    /// The record as OPT (RFC 6891 §6.1.2), without the response code's upper bits: hickory takes
    /// those from the header.
    fn edns(&self) -> Edns {
        let [_extended_rcode, version, flags_high, flags_low] = self.ttl.to_be_bytes();
        let mut edns = Edns::new();
        edns.set_max_payload(self.class).set_version(version);
        *edns.flags_mut() = EdnsFlags::from(u16::from_be_bytes([flags_high, flags_low]));
        let mut rest = self.data;
        while let [code_high, code_low, length_high, length_low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
            let Some((data, after)) = after.split_at_checked(length) else { break };
            // Unknown even if it is known: hickory's own client subnet has no family 0 (RFC 7871 §7.1.2).
            let option = EdnsOption::Unknown(u16::from_be_bytes([*code_high, *code_low]), data.to_vec());
            edns.options_mut().insert(option);
            rest = after;
        }
        edns
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;
    use hickory_proto::serialize::binary::BinEncoder;
    use hickory_server::zone_handler::MessageResponseBuilder;

    use super::*;

    /// What hickory sends of a reply.
    fn carried(reply: &[u8]) -> Vec<u8> {
        let pieces = Pieces::read(reply).unwrap();
        let response = MessageResponseBuilder::new(&pieces.queries, pieces.edns.as_ref()).build(
            pieces.metadata,
            &pieces.answers,
            &pieces.authorities,
            [],
            &pieces.additionals,
        );
        let mut octets = Vec::new();
        response.destructive_emit(&mut BinEncoder::new(&mut octets)).unwrap();
        octets
    }

    /// Another reader than ours finds the same in what is sent. Octets may differ: hickory 0.26 writes
    /// the question's name out once more.
    fn assert_carried(reply: &[u8]) {
        assert_eq!(Message::from_vec(&carried(reply)).unwrap(), Message::from_vec(reply).unwrap());
    }

    /// `play.live.example A`, the name in mixed case as some resolvers send it.
    const QUESTION: &[u8] = b"\x04pLaY\x04Live\x07example\x00\x00\x01\x00\x01";

    #[test]
    fn a_steered_answer_is_carried() {
        let mut reply = b"\xab\xcd\x85\x10\x00\x01\x00\x02\x00\x00\x00\x01".to_vec();
        reply.extend(QUESTION);
        for last in [10, 11] {
            reply.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x07\x00\x04\xc6\x33\x64");
            reply.push(last);
        }
        // OPT: 1232, DO, client subnet 192.0.2.0/24 with scope 22, extended error 20.
        reply.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x11");
        reply.extend(b"\x00\x08\x00\x07\x00\x01\x18\x16\xc0\x00\x02\x00\x0f\x00\x02\x00\x14");
        assert_carried(&reply);
    }

    #[test]
    fn a_subnet_without_family_is_carried() {
        let mut reply = b"\xab\xcd\x84\x00\x00\x01\x00\x00\x00\x00\x00\x01".to_vec();
        reply.extend(QUESTION);
        reply.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x08\x00\x08\x00\x04\x00\x00\x00\x00");
        assert_eq!(carried(&reply), reply);
    }

    #[test]
    fn an_extended_response_code_is_carried() {
        let mut reply = b"\xab\xcd\x80\x00\x00\x01\x00\x00\x00\x00\x00\x01".to_vec();
        reply.extend(QUESTION);
        reply.extend(b"\x00\x00\x29\x04\xd0\x01\x00\x00\x00\x00\x00");
        assert_eq!(carried(&reply), reply);
        assert_eq!(u16::from(Message::from_vec(&reply).unwrap().response_code), 16, "BADVERS");
    }

    #[test]
    fn a_reply_without_question_stays_so() {
        let reply = b"\xab\xcd\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00";
        assert_eq!(carried(reply), reply);
    }

    #[test]
    fn sections_stay_apart_and_in_order() {
        let mut reply = b"\xab\xcd\x86\x00\x00\x01\x00\x01\x00\x01\x00\x02".to_vec();
        reply.extend(QUESTION);
        // A record of private type with data that would be malformed as a name.
        reply.extend(b"\xc0\x0c\xff\x00\x00\x01\x00\x00\x00\x07\x00\x02\xc0\xff");
        // NS of live.example, then its glue, then a TXT at the same owner as the question.
        reply.extend(b"\xc0\x11\x00\x02\x00\x01\x00\x00\x0e\x10\x00\x12\x03ns1\x04live\x07example\x00");
        reply.extend(b"\x03ns1\xc0\x11\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc6\x33\x64\x35");
        reply.extend(b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x0e\x10\x00\x02\x01!");
        assert_carried(&reply);
    }

    #[test]
    fn what_hickory_could_not_send_whole_is_truncated_and_keeps_its_opt() {
        let mut reply = b"\xab\xcd\x84\x00\x00\x01\x07\xd0\x00\x00\x00\x01".to_vec();
        reply.extend(QUESTION);
        reply.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x07\x00\x04\xc6\x33\x64\x0a".repeat(2000));
        reply.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00");
        let message = Message::from_vec(&carried(&reply)).unwrap();
        assert!(message.truncation && message.edns.is_some());
        assert_eq!(message.answers.len(), 0);
    }

    #[test]
    fn a_reply_that_is_cut_is_an_error() {
        let reply = b"\xab\xcd\x80\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01";
        assert!(Pieces::read(reply).is_err());
    }
}
