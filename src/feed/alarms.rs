//! Alarms as the log tells them: each when it begins and when it ends, with names, numbers, and what the server does now.

use std::collections::BTreeMap;

use crate::geo::Region;
use crate::load::history::Reading;
use crate::pool::{Bitrate, Currency, NodeId, Saturation};
use crate::steer::{Alarm, Fleet, Tables};

/// Seconds for which an alarm must be absent to be over: what comes and goes would fill the log.
const OVER: f64 = 10.0;
/// Seconds for which queries must promise viewers whom nobody sees: those of a real crowd are seen after some scrapes.
const PATIENCE: f64 = 30.0;

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
    is_told: bool,
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
            let new = Span { begun: now, seen: now, is_told: false };
            let span = self.standing.entry((alarm.word(), names.subject(alarm))).or_insert(new);
            span.seen = now;
            let patience = if matches!(alarm, Alarm::Flooded { .. }) { PATIENCE } else { 0.0 };
            if !span.is_told && now - span.begun >= patience {
                span.is_told = true;
                news.push(News::Begins { alarm: alarm.word(), told: names.tell(alarm, tables) });
            }
        }
        self.standing.retain(|(alarm, subject), span| {
            let is_over = now - span.seen >= OVER;
            if is_over && span.is_told {
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
            Currency::Egress => "Mbit/s",
            Currency::Clients => "viewers",
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
                let told = node.reading.last().and_then(|load| match self.fleet.node(id).currency {
                    Currency::Egress => load.egress.map(Bitrate::megabits),
                    Currency::Clients => load.clients,
                });
                let told = told.map_or_else(|| "little load".to_owned(), |told| format!("{told:.1} {unit}"));
                format!(
                    "{}: its exporter tells of {told}, far below the {:.1} {unit} that answers brought; it is not believed, \
                     and the node goes on by dead reckoning",
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
                "{}: queries promise viewers whom no node sees; {:.0} % of what they promise is believed: a flood, or viewers bring \
                 less or leave sooner than `viewer` of the pool says",
                self.subject(alarm),
                belief * 100.0
            ),
            Alarm::Held => {
                let held: Vec<&str> = tables.held().into_iter().map(|node| self.node(node)).collect();
                format!(
                    "probes fail at more nodes of a place than they may take out alone, so our own network is the \
                     likelier fault; {} still get viewers, with 70 % of their weight",
                    held.join(", ")
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::{Countries, Geo, RegionId};
    use crate::name::Name;
    use crate::pool::{Answers, Node, Pool, PoolId, Service, TtlBounds};
    use crate::steer::Assembly;

    fn fleet() -> Fleet {
        let node = Node { name: "fra1".to_owned(), ..Node::default() };
        let service = Service {
            name: Name::parse("play.live.example", None).unwrap(),
            pool: "default".to_owned(),
            answers: Answers::Auto,
            ttl: TtlBounds { min: 3, max: 15 },
            policy: None,
            within: Vec::new(),
        };
        let assembly = Assembly {
            nodes: &[node],
            places: &[],
            pools: &[Pool::default()],
            services: &[service],
            regions: &[],
            rtts: &[],
            guesses: &BTreeMap::new(),
        };
        Fleet::assemble(&assembly, None)
    }

    fn words(news: Vec<News>) -> Vec<String> {
        let told = |news| match news {
            News::Begins { alarm, told } => format!("+{alarm} {told}"),
            News::Ends { alarm, told } => format!("-{alarm} {told}"),
        };
        news.into_iter().map(told).collect()
    }

    #[test]
    fn an_alarm_is_told_when_it_begins_and_when_it_has_been_absent_for_a_while() {
        let fleet = fleet();
        let names = Names { fleet: &fleet, regions: &[] };
        let mut alarms = Alarms::default();
        let mut at = |at: f64, is_there: bool| {
            let error = Alarm::PredictionError { node: NodeId(0), error: 0.12 };
            let mut tables = Tables::default();
            (tables.at, tables.alarms) = (at, is_there.then_some(error).into_iter().collect());
            words(alarms.observe(&tables, &names))
        };
        let begun = at(1.0, true);
        assert!(
            begun.len() == 1 && begun[0].starts_with("+prediction_error fra1: ") && begun[0].contains("0.12"),
            "{begun:?}"
        );
        for (second, is_there) in [(2.0, true), (3.0, false), (8.0, true), (17.0, false)] {
            assert_eq!(at(second, is_there), Vec::<String>::new(), "{second}");
        }
        assert_eq!(at(18.0, false), ["-prediction_error fra1: prediction error is over after 7 s"]);
    }

    #[test]
    fn a_crowd_that_nodes_confirm_soon_is_no_flood() {
        let fleet = fleet();
        let (geo, _) = Geo::compile(&[], Countries::embedded(), &[], &[], None);
        let names = Names { fleet: &fleet, regions: geo.regions() };
        let mut alarms = Alarms::default();
        let mut at = |at: f64| {
            let flood = Alarm::Flooded { pool: PoolId(0), region: RegionId(0), belief: 0.1 };
            let mut tables = Tables::default();
            (tables.at, tables.alarms) = (at, vec![flood]);
            words(alarms.observe(&tables, &names))
        };
        assert!(at(1.0).is_empty() && at(20.0).is_empty());
        let told = at(31.0);
        assert!(
            told.len() == 1 && told[0].contains("unknown for pool default: ") && told[0].contains("10 %"),
            "{told:?}"
        );
    }
}
