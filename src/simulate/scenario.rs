//! Scenarios: what happens in the world, and what is different in it.

use std::ops::Range;

use serde::Deserialize;

use super::world::World;
use crate::diagnostic::{Diagnostic, Source};

/// What happens, as its file says it; times in seconds after the warm-up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called, in a few words.
    pub title: String,
    /// Seconds that are measured.
    pub length: u32,
    /// Left out when all scenarios are asked for: too long, or of interest to one policy only.
    #[serde(default)]
    pub only_by_name: bool,
    /// What is told of it beside the tables that all scenarios have.
    #[serde(default)]
    pub tells: Vec<Tell>,
    /// The planner plays it with each of its constants off by this part, too, one at a time, down and up; not if 0.
    #[serde(default)]
    pub varies: f64,
    /// A day's rise and fall of arrivals.
    pub diurnal: Option<Diurnal>,
    /// Crowds that come at once.
    #[serde(default, rename = "flash")]
    pub flashes: Vec<Flash>,
    /// Regions that grow.
    #[serde(default, rename = "growth")]
    pub growths: Vec<Growth>,
    /// Nodes that differ.
    #[serde(default, rename = "node")]
    pub nodes: Vec<NodeDifference>,
    /// What befalls nodes.
    #[serde(default, rename = "event")]
    pub events: Vec<Event>,
    /// Sessions that end at one moment.
    #[serde(default, rename = "ending")]
    pub endings: Vec<Ending>,
    /// From when on which share of new viewers asks us; the others are placed by an older service, by capacity in
    /// their region. All of them if there is none.
    #[serde(default, rename = "through")]
    pub through: Vec<Through>,
    /// Hostile queries.
    #[serde(default, rename = "attack")]
    pub attacks: Vec<Attack>,
    /// Keys of the world that are set anew.
    #[serde(default, rename = "world")]
    overrides: toml::Table,
}

/// Something that is told of a scenario beside the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tell {
    /// How far the pressure that the policy believes is from the true one.
    Prediction,
    /// How many viewers were sent elsewhere.
    Elsewhere,
    /// Whether a region lost its nearest site, or a site one of its nodes.
    Shunned,
    /// How many resolvers the policy still knows when an attack ends.
    Keys,
    /// Which nodes are taken for smaller than they are.
    Clipped,
    /// How long load that has gone is still believed to be there.
    Phantom,
}

impl Tell {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Prediction, Self::Elsewhere, Self::Shunned, Self::Keys, Self::Clipped, Self::Phantom];
}

/// A day's rise and fall: arrivals times `1 + amplitude * sin(2 pi t / period)`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diurnal {
    /// Part of the mean.
    pub amplitude: f64,
    /// Seconds.
    pub period: f64,
}

/// A crowd: arrivals rise to a peak at 40 % of its duration, and fall again, in straight lines.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flash {
    /// How many.
    pub viewers: f64,
    /// Second of the first.
    pub at: f64,
    /// Seconds until the last.
    pub within: f64,
    /// Mean seconds of their sessions.
    pub mean_session: f64,
    /// Deviation of the logarithm of their sessions.
    #[serde(default = "one")]
    pub sigma: f64,
    /// Share of each region.
    #[serde(default)]
    pub split: Option<Vec<f64>>,
}

/// How a crowd is split over the six regions of W0 if its scenario does not say.
const SPLIT: [f64; 6] = [0.50, 0.14, 0.16, 0.06, 0.08, 0.06];

/// A region whose arrivals grow in a straight line, and stay.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    /// Name of the region.
    pub region: String,
    /// To so many times.
    pub factor: f64,
    /// From this second.
    pub from: f64,
    /// Until this second.
    pub until: f64,
}

/// Nodes that differ from what their configuration says, or from others.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeDifference {
    /// Which, counted from 0 through all sites.
    pub numbers: Vec<usize>,
    /// True network capacity in times of the configured one.
    #[serde(default = "one")]
    pub true_nic: f64,
    /// What every viewer takes from them, whatever else they would.
    pub bitrate_mbit: Option<f64>,
}

