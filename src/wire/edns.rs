//! EDNS: the OPT record of queries and of replies, and its options (RFC 6891).

use std::time::Duration;

use super::cookie::{Cookie, ServerCookie};
use super::subnet::Subnet;
use super::{HEADER, MAX_UDP, MIN_UDP, Rcode};
use crate::name::MAX_NAME;

/// Octets of an OPT record without options: root, type, class, TTL, length.
const OPT_FIXED: usize = 11;
/// The DNSSEC OK bit, in the upper octet of the OPT record's flags (RFC 3225).
const DNSSEC_OK: u8 = 0x80;
/// The Compact Answers OK bit, there too (RFC 9824 §5.1).
const COMPACT_OK: u8 = 0x40;

const NSID: u16 = 3;
const CLIENT_SUBNET: u16 = 8;
const EXPIRE: u16 = 9;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
const EXTENDED_ERROR: u16 = 15;
const ZONE_VERSION: u16 = 19;

/// The most octets of a name of this server (RFC 5001 sets no bound): with all other options and the longest question it
/// has to fit into 512 octets.
pub const MAX_NSID: usize = 64;
/// The most octets of an extended error's text, for the same reason.
const MAX_ERROR_TEXT: usize = 60;
/// The most octets of a reply's OPT record, without padding.
const MAX_OPT: usize = OPT_FIXED
    + (4 + MAX_NSID)
    + (4 + Subnet::MAX_LENGTH)
    + (4 + 4)
    + (4 + Cookie::MAX_REPLY)
    + (4 + 2)
    + (4 + 2 + MAX_ERROR_TEXT)
    + (4 + 6);
const _: () = assert!(HEADER + MAX_NAME + 4 + MAX_OPT <= MIN_UDP, "the longest question and OPT fit into any reply");
/// Replies on encrypted transports are padded to multiples of this (RFC 8467 §4.1).
const PADDED_BLOCK: usize = 468;

/// What the OPT record of a query says.
#[derive(Debug, Clone)]
pub struct Edns<'m> {
    /// The UDP payload that the client offers, never below 512 (RFC 6891 §6.2.3).
    pub payload: usize,
    /// Always 0 in what is answered; else BADVERS.
    pub version: u8,
    /// The client wants DNSSEC records; copied.
    pub dnssec_ok: bool,
    /// The client knows compact denial without being told a wrong response code; copied to where that is used.
    pub compact_ok: bool,
    /// The client subnet, if there is that option.
    pub subnet: Option<Subnet<'m>>,
    /// The cookies, if there is that option.
    pub cookie: Option<Cookie<'m>>,
    /// What the client wants to be told besides.
    pub wishes: Wishes,
}

/// Options of a query that only ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// This server's name (RFC 5001).
    pub nsid: bool,
    /// After how long a secondary must forget the zone (RFC 7314).
    pub expire: bool,
    /// How long the connection may be idle (RFC 7828).
    pub keepalive: bool,
    /// A reply whose length tells little (RFC 7830).
    pub padding: bool,
    /// The zone's serial number (RFC 9660).
    pub zone_version: bool,
}

/// What the OPT record of a reply says, besides what follows from that of the query. All of it is left out of replies to
/// queries without EDNS.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'s> {
    /// Scope prefix length of the client subnet, if the query has one; 0 for what is the same for every client.
    pub scope: u8,
    /// The cookie of this server, beside that of the client.
    pub cookie: Option<ServerCookie>,
    /// This server's name, at most `MAX_NSID` octets.
    pub nsid: Option<&'s [u8]>,
    /// Seconds after which a secondary must forget the zone.
    pub expire: Option<u32>,
    /// How long the connection may be idle.
    pub keepalive: Option<Duration>,
    /// Which zone answered, and its version.
    pub zone_version: Option<ZoneVersion>,
    /// An extended error.
    pub error: Option<ExtendedError>,
    /// The reply is padded.
    pub is_padded: bool,
    /// The reply denies a name compactly, and says so by its response code.
    pub is_compact: bool,
}

/// The version of a zone (RFC 9660 §2): its SOA serial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneVersion {
    /// Labels of the zone's name, the root not counted.
    pub labels: u8,
    /// The serial number.
    pub serial: u32,
}

/// An extended DNS error (RFC 8914).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedError {
    /// The INFO-CODE.
    pub code: u16,
    /// The EXTRA-TEXT, at most 60 octets.
    pub text: &'static str,
}

impl ExtendedError {
    /// RFC 8914 §4.21.
    pub const NOT_AUTHORITATIVE: Self = Self { code: 20, text: "" };
    /// A type that no query may ask for (RFC 9824 §3.6).
    pub const INVALID_QUERY_TYPE: Self = Self { code: 30, text: "" };
    /// What there is of the zone is too old, or there is nothing (RFC 8914 §4.25).
    pub const INVALID_DATA: Self = Self { code: 24, text: "" };
    /// A barrier keeps the client from every node (RFC 8914 §4.19).
    pub const PROHIBITED: Self = Self { code: 18, text: "not served here to this client" };
    /// No node of a pool has room (RFC 8914 §4.1: a code for what has none of its own).
    pub const ALL_FULL: Self = Self { code: 0, text: "all nodes full: least loaded answered" };
}

