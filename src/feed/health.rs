//! What probes found: which checks count for a node in which pool and family, and how each of them stands.

use std::collections::HashMap;

use super::probe::{Fault, Goal, Probe, Probed};
use crate::load::health::{Failure, Health, NodeHealth, State};
use crate::pool::{Check, Family, Node, NodeId};
use crate::steer::Fleet;

/// What is known of all nodes that are probed.
#[derive(Debug, Default)]
pub(super) struct Healths {
    probed: HashMap<Probe, Probing>,
    counted: HashMap<NodeId, Vec<Counted>>,
    /// Of nodes that are gone, and may come back.
    resting: HashMap<Probe, Probing>,
}

/// What a probe that is made at intervals has found.
#[derive(Debug, Default)]
struct Probing {
    health: Health,
    rise: u32,
    fall: u32,
    /// What the last one that failed found.
    because: String,
    /// The last one failed because of this machine.
    is_hindered: bool,
}

/// A change of how a node stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// The check succeeds again.
    pub(super) is_good: bool,
    /// In words.
    pub(super) told: String,
}

/// What a check at one address counts for.
#[derive(Debug)]
struct Counted {
    goal: Goal,
    check: String,
    /// The pool that wants it, by name: numbers change with reloads; none = the node itself does, and so all of them.
    pool: Option<String>,
    /// None = both families: it does not ask at the node's address.
    family: Option<Family>,
}

impl Healths {
    /// Counts what the configuration wants from now on, and says what must be probed; what is probed the same way as before
    /// keeps what is known of it. Each probe is made once, however many pools want it.
    pub(super) fn count(&mut self, fleet: &Fleet) -> Vec<Probe> {
        let mut known = std::mem::take(&mut self.probed);
        known.extend(self.resting.drain());
        self.counted.clear();
        for (index, each) in fleet.nodes.iter().enumerate().filter(|(_, each)| each.is_configured) {
            let own = counted(&each.node, &each.node.checks, None);
            self.add(NodeId(index as u16), &each.node, own, &mut known);
        }
        let mut done: Vec<&str> = Vec::new();
        for used in &fleet.pools {
            let pool = &used.pool;
            if pool.checks.is_empty() || done.contains(&pool.name.as_str()) {
                continue;
            }
            done.push(&pool.name);
            // One use of a pool may have nodes that another, with a barrier of its own, has not.
            let members =
                fleet.nodes.iter().enumerate().filter(|(_, each)| each.is_configured && pool.selects(&each.node));
            for (index, each) in members {
                let its = counted(&each.node, &pool.checks, Some(&pool.name));
                self.add(NodeId(index as u16), &each.node, its, &mut known);
            }
        }
        known.retain(|probe, _| fleet.nodes.get(usize::from(probe.node.0)).is_some_and(|node| !node.is_configured));
        self.resting = known;
        self.probed.keys().cloned().collect()
    }

    /// Forgets all of nodes whose numbers are others' from now on.
    pub(super) fn forget(&mut self, is_forgotten: impl Fn(NodeId) -> bool) {
        for known in [&mut self.probed, &mut self.resting] {
            known.retain(|probe, _| !is_forgotten(probe.node));
        }
        self.counted.retain(|node, _| !is_forgotten(*node));
    }

    fn add(
        &mut self,
        id: NodeId,
        node: &Node,
        counted: impl Iterator<Item = Counted>,
        known: &mut HashMap<Probe, Probing>,
    ) {
        for counted in counted {
            let probe = Probe { node: id, goal: counted.goal.clone() };
            // Whatever was counted already has been moved.
            let before = known.remove(&probe);
            let counts = self.probed.entry(probe).or_insert_with(|| before.unwrap_or_default());
            (counts.rise, counts.fall) = (node.rise, node.fall);
            self.counted.entry(id).or_default().push(counted);
        }
    }

    /// Takes the outcome of a probe that ended at `at`; what is news to operators, if that changes how its node stands
    /// anywhere.
    pub(super) fn take(&mut self, probed: Probed, at: f64, fleet: &Fleet) -> Option<Turn> {
        let Probed { probe, at: _, result } = probed;
        let node = fleet.node(probe.node).node.name.as_str();
        // It may have been on its way when a reload took its check away.
        let probing = self.probed.get_mut(&probe)?;
        let counted = self.counted.get(&probe.node).into_iter().flatten().filter(|each| each.goal == probe.goal);
        let told = || told(counted.clone(), &probe.goal);
        let result = match result {
            Ok(()) => Ok(()),
            Err(Fault::Node(because)) => Err(because),
            Err(Fault::Here(because)) => {
                if !std::mem::replace(&mut probing.is_hindered, true) {
                    let check = told().check;
                    tracing::warn!(
                        node,
                        check,
                        because,
                        "a node cannot be probed, for a reason of this machine; it stays as it was"
                    );
                }
                return None;
            }
        };
        if std::mem::take(&mut probing.is_hindered) {
            tracing::info!(node, check = told().check, "the node can be probed again");
        }
        let news = probing.health.observe(at, result.is_ok(), probing.rise, probing.fall);
        match (news, result) {
            (None, Ok(())) => None,
            (None, Err(because)) => {
                tracing::debug!(node, check = told().check, because, "a probe failed");
                probing.because = because;
                None
            }
            (Some(_), Ok(())) => {
                let Told { check, counts } = told();
                tracing::info!(node, check, "the check succeeds again; it counts {counts}");
                Some(Turn { is_good: true, told: format!("{node}: {check} succeeds again; it counts {counts}") })
            }
            (Some(_), Err(because)) => {
                let Told { check, counts } = told();
                tracing::warn!(node, check, because, "the check fails; the node counts as down {counts}");
                let told = format!("{node}: {check} fails ({because}); it counts as down {counts}");
                probing.because = because;
                Some(Turn { is_good: false, told })
            }
        }
    }

