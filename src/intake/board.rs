//! The board: what the feed tells operators besides snapshots: alarms with their time, what happened of late, since when
//! nodes stand as they do, who was named in answers. Readable while the feed hangs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::TransferCounts;
use crate::pool::NodeId;
use crate::steer::Standing;

/// Events that are kept.
const MAX_EVENTS: usize = 200;
/// Alarms that stand at a time, at most.
const MAX_ALARMS: usize = 10_000;
/// Between two looks at who was named, and how many of these are kept: a minute.
const SAMPLED: Duration = Duration::from_secs(10);
const SAMPLES: usize = 7;

/// Written by the feed, read by whoever tells operators; nothing on the path of queries touches it.
#[derive(Debug)]
pub struct Board {
    started: u64,
    transfers: Arc<TransferCounts>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<Happening>,
    /// By word and subject: in words, and since when.
    alarms: BTreeMap<(String, String), (String, u64)>,
    /// By `NodeId`.
    standings: Vec<(Standing, u64)>,
    /// Answers by `NodeId` since the start, oldest sample first.
    answers: VecDeque<(Instant, Vec<f64>)>,
}

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Good to know.
    Note,
    /// Somebody should look at it today.
    Warning,
    /// Somebody should look at it now.
    Critical,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Happening {
    /// Seconds since 1970.
    pub at: u64,
    /// The word for its kind: start, node, override, maintenance, reload, alarm.
    pub kind: String,
    /// How much it matters.
    pub grade: Grade,
    /// In words.
    pub told: String,
}

/// An alarm that stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Raised {
    /// Its word in metrics.
    pub alarm: String,
    /// What it is about; empty = everything.
    pub subject: String,
    /// In words.
    pub told: String,
    /// Seconds since 1970 when it began.
    pub since: u64,
    /// How much it matters.
    pub grade: Grade,
}

impl Grade {
    /// Of an alarm, by its word.
    pub fn of_alarm(word: &str) -> Self {
        match word {
            // Answers no longer follow the load, or only by guesses.
            "stuck" | "mostly_blind" | "held" | "kept_inputs" => Self::Critical,
            // Nodes that were drained get viewers.
            "orders_lost" => Self::Critical,
            _ => Self::Warning,
        }
    }
}

impl Board {
    /// One with nothing on it.
    pub fn new() -> Self {
        Self { started: unix_seconds(), transfers: Arc::default(), inner: Mutex::default() }
    }

    /// Counts of zones that went out.
    pub fn transfers(&self) -> &Arc<TransferCounts> {
        &self.transfers
    }

    /// Seconds since 1970 when the server was started.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// Notes that something happened now.
    pub fn note(&self, kind: &str, grade: Grade, told: &str) {
        self.inner().note(kind, grade, told.to_owned());
    }

    /// Something is wrong: says whether that is new. If not, its words are the new ones.
    pub fn raise(&self, alarm: &str, subject: &str, told: &str) -> bool {
        let mut inner = self.inner();
        let key = (alarm.to_owned(), subject.to_owned());
        if let Some((words, _)) = inner.alarms.get_mut(&key) {
            told.clone_into(words);
            return false;
        }
        if inner.alarms.len() < MAX_ALARMS {
            inner.alarms.insert(key, (told.to_owned(), unix_seconds()));
        }
        inner.note("alarm", Grade::of_alarm(alarm), format!("{alarm}: {told}"));
        true
    }

    /// It is over: says whether it was wrong.
    pub fn clear(&self, alarm: &str, subject: &str) -> bool {
        let mut inner = self.inner();
        let Some((_, since)) = inner.alarms.remove(&(alarm.to_owned(), subject.to_owned())) else { return false };
        let about = if subject.is_empty() { String::new() } else { format!(" {subject}") };
        let lasted = unix_seconds().saturating_sub(since);
        inner.note("alarm", Grade::Note, format!("{alarm}{about}: over after {lasted} s"));
        true
    }

    /// The alarms that stand, the gravest first, then the oldest.
    pub fn alarms(&self) -> Vec<Raised> {
        let inner = self.inner();
        let raised = inner.alarms.iter().map(|((alarm, subject), (told, since))| Raised {
            alarm: alarm.clone(),
            subject: subject.clone(),
            told: told.clone(),
            since: *since,
            grade: Grade::of_alarm(alarm),
        });
        let mut raised: Vec<Raised> = raised.collect();
        raised.sort_by_key(|each| (std::cmp::Reverse(each.grade), each.since));
        raised
    }

    /// What happened, oldest first.
    pub fn events(&self) -> Vec<Happening> {
        self.inner().events.iter().cloned().collect()
    }

