//! Case files: what is served, what is asked, what must be answered.
//!
//! ```text
//! because: RFC 4592 §2.2.1: why this is the answer
//!
//! == zone live.example          the zone's master file
//! == config                     thalweg.toml
//! == file networks.csv          any other file of the installation
//! == load                       a line for each node of which any load is known:
//! fra1 pressure 0.5             or `cpu 40%`, `egress 300Mbit/s`; `fra1 stale pressure 0.5`; `fra1 silent`; `fra1 down`,
//!                               or `down over ipv6` or `down in whip`: at that address, or by the checks of that pool
//! == query
//! from: 127.0.3.1               the resolver; 127.0.0.1 if left out
//! subnet: 84.128.0.0/24         a client subnet; with it, EDNS
//! edns: payload 512 do version 1
//! option: 8 0001 18 01 c00002   an option in hex, malformed maybe
//! flags: rd cd ad
//! ask: play.live.example. A     or, in place of all but `from`, a whole message of these lines:
//! hex: 1234 0000 0001           octets in hex
//! name: play.live.example.      a name, uncompressed
//! repeat: 500 00ff              500 times these octets in hex
//! == answer                     as `reply.rs` prints it, or `silence`; `{a b}` stands for one of a and b, and no
//!                               two lines for the same one
//! == answer over tcp            where it differs
//! ```
//!
//! A `;` behind a space begins a comment on lines of a query. Queries with their answers follow each other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use thalweg::geo::Prefix;
use thalweg::name::Name;
use thalweg::pool::Family;

use super::installation::{Load, Use};
use super::query::{AD, CD, Query, RD};

/// A case file.
#[derive(Debug, Default)]
pub(crate) struct Case {
    /// The rule that is kept.
    pub(crate) because: String,
    /// Files of the installation: relative path and text.
    pub(crate) files: BTreeMap<String, String>,
    /// By node.
    pub(crate) loads: BTreeMap<String, Load>,
    /// Queries in the order of the file.
    pub(crate) exchanges: Vec<Exchange>,
}

/// A query and its answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The line on which the query begins.
    pub(crate) line: usize,
    /// Who asks.
    pub(crate) from: IpAddr,
    /// The whole message.
    pub(crate) message: Vec<u8>,
    /// The answer over UDP, and over TCP unless that has one of its own.
    pub(crate) answer: Expected,
    /// The answer over TCP where it differs.
    pub(crate) answer_over_tcp: Option<Expected>,
}

/// An answer as it is written in the file.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Lines of the file, counted from 0: that of the heading, and that behind the last one.
    pub(crate) lines: (usize, usize),
    /// What is written there, without comments and empty lines.
    pub(crate) text: Vec<String>,
}

/// A line that is wrong.
pub(crate) struct Wrong {
    /// Counted from 1.
    pub(crate) line: usize,
    /// What is wrong with it.
    pub(crate) message: String,
}

impl Wrong {
    fn at(line: usize, message: impl Into<String>) -> Self {
        Self { line: line + 1, message: message.into() }
    }
}

impl Case {
    /// Reads a case file.
    pub(crate) fn read(text: &str) -> Result<Self, Wrong> {
        let lines: Vec<&str> = text.lines().collect();
        let headings: Vec<usize> = (0..lines.len()).filter(|&line| lines[line].starts_with("== ")).collect();
        let mut case = Self::default();
        let head_end = headings.first().copied().unwrap_or(lines.len());
        case.because = lines[..head_end].join("\n").trim().to_owned();
        if !case.because.starts_with("because: ") {
            return Err(Wrong::at(0, "the case does not begin with `because: ` and a reason"));
        }
        for (index, &heading) in headings.iter().enumerate() {
            let end = headings.get(index + 1).copied().unwrap_or(lines.len());
            case.read_part(&lines, heading, end)?;
        }
        let unanswered = case.exchanges.iter().find(|exchange| exchange.answer.lines == (0, 0));
        match (unanswered, case.exchanges.is_empty()) {
            (Some(exchange), _) => Err(Wrong::at(exchange.line - 1, "the query has no `== answer`")),
            (None, true) => Err(Wrong::at(0, "nothing is asked")),
            (None, false) => Ok(case),
        }
    }

