//! What an operator and the network say to inventories: a shrunken list is confirmed, a URL has been looked at.

use std::sync::Arc;

use super::{Fetch, Fetched, Lists, Pending};
use crate::config::{Config, Inventory};
use crate::feed::credentials::Keyring;
use crate::feed::reload::{Reload, Scope, Waiter};
use crate::feed::run::Feed;
use crate::intake::Answer;

/// The word of the alarm of lists that wait.
const SHRUNK: &str = "inventory_shrunk";

/// A list that an operator wants to be taken.
pub(in crate::feed) struct Confirmation {
    pub(in crate::feed) inventory: String,
    pub(in crate::feed) answer: Answer,
}

impl Lists {
    /// What waits in an inventory; none if there is no such inventory.
    fn pending(&self, inventory: &str) -> Option<Option<&Pending>> {
        self.by_name.get(inventory).map(|taken| taken.pending.as_ref())
    }

    /// Why the list of an inventory is not taken, if it waits.
    pub(in crate::feed) fn waits(&self, inventory: &str) -> Option<String> {
        let pending = self.pending(inventory)??;
        Some(format!(
            "a list of `{inventory}` waits still ({}): look at it with `thalweg inventory`, and confirm again",
            pending.because
        ))
    }
}

impl Feed {
    /// Takes the list that waits, if one does: it is read again, and taken unless it lacks more than what was shown.
    pub(in crate::feed) fn confirm(&mut self, confirmation: Confirmation, reload: &mut Option<Reload>) {
        let Confirmation { inventory, answer } = confirmation;
        let refused = match self.lists.pending(&inventory) {
            Some(Some(pending)) => {
                tracing::warn!(inventory, nodes = pending.nodes.len(), "an operator confirms the list that waits");
                self.news.confirmed.insert(inventory.clone(), pending.effect.clone());
                return self.begin_reload(reload, Scope::Lists, Some(Waiter { answer, confirms: Some(inventory) }));
            }
            Some(None) => format!("no list of `{inventory}` waits to be confirmed"),
            None => {
                let names = self.lists.by_name.keys().map(String::as_str);
                let help = crate::diagnostic::nearest(&inventory, names)
                    .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                format!("no inventory is called `{inventory}`{help}")
            }
        };
        // Who asked may have gone away meanwhile.
        let _gone = answer.send(Err(refused));
    }

    /// Takes what came of a look at a URL; only what differs from what was taken is news.
    pub(in crate::feed) fn take_fetched(&mut self, fetched: Fetched, reload: &mut Option<Reload>) {
        let Fetched { url, outcome } = fetched;
        let had_failed = self.news.fetched.get(&url).is_some_and(|before| before.result.is_err());
        let has_failed = outcome.result.is_err();
        let is_same = Arc::make_mut(&mut self.lists).note(&url, &outcome);
        self.news.fetched.insert(url, outcome);
        let is_known = is_same || (had_failed && has_failed);
        if !is_known {
            self.begin_reload(reload, Scope::Lists, None);
        }
    }

    /// Takes what is said of lists that were read with inputs that were not taken.
    pub(in crate::feed) fn take_findings(&mut self, refused: &Lists) {
        self.take_lists(self.lists.with_findings_of(refused));
    }

    /// Forgets what URLs gave that are asked no more.
    pub(in crate::feed) fn forget_urls(&mut self, asked: &[Fetch]) {
        self.news.fetched.retain(|url, _| asked.iter().any(|fetch| fetch.url == *url));
    }

    /// Takes lists whose nodes are served.
    pub(in crate::feed) fn take_lists(&mut self, lists: Lists) {
        for (name, taken) in &lists.by_name {
            let before = self.lists.by_name.get(name).and_then(|before| before.pending.as_ref());
            match &taken.pending {
                Some(pending) => {
                    let told = format!(
                        "the list of {name} is not taken: {}; the old one goes on until `thalweg inventory confirm {name}`, or \
                         until the list is whole again",
                        pending.because
                    );
                    if self.board.raise(SHRUNK, name, &told) {
                        tracing::error!(alarm = SHRUNK, inventory = name, "{told}");
                    }
                }
                None if before.is_some() => {
                    self.board.clear(SHRUNK, name);
                    tracing::info!(inventory = name, nodes = taken.nodes.len(), "no list waits any more");
                }
                None => {}
            }
        }
        let settled = lists.by_name.iter().filter(|(_, taken)| taken.pending.is_none());
        let left = settled.filter(|(name, taken)| self.enrolment.settle(name, &taken.nodes)).count();
        if left > 0 {
            self.save_enrolled(None);
        }
        for name in self.lists.by_name.keys().filter(|name| !lists.by_name.contains_key(*name)) {
            self.board.clear(SHRUNK, name);
        }
        self.lists = Arc::new(lists);
        self.keep_lists();
    }
}

