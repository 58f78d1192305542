//! Readiness: each list of nodes has been had, and each first probe and scrape tried, or they have had their time. Until then
//! DNS answers by what is known.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::probe::Probe;
use super::scrape::Source;

/// The longest time for the first round: nodes that hang need two seconds, scrapes four, and many take turns.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest time for lists of which none was ever had: they are asked again every ten seconds, and without them there may be
/// no node at all.
const PATIENCE_WITH_LISTS: Duration = Duration::from_secs(30);

/// Waits for the first round.
#[derive(Debug)]
pub(super) struct Readiness {
    sender: watch::Sender<bool>,
    probes: HashSet<Probe>,
    scrapes: HashSet<Source>,
    /// URLs of lists that nobody has.
    lists: HashSet<String>,
    /// When the first round began, and the latest; none before.
    first: Option<Instant>,
    begun: Option<Instant>,
}

impl Readiness {
    /// Not ready.
    pub(super) fn new() -> Self {
        Self {
            sender: watch::Sender::new(false),
            probes: HashSet::new(),
            scrapes: HashSet::new(),
            lists: HashSet::new(),
            first: None,
            begun: None,
        }
    }

    /// Whoever waits for it.
    pub(super) fn receiver(&self) -> watch::Receiver<bool> {
        self.sender.subscribe()
    }

    /// The first round begins, with these.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        probes: impl IntoIterator<Item = Probe>,
        scrapes: impl IntoIterator<Item = Source>,
    ) {
        self.first.get_or_insert(now);
        self.begun = Some(now);
        self.probes.extend(probes);
        self.scrapes.extend(scrapes);
    }

    /// There is no list of these URLs yet.
    pub(super) fn lack(&mut self, urls: impl IntoIterator<Item = String>) {
        self.lists.extend(urls);
    }

    /// A list that was waited for has brought nodes, with these; its round begins.
    pub(super) fn listed(
        &mut self,
        now: Instant,
        urls: impl Iterator<Item = impl AsRef<str>>,
        (probes, scrapes): (Vec<Probe>, Vec<Source>),
    ) {
        let before = self.lists.len();
        for url in urls {
            self.lists.remove(url.as_ref());
        }
        if self.lists.len() < before {
            self.begin(now, probes, scrapes);
        }
    }

    /// A probe has been tried.
    pub(super) fn probed(&mut self, probe: &Probe) {
        remove(&mut self.probes, probe);
    }

    /// A scrape has been tried.
    pub(super) fn scraped(&mut self, scrape: &Source) {
        remove(&mut self.scrapes, scrape);
    }

    /// Tells once, after tables were made, that all were tried before or have had their time.
    pub(super) fn judge(&mut self, now: Instant) {
        let (Some(first), Some(begun)) = (self.first, self.begun.filter(|_| !*self.sender.borrow())) else { return };
        let untried = self.probes.len() + self.scrapes.len();
        let missing = self.lists.len();
        let awaits_lists = missing > 0 && now.saturating_duration_since(first) < PATIENCE_WITH_LISTS;
        let awaits_nodes = untried > 0 && now.saturating_duration_since(begun) < PATIENCE;
        if awaits_lists || awaits_nodes {
            return;
        }
        if missing > 0 {
            let patience = PATIENCE_WITH_LISTS;
            tracing::warn!(missing, "ready, though URLs have given no list of nodes yet: {patience:?} are over");
        } else if untried > 0 {
            tracing::warn!(untried, "ready, though not all nodes have been probed and scraped: {PATIENCE:?} are over");
        } else {
            tracing::info!("ready: each node has been probed and scraped once");
        }
        self.probes = HashSet::new();
        self.scrapes = HashSet::new();
        self.lists = HashSet::new();
        self.sender.send_replace(true);
    }
}

/// Nothing is left of it after the first round: then this costs nothing.
fn remove<T: Eq + Hash>(set: &mut HashSet<T>, tried: &T) {
    if !set.is_empty() {
        set.remove(tried);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::feed::probe::Goal;
    use crate::pool::NodeId;

    fn probe(port: u16) -> Probe {
        Probe { node: NodeId(0), goal: Goal::Tcp((Ipv4Addr::LOCALHOST, port).into()) }
    }

    #[test]
    fn it_waits_for_each_probe_and_scrape_but_not_for_ever() {
        let start = Instant::now();
        let scrape = || (NodeId(0), "node".to_owned(), "http://192.0.2.1/metrics".to_owned());
        let begun = || {
            let mut readiness = Readiness::new();
            readiness.judge(start);
            readiness.begin(start, [probe(1), probe(2)], [scrape()]);
            readiness.judge(start);
            readiness
        };
        let mut readiness = begun();
        readiness.probed(&probe(1));
        readiness.scraped(&scrape());
        readiness.judge(start);
        assert!(!*readiness.receiver().borrow());
        readiness.probed(&probe(2));
        readiness.judge(start);
        assert!(*readiness.receiver().borrow());

        let mut readiness = begun();
        readiness.judge(start + PATIENCE - Duration::from_millis(1));
        assert!(!*readiness.receiver().borrow());
        readiness.judge(start + PATIENCE);
        assert!(*readiness.receiver().borrow());
    }

    #[test]
    fn it_waits_for_lists_that_nobody_has_and_for_their_nodes_but_not_for_ever() {
        let start = Instant::now();
        let lacking = || {
            let mut readiness = Readiness::new();
            readiness.lack(["http://a/".to_owned()]);
            readiness.begin(start, [], []);
            readiness.judge(start + PATIENCE);
            assert!(!*readiness.receiver().borrow());
            readiness
        };
        let mut readiness = lacking();
        readiness.judge(start + PATIENCE_WITH_LISTS);
        assert!(*readiness.receiver().borrow());

        let mut readiness = lacking();
        let later = start + PATIENCE;
        readiness.listed(later, ["http://b/"].iter(), (vec![probe(9)], Vec::new()));
        readiness.listed(later, ["http://a/"].iter(), (vec![probe(1)], Vec::new()));
        readiness.judge(later);
        assert!(!*readiness.receiver().borrow(), "its node has not been probed");
        readiness.probed(&probe(1));
        readiness.judge(later);
        assert!(*readiness.receiver().borrow());
    }

    #[test]
    fn lists_that_come_late_one_after_another_do_not_begin_the_time_for_lists_anew() {
        let start = Instant::now();
        let mut readiness = Readiness::new();
        readiness.lack(["http://a/", "http://b/"].map(str::to_owned));
        readiness.begin(start, [], []);
        let late = start + PATIENCE_WITH_LISTS - Duration::from_secs(1);
        readiness.listed(late, ["http://a/"].iter(), (Vec::new(), Vec::new()));
        readiness.judge(late);
        assert!(!*readiness.receiver().borrow());
        readiness.judge(start + PATIENCE_WITH_LISTS);
        assert!(*readiness.receiver().borrow());
    }

    #[test]
    fn with_nothing_to_ask_it_is_ready_at_once() {
        let mut readiness = Readiness::new();
        readiness.judge(Instant::now());
        assert!(!*readiness.receiver().borrow(), "the round has not begun");
        readiness.begin(Instant::now(), [], []);
        readiness.judge(Instant::now());
        assert!(*readiness.receiver().borrow());
    }
}