    fn read_part(&mut self, lines: &[&str], heading: usize, end: usize) -> Result<(), Wrong> {
        let title = lines[heading].trim_start_matches("== ").trim();
        let body = &lines[heading + 1..end];
        let text = || body.join("\n") + "\n";
        let expected = || Expected {
            lines: (heading, end),
            text: body.iter().map(|line| uncommented(line).to_owned()).filter(|line| !line.is_empty()).collect(),
        };
        let no_query = || Wrong::at(heading, "an answer without a query");
        match title.split_once(' ') {
            Some(("zone", name)) => self.add_file(format!("zones/{name}.zone"), text(), heading),
            Some(("file", path)) => self.add_file(path.to_owned(), text(), heading),
            None if title == "config" => self.add_file("thalweg.toml".to_owned(), text(), heading),
            None if title == "load" => self.read_loads(body, heading + 1),
            None if title == "query" => {
                let (from, message) = read_query(body, heading)?;
                let exchange =
                    Exchange { line: heading + 1, from, message, answer: Expected::default(), answer_over_tcp: None };
                self.exchanges.push(exchange);
                Ok(())
            }
            None if title == "answer" => {
                self.exchanges.last_mut().ok_or_else(no_query)?.answer = expected();
                Ok(())
            }
            Some(("answer", "over tcp")) => {
                self.exchanges.last_mut().ok_or_else(no_query)?.answer_over_tcp = Some(expected());
                Ok(())
            }
            _ => Err(Wrong::at(heading, format!("`{title}` is no heading; see tests/support/case.rs"))),
        }
    }

    fn add_file(&mut self, path: String, text: String, heading: usize) -> Result<(), Wrong> {
        match self.files.insert(path, text) {
            Some(_) => Err(Wrong::at(heading, "the file is there already")),
            None => Ok(()),
        }
    }

    fn read_loads(&mut self, body: &[&str], first: usize) -> Result<(), Wrong> {
        for (index, line) in body.iter().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (Some((node, load)), line) = (words.split_first(), first + index) else { continue };
            let wrong = || Wrong::at(line, format!("`{}` is no load; write `{node} pressure 0.5`", load.join(" ")));
            let load = match load {
                ["silent"] => Load::Silent,
                ["down"] => Load::Down,
                ["down", "over", "ipv4"] => Load::DownOver(Family::V4),
                ["down", "over", "ipv6"] => Load::DownOver(Family::V6),
                ["down", "in", pool] => Load::DownIn((*pool).to_owned()),
                ["stale", used @ ..] => Load::Stale(read_use(used).ok_or_else(wrong)?),
                used => Load::Fresh(read_use(used).ok_or_else(wrong)?),
            };
            self.loads.insert((*node).to_owned(), load);
        }
        Ok(())
    }
}

fn read_use(words: &[&str]) -> Option<Use> {
    match words {
        ["pressure", value] => Some(Use::Pressure(value.parse().ok()?)),
        ["cpu", value] => Some(Use::Cpu(value.strip_suffix('%')?.parse::<f64>().ok()? / 100.0)),
        ["egress", value] => Some(Use::Egress(value.strip_suffix("Mbit/s")?.parse::<f64>().ok()? * 1e6)),
        _ => None,
    }
}

