//! Queries: built from parts, so that wrong ones can be built too.

use std::net::IpAddr;

use thalweg::geo::Prefix;
use thalweg::name::Name;
use thalweg::wire::RecordType;

/// The id of queries that are built.
pub(crate) const ID: u16 = 0x1234;

/// What the second and third octet of the header hold.
pub(crate) const RD: u16 = 0x0100;
pub(crate) const AD: u16 = 0x0020;
pub(crate) const CD: u16 = 0x0010;

/// A well-formed query, as far as its parts are.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) name: Name,
    pub(crate) qtype: RecordType,
    pub(crate) class: u16,
    pub(crate) flags: u16,
    pub(crate) edns: Option<Edns>,
}

/// The OPT record of a query.
#[derive(Debug, Clone)]
pub(crate) struct Edns {
    pub(crate) payload: u16,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
    /// Code and data.
    pub(crate) options: Vec<(u16, Vec<u8>)>,
}

impl Default for Edns {
    fn default() -> Self {
        Self { payload: 1232, version: 0, dnssec_ok: false, options: Vec::new() }
    }
}

impl Query {
    /// A question of class IN and nothing else.
    pub(crate) fn new(name: &str, qtype: RecordType) -> Self {
        let name = Name::parse(name, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name, qtype, class: 1, flags: 0, edns: None }
    }

    /// The OPT record, which is there from now on.
    pub(crate) fn edns(&mut self) -> &mut Edns {
        self.edns.get_or_insert_default()
    }

    /// With a client subnet.
    pub(crate) fn with_subnet(mut self, subnet: Prefix) -> Self {
        self.edns().options.push((8, subnet_option(subnet)));
        self
    }

    /// The message.
    pub(crate) fn message(&self) -> Vec<u8> {
        let additional = u16::from(self.edns.is_some());
        let mut message: Vec<u8> =
            [ID, self.flags, 1, 0, 0, additional].into_iter().flat_map(u16::to_be_bytes).collect();
        message.extend(self.name.wire());
        message.extend(self.qtype.0.to_be_bytes());
        message.extend(self.class.to_be_bytes());
        message.extend(self.edns.as_ref().map(Edns::record).unwrap_or_default());
        message
    }
}

impl Edns {
    fn record(&self) -> Vec<u8> {
        let options: Vec<u8> = self
            .options
            .iter()
            .flat_map(|(code, data)| [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat())
            .collect();
        let [payload_high, payload_low] = self.payload.to_be_bytes();
        let flags = u8::from(self.dnssec_ok) << 7;
        let fixed = [0, 0, 41, payload_high, payload_low, 0, self.version, flags, 0];
        [&fixed[..], &(options.len() as u16).to_be_bytes(), &options].concat()
    }
}

/// The data of a client-subnet option (RFC 7871 §6).
pub(crate) fn subnet_option(subnet: Prefix) -> Vec<u8> {
    let octets = usize::from(subnet.length()).div_ceil(8);
    let (family, address) = match subnet.address() {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    [&[0, family, subnet.length(), 0], &address[..octets]].concat()
}