    /// Takes how nodes stand now, by `NodeId`: those that stand otherwise than before, with how they stood.
    pub fn set_standings(&self, standings: impl ExactSizeIterator<Item = Standing>) -> Vec<(NodeId, Standing)> {
        let now = unix_seconds();
        let mut inner = self.inner();
        let mut changed = Vec::new();
        for (index, standing) in standings.enumerate() {
            match inner.standings.get_mut(index) {
                Some(known) if known.0 == standing => {}
                Some(known) => {
                    changed.push((NodeId(index as u16), known.0));
                    *known = (standing, now);
                }
                None => inner.standings.push((standing, now)),
            }
        }
        changed
    }

    /// Forgets a node: its number is another one's now.
    pub fn forget(&self, node: NodeId) {
        let (index, mut inner) = (usize::from(node.0), self.inner());
        if let Some(known) = inner.standings.get_mut(index) {
            *known = (Standing::New, unix_seconds());
        }
        for (_, answers) in &mut inner.answers {
            if let Some(count) = answers.get_mut(index) {
                *count = 0.0;
            }
        }
    }

    /// Seconds since 1970 when a node began to stand as it does.
    pub fn standing_since(&self, node: NodeId) -> Option<u64> {
        self.inner().standings.get(usize::from(node.0)).map(|(_, since)| *since)
    }

    /// Looks at who was named in answers, if it is time to: `answers` are those of all nodes since the start.
    pub fn sample_answers(&self, now: Instant, answers: impl Iterator<Item = f64>) {
        let mut inner = self.inner();
        if inner.answers.back().is_some_and(|(at, _)| now.saturating_duration_since(*at) < SAMPLED) {
            return;
        }
        inner.answers.push_back((now, answers.collect()));
        while inner.answers.len() > SAMPLES {
            inner.answers.pop_front();
        }
    }

    /// Of the answers of the last minute, the part that named a node, by `NodeId`; empty if there were none.
    pub fn answer_shares(&self) -> Vec<f64> {
        let inner = self.inner();
        let (Some((_, old)), Some((_, new))) = (inner.answers.front(), inner.answers.back()) else { return Vec::new() };
        let count = |(index, now): (usize, &f64)| now - old.get(index).copied().unwrap_or(0.0);
        let counts: Vec<f64> = new.iter().enumerate().map(count).collect();
        let total: f64 = counts.iter().sum();
        if total > 0.0 { counts.iter().map(|count| count / total).collect() } else { Vec::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // What is on it is whole after each step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    fn note(&mut self, kind: &str, grade: Grade, told: String) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Happening { at: unix_seconds(), kind: kind.to_owned(), grade, told });
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_hundred_events_are_kept() {
        let board = Board::new();
        (0..=MAX_EVENTS).for_each(|number| board.note("node", Grade::Note, &number.to_string()));
        let events = board.events();
        assert_eq!((events.len(), events[0].told.as_str()), (MAX_EVENTS, "1"));
    }

    #[test]
    fn an_alarm_stands_until_it_is_over_and_the_gravest_comes_first() {
        let board = Board::new();
        assert!(board.raise("blind", "a", "old") && !board.raise("blind", "a", "older"));
        assert!(board.raise("held", "", "many"));
        let alarms = board.alarms();
        assert_eq!((alarms[0].alarm.as_str(), alarms[1].told.as_str()), ("held", "older"));
        assert!(board.clear("blind", "a") && !board.clear("blind", "a"));
        let told: Vec<String> = board.events().into_iter().map(|event| event.told).collect();
        assert_eq!(told, ["blind: old", "held: many", "blind a: over after 0 s"]);
    }

    #[test]
    fn a_change_of_standing_is_told_once() {
        let board = Board::new();
        assert!(board.set_standings([Standing::New, Standing::New].into_iter()).is_empty());
        let changed = board.set_standings([Standing::New, Standing::Down, Standing::New].into_iter());
        assert_eq!(changed, [(NodeId(1), Standing::New)]);
        assert!(board.standing_since(NodeId(2)).is_some() && board.standing_since(NodeId(3)).is_none());
    }

    #[test]
    fn shares_are_those_of_the_last_minute() {
        let board = Board::new();
        let start = Instant::now();
        assert!(board.answer_shares().is_empty());
        for step in 0..10 {
            let at = start + SAMPLED * step;
            // The first node gets everything until the samples that are kept begin.
            let first = f64::from(step.min(3)) * 100.0 + f64::from(step.saturating_sub(3));
            board.sample_answers(at, [first, f64::from(step.saturating_sub(3)) * 3.0].into_iter());
            board.sample_answers(at, [1e9, 0.0].into_iter());
        }
        assert_eq!(board.answer_shares(), [0.25, 0.75]);
    }
}