/// Something that befalls nodes for a time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Which, counted from 0 through all sites.
    pub nodes: Vec<usize>,
    /// What.
    pub what: What,
    /// What a lying exporter reports, in times of the truth.
    #[serde(default = "one")]
    pub factor: f64,
    /// From this second.
    pub from: u32,
    /// Until this second.
    pub until: u32,
    /// It happens anew after so many seconds.
    #[serde(default)]
    pub again_every: u32,
    /// How often.
    #[serde(default = "once")]
    pub times: u32,
}

/// What befalls a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It serves nobody and answers no probe.
    Dead,
    /// Its exporter says nothing.
    Silent,
    /// Its exporter reports a part of the truth.
    Lies,
    /// It is to get no new viewers.
    Drained,
}

/// Sessions that end at one moment, with their channels.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// The second.
    pub at: u32,
    /// Share of all sessions.
    pub share: f64,
}

/// From when on which share of new viewers asks us.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Through {
    /// The second; below 0 in the warm-up.
    pub from: f64,
    /// The share.
    pub share: f64,
}

/// Queries that bring no viewers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    /// From this second.
    pub from: f64,
    /// Until this second.
    pub until: f64,
    /// Queries a second while it lasts.
    pub queries: f64,
    /// Who seems to send them.
    pub sources: Sources,
    /// Only in the first so many seconds of each `pulse_every`; all the time if 0.
    #[serde(default)]
    pub pulse: f64,
    /// Seconds from pulse to pulse.
    #[serde(default)]
    pub pulse_every: f64,
}

/// Who seems to send hostile queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sources {
    /// The hundred largest resolvers, with random client subnets.
    Subnets,
    /// Random addresses.
    Spoofed,
    /// The addresses of the hundred largest resolvers.
    Resolvers,
}

impl Attack {
    /// Queries a second at this second.
    pub fn rate(&self, at: f64) -> f64 {
        let is_on = (self.from..self.until).contains(&at);
        let pulses = self.pulse > 0.0 && self.pulse_every > 0.0;
        let is_in_pulse = !pulses || (at - self.from) % self.pulse_every < self.pulse;
        if is_on && is_in_pulse { self.queries } else { 0.0 }
    }
}

impl Event {
    /// The seconds of each time it happens.
    pub fn spans(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        (0..self.times).map(|time| {
            let later = time * self.again_every;
            self.from + later..self.until + later
        })
    }
}

impl Flash {
    /// Share of each region.
    pub fn split(&self, regions: usize) -> Vec<f64> {
        match &self.split {
            Some(split) => split.clone(),
            None if regions == SPLIT.len() => SPLIT.to_vec(),
            None => vec![1.0 / regions as f64; regions],
        }
    }

    /// Part of it that has come until this second.
    pub fn come(&self, at: f64) -> f64 {
        const PEAK: f64 = 0.4;
        let x = ((at - self.at) / self.within).clamp(0.0, 1.0);
        if x < PEAK { x * x / PEAK } else { 1.0 - (1.0 - x) * (1.0 - x) / (1.0 - PEAK) }
    }
}

impl Growth {
    /// What arrivals are multiplied by at this second.
    pub fn factor(&self, at: f64) -> f64 {
        let x = ((at - self.from) / (self.until - self.from)).clamp(0.0, 1.0);
        1.0 + (self.factor - 1.0) * x
    }
}

/// Reads a scenario and the world it plays in: the world's own file, with what the scenario sets anew.
pub fn read(world: &Source, scenario: &Source) -> Result<(World, Scenario), Vec<Diagnostic>> {
    let mut table: toml::Table = toml::from_str(&world.text).map_err(|error| vec![syntax(world, &error)])?;
    // Read once alone, so that what is wrong in it is shown in it.
    let alone: World = toml::from_str(&world.text).map_err(|error| vec![syntax(world, &error)])?;
    let complaints = complain(world, alone.complaints());
    if !complaints.is_empty() {
        return Err(complaints);
    }
    let parsed: Scenario = toml::from_str(&scenario.text).map_err(|error| vec![syntax(scenario, &error)])?;
    merge(&mut table, &parsed.overrides);
    let world: World = table.try_into().map_err(|error: toml::de::Error| {
        vec![Diagnostic::error(format!("world: {}", error.message())).in_file(scenario.name.clone())]
    })?;
    let mut found = world.complaints();
    found.extend(parsed.complaints(&world));
    let complaints = complain(scenario, found);
    if complaints.is_empty() { Ok((world, parsed)) } else { Err(complaints) }
}