/// Who asks, and the message.
fn read_query(body: &[&str], heading: usize) -> Result<(IpAddr, Vec<u8>), Wrong> {
    let mut from = IpAddr::from(Ipv4Addr::LOCALHOST);
    let mut query = Query::new(".", thalweg::wire::RecordType::A);
    let mut is_asked = false;
    let mut raw = Vec::new();
    for (index, line) in body.iter().enumerate() {
        let line = uncommented(line);
        if line.is_empty() {
            continue;
        }
        let wrong = |message: String| Wrong::at(heading + 1 + index, message);
        let (key, value) = line.split_once(": ").ok_or_else(|| wrong(format!("`{line}` is no `key: value`")))?;
        let value = value.trim();
        match key {
            "from" => from = value.parse().map_err(|_| wrong(format!("`{value}` is no address")))?,
            "subnet" => {
                let subnet: Prefix = value.parse().map_err(|error| wrong(format!("{error}")))?;
                query = query.with_subnet(subnet);
            }
            "edns" => read_edns(value, &mut query).map_err(wrong)?,
            "option" => {
                let (code, data) = value.split_once(' ').unwrap_or((value, ""));
                let code = code.parse().map_err(|_| wrong(format!("`{code}` is no option code")))?;
                query.edns().options.push((code, hex(data).map_err(wrong)?));
            }
            "flags" => {
                for flag in value.split_whitespace() {
                    query.flags |= match flag {
                        "rd" => RD,
                        "ad" => AD,
                        "cd" => CD,
                        _ => return Err(wrong(format!("`{flag}` is no flag of a query"))),
                    };
                }
            }
            "ask" => {
                read_question(value, &mut query).map_err(wrong)?;
                is_asked = true;
            }
            "hex" => raw.extend(hex(value).map_err(wrong)?),
            "repeat" => {
                let (count, octets) =
                    value.split_once(' ').ok_or_else(|| wrong("write `repeat: 500 00ff`".to_owned()))?;
                let count = count.parse().map_err(|_| wrong(format!("`{count}` is no number")))?;
                raw.extend(hex(octets).map_err(wrong)?.repeat(count));
            }
            "name" => raw.extend(name(value).map_err(wrong)?.wire()),
            _ => return Err(wrong(format!("`{key}` is no part of a query"))),
        }
    }
    match (is_asked, raw.is_empty()) {
        (true, true) => Ok((from, query.message())),
        (false, false) => Ok((from, raw)),
        _ => Err(Wrong::at(heading, "a query has either one `ask:`, or `hex:`, `name:` and `repeat:` lines")),
    }
}

fn read_edns(value: &str, query: &mut Query) -> Result<(), String> {
    let mut words = value.split_whitespace();
    while let Some(word) = words.next() {
        let edns = query.edns();
        let mut number = || words.next().ok_or(format!("a number is missing behind `{word}`"));
        match word {
            "payload" => edns.payload = number()?.parse().map_err(|_| "the payload is no number")?,
            "version" => edns.version = number()?.parse().map_err(|_| "the version is no number")?,
            "do" => edns.dnssec_ok = true,
            _ => return Err(format!("`{word}` is no part of EDNS")),
        }
    }
    Ok(())
}

fn read_question(value: &str, query: &mut Query) -> Result<(), String> {
    let words: Vec<&str> = value.split_whitespace().collect();
    let (owner, qtype, class) = match words[..] {
        [owner, qtype] => (owner, qtype, "IN"),
        [owner, qtype, class] => (owner, qtype, class),
        _ => return Err("write `ask: NAME TYPE`, and a class if it is not IN".to_owned()),
    };
    query.name = name(owner)?;
    query.qtype = qtype.parse().map_err(|_| format!("`{qtype}` is no type"))?;
    query.class = match class {
        "IN" => 1,
        "CH" => 3,
        "ANY" => 255,
        _ => return Err(format!("`{class}` is no class")),
    };
    Ok(())
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text, None).map_err(|error| format!("`{text}`: {error}"))
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let octet = |pair: &[u8]| match pair {
        [_, _] => std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()),
        _ => None,
    };
    digits.chunks(2).map(octet).collect::<Option<_>>().ok_or_else(|| format!("`{text}` is no row of octets in hex"))
}

fn uncommented(line: &str) -> &str {
    let line = if line.starts_with(';') { "" } else { line };
    line.split(" ;").next().unwrap_or_default().trim()
}
