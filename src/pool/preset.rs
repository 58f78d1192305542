//! Presets: the rules by which what an exporter tells becomes load.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeSet;

use super::Resource;
use super::selector::Selector;

/// How one kind of exporter is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// Its key in `exporters`.
    pub name: String,
    /// Whose metrics it knows, in a few words.
    pub about: String,
    /// What its load is of.
    pub scope: Scope,
    /// What an exporter that can is asked to narrow its answer to: values of `collect[]`.
    pub collect: Vec<String>,
    /// For each resource the first rule that finds anything counts.
    pub rules: Vec<Rule>,
    /// What is another one after a restart; the first that is there counts.
    pub restart: Vec<Identity>,
    /// The node's clock in Unix seconds: it measures the time between two scrapes without the network's delay, and
    /// stands still in an answer that is repeated.
    pub clock: Option<Selector>,
    /// 0 = the exporter cannot reach its server.
    pub up: Option<Selector>,
    /// Any of them not 0 = the server lets nobody new in.
    pub draining: Vec<Selector>,
}

/// What an exporter's load is of; where several tell what a node sends, the widest is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everything that the machine does.
    Machine,
    /// What the media server does.
    Server,
}

/// What names one run of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Series that are there as long as it runs.
    pub selector: Selector,
    /// Labels that are drawn anew at each start; none = the value is the time of the start, in seconds.
    pub labels: Vec<String>,
}

/// How one resource's use is found in an exporter's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Of what.
    pub resource: Resource,
    /// Series that are added within a group.
    pub metric: Vec<Selector>,
    /// Series that they are a part of; none = they stand for themselves.
    pub of: Vec<Selector>,
    /// What is used is the rest: 1 − part.
    pub is_rest: bool,
    /// Groups in which this is not 0 are left out.
    pub unless: Option<Selector>,
    /// Without any series to count, nothing is used where these are there and all 0.
    pub idle: Option<Selector>,
    /// Labels that tell groups apart; none = each series is a group.
    pub each: Option<Vec<String>>,
    /// What becomes of two scrapes.
    pub reading: Measure,
    /// What becomes of several groups.
    pub combine: Combine,
    /// What a value is multiplied by, to come to the unit of the resource: shares of all cores, cores, bit/s, viewers,
    /// shares.
    pub scale: f64,
    /// What a counter that falls means.
    pub falls: Falls,
    /// Seconds between updates, of a counter that its program brings up to date now and then only.
    pub step: Option<f64>,
    /// The node's clock when the counter was brought up to date, in seconds: a rate is one over the time between two of these.
    pub clock: Option<Selector>,
    /// Seconds over which a rate is taken; none = from scrape to scrape.
    pub window: Option<f64>,
    /// Of how many scrapes the largest value counts.
    pub polls: usize,
    /// Where its capacity stands: the first that is told counts, and what the node's configuration says goes before.
    pub capacity: Vec<Told>,
    /// The share of the capacity at which pressure is 1, where the node's configuration says nothing.
    pub limit: Option<f64>,
}

/// What becomes of two scrapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The later value.
    Value,
    /// The increase a second.
    Rate,
    /// The increase.
    Delta,
}

/// What becomes of several groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// Their sum; of parts, the part that all are of all.
    Sum,
    /// The largest.
    Max,
    /// Their mean; of parts, as the sum.
    Avg,
    /// How many there are.
    Count,
    /// Their mean, unless one has much more to do than the others: then that one.
    Workers,
}

/// What a counter that falls means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Falls {
    /// Its program was restarted: nothing is known of this interval.
    Restart,
    /// This group is left out of the interval, unless all have fallen.
    Skip,
}

/// Where a capacity stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// In the rule.
    Number(f64),
    /// In a metric of the same group, or of no group at all; what is not above 0 tells nothing.
    Metric {
        /// Which.
        selector: Selector,
        /// What it is divided by.
        over: Option<Selector>,
        /// The label that holds the number; none = the value does.
        label: Option<String>,
        /// What it is multiplied by.
        scale: f64,
    },
}

impl Preset {
    /// The names of all metrics that it looks at, each once, and whether these can be negative.
    pub fn wanted(&self) -> impl Iterator<Item = (&str, bool)> {
        let counted = self.rules.iter().flat_map(|rule| rule.metric.iter().chain(&rule.of));
        let rules = self.rules.iter();
        let beside = rules.flat_map(|rule| {
            let beside = rule.unless.iter().chain(&rule.idle).chain(&rule.clock);
            beside.chain(rule.capacity.iter().flat_map(Told::selectors))
        });
        let own = self.restart.iter().map(|identity| &identity.selector);
        let own = own.chain(&self.clock).chain(&self.up).chain(&self.draining);
        let mut seen = BTreeSet::new();
        let counted = counted.map(|selector| (selector, false));
        let all = counted.chain(beside.chain(own).map(|selector| (selector, true)));
        all.filter(move |(selector, _)| seen.insert(selector.metric.as_str()))
            .map(|(selector, can_be_negative)| (selector.metric.as_str(), can_be_negative))
    }
}

impl Told {
    /// The series that tell it.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        match self {
            Self::Number(_) => [None, None],
            Self::Metric { selector, over, .. } => [Some(selector), over.as_ref()],
        }
        .into_iter()
        .flatten()
    }
}
