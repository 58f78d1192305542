//! Alarms as the log tells them: each when it begins and when it ends, with names, numbers, and what the server does now.

use std::collections::BTreeMap;

use crate::steer::{Alarm, Names, Tables};

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
        /// What it is about; empty = everything.
        subject: String,
        /// In words.
        told: String,
    },
    /// It is over.
    Ends {
        /// The alarm's word.
        alarm: &'static str,
        /// What it is about; empty = everything.
        subject: String,
        /// In words.
        told: String,
    },
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
                let (subject, told) = (names.subject(alarm), names.tell(alarm, tables));
                news.push(News::Begins { alarm: alarm.word(), subject, told });
            }
        }
        self.standing.retain(|(alarm, subject), span| {
            let is_over = now - span.seen >= OVER;
            if is_over && span.is_told {
                let about = if subject.is_empty() { String::new() } else { format!("{subject}: ") };
                let told = format!("{about}{} is over after {:.0} s", alarm.replace('_', " "), span.seen - span.begun);
                news.push(News::Ends { alarm, subject: subject.clone(), told });
            }
            !is_over
        });
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::{Countries, Geo, RegionId};
    use crate::name::Name;
    use crate::pool::{Answers, Node, NodeId, Pool, PoolId, Service, TtlBounds};
    use crate::steer::{Assembly, Fleet};

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
            News::Begins { alarm, told, .. } => format!("+{alarm} {told}"),
            News::Ends { alarm, told, .. } => format!("-{alarm} {told}"),
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