    /// What the checks of a node found, with the numbers of this fleet.
    pub(super) fn of(&self, node: NodeId, fleet: &Fleet) -> NodeHealth {
        let mut found = NodeHealth::default();
        for Counted { goal, check, pool, family } in self.counted.get(&node).into_iter().flatten() {
            let Some(probing) = self.probed.get(&Probe { node, goal: goal.clone() }) else { continue };
            let pools = pool.as_ref().map(|pool| fleet.uses_of(pool).collect::<Vec<_>>());
            let state = probing.health.state();
            found.note(pools.as_deref(), *family, state);
            if let State::Down { since } = state {
                let (check, target, because) = (check.clone(), goal.to_string(), probing.because.clone());
                found.failures.push(Failure { check, target, family: *family, pools, since, because });
            }
        }
        found
    }
}

/// The checks of a node as probes of its addresses.
fn counted<'a>(node: &'a Node, checks: &'a [Check], pool: Option<&'a str>) -> impl Iterator<Item = Counted> + 'a {
    let addresses = || Family::ALL.into_iter().filter_map(|family| Some((family, node.address(family)?)));
    checks.iter().flat_map(move |check| {
        let of = move |(family, address)| Counted {
            goal: Goal::of(check, address),
            check: check.to_string(),
            pool: pool.map(str::to_owned),
            family: check.is_at_address().then_some(family),
        };
        let once = if check.is_at_address() { usize::MAX } else { 1 };
        addresses().take(once).map(of)
    })
}

/// A check as logs tell it.
struct Told {
    /// The check, and where it asks if that does not say so.
    check: String,
    /// Where it counts.
    counts: String,
}

