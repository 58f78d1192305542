//! The guard: lists that suddenly do much less than before are rather a fault of whoever writes them than the wish of an
//! operator.

use std::collections::{BTreeMap, BTreeSet};

use super::files::now;
use super::{News, Pending, Read, Taken, Text};
use crate::config::{Config, Effect, Gain, Inventory, List};

/// The part of an inventory's nodes that may go at once.
const MOST_GONE: f64 = 0.30;
/// So few may always go.
const FEW: usize = 1;
/// Seconds within which many small losses are a large one: a registry lets its entries expire one after another.
const AT_ONCE: u64 = 3_600;

/// Lists that did more than those after them.
#[derive(Debug, Clone)]
pub(super) struct Peak {
    /// Until when they were taken, in seconds since 1970.
    until: u64,
    sources: BTreeMap<String, Text>,
}

/// What the guard says of lists that were read.
pub(super) enum Verdict {
    /// They are taken; after these.
    Taken(Option<Peak>),
    /// They wait.
    Waits(Pending),
}

/// What becomes of the lists of each inventory.
pub(super) fn judge(config: &Config, reads: &[Read], news: &News) -> Vec<Verdict> {
    let now = now();
    let references: Vec<Reference> = reads.iter().map(|read| Reference::of(config, read)).collect();
    let judge = |(index, read): (usize, &Read)| {
        let Some(old) = &read.old else { return Verdict::Taken(None) };
        let (before, after) = match &references[index] {
            Reference::None => return Verdict::Taken(None),
            Reference::Same => return unchanged(old, &read.taken, now),
            // It is the configuration that has changed, and names may be others: how many there are is left.
            Reference::Unreadable => (None, Effect::from([(Gain::Listed, read.taken.nodes.clone())])),
            Reference::Lists(lists) => {
                let effect = |lists: &[List]| effect(config, reads, &references, index, lists);
                (Some(effect(lists)), effect(&read.lists))
            }
        };
        let peak = fresh(old, now).and_then(|peak| {
            let lists = lists_of(config, &read.inventory, &peak.sources)?;
            Some((peak, effect(config, reads, &references, index, &lists)))
        });
        let loss = match &before {
            None => fewer(&Effect::from([(Gain::Listed, old.nodes.clone())]), &after),
            // As many other nodes are a loss too, if they come all at once.
            Some(before) => others(before, &after),
        };
        let loss = loss.or_else(|| fewer(&peak.as_ref()?.1, &after));
        let is_confirmed = news.confirmed.get(&read.inventory.name).is_some_and(|confirmed| has_all(&after, confirmed));
        if is_confirmed {
            return Verdict::Taken(None);
        }
        if let Some((because, gone)) = loss {
            let since = old.pending.as_ref().map_or(now, |pending| pending.since);
            let nodes = read.taken.nodes.clone();
            return Verdict::Waits(Pending { since, nodes, gone, because, effect: after });
        }
        let is_less = |full: &Effect| full.iter().any(|(gain, names)| count(&after, gain) < names.len());
        Verdict::Taken(match (peak, before) {
            (Some((peak, full)), _) if is_less(&full) => Some(peak.clone()),
            (None, Some(before)) if is_less(&before) => Some(Peak { until: now, sources: old.sources.clone() }),
            _ => None,
        })
    };
    reads.iter().enumerate().map(judge).collect()
}

/// Whether so few of so many nodes are too few.
pub(in crate::feed) fn shrinks_suddenly(before: usize, after: usize) -> bool {
    let lost = before.saturating_sub(after);
    lost > FEW && lost as f64 > MOST_GONE * before as f64
}

/// What lists are compared with.
enum Reference {
    /// There were none.
    None,
    /// They are those that were taken last.
    Same,
    /// These were taken last.
    Lists(Vec<List>),
    /// Those that were taken do not fit the configuration any more.
    Unreadable,
}

impl Reference {
    fn of(config: &Config, read: &Read) -> Self {
        match &read.old {
            None => Self::None,
            Some(old) if read.taken.has_texts_of(old) => Self::Same,
            Some(old) => lists_of(config, &read.inventory, &old.sources).map_or(Self::Unreadable, Self::Lists),
        }
    }
}

