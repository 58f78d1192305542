//! Enrolment: media servers tell by heartbeats that they are there, operators let them in, and inventories have them as if
//! somebody had listed them. Heartbeats of those that are in bring their load.

mod members;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use self::members::{Member, Members, Taken};
use super::inputs::Inputs;
use super::orders::check::told;
use super::reload::{Reload, Scope};
use super::run::Feed;
use super::scrape::Scraped;
use super::state::{Done, Store};
use super::unix_seconds;
use crate::diagnostic::Source;
use crate::intake::{Answer, Beat, EnrolWish, Grade, Heartbeats, Terms};
use crate::load;
use crate::load::error::ScrapeError;
use crate::load::heartbeat::Heartbeat;
use crate::pool::{Exporter, Whence};
use crate::snapshot::{HeartbeatStatus, InventoryStatus};

/// What the list of nodes is called that heartbeats have enrolled.
pub(super) const LIST: &str = "heartbeats";
/// The file.
const ENROLLED: &str = "enrolled";
/// The word of the alarm of nodes that wait.
const PENDING: &str = "inventory_pending";

/// The nodes of all inventories that come by heartbeats.
#[derive(Debug, Default)]
pub(super) struct Enrolment {
    shared: Vec<Arc<Heartbeats>>,
    by_inventory: BTreeMap<String, Members>,
}

/// As it is written: nodes that were let in, by inventory and name.
type Kept = BTreeMap<String, BTreeMap<String, Member>>;

impl Enrolment {
    /// Of these inputs; what an earlier run kept is in.
    pub(super) fn new(inputs: &Inputs, store: Option<&Store>) -> Self {
        let by_inventory = store.map(restored).unwrap_or_default();
        let inventories = inputs.config.inventories.iter().filter(|inventory| inventory.value.heartbeat.is_some());
        let shared = inventories.map(|inventory| Arc::new(Heartbeats::new(inventory.value.name.clone())));
        let mut enrolment = Self { shared: shared.collect(), by_inventory };
        enrolment.configure(inputs);
        enrolment
    }

    /// What is shared with listeners, one for each inventory that has one since the start.
    pub(super) fn shared(&self) -> Vec<Arc<Heartbeats>> {
        self.shared.clone()
    }

    /// Takes what a reload may have changed. A listener whose inventory is gone takes nothing any more.
    pub(super) fn configure(&mut self, inputs: &Inputs) {
        for shared in &self.shared {
            let heartbeat = inputs.config.heartbeat(shared.inventory());
            let tokens = inputs.heartbeat_tokens.get(shared.inventory());
            let terms = heartbeat.zip(tokens);
            shared.set_terms(
                terms.map(|(heartbeat, tokens)| Terms { heartbeat: heartbeat.clone(), tokens: tokens.clone() }),
            );
        }
        for inventory in &inputs.config.inventories {
            if inventory.value.heartbeat.is_some() {
                self.by_inventory.entry(inventory.value.name.clone()).or_default();
            }
        }
    }

    /// Takes note of which nodes of an inventory are served; whether any has left.
    pub(super) fn settle(&mut self, inventory: &str, served: &BTreeSet<String>) -> bool {
        let members = self.by_inventory.get_mut(inventory);
        members.is_some_and(|members| members.settle(served, Instant::now()))
    }

    /// Puts to how inventories stand what heartbeats know of it.
    pub(super) fn add_to(&self, inventories: &mut [InventoryStatus], inputs: &Inputs) {
        let (now, unix) = (Instant::now(), unix_seconds());
        for status in inventories {
            let Some(heartbeat) = inputs.config.heartbeat(&status.name) else { continue };
            let Some(members) = self.by_inventory.get(&status.name) else { continue };
            status.read = members.last(now, unix).or(status.read);
            status.heartbeats = Some(HeartbeatStatus {
                listen: heartbeat.listen.value,
                silent: members.silent(now),
                waiting: members.waiting(now, unix),
            });
        }
    }

    fn kept(&self) -> Kept {
        self.by_inventory.iter().map(|(inventory, members)| (inventory.clone(), members.approved.clone())).collect()
    }
}