fn told<'a>(counted: impl Iterator<Item = &'a Counted>, goal: &Goal) -> Told {
    let counted: Vec<&Counted> = counted.collect();
    let check = counted.first().map_or("", |each| each.check.as_str());
    let over = match counted.first().and_then(|each| each.family) {
        Some(family) => format!("over {family}"),
        None => "over IPv4 and IPv6".to_owned(),
    };
    let pools: Vec<&str> = counted.iter().filter_map(|each| each.pool.as_deref()).collect();
    let is_own = pools.len() < counted.len();
    let counts = if is_own { over } else { format!("{over} in pool {}", pools.join(" and ")) };
    let check = match goal {
        Goal::Tcp(address) | Goal::Rtmp(address) | Goal::Tls(address) => format!("{check} at {}", address.ip()),
        Goal::Http { url, .. } => url.clone(),
    };
    Told { check, counts }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;

    use super::*;
    use crate::name::Name;
    use crate::pool::{Answers, Pool, PoolId, Service, TtlBounds};
    use crate::steer::Assembly;

    const EDGE: PoolId = PoolId(0);
    const WHIP: PoolId = PoolId(1);
    const FRA: NodeId = NodeId(0);

    /// A node with both families, and these checks of its own; a pool without a check, and one with these.
    fn fleet(own: &[&str], whips: &[Check]) -> Fleet {
        let own = own.iter().map(|text| {
            let (kind, port) = text.split_once(':').unwrap();
            let port = port.parse().unwrap();
            if kind == "tcp" { Check::Tcp(port) } else { Check::Rtmp(port) }
        });
        let node = Node {
            name: "fra1".to_owned(),
            v4: Some([192, 0, 2, 1].into()),
            v6: Some("2001:db8::1".parse().unwrap()),
            checks: own.collect(),
            ..Node::default()
        };
        let pool =
            |name: &str, checks: &[Check]| Pool { name: name.to_owned(), checks: checks.to_vec(), ..Pool::default() };
        let service = |name: &str| Service {
            name: Name::parse(&format!("{name}.live.example"), None).unwrap(),
            pool: name.to_owned(),
            answers: Answers::Auto,
            ttl: TtlBounds::default(),
            policy: None,
            within: Vec::new(),
        };
        let assembly = Assembly {
            nodes: &[node],
            places: &[],
            pools: &[pool("edge", &[]), pool("whip", whips)],
            services: &[service("edge"), service("whip")],
            regions: &[],
            rtts: &[],
            guesses: &BTreeMap::new(),
        };
        Fleet::assemble(&assembly, None)
    }

    fn url(status: Option<u16>) -> Check {
        Check::Http { url: "http://{address}:1985/up".to_owned(), status }
    }

    fn targets(probes: &[Probe]) -> Vec<String> {
        let mut targets: Vec<String> = probes.iter().map(|probe| probe.goal.to_string()).collect();
        targets.sort_unstable();
        targets
    }

    /// Both failures that it takes, or the three successes.
    fn take(healths: &mut Healths, fleet: &Fleet, target: &str, is_good: bool) {
        let probe = healths.probed.keys().find(|probe| probe.goal.to_string() == target).unwrap().clone();
        for _ in 0..3 {
            let result = if is_good { Ok(()) } else { Err(Fault::Node("refused".to_owned())) };
            healths.take(Probed { probe: probe.clone(), at: Instant::now(), result }, 7.0, fleet);
        }
    }

    #[test]
    fn each_address_is_probed_and_what_two_want_once() {
        let fleet = fleet(&["tcp:1935", "rtmp:1935"], &[Check::Tcp(1935), url(None)]);
        let probes = Healths::default().count(&fleet);
        let (v4, v6) = ("192.0.2.1:1935", "[2001:db8::1]:1935");
        let (url4, url6) = ("http://192.0.2.1:1985/up", "http://[2001:db8::1]:1985/up");
        assert_eq!(targets(&probes), [v4, v4, v6, v6, url4, url6]);
    }

    #[test]
    fn a_url_without_the_address_is_probed_once_and_counts_for_both_families() {
        let fixed = Check::Http { url: "http://up.example/fra1".to_owned(), status: None };
        let fleet = fleet(&[], &[fixed]);
        let mut healths = Healths::default();
        assert_eq!(targets(&healths.count(&fleet)), ["http://up.example/fra1"]);
        take(&mut healths, &fleet, "http://up.example/fra1", false);
        let found = healths.of(FRA, &fleet);
        assert!(Family::ALL.iter().all(|&family| !found.at(WHIP, family).is_up() && found.at(EDGE, family).is_up()));
    }

    #[test]
    fn what_fails_at_one_address_is_down_over_that_family_alone() {
        let fleet = fleet(&["tcp:1935"], &[]);
        let mut healths = Healths::default();
        healths.count(&fleet);
        take(&mut healths, &fleet, "[2001:db8::1]:1935", false);
        let found = healths.of(FRA, &fleet);
        for pool in [EDGE, WHIP] {
            assert_eq!(found.at(pool, Family::V6), State::Down { since: 7.0 });
            assert!(found.at(pool, Family::V4).is_up());
        }
        let [Failure { check, target, family, pools, because, .. }] = &found.failures[..] else { panic!("{found:?}") };
        assert_eq!((check.as_str(), target.as_str(), because.as_str()), ("tcp:1935", "[2001:db8::1]:1935", "refused"));
        assert_eq!((*family, pools), (Some(Family::V6), &None));
    }

    #[test]
    fn what_the_check_of_a_pool_finds_counts_for_that_pool_alone() {
        let fleet = fleet(&["tcp:1935"], &[url(Some(200))]);
        let mut healths = Healths::default();
        healths.count(&fleet);
        take(&mut healths, &fleet, "http://192.0.2.1:1985/up", false);
        let found = healths.of(FRA, &fleet);
        assert!(!found.at(WHIP, Family::V4).is_up() && found.at(EDGE, Family::V4).is_up());
        assert!(found.at(WHIP, Family::V6).is_up());
        assert_eq!(found.failures[0].pools.as_deref(), Some(&[WHIP][..]));
        take(&mut healths, &fleet, "http://192.0.2.1:1985/up", true);
        assert!(healths.of(FRA, &fleet).failures.is_empty());
    }

    #[test]
    fn what_stays_probed_over_a_reload_stays_known_and_what_is_not_says_nothing_more() {
        let before = fleet(&["tcp:1935"], &[url(None)]);
        let mut healths = Healths::default();
        healths.count(&before);
        take(&mut healths, &before, "192.0.2.1:1935", false);
        take(&mut healths, &before, "http://192.0.2.1:1985/up", false);
        let late = healths.probed.keys().find(|probe| matches!(probe.goal, Goal::Http { .. })).unwrap().clone();
        let after = fleet(&["tcp:1935", "rtmp:1936"], &[]);
        healths.count(&after);
        let found = healths.of(FRA, &after);
        assert_eq!((found.own(Family::V4), found.failures.len()), (State::Down { since: 7.0 }, 1));
        let late = Probed { probe: late, at: Instant::now(), result: Err(Fault::Node("late".to_owned())) };
        assert_eq!(healths.take(late, 8.0, &after), None);
    }

    #[test]
    fn faults_of_this_machine_change_nothing() {
        let fleet = fleet(&["tcp:1935"], &[]);
        let mut healths = Healths::default();
        for probe in healths.count(&fleet) {
            for _ in 0..5 {
                let result = Err(Fault::Here("too many open files".to_owned()));
                assert_eq!(
                    healths.take(Probed { probe: probe.clone(), at: Instant::now(), result }, 7.0, &fleet),
                    None
                );
            }
        }
        assert_eq!(healths.of(FRA, &fleet).own(Family::V4), State::Unknown);
    }
}