fn lists_of(config: &Config, inventory: &Inventory, sources: &BTreeMap<String, Text>) -> Option<Vec<List>> {
    sources.values().map(|text| config.read_list(inventory, &text.source, text.format).ok()).collect()
}

/// What nothing new was read of.
fn unchanged(old: &Taken, taken: &Taken, now: u64) -> Verdict {
    match &old.pending {
        // Of a source that cannot be read the old list goes on, and so does what waits.
        Some(pending) if !taken.errors.is_empty() => Verdict::Waits(pending.clone()),
        _ => Verdict::Taken(fresh(old, now).cloned()),
    }
}

fn fresh(old: &Taken, now: u64) -> Option<&Peak> {
    old.peak.as_ref().filter(|peak| now.saturating_sub(peak.until) < AT_ONCE)
}

/// What an inventory comes to with these lists; others are as they were taken last.
fn effect(config: &Config, reads: &[Read], references: &[Reference], index: usize, lists: &[List]) -> Effect {
    let of = |at: usize| match &references[at] {
        _ if at == index => lists,
        Reference::Lists(lists) => lists,
        _ => &reads[at].lists,
    };
    let all: Vec<(&Inventory, &List)> =
        (0..reads.len()).flat_map(|at| of(at).iter().map(move |list| (&reads[at].inventory, list))).collect();
    config.effect(&reads[index].inventory.name, &all)
}

/// What is lost, in words, and by which nodes.
type Loss = (String, Vec<String>);

/// Nodes that lose something, whoever has it in their place.
fn others(before: &Effect, after: &Effect) -> Option<Loss> {
    loss(before, after, |_, gone| gone)
}

/// How many nodes fewer have something.
fn fewer(before: &Effect, after: &Effect) -> Option<Loss> {
    loss(before, after, |gain, _| before[gain].len().saturating_sub(count(after, gain)))
}

fn loss(before: &Effect, after: &Effect, count: impl Fn(&Gain, usize) -> usize) -> Option<Loss> {
    let none = BTreeSet::new();
    before.iter().find_map(|(gain, names)| {
        let gone: Vec<String> = names.difference(after.get(gain).unwrap_or(&none)).cloned().collect();
        let (lost, all) = (count(gain, gone.len()), names.len());
        shrinks_suddenly(all, all - lost).then(|| (gain.lost(lost, all).to_string(), gone))
    })
}

fn count(effect: &Effect, gain: &Gain) -> usize {
    effect.get(gain).map_or(0, BTreeSet::len)
}