/// Something of the OPT record, or of TSIG, does not parse: FORMERR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'m> Edns<'m> {
    /// What the class and TTL of an OPT record say.
    pub(super) fn without_options(class: u16, ttl: [u8; 4]) -> Self {
        let [_extended_rcode, version, flags, _] = ttl;
        Self {
            payload: usize::from(class).max(MIN_UDP),
            version,
            dnssec_ok: flags & DNSSEC_OK != 0,
            compact_ok: flags & COMPACT_OK != 0,
            subnet: None,
            cookie: None,
            wishes: Wishes::default(),
        }
    }

    /// Reads the options, the data of the record; what was read before an error stays.
    pub(super) fn read_options(&mut self, data: &'m [u8]) -> Result<(), Malformed> {
        // RFC 6891 §6.1.3: what another version's options mean is not known here.
        if self.version != 0 {
            return Ok(());
        }
        let mut rest = data;
        while !rest.is_empty() {
            let [code_high, code_low, length_high, length_low, after @ ..] = rest else {
                return Err(Malformed);
            };
            let length = u16::from_be_bytes([*length_high, *length_low]);
            let (option, after) = after.split_at_checked(usize::from(length)).ok_or(Malformed)?;
            self.read_option(u16::from_be_bytes([*code_high, *code_low]), option)?;
            rest = after;
        }
        Ok(())
    }

    #[inline]
    fn read_option(&mut self, code: u16, data: &'m [u8]) -> Result<(), Malformed> {
        match code {
            CLIENT_SUBNET if self.subnet.is_some() => return Err(Malformed),
            CLIENT_SUBNET => self.subnet = Some(Subnet::read(data)?),
            // RFC 7873 §5.2: the first of several counts.
            COOKIE => self.cookie = self.cookie.take().or(Some(Cookie::read(data)?)),
            NSID => self.wishes.nsid = true,
            EXPIRE => self.wishes.expire = true,
            KEEPALIVE => self.wishes.keepalive = true,
            PADDING => self.wishes.padding = true,
            // RFC 9660 §3.1: a query has no data there.
            ZONE_VERSION if !data.is_empty() => return Err(Malformed),
            ZONE_VERSION => self.wishes.zone_version = true,
            // RFC 6891 §6.1.2: an option that is not known is ignored.
            _ => {}
        }
        Ok(())
    }
}

/// The OPT record of a reply.
pub(super) struct Opt<'a> {
    query: &'a Edns<'a>,
    rcode: Rcode,
    options: &'a Options<'a>,
    /// Octets of the options, but for padding.
    length: usize,
}

impl<'a> Opt<'a> {
    /// The record for a reply to `query`.
    #[inline]
    pub(super) fn new(query: &'a Edns<'a>, rcode: Rcode, options: &'a Options<'a>) -> Self {
        let mut opt = Self { query, rcode, options, length: 0 };
        let mut length = 0;
        opt.each_option(|_, data| length += 4 + data.iter().map(|part| part.len()).sum::<usize>());
        opt.length = length;
        opt
    }

    /// Octets that the record takes at least.
    #[inline]
    pub(super) fn len(&self) -> usize {
        OPT_FIXED + self.length + if self.options.is_padded { 4 } else { 0 }
    }

    /// Writes the record at `at` and returns where it ends. There is room for `len` octets; padding takes what is wanted
    /// of what is left.
    #[inline(always)]
    pub(super) fn write(&self, out: &mut [u8], at: usize) -> usize {
        let mut end = at + OPT_FIXED;
        // Most replies have none.
        if self.length > 0 {
            self.each_option(|code, data| {
                let length: usize = data.iter().map(|part| part.len()).sum();
                let ([c0, c1], [l0, l1]) = (code.to_be_bytes(), (length as u16).to_be_bytes());
                put(out, &mut end, &[c0, c1, l0, l1]);
                data.iter().for_each(|part| put(out, &mut end, part));
            });
        }
        if self.options.is_padded {
            let padding = ((end + 4).next_multiple_of(PADDED_BLOCK) - (end + 4)).min(out.len() - (end + 4));
            let ([c0, c1], [l0, l1]) = (PADDING.to_be_bytes(), (padding as u16).to_be_bytes());
            put(out, &mut end, &[c0, c1, l0, l1]);
            out[end..end + padding].fill(0);
            end += padding;
        }
        let [payload_high, payload_low] = (MAX_UDP as u16).to_be_bytes();
        let compact = if self.options.is_compact { COMPACT_OK } else { 0 };
        let flags = compact | if self.query.dnssec_ok { DNSSEC_OK } else { 0 };
        let [l0, l1] = ((end - at - OPT_FIXED) as u16).to_be_bytes();
        let extended = (self.rcode.0 >> 4) as u8;
        out[at..at + OPT_FIXED].copy_from_slice(&[0, 0, 41, payload_high, payload_low, extended, 0, flags, 0, l0, l1]);
        end
    }