/// The URLs of a configuration, and how each is asked.
pub(in crate::feed) fn fetches(config: &Config, keyring: &Keyring) -> Vec<Fetch> {
    let fetch = |inventory: &Inventory| {
        let Inventory { url, access, refresh, .. } = inventory;
        let url = url.as_ref()?.value.clone();
        Some(Fetch { url, access: Arc::clone(access), refresh: *refresh, credentials: keyring.of(access) })
    };
    config.inventories.iter().filter_map(|written| fetch(&written.value)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::feed::inputs::load_lists;
    use crate::feed::probe::{Fault, Goal, Probe, Probed};
    use crate::feed::{Feed, Options};
    use crate::geo::RegionId;
    use crate::intake::{Lift, Wish};
    use crate::load::health::NodeHealth;
    use crate::pool::{Check, Family, NodeId, PoolId};
    use crate::steer::{Estimate, Ledger, Observation, Override};

    const CONFIG: &str = "[service.\"play.live.example\"]\n[place.fra]\nat = [50, 8]\n[defaults.node]\nplace = \"fra\"\n\
                          check = \"tcp:9\"\n[inventory.fleet]\nfile_sd = \"list.json\"\n";
    const ZONE: &str = "@ 60 SOA ns1 host 1 2h 15m 2w 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n";

    fn write_list(directory: &Path, nodes: &[&str]) {
        let group = |node: &&str| {
            let last = node.as_bytes()[0];
            format!("{{\"targets\": [\"{node}:9100\"], \"labels\": {{\"addr\": \"192.0.2.{last}\"}}}}")
        };
        let groups: Vec<String> = nodes.iter().map(group).collect();
        std::fs::write(directory.join("list.json"), format!("[{}]", groups.join(","))).expect("a file");
    }

    /// A feed of these nodes, whose probes and exporters are never asked.
    fn feed(directory: &Path, nodes: &[&str]) -> Feed {
        std::fs::create_dir(directory.join("zones")).expect("a directory");
        std::fs::write(directory.join("zones/live.example.zone"), ZONE).expect("a file");
        std::fs::write(directory.join("thalweg.toml"), CONFIG).expect("a file");
        write_list(directory, nodes);
        let options = Options {
            file: directory.join("thalweg.toml"),
            environment: Vec::new(),
            is_watching: true,
            is_strict: true,
        };
        let mut feed = Feed::new(options).unwrap_or_else(|error| panic!("{error:?}"));
        feed.set_targets();
        feed
    }

    fn relist(feed: &mut Feed, directory: &Path, nodes: &[&str]) {
        write_list(directory, nodes);
        let loaded = load_lists(&feed.options.file, &[], &feed.inputs, &feed.lists, &feed.news);
        feed.finish_reload(Some(loaded), Scope::Lists).expect("a good list");
    }

    fn fall(feed: &mut Feed, node: NodeId) {
        let address = feed.inputs.fleet.node(node).node.v4.expect("it has one");
        let probe = Probe { node, goal: Goal::of(&Check::Tcp(9), address.into()) };
        for _ in 0..2 {
            let result = Err(Fault::Node("refused".to_owned()));
            feed.take_probe(Probed { probe: probe.clone(), at: Instant::now(), result });
        }
    }

    /// Answers that name a node, as workers book them.
    fn answer(feed: &Feed, node: NodeId) {
        let (region, pool, family) = (RegionId(0), PoolId(0), Family::V4);
        let mut ledger = Ledger::new();
        ledger.book(&Observation { region, pool, family, nodes: &[node], ttl: 5, estimate: Estimate::default() });
        feed.answers.add_ledger(&ledger);
    }

    #[test]
    fn a_node_that_returns_within_an_hour_is_as_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut feed = feed(directory.path(), &["a", "b", "c", "d"]);
        let b = feed.inputs.fleet.find_node("b").expect("it is there");
        fall(&mut feed, b);
        answer(&feed, b);
        let down = feed.health(b);
        let histories = feed.histories.len();
        assert_eq!(down.failures.len(), 1);
        relist(&mut feed, directory.path(), &["a", "c", "d"]);
        assert_eq!(feed.inputs.fleet.find_node("b"), None);
        // What comes late of it says nothing, and nothing of it is a matter of the steering.
        fall(&mut feed, b);
        assert!(feed.published.snapshot().tables.nodes[usize::from(b.0)].health.is_up());
        relist(&mut feed, directory.path(), &["a", "c", "d", "b"]);
        assert_eq!(feed.inputs.fleet.find_node("b"), Some(b));
        assert_eq!((feed.health(b), feed.histories.len(), feed.answers.answers_of(b)), (down, histories, 1.0));
        assert!(!feed.published.snapshot().tables.nodes[usize::from(b.0)].health.is_up());
    }

    #[test]
    fn the_drain_of_a_node_that_left_its_list_can_be_ended_by_its_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut feed = feed(directory.path(), &["a", "b", "c", "d"]);
        let drain = Wish {
            what: Override::Drain { node: "b".to_owned() },
            who: "karl".to_owned(),
            reason: "a test".to_owned(),
            seconds: None,
        };
        feed.order(&drain).expect("it is there");
        relist(&mut feed, directory.path(), &["a", "c", "d"]);
        assert!(feed.lift(&Lift::Drain("x".to_owned())).is_err_and(|error| error.contains("no node is called `x`")));
        let lifted = feed.lift(&Lift::Drain("b".to_owned())).expect("it is drained");
        assert_eq!((lifted.len(), feed.published.snapshot().tables.orders.len()), (1, 0));
    }

    #[test]
    fn a_number_that_changes_hands_carries_nothing_over() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut feed = feed(directory.path(), &["a", "b", "c", "d"]);
        let b = feed.inputs.fleet.find_node("b").expect("it is there");
        fall(&mut feed, b);
        answer(&feed, b);
        relist(&mut feed, directory.path(), &["a", "c", "d"]);
        Arc::get_mut(&mut feed.inputs).expect("nobody else has it").let_gone_expire();
        relist(&mut feed, directory.path(), &["a", "c", "d", "e"]);
        assert_eq!(feed.inputs.fleet.find_node("e"), Some(b), "the number is free after an hour");
        assert_eq!((feed.health(b), feed.answers.answers_of(b)), (NodeHealth::default(), 0.0));
        assert!(feed.histories.keys().all(|key| !format!("{key:?}").contains("b:9100")));
        let factors = feed.published.snapshot().tables.nodes[usize::from(b.0)].factors;
        assert!(factors.warmth < 1.0, "it is a new node: {}", factors.warmth);
    }
}