/// What was confirmed is a list; one that does at least as much may be taken too.
fn has_all(effect: &Effect, confirmed: &Effect) -> bool {
    confirmed.iter().all(|(gain, names)| effect.get(gain).is_some_and(|has| names.is_subset(has)) || names.is_empty())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::diagnostic::Source;
    use crate::feed::inventory::{Files, Lists, Outcome};
    use crate::feed::stamps::Stamps;

    const URL: &str = "http://inventory.example/nodes";
    const CONFIG: &str = "[service.\"play.live.example\"]\npool = \"edge\"\n[place.fra]\nat = [50, 8]\n[defaults.node]\n\
                          place = \"fra\"\n[pool.edge]\nselect = { role = \"edge\" }\n[inventory.fleet]\n";

    /// A list of these nodes, with labels made of their numbers.
    fn list(nodes: impl IntoIterator<Item = usize>, labels: impl Fn(usize) -> String) -> String {
        let group = |node: usize| {
            format!("{{\"targets\": [\"10.0.{}.{}:9100\"], \"labels\": {{{}}}}}", node / 256, node % 256, labels(node))
        };
        format!("[{}]", nodes.into_iter().map(group).collect::<Vec<_>>().join(","))
    }

    fn whole(node: usize) -> String {
        format!(
            "\"node\": \"n{node:04}\", \"addr\": \"198.51.{}.{}\", \"role\": \"edge\"",
            100 + node / 250,
            1 + node % 250
        )
    }

    /// The lists after a look at the URL, at which it had this; by a configuration with this in the inventory.
    fn look(lists: &Lists, list: &str, confirmed: Option<&Effect>, mapping: &str) -> Lists {
        let confirmed = confirmed.map(|confirmed| ("fleet".to_owned(), confirmed.clone()));
        let news = News { confirmed: confirmed.into_iter().collect(), ..news(Ok(Source::new(URL, list))) };
        read(lists, &news, &format!("http_sd = \"{URL}\"\n{mapping}"))
    }

    fn news(result: Result<Source, String>) -> News {
        News { fetched: [(URL.to_owned(), Outcome { at: 1, result })].into(), ..News::default() }
    }

    fn read(lists: &Lists, news: &News, inventory: &str) -> Lists {
        let (config, diagnostics) = config::read(&Source::new("thalweg.toml", format!("{CONFIG}{inventory}")), &[]);
        let mut config = config.unwrap_or_else(|| panic!("{diagnostics:?}"));
        let mut files = Files { directory: Path::new(""), watched: &mut Stamps::default() };
        let reading = Lists::read(&mut config, lists, news, &mut files);
        assert!(!reading.is_blocked);
        reading.lists
    }

    fn first(list: &str) -> Lists {
        look(&Lists::default(), list, None, "")
    }

    fn pending(lists: &Lists) -> Option<&Pending> {
        lists.by_name["fleet"].pending.as_ref()
    }

    #[test]
    fn a_list_waits_when_more_than_three_tenths_and_at_least_two_are_gone() {
        for (before, after, waits) in [
            (10, 7, false),
            (10, 6, true),
            (2, 1, false),
            (2, 0, true),
            (1, 0, false),
            (3, 2, false),
            (3, 1, true),
            (1000, 700, false),
            (1000, 699, true),
            (5, 9, false),
            (0, 0, false),
        ] {
            let lists = look(&first(&list(0..before, whole)), &list(0..after, whole), None, "");
            assert_eq!(pending(&lists).is_some(), waits, "{before} {after}");
            if let Some(pending) = pending(&lists) {
                assert_eq!((pending.gone.len(), pending.nodes.len()), (before - after, after));
            }
        }
    }

    #[test]
    fn a_list_of_as_many_names_waits_if_answers_lose_their_nodes_by_it() {
        let names = |node: usize| format!("\"node\": \"n{node:04}\", \"role\": \"edge\"");
        for (text, because) in [
            (list(10..20, whole), "10 of 10 nodes are missing"),
            (list(0..10, names).replace("10.0.0.", "exporter"), "10 of 10 nodes have no address of their own any more"),
            (list(0..10, |_| whole(0)).replace("\"node\": \"n0000\", ", ""), "10 of 10 nodes are missing"),
            (
                list(0..10, |node| whole(node).replace(&format!(".{}\"", 1 + node), ".1\"")),
                "9 of 10 nodes have no address of their own any more",
            ),
            (
                list(0..10, names),
                "10 of 10 nodes have only the address of their exporter, none that is said to be for viewers",
            ),
            (
                list(0..10, |node| whole(node).replace("role", "rolle")),
                "10 of 10 nodes are not in the pool `edge` any more",
            ),
            (
                list(0..10, |node| whole(node).replace("edge", if node < 4 { "origin" } else { "edge" })),
                "4 of 10 nodes are not in the pool `edge` any more",
            ),
        ] {
            let lists = look(&first(&list(0..10, whole)), &text, None, "");
            assert_eq!(pending(&lists).map(|pending| pending.because.as_str()), Some(because), "{text}");
            assert_eq!(lists.by_name["fleet"].nodes.len(), 10);
        }
        // A few may change in any way, and addresses be others.
        for text in [
            list(3..13, whole),
            list(0..10, |node| if node < 3 { names(node) } else { whole(node) }),
            list(0..10, |node| whole(node).replace("198.51", "203.0")),
        ] {
            assert_eq!(pending(&look(&first(&list(0..10, whole)), &text, None, "")), None, "{text}");
        }
    }

    #[test]
    fn small_losses_within_an_hour_are_one_and_nodes_may_be_replaced_one_by_one() {
        let mut lists = first(&list(0..10, whole));
        for left in [9, 8, 7] {
            lists = look(&lists, &list(0..left, whole), None, "");
            assert_eq!(pending(&lists), None, "{left}");
        }
        let sixth = look(&lists, &list(0..6, whole), None, "");
        assert_eq!(pending(&sixth).unwrap().because, "4 of 10 nodes are missing");
        assert_eq!(sixth.by_name["fleet"].nodes.len(), 7);
        // Nothing is new in a list that is read again, whatever is new in the configuration.
        assert_eq!(pending(&look(&lists, &list(0..7, whole), None, "place = \"label:site\"")), None);
        let mut later = lists.clone();
        later.by_name.get_mut("fleet").unwrap().peak.as_mut().unwrap().until -= AT_ONCE;
        assert_eq!(pending(&look(&later, &list(0..6, whole), None, "")), None);
        // So it is where nodes leave a pool, and the list is as long as ever.
        let mut lists = first(&list(0..10, whole));
        for moved in 1..=4 {
            let labels = |node| whole(node).replace("edge", if node < moved { "origin" } else { "edge" });
            lists = look(&lists, &list(0..10, labels), None, "");
            assert_eq!(pending(&lists).is_some(), moved == 4);
        }
        let mut lists = first(&list(0..11, whole));
        for replaced in 1..=10 {
            lists = look(&lists, &list(replaced..10 + replaced, whole), None, "");
            assert_eq!(pending(&lists), None, "{replaced}");
        }
    }

    #[test]
    fn what_was_confirmed_may_be_taken_and_what_is_less_still_may_not() {
        let before = first(&list(0..10, whole));
        let waiting = look(&before, &list(0..4, whole), None, "");
        let confirmed = &pending(&waiting).unwrap().effect;
        let unnamed = list(0..4, |node| whole(node).replace("role", "rolle"));
        for (after, waits) in [
            (list(0..4, whole), false),
            (list(0..5, whole), false),
            (list(0..3, whole), true),
            (list([], whole), true),
            (unnamed, true),
        ] {
            let lists = look(&waiting, &after, Some(confirmed), "");
            assert_eq!(pending(&lists).is_some(), waits, "{after}");
            // Then it is what others are compared with.
            let next = look(&lists, &after, None, "");
            assert_eq!(pending(&next).is_some(), waits, "{after}");
        }
    }

    #[test]
    fn names_that_the_configuration_makes_others_are_no_loss() {
        let by_host = |node: usize| whole(node).replace("node", "name");
        let lists = first(&list(0..10, by_host));
        assert!(lists.by_name["fleet"].nodes.contains("10.0.0.0"));
        let lists = look(&lists, &list(0..11, by_host), None, "key = \"label:name\"");
        assert_eq!((pending(&lists), lists.by_name["fleet"].nodes.len()), (None, 11));
    }

    #[test]
    fn what_waits_waits_on_while_the_url_gives_nothing() {
        let url = format!("http_sd = \"{URL}\"\n");
        let waiting = look(&first(&list(0..10, whole)), &list(0..4, whole), None, "");
        let down = read(&waiting, &news(Err("status 500".to_owned())), &url);
        assert_eq!(pending(&down), pending(&waiting));
        assert_eq!(down.by_name["fleet"].errors.len(), 1);
        assert_eq!(pending(&look(&down, &list(0..10, whole), None, "")), None);
    }

    #[test]
    fn a_new_url_has_the_list_of_the_one_before_it_until_it_gives_one() {
        const NEW: &str = "http_sd = \"http://new.example/nodes\"\n";
        let old = first(&list(0..1, whole));
        let (down, up) = (Err("status 500".to_owned()), Ok(Source::new("http://new.example/nodes", list(5..6, whole))));
        let of_new = |result| News {
            fetched: [("http://new.example/nodes".to_owned(), Outcome { at: 1, result })].into(),
            ..News::default()
        };
        for (news, node) in [(News::default(), "n0000"), (of_new(down), "n0000"), (of_new(up), "n0005")] {
            let lists = read(&old, &news, NEW);
            let nodes = &lists.by_name["fleet"].nodes;
            assert_eq!((pending(&lists), nodes.iter().map(String::as_str).collect::<Vec<_>>()), (None, vec![node]));
        }
    }
}
