//! Alarms as the log tells them: each when it begins and when it ends, with names, numbers, and what the server does now.

use std::collections::BTreeMap;

use crate::geo::Region;
use crate::load::history::Reading;
use crate::pool::{NodeId, Saturation};
use crate::steer::{Alarm, Fleet, Standing, Tables};

/// Seconds for which an alarm must be absent to be over: what comes and goes would fill the log.
const OVER: f64 = 10.0;

/// What was wrong of late, by the kind of alarm and what it is about.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    standing: BTreeMap<(&'static str, String), Span>,
}

/// Seconds of the readings' clock.
#[derive(Debug, Clone, Copy)]
struct Span {
    begun: f64,
    seen: f64,
}

/// What the log is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// It was not so before.
    Begins {
        /// The alarm's word.
        alarm: &'static str,
        /// In words.
        told: String,
    },
    /// It is over.
    Ends {
        /// The alarm's word.
        alarm: &'static str,
        /// In words.
        told: String,
    },
}

/// What the numbers in alarms stand for.
pub(super) struct Names<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) regions: &'a [Region],
}

impl Alarms {
    /// Takes the alarms of new tables, and says what is new.
    pub(super) fn observe(&mut self, tables: &Tables, names: &Names<'_>) -> Vec<News> {
        let now = tables.at;
        let mut news = Vec::new();
        for alarm in &tables.alarms {
            let span = Span { begun: now, seen: now };
            let known = self.standing.entry((alarm.word(), names.subject(alarm)));
            let is_new = matches!(known, std::collections::btree_map::Entry::Vacant(_));
            known.or_insert(span).seen = now;
            if is_new {
                news.push(News::Begins { alarm: alarm.word(), told: names.tell(alarm, tables) });
            }
        }
        self.standing.retain(|(alarm, subject), span| {
            let is_over = now - span.seen >= OVER;
            if is_over {
                let about = if subject.is_empty() { String::new() } else { format!("{subject}: ") };
                let told = format!("{about}{} is over after {:.0} s", alarm.replace('_', " "), span.seen - span.begun);
                news.push(News::Ends { alarm, told });
            }
            !is_over
        });
        news
    }
}

impl Names<'_> {
    fn node(&self, id: NodeId) -> &str {
        &self.fleet.node(id).node.name
    }

    fn subject(&self, alarm: &Alarm) -> String {
        match *alarm {
            Alarm::Flooded { pool, region, .. } => {
                format!("{} for pool {}", self.regions[usize::from(region.0)].name, self.fleet.name_of_use(pool))
            }
            _ => alarm.node().map_or_else(String::new, |node| self.node(node).to_owned()),
        }
    }

    fn tell(&self, alarm: &Alarm, tables: &Tables) -> String {
        let unit = |id: NodeId| match self.fleet.node(id).currency {
            crate::pool::Currency::Egress => "Mbit/s",
            crate::pool::Currency::Clients => "viewers",
        };
        match *alarm {
            Alarm::Blind(id) => {
                let (age, because) = match &tables.nodes[usize::from(id.0)].reading {
                    Reading::Stale { age, because, .. } => (*age, because.as_ref().map(ToString::to_string)),
                    Reading::Fresh(_) | Reading::Never { .. } => (0.0, None),
                };
                let because = because.unwrap_or_else(|| "no answer".to_owned());
                format!(
                    "{}: its load is {age:.0} s old ({because}); it goes on by dead reckoning, with 70 % of its weight \
                     unless most nodes are like that",
                    self.node(id)
                )
            }
            Alarm::MostlyBlind => "more than half of the capacity is blind, so monitoring is broken rather than the \
                                   nodes; all go on by dead reckoning, with their full weight"
                .to_owned(),
            Alarm::Distrusted(id) => {
                let node = &tables.nodes[usize::from(id.0)];
                let unit = unit(id);
                let told = node.reading.last().map_or(0.0, |load| load.pressure * node.configured);
                format!(
                    "{}: its exporter tells of a pressure worth about {told:.0} {unit}, far below the {:.0} {unit} that \
                     were sent there; it is not believed, and the node goes on by dead reckoning",
                    self.node(id),
                    node.prediction.reckoned
                )
            }
            Alarm::Saturated { node: id, load } => {
                let clips = self.fleet.first_pool_of(id).is_some_and(|pool| pool.pool.saturation == Saturation::Clip);
                let done = if clips { "it is taken for that small" } else { "nothing is done about it" };
                format!(
                    "{}: sends no more than {load:.0} {} although viewers come, and is configured for {:.0}; {done}",
                    self.node(id),
                    unit(id),
                    tables.nodes[usize::from(id.0)].configured
                )
            }
            Alarm::PredictionError { node: id, error } => format!(
                "{}: its predicted pressure was wrong by {error:.2} on average for five minutes; steering goes on, but its \
                 capacity may not be what is configured, or viewers may come to it by other ways",
                self.node(id)
            ),
            Alarm::Flooded { belief, .. } => format!(
                "{}: queries promise viewers whom no node sees; {:.0} % of what they promise is believed",
                self.subject(alarm),
                belief * 100.0
            ),
            Alarm::Held => {
                let nodes = tables.nodes.iter().enumerate().filter(|(_, node)| node.standing == Standing::Held);
                let held: Vec<&str> = nodes.map(|(index, _)| self.node(NodeId(index as u16))).collect();
                format!(
                    "probes fail at more nodes of a place than they may take out alone, so our own network is the \
                     likelier fault; {} still get viewers, with 70 % of their weight",
                    held.join(", ")
                )
            }
        }
    }
}
