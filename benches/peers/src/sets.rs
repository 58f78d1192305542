//! The sets of queries: what is asked, from where, and what must come back.

use clap::ValueEnum;

/// The zone that all servers have.
pub const ZONE: &str = "stream.example";

/// A name whose answer depends on the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steered {
    /// Below the zone.
    pub label: &'static str,
    /// Addresses in each answer.
    pub answers: u8,
}

/// Three addresses of the client's place; thalweg plans who gets which.
pub const LIVE: Steered = Steered { label: "live", answers: 3 };
/// The same with fifty addresses.
pub const MANY: Steered = Steered { label: "many", answers: 50 };
/// The same addresses as `LIVE`; thalweg gives them in turn, without a plan.
pub const TURN: Steered = Steered { label: "turn", answers: 3 };
/// All names that depend on the client.
pub const STEERED: [Steered; 3] = [LIVE, MANY, TURN];
/// A name with three addresses for everybody.
pub const PLAIN: &str = "plain";

/// A set of queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Set {
    /// Static names: hits, CNAME, wildcard, NODATA and NXDOMAIN.
    S,
    /// The same with a client cookie in each query.
    SCookies,
    /// The same over IPv6.
    SIpv6,
    /// The same over a few long TCP connections.
    Tcp,
    /// A steered name from 16 source addresses.
    G16,
    /// A steered name from 4,096 source addresses.
    G4096,
    /// A steered name with a random /24 client subnet in each query.
    E,
    /// A steered name with a random /56 client subnet of IPv6 in each query.
    EIpv6,
    /// E with 50 addresses an answer.
    E50,
    /// A static name with three addresses from 16 source addresses: what G16 asks, without geography.
    Plain,
    /// G16 where servers are named in turn, without a plan.
    Turn,
    /// S on zones of several sizes, with the time of loading and the memory.
    Sized,
    /// Names that exist, on zones of several sizes.
    Hit,
    /// Names that exist, but not with the type asked for, on zones of several sizes.
    Nodata,
    /// Names that do not exist, on zones of several sizes.
    Nxdomain,
    /// Names below a wildcard, on zones of several sizes.
    Wildcard,
}

impl Set {
    /// Whether it is measured for each size of zone, instead of on the smallest.
    pub fn is_by_size(self) -> bool {
        matches!(self, Self::Sized | Self::Hit | Self::Nodata | Self::Nxdomain | Self::Wildcard)
    }

    /// As it stands in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::SCookies => "S, with cookies",
            Self::SIpv6 => "S, over IPv6",
            Self::Tcp => "S, over TCP",
            Self::G16 => "G, 16 sources",
            Self::G4096 => "G, 4,096 sources",
            Self::E => "E",
            Self::EIpv6 => "E, IPv6 subnets",
            Self::E50 => "E, 50 addresses",
            Self::Plain => "static name, 16 sources",
            Self::Turn => "in turn, 16 sources",
            Self::Sized => "S by size",
            Self::Hit => "hit",
            Self::Nodata => "NODATA",
            Self::Nxdomain => "NXDOMAIN",
            Self::Wildcard => "wildcard",
        }
    }

    /// The queries, on a zone of so many names.
    pub fn queries(self, names: u32) -> Queries {
        let questions = match self {
            Self::S | Self::SCookies | Self::SIpv6 | Self::Tcp | Self::Sized => mixture(names),
            Self::G16 | Self::G4096 | Self::E | Self::EIpv6 => vec![steered(LIVE)],
            Self::E50 => vec![steered(MANY)],
            // In turn, servers of all places are named.
            Self::Turn => vec![Question { expected: Expected::records(TURN.answers), ..steered(TURN) }],
            Self::Plain => vec![Question { expected: Expected::records(3), ..question(PLAIN, A, 0) }],
            Self::Hit => vec![hit(names, A)],
            Self::Nodata => vec![nodata(names)],
            Self::Nxdomain => vec![nxdomain()],
            Self::Wildcard => vec![wildcard()],
        };
        let sources = match self {
            Self::G16 | Self::Plain | Self::Turn => Sources::Sixteen,
            Self::G4096 => Sources::Thousands,
            _ => Sources::One,
        };
        let subnet = match self {
            Self::E | Self::E50 => Some(Subnet::Ipv4),
            Self::EIpv6 => Some(Subnet::Ipv6),
            _ => None,
        };
        Queries { questions, sources, subnet, has_cookie: self == Self::SCookies }
    }
}