/// What an earlier run kept; nothing if there is nothing, or if it cannot be read. All of them beat now, as it were: they
/// have the usual time to be heard.
fn restored(store: &Store) -> BTreeMap<String, Members> {
    let Some(octets) = store.load(ENROLLED) else { return BTreeMap::new() };
    let kept: Kept = match serde_json::from_slice(&octets) {
        Ok(kept) => kept,
        Err(error) => {
            store.set_aside(ENROLLED, &error);
            return BTreeMap::new();
        }
    };
    let members = |approved| Members { approved, waiting: BTreeMap::new() };
    kept.into_iter().map(|(inventory, approved)| (inventory, members(approved))).collect()
}

impl Feed {
    /// Takes a heartbeat: a node's brings its load, and anybody else's waits.
    pub(super) fn take_beat(&mut self, beat: Beat, reload: &mut Option<Reload>) {
        let Some(shared) = self.enrolment.shared.iter().find(|shared| shared.inventory() == beat.inventory).cloned()
        else {
            return;
        };
        let (Some(config), Some(members)) =
            (self.inputs.config.heartbeat(&beat.inventory), self.enrolment.by_inventory.get_mut(&beat.inventory))
        else {
            return;
        };
        match members.take(&beat, config.is_open, unix_seconds()) {
            Taken::Refused(why) => {
                let Beat { inventory, node, address, source, .. } = &beat;
                tracing::debug!(inventory, node, %address, %source, because = %why, "a heartbeat was not taken");
                return shared.refuse(why);
            }
            Taken::Waiting(is_new) => {
                let Beat { inventory, node, address, source, .. } = &beat;
                if is_new {
                    tracing::info!(inventory, node, %address, %source, "a node waits to be approved");
                    self.tell_waiting();
                }
            }
            Taken::Member(has_changed) => {
                if has_changed {
                    self.save_enrolled(None);
                    self.relist(reload);
                }
                self.take_summaries(beat);
            }
        }
        shared.take();
    }

    /// The load that a heartbeat brings, as if it had been scraped.
    fn take_summaries(&mut self, beat: Beat) {
        let Some(id) = self.inputs.fleet.find_node(&beat.node) else { return };
        let exporters = &self.inputs.fleet.node(id).node.exporters;
        let of_heartbeat = |exporter: &&Exporter| matches!(exporter.whence(), Whence::Heartbeat);
        let Some(exporter) = exporters.iter().find(of_heartbeat).cloned() else { return };
        let Heartbeat { metrics, .. } = beat.heartbeat;
        let result = metrics.ok_or(ScrapeError::NoSummaries);
        let result = result.and_then(|metrics| load::read(&exporter.preset, metrics.as_bytes()));
        self.take(Scraped { node: id, exporter, at: beat.at, result });
    }

    /// Lets nodes in, or sends them away.
    pub(super) fn enrol(&mut self, wish: &EnrolWish, answer: Answer, reload: &mut Option<Reload>) {
        // Who asked may have gone away meanwhile, here as below.
        let nodes = match self.try_enrol(wish) {
            Ok(nodes) => nodes,
            Err(because) => return drop(answer.send(Err(because))),
        };
        let EnrolWish { inventory, is_approval, who, reason, .. } = wish;
        let done = if *is_approval { "approved" } else { "forgotten" };
        let what = format!("{} of the inventory {inventory}: {done}", nodes.join(", "));
        tracing::warn!(who, reason, "{what}");
        self.board.note("inventory", Grade::Note, &format!("{what} by {who} ({reason})"));
        self.tell_waiting();
        self.relist(reload);
        let at_once = self.inputs.config.heartbeat(inventory).is_some_and(|heartbeat| heartbeat.is_open);
        let told = match (*is_approval, at_once) {
            (true, _) => what,
            (false, true) => format!("{what}; with `approve = \"at_once\"` its next heartbeat lets it in again"),
            (false, false) => format!("{what}; its next heartbeat waits to be approved"),
        };
        self.save_enrolled(Some(Box::new(move |is_kept| {
            let kept = if is_kept { "" } else { "; a restart of the server forgets it" };
            let _gone = answer.send(Ok(format!("{told}{kept}")));
        })));
    }

