//! Scrapes and probes, of each node by each nameserver: when they happen, and what comes of them.

use super::dice::Dice;
use super::plant::Plant;
use super::policy::Policy;
use super::resolvers::START_MS;
use super::world::{Monitoring, World};

/// Scrapes and probes of all nodes by all nameservers.
#[derive(Debug)]
pub(super) struct Monitor {
    rules: Monitoring,
    nodes: usize,
    watches: Vec<Watch>,
    dice: Dice,
}

/// What one nameserver does about one node.
#[derive(Debug)]
struct Watch {
    next_scrape: f64,
    last_scrape: Option<u32>,
    next_probe: f64,
    /// Probes in a row that say otherwise than what is believed.
    contrary: u32,
    is_up: bool,
}

impl Monitor {
    /// Begins at any moment of its rhythm, for every pair of nameserver and node.
    pub(super) fn new(world: &World, nodes: usize, seed: u64) -> Self {
        let (rules, mut dice) = (world.monitoring.clone(), Dice::new(seed, 3));
        let watch = |_| Watch {
            next_scrape: dice.between(0.0, rules.scrape.every),
            last_scrape: None,
            next_probe: dice.between(0.0, rules.probe.every),
            contrary: 0,
            is_up: true,
        };
        let watches = (0..world.nameservers * nodes).map(watch).collect();
        Self { rules, nodes, watches, dice }
    }

    /// Does what is due in this second, and tells the policy.
    pub(super) fn second(&mut self, second: u32, plant: &Plant, policy: &mut dyn Policy) {
        let (now, at_ms) = (f64::from(second), START_MS + u64::from(second) * 1000);
        let Self { rules, nodes, watches, dice } = self;
        for (number, watch) in watches.iter_mut().enumerate() {
            let (nameserver, node) = (number / *nodes, number % *nodes);
            let state = &plant.nodes[node];
            if watch.next_scrape < now + 1.0 {
                watch.next_scrape += rules.scrape.every * (1.0 + dice.between(-1.0, 1.0) * rules.scrape.jitter);
                if dice.happens(rules.scrape.lost) || state.is_dead || state.is_silent {
                    policy.missed(nameserver, node, at_ms);
                } else {
                    let window = watch.last_scrape.map_or(0.0, |last| f64::from(second - last));
                    watch.last_scrape = Some(second);
                    policy.scraped(nameserver, node, at_ms, window, &state.sample());
                }
            }
            if watch.next_probe < now + 1.0 {
                watch.next_probe += rules.probe.every;
                let is_good = !state.is_dead;
                watch.contrary = if is_good == watch.is_up { 0 } else { watch.contrary + 1 };
                if watch.contrary >= if is_good { rules.probe.up_after } else { rules.probe.down_after } {
                    (watch.is_up, watch.contrary) = (is_good, 0);
                    policy.probed(nameserver, node, at_ms, is_good);
                }
            }
        }
    }
}