/// What the generator asks.
#[derive(Debug, Clone)]
pub struct Queries {
    /// One of these in each query, drawn evenly.
    pub questions: Vec<Question>,
    /// Where queries come from.
    pub sources: Sources,
    /// Whether each has a client subnet (RFC 7871), and of which family.
    pub subnet: Option<Subnet>,
    /// Whether each has a client cookie (RFC 7873).
    pub has_cookie: bool,
}

/// Source addresses of queries over IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// That of the route.
    One,
    /// One for each socket, in networks of their own: 127.0.0.7, 127.1.0.7 and so on.
    Sixteen,
    /// 256 in each of these: 127.0.0.7, 127.0.1.7 and so on.
    Thousands,
}

/// Family of client subnets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subnet {
    /// A /24.
    Ipv4,
    /// A /56.
    Ipv6,
}

/// A question, and what must come back.
#[derive(Debug, Clone)]
pub struct Question {
    /// The owner name below the zone; a run of `#` stands for a number of so many digits.
    pub name: String,
    /// Numbers are drawn below this.
    pub numbers: u32,
    /// TYPE of the question.
    pub record_type: u16,
    /// What a right answer is.
    pub expected: Expected,
}

/// What a right answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// RCODE.
    pub rcode: u8,
    /// The fewest records in the answer section.
    pub least: u8,
    /// The most.
    pub most: u8,
    /// Whether these are addresses of the client's place.
    pub is_steered: bool,
}

impl Expected {
    fn records(answers: u8) -> Self {
        Self { rcode: NOERROR, least: answers, most: answers, is_steered: false }
    }
}

const A: u16 = 1;
const TXT: u16 = 16;
const AAAA: u16 = 28;
/// RCODE of an answer, also of an empty one.
pub const NOERROR: u8 = 0;
/// RCODE of a name that does not exist.
pub const NXDOMAIN: u8 = 3;

/// The mixture S, in twentieths: half hits of A, a quarter of AAAA, CNAME, wildcard and NODATA 5 % each, NXDOMAIN 10 %.
fn mixture(names: u32) -> Vec<Question> {
    let mut questions = vec![hit(names, A); 10];
    questions.extend(vec![hit(names, AAAA); 5]);
    // The alias and the address that it leads to, which gdnsd leaves to the resolver.
    questions.push(Question { expected: Expected { least: 1, ..Expected::records(2) }, ..question("www", A, 0) });
    questions.extend([wildcard(), nodata(names), nxdomain(), nxdomain()]);
    questions
}

fn steered(Steered { label, answers }: Steered) -> Question {
    Question { expected: Expected { is_steered: true, ..Expected::records(answers) }, ..question(label, A, 0) }
}

fn hit(names: u32, record_type: u16) -> Question {
    question("h######", record_type, names)
}

fn nodata(names: u32) -> Question {
    Question { expected: Expected::records(0), ..question("h######", TXT, names) }
}

fn nxdomain() -> Question {
    Question { expected: Expected { rcode: NXDOMAIN, ..Expected::records(0) }, ..question("nx######", A, 1_000_000) }
}

fn wildcard() -> Question {
    question("x#####.wild", A, 100_000)
}

fn question(name: &str, record_type: u16, numbers: u32) -> Question {
    Question { name: name.to_owned(), numbers, record_type, expected: Expected::records(1) }
}