    fn try_enrol(&mut self, wish: &EnrolWish) -> Result<Vec<String>, String> {
        told(&wish.who, &wish.reason)?;
        let is_known = self.inputs.config.heartbeat(&wish.inventory).is_some();
        match self.enrolment.by_inventory.get_mut(&wish.inventory).filter(|_| is_known) {
            Some(members) => members.enrol(wish, unix_seconds()),
            None => {
                let inventories = self.inputs.config.inventories.iter().map(|inventory| &inventory.value);
                let names = inventories.filter(|inventory| inventory.heartbeat.is_some());
                let help = crate::diagnostic::nearest(&wish.inventory, names.map(|inventory| inventory.name.as_str()));
                let help = help.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                Err(format!("no inventory `{}` takes heartbeats{help}", wish.inventory))
            }
        }
    }

    /// Lets nodes leave that are silent, and forgets who waits in vain.
    pub(super) fn watch_heartbeats(&mut self, reload: &mut Option<Reload>) {
        if !self.enrolment.by_inventory.is_empty() {
            self.relist(reload);
            self.tell_waiting();
        }
    }

    /// Makes lists of the nodes as they are now, and has those read that are other than before.
    fn relist(&mut self, reload: &mut Option<Reload>) {
        let (now, mut is_news, mut has_left) = (Instant::now(), false, false);
        for (inventory, members) in &mut self.enrolment.by_inventory {
            let Some(heartbeat) = self.inputs.config.heartbeat(inventory) else { continue };
            let (text, left) = members.list(now, heartbeat.leaves_after);
            has_left |= left;
            if self.news.heartbeats.get(inventory).is_none_or(|known| *known.text != *text) {
                self.news.heartbeats.insert(inventory.clone(), Source::new(LIST, text));
                is_news = true;
            }
        }
        if has_left {
            self.save_enrolled(None);
        }
        if is_news {
            self.begin_reload(reload, Scope::Lists, None);
        }
    }

    /// Raises the alarm of nodes that wait, or ends it.
    fn tell_waiting(&self) {
        for (inventory, members) in &self.enrolment.by_inventory {
            // An inventory that is gone, or renamed, takes nobody.
            let is_there = self.inputs.config.heartbeat(inventory).is_some();
            let waiting = members.waiting.keys().filter(|_| is_there);
            let names: BTreeSet<(&str, IpAddr)> = waiting.map(|(name, address)| (name.as_str(), *address)).collect();
            let Some((first, address)) = names.first() else {
                if self.board.clear(PENDING, inventory) {
                    tracing::info!(alarm = PENDING, inventory, "no node waits any more");
                }
                continue;
            };
            let more = match names.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let told = format!(
                "{first} ({address}){more} of {inventory} send heartbeats and get nobody until `thalweg inventory approve \
                 {inventory} {first}`"
            );
            if self.board.raise(PENDING, inventory, &told) {
                tracing::warn!(alarm = PENDING, inventory, "{told}");
            }
        }
    }

