//! From a disagreement to the smallest zones and the simplest query that still show it, and to a case file.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use thalweg::name::Name;
use thalweg::wire::RecordType;

use super::contest::Contest;
use super::judge::{Content, majority};
use super::queries::Question;
use super::reading::read;
use super::servers::Servers;
use super::support::query::{AD, CD, Query, RD};
use super::support::reply::Reply;
use super::zones::{Record, Zone};

/// So often the servers are started again for one disagreement.
const MAX_TRIALS: usize = 100;

/// A disagreement that is to be shrunk.
pub(crate) struct Disagreement {
    zones: Vec<Zone>,
    question: Question,
    why: String,
    trials: usize,
}

impl Disagreement {
    /// The smallest that was found.
    pub(crate) fn shrunk(zones: &[Zone], question: &Question, why: &str) -> Self {
        let (zones, question) = (zones.to_vec(), question.clone());
        let mut this = Self { zones, question, why: why.to_owned(), trials: 0 };
        this.drop_families();
        this.drop_zones();
        this.simplify();
        this.drop_records();
        this.drop_zones();
        this
    }

    /// Takes the place of what there is if our answer is still wrong.
    fn attempt(&mut self, zones: Vec<Zone>, question: Question) -> bool {
        self.trials += 1;
        if self.trials > MAX_TRIALS {
            return false;
        }
        let Ok(servers) = Servers::start(&zones) else { return false };
        let contest = Contest::run(&servers, &zones, std::slice::from_ref(&question));
        let Some((_, why)) = contest.wrong.into_iter().next() else { return false };
        *self = Self { zones, question, why, trials: self.trials };
        true
    }

    fn drop_families(&mut self) {
        let name = self.question.query.name.clone();
        let ancestors: Vec<Name> = std::iter::successors(Some(name), Name::parent).collect();
        // `f7.test.`
        let Some(base) = ancestors.len().checked_sub(3).map(|index| ancestors[index].clone()) else { return };
        let family = self.zones.iter().filter(|zone| zone.apex.is_at_or_below(&base)).cloned().collect();
        self.attempt(family, self.question.clone());
    }

    fn drop_zones(&mut self) {
        for index in (0..self.zones.len()).rev() {
            let mut zones = self.zones.clone();
            zones.remove(index);
            if !zones.is_empty() {
                self.attempt(zones, self.question.clone());
            }
        }
    }

    fn simplify(&mut self) {
        let simpler: [fn(&mut Question); 4] = [
            |question| question.is_tcp = false,
            |question| question.query.edns = None,
            |question| question.query.flags = 0,
            |question| question.query.name = Name::from_wire(&question.query.name.lower_wire()).expect("a name"),
        ];
        for simplify in simpler {
            let mut question = self.question.clone();
            simplify(&mut question);
            self.attempt(self.zones.clone(), question);
        }
    }

    /// Halves, quarters and so on of the records, down to single ones.
    fn drop_records(&mut self) {
        let mut chunk = self.places().len().div_ceil(2);
        while chunk > 0 {
            let mut end = self.places().len();
            while end > 0 {
                let start = end.saturating_sub(chunk);
                let mut zones = self.zones.clone();
                for (zone, record) in self.places()[start..end].iter().rev() {
                    zones[*zone].records.remove(*record);
                }
                self.attempt(zones, self.question.clone());
                end = start;
            }
            chunk /= 2;
        }
    }

    /// Zone and place of each record that may go.
    fn places(&self) -> Vec<(usize, usize)> {
        let is_needed = |zone: &Zone, record: &Record| record.owner == zone.apex && record.rtype == RecordType::SOA;
        let zones = self.zones.iter().enumerate();
        zones
            .flat_map(|(number, zone)| {
                let records = zone.records.iter().enumerate();
                records.filter(|(_, record)| !is_needed(zone, record)).map(move |(place, _)| (number, place))
            })
            .collect()
    }

    /// Writes the case into a directory; its path and its text.
    pub(crate) fn write(&self, directory: &Path, seed: u64, number: usize) -> (PathBuf, String) {
        let text = self.case(seed);
        let path = directory.join(format!("seed_{seed}_{number}.case"));
        fs::create_dir_all(directory).unwrap();
        fs::write(&path, &text).unwrap();
        (path, text)
    }

    fn case(&self, seed: u64) -> String {
        let mut text = format!("because: most of NSD, Knot and BIND say so (seed {seed}); ours: {}\n", self.why);
        for zone in &self.zones {
            write!(text, "\n== zone {}\n{}", zone.title(), zone.text()).expect("a string takes everything");
        }
        write!(text, "\n== query\n{}", written(&self.question.query)).expect("a string takes everything");
        let ways = [false, true].map(|is_tcp| Question { query: self.question.query.clone(), is_tcp });
        let [udp, tcp] = expected(&self.zones, &ways);
        write!(text, "\n== answer\n{udp}").expect("a string takes everything");
        if tcp != udp {
            write!(text, "\n== answer over tcp\n{tcp}").expect("a string takes everything");
        }
        text
    }
}

/// What a peer answers with which another agrees, or else the first of them that answers.
fn expected(zones: &[Zone], questions: &[Question; 2]) -> [String; 2] {
    let Ok(servers) = Servers::start(zones) else { return Default::default() };
    let all = servers.ask(questions);
    [0, 1].map(|index| {
        let peers: Vec<&Vec<u8>> = all[1..].iter().filter_map(|replies| replies[index].as_ref()).collect();
        let content = |reply: &Vec<u8>| read(reply).ok().map(|parts| Content::of(&parts));
        let most = majority(peers.iter().map(|reply| content(reply)).collect());
        let chosen = peers.iter().find(|reply| Some(content(reply)) == most).or(peers.first());
        let lines = chosen.map(|reply| Reply::read(reply).map_or_else(|error| vec![error], |reply| reply.lines));
        lines.map_or_else(|| "silence\n".to_owned(), |lines| lines.join("\n") + "\n")
    })
}

/// A query as case files have it.
fn written(query: &Query) -> String {
    let mut text = String::new();
    if let Some(edns) = &query.edns {
        let dnssec_ok = if edns.dnssec_ok { " do" } else { "" };
        writeln!(text, "edns: payload {}{dnssec_ok}", edns.payload).expect("a string takes everything");
    }
    let flags = [(RD, "rd"), (AD, "ad"), (CD, "cd")].into_iter().filter(|(flag, _)| query.flags & flag != 0);
    let flags: Vec<&str> = flags.map(|(_, name)| name).collect();
    if !flags.is_empty() {
        writeln!(text, "flags: {}", flags.join(" ")).expect("a string takes everything");
    }
    let class = [(1, "IN"), (3, "CH"), (255, "ANY")].into_iter().find(|(number, _)| *number == query.class);
    let class = class.map_or("", |(_, name)| name);
    writeln!(text, "ask: {} {} {class}", query.name, query.qtype).expect("a string takes everything");
    text
}