fn complain(source: &Source, complaints: Vec<String>) -> Vec<Diagnostic> {
    complaints.into_iter().map(|words| Diagnostic::error(words).in_file(source.name.clone())).collect()
}

fn syntax(source: &Source, error: &toml::de::Error) -> Diagnostic {
    Diagnostic::error(error.message()).at(source, error.span().unwrap_or(0..0))
}

/// Sets keys anew; tables are gone into, all else is replaced.
fn merge(into: &mut toml::Table, from: &toml::Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(anew)) => merge(inner, anew),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

impl Scenario {
    /// Crowds that come, and nothing else.
    pub fn of_crowds(title: String, length: u32, flashes: Vec<Flash>) -> Self {
        Self {
            title,
            length,
            only_by_name: false,
            tells: Vec::new(),
            varies: 0.0,
            diurnal: None,
            flashes,
            growths: Vec::new(),
            nodes: Vec::new(),
            events: Vec::new(),
            endings: Vec::new(),
            through: Vec::new(),
            attacks: Vec::new(),
            overrides: toml::Table::new(),
        }
    }

    /// Whether new viewers of this second show who is shunned: those who come during an attack, if there is one.
    pub fn is_watched(&self, at: f64) -> bool {
        self.attacks.is_empty() || self.attacks.iter().any(|attack| (attack.from..attack.until).contains(&at))
    }

    /// What cannot be so in this world, in words that name the key.
    pub fn complaints(&self, world: &World) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut want = |holds: bool, words: String| {
            if !holds {
                complaints.push(words);
            }
        };
        let nodes: usize = world.regions.iter().map(|region| region.nic_gbit.len()).sum();
        let known = |numbers: &[usize]| numbers.iter().all(|number| *number < nodes);
        want((1..=172_800).contains(&self.length), "length must be between 1 and 172800 seconds".into());
        want((0.0..1.0).contains(&self.varies), "varies must be from 0 to below 1".into());
        for flash in &self.flashes {
            let split = flash.split(world.regions.len());
            let total: f64 = split.iter().sum();
            let is_split = split.len() == world.regions.len() && (total - 1.0).abs() < 0.001;
            want(is_split, "flash: split must have one number a region, and add up to 1".into());
            let positive = [flash.within, flash.mean_session, flash.sigma].iter().all(|value| *value > 0.0);
            want(positive, "flash: within, mean_session and sigma must be above 0".into());
            want((0.0..=10_000_000.0).contains(&flash.viewers), "flash: viewers must be at most 10 million".into());
        }
        for growth in &self.growths {
            let is_known = world.regions.iter().any(|region| region.name == growth.region);
            want(is_known, format!("growth: there is no region {}", growth.region));
            want(growth.from < growth.until && growth.factor >= 0.0, "growth: from must be before until".into());
        }
        for node in &self.nodes {
            want(known(&node.numbers), format!("node: numbers must be below {nodes}"));
            want(node.true_nic > 0.0, "node: true_nic must be above 0".into());
            want(node.bitrate_mbit.is_none_or(|it| it > 0.0), "node: bitrate_mbit must be above 0".into());
        }
        for event in &self.events {
            want(known(&event.nodes), format!("event: nodes must be below {nodes}"));
            want(event.from < event.until, "event: from must be before until".into());
            want(event.factor >= 0.0, "event: factor must not be below 0".into());
            want(event.times == 1 || event.again_every > 0, "event: times needs again_every".into());
        }
        for ending in &self.endings {
            want((0.0..=1.0).contains(&ending.share), "ending: share must be between 0 and 1".into());
        }
        for through in &self.through {
            want((0.0..=1.0).contains(&through.share), "through: share must be between 0 and 1".into());
        }
        for attack in &self.attacks {
            want((0.0..=10_000_000.0).contains(&attack.queries), "attack: queries must be at most 10 million".into());
        }
        complaints
    }
}

fn one() -> f64 {
    1.0
}

fn once() -> u32 {
    1
}