    /// Writes down who was let in; `done` hears whether the disk has it.
    pub(super) fn save_enrolled(&self, done: Option<Done>) {
        let octets = serde_json::to_vec(&self.enrolment.kept())
            .inspect_err(|error| tracing::error!("the nodes that were let in cannot be written down: {error}"));
        match (&self.keeper, octets, done) {
            (Some(keeper), Ok(octets), Some(done)) => keeper.save_then(ENROLLED, octets, done),
            (Some(keeper), Ok(octets), None) => keeper.save(ENROLLED, octets),
            (_, _, Some(done)) => done(false),
            (_, _, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::feed::Options;
    use crate::feed::inputs::load_lists;
    use crate::load::history::Reading;
    use crate::pool::NodeId;

    const CONFIG: &str = "[service.\"play.live.example\"]\n[place.fra]\nat = [50, 8]\n[inventory.srs]\nplace = \"fra\"\n\
                          capacity.egress = \"100Mbit/s\"\n[inventory.srs.heartbeat]\nlisten = \"127.0.0.1:0\"\n\
                          token_file = \"token\"\nfrom = [\"192.0.2.0/24\"]\napprove = \"at_once\"\n";
    const ZONE: &str = "@ 60 SOA ns1 host 1 2h 15m 2w 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n";
    const BODY: &str = include_str!("../../tests/load/srs_heartbeat.json");
    const SECOND: Duration = Duration::from_secs(1);

    fn feed(directory: &Path, config: &str) -> Feed {
        std::fs::create_dir_all(directory.join("zones")).expect("a directory");
        std::fs::write(directory.join("zones/live.example.zone"), ZONE).expect("a file");
        std::fs::write(directory.join("token"), "0123456789abcdef").expect("a file");
        std::fs::write(directory.join("thalweg.toml"), config).expect("a file");
        let file = directory.join("thalweg.toml");
        let options = Options { file, environment: Vec::new(), is_watching: true, is_strict: true };
        Feed::new(options).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// A heartbeat at `at`, `after` seconds later by the server's own clock, of which it sent 10 Mbit/s.
    fn beat(at: Instant, after: u64) -> Beat {
        let body = BODY
            .replace("1795371434280", &(1_795_371_434_280 + 1_000 * after).to_string())
            .replace("1795371432563", &(1_795_371_432_563 + 1_000 * after).to_string())
            .replace("252286018", &(252_286_018 + 1_250_000 * after).to_string());
        let heartbeat = Heartbeat::read(body.as_bytes()).expect("a heartbeat");
        let address = [192, 0, 2, 7].into();
        Beat { inventory: "srs".to_owned(), node: "edge-0".to_owned(), address, source: address, heartbeat, at }
    }

    /// Enrols the node, and reads the list that comes of it.
    fn enrolled(directory: &Path, config: &str) -> (Feed, NodeId) {
        let mut feed = feed(directory, config);
        let mut reload = None;
        // Lists are read beside the task, which is not there in a test.
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async { feed.take_beat(beat(Instant::now(), 0), &mut reload) });
        assert!(reload.is_some(), "the list is read again");
        let loaded = load_lists(&feed.options.file, &[], &feed.inputs, &feed.lists, &feed.news);
        feed.finish_reload(Some(loaded), Scope::Lists).expect("a good list");
        let node = feed.inputs.fleet.find_node("edge-0").expect("it is in");
        (feed, node)
    }

    #[test]
    fn a_node_that_falls_silent_is_stale_after_two_and_a_half_heartbeats() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut feed, node) = enrolled(directory.path(), CONFIG);
        let now = Instant::now();
        feed.epoch = now;
        for after in [10, 19] {
            feed.take_beat(beat(now + SECOND * after, u64::from(after)), &mut None);
        }
        let source = crate::feed::scrape::source(node, &feed.inputs.fleet.node(node).node.exporters[0]);
        let history = &feed.histories[&source];
        let Reading::Fresh(load) = history.load(19.0 + 26.9) else { panic!("{:?}", history.load(46.0)) };
        assert!((load.egress.expect("octets").0 / 1e7 - 1.0).abs() < 1e-6, "{load:?}");
        assert!(matches!(history.load(19.0 + 27.1), Reading::Stale { .. }));
    }

    #[test]
    fn a_heartbeat_without_summaries_says_why_there_is_no_load() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut feed, _) = enrolled(directory.path(), CONFIG);
        let mut without = beat(Instant::now(), 9);
        without.heartbeat.metrics = None;
        feed.take_beat(without, &mut None);
        let sources = feed.sources();
        let trouble = sources[0].trouble.as_deref().expect("a trouble");
        assert!(trouble.contains("`summaries on;`"), "{trouble}");
    }

    #[test]
    fn heartbeats_of_a_node_with_an_exporter_are_no_load() {
        let directory = tempfile::tempdir().expect("a directory");
        let own = format!("{CONFIG}[node.edge-0]\nexporters.srs = \"http://{{address}}:9972/metrics\"\n");
        let (feed, node) = enrolled(directory.path(), &own);
        let exporters = &feed.inputs.fleet.node(node).node.exporters;
        let urls: Vec<&str> = exporters.iter().map(|exporter| exporter.url.as_str()).collect();
        assert_eq!(urls, ["http://192.0.2.7:9972/metrics"]);
    }
}
