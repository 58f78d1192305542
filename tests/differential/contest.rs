//! Many questions to all servers, and the verdicts.

use std::collections::{BTreeMap, BTreeSet};

use thalweg::diagnostic::Source;

use super::judge::{Link, Oracle, Replies};
use super::queries::Question;
use super::reading::{Record, read};
use super::rules::{Judge, Rule, Verdict};
use super::servers::{OURS, Servers};
use super::support::reply::Reply;
use super::zones::Zone;

/// How the questions went.
#[derive(Debug, Default)]
pub(crate) struct Contest {
    pub(crate) right: usize,
    /// Questions of which the peers think nothing that most of them share.
    pub(crate) undecided: Vec<usize>,
    /// Questions that we answer wrongly, and why.
    pub(crate) wrong: Vec<(usize, String)>,
    /// How often each rule was needed.
    pub(crate) uses: BTreeMap<Rule, usize>,
}

impl Contest {
    /// Asks all servers all questions.
    pub(crate) fn run(servers: &Servers, zones: &[Zone], questions: &[Question]) -> Self {
        let mut judge = Judge::new(zones.iter().map(|zone| zone.apex.clone()).collect(), records(zones));
        let mut contest = Self::default();
        let mut pending: Vec<(usize, Replies)> = Vec::new();
        for (index, replies) in asked(servers, questions).into_iter().enumerate() {
            match replies {
                Ok(replies) => pending.push((index, replies)),
                Err(problem) => contest.wrong.push((index, problem)),
            }
        }
        // What a verdict wants is asked for all at once; then they are tried again.
        while !pending.is_empty() {
            let mut wanted: BTreeSet<Link> = BTreeSet::new();
            pending.retain(|(index, replies)| match judge.judge(&questions[*index], replies) {
                Verdict::Wanted(link) => {
                    wanted.insert(link);
                    true
                }
                verdict => {
                    contest.count(*index, verdict);
                    false
                }
            });
            let links: Vec<Link> = wanted.into_iter().collect();
            let more: Vec<Question> = links.iter().map(Oracle::question).collect();
            for (link, replies) in links.into_iter().zip(asked(servers, &more)) {
                judge.oracle.learn(link, replies.unwrap_or_default());
            }
        }
        contest.uses = judge.uses;
        contest
    }

    fn count(&mut self, index: usize, verdict: Verdict) {
        match verdict {
            Verdict::Wrong(why) => self.wrong.push((index, why)),
            Verdict::Undecided => self.undecided.push(index),
            _ => self.right += 1,
        }
    }
}

/// The replies to each question, or what is wrong with the form of ours.
fn asked(servers: &Servers, questions: &[Question]) -> Vec<Result<Replies, String>> {
    let all = servers.ask(questions);
    (0..questions.len())
        .map(|index| {
            if let Some(ours) = &all[OURS][index] {
                let parts = read(ours)?;
                let mut records = [&parts.answer, &parts.authority, &parts.additional].into_iter().flatten();
                // hickory-proto refuses records without data, which RFC 3597 allows.
                if records.all(|record| !record.data.is_empty()) {
                    Reply::read(ours)?;
                }
            }
            // What a peer sends and nobody can read counts as silence.
            Ok(std::array::from_fn(|server| all[server][index].as_ref().and_then(|reply| read(reply).ok())))
        })
        .collect()
}

/// All records that the zones hold, as replies have them; only addresses are looked up, which hold no names.
fn records(zones: &[Zone]) -> BTreeSet<Record> {
    let mut all = BTreeSet::new();
    for zone in zones {
        let (records, _) = thalweg::zone::read(&Source::new(zone.title(), zone.text()), &zone.apex);
        all.extend(records.iter().map(|record| Record {
            owner: record.owner.to_vec(),
            rtype: record.rtype,
            class: 1,
            ttl: record.ttl,
            data: record.rdata.to_vec(),
        }));
    }
    all
}