    /// Shows the options but for padding: the code of each, and its data in parts.
    #[inline]
    fn each_option(&self, mut show: impl FnMut(u16, &[&[u8]])) {
        let Options { scope, cookie, nsid, expire, keepalive, zone_version, error, is_padded: _, is_compact: _ } =
            self.options;
        if let Some(subnet) = &self.query.subnet {
            let (before, after) = subnet.around_scope();
            show(CLIENT_SUBNET, &[before, &[*scope], after]);
        }
        if let (Some(asked), Some(server)) = (&self.query.cookie, cookie) {
            show(COOKIE, &[asked.client, server]);
        }
        if let Some(nsid) = nsid {
            show(NSID, &[nsid]);
        }
        if let Some(seconds) = expire {
            show(EXPIRE, &[&seconds.to_be_bytes()]);
        }
        if let Some(idle) = keepalive {
            // RFC 7828 §3.1: in units of 100 ms.
            let units = u16::try_from(idle.as_millis() / 100).unwrap_or(u16::MAX);
            show(KEEPALIVE, &[&units.to_be_bytes()]);
        }
        if let Some(ZoneVersion { labels, serial }) = zone_version {
            const TYPE_SERIAL: u8 = 0;
            show(ZONE_VERSION, &[&[*labels, TYPE_SERIAL], &serial.to_be_bytes()]);
        }
        if let Some(ExtendedError { code, text }) = error {
            show(EXTENDED_ERROR, &[&code.to_be_bytes(), text.as_bytes()]);
        }
    }
}

/// Writes octets where there is room for them, and moves on.
#[inline]
fn put(out: &mut [u8], at: &mut usize, octets: &[u8]) {
    let end = *at + octets.len();
    out[*at..end].copy_from_slice(octets);
    *at = end;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &[u8]) -> Result<Edns<'_>, Malformed> {
        let mut edns = Edns::without_options(1232, [0; 4]);
        edns.read_options(data).map(|()| edns)
    }

    #[test]
    fn malformed_options_are_refused() {
        for data in [
            &[0][..],
            &[0, 8, 0],
            &[0, 8, 0, 5, 0, 1, 0, 0],
            &[0, 10, 0, 8, 1],
            // Two client subnets; a cookie of seven octets; a zone version in a query.
            &[0, 8, 0, 4, 0, 1, 0, 0, 0, 8, 0, 4, 0, 1, 0, 0],
            &[0, 10, 0, 7, 1, 2, 3, 4, 5, 6, 7],
            &[0, 19, 0, 1, 0],
        ] {
            assert_eq!(read(data).err(), Some(Malformed), "{data:?}");
        }
    }

    #[test]
    fn options_that_ask_are_understood() {
        let data = [0, 3, 0, 0, 0, 9, 0, 0, 0, 11, 0, 0, 0, 12, 0, 2, 0, 0, 0, 19, 0, 0, 0, 77, 0, 1, 9];
        let wishes = Wishes { nsid: true, expire: true, keepalive: true, padding: true, zone_version: true };
        assert_eq!(read(&data).map(|edns| edns.wishes), Ok(wishes));
    }

    #[test]
    fn all_options_at_their_longest_have_room() {
        let subnet = [&[0, 8, 0, 20, 0, 2, 128, 0][..], &[255; 16]].concat();
        let cookie = [&[0, 10, 0, 40][..], &[1; 40]].concat();
        let data = [subnet, cookie].concat();
        let query = read(&data).unwrap();
        let options = Options {
            scope: 128,
            cookie: Some([7; 16]),
            nsid: Some(&[b'n'; MAX_NSID]),
            expire: Some(1),
            keepalive: Some(Duration::from_secs(10)),
            zone_version: Some(ZoneVersion { labels: 3, serial: 1 }),
            error: Some(ExtendedError {
                code: 0,
                text: "a text that is just as long as the longest text may be, yes!",
            }),
            is_padded: false,
            is_compact: false,
        };
        let opt = Opt::new(&query, Rcode::NOERROR, &options);
        assert_eq!(opt.len(), MAX_OPT, "nothing is lost");
    }

    #[test]
    fn padding_fills_the_block_as_far_as_there_is_room() {
        let query = Edns::without_options(1232, [0; 4]);
        let options = Options { is_padded: true, ..Options::default() };
        for (at, room, expected) in [(100, 2000, 468), (453, 2000, 468), (454, 2000, 936), (454, 500, 500)] {
            let mut out = vec![0xff; room];
            let end = Opt::new(&query, Rcode::NOERROR, &options).write(&mut out, at);
            assert_eq!(end, expected, "at {at}");
            let data = usize::from(u16::from_be_bytes([out[at + 9], out[at + 10]]));
            assert_eq!(at + OPT_FIXED + data, end);
            assert!(out[at + OPT_FIXED + 4..end].iter().all(|octet| *octet == 0));
        }
    }
}
