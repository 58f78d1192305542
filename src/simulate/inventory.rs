//! One's own fleet in the model world: places as regions with their clients, nodes as configured.

use std::sync::Arc;

use super::policy::Fleet;
use super::world::{Region, World};
use crate::pool::{Bitrate, Node, Pool, Service};

/// What a node is taken to be able to send if its configuration does not say.
pub const ASSUMED_EGRESS: Bitrate = Bitrate(1e9);
/// A media process that never is the limit: only the network is known of one's own nodes.
const UNLIMITED: f64 = 1000.0;

/// What is steered, and where its clients are.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// The places.
    pub sites: Vec<InventorySite>,
    /// The pool; its barriers and those of its nodes do not hold in the model world.
    pub pool: Pool,
    /// The service, with its own policy, TTLs and number of answers.
    pub service: Service,
}

/// A place, and the clients to whom it is the nearest one.
#[derive(Debug, Clone)]
pub struct InventorySite {
    /// Its name.
    pub name: String,
    /// Round trips of its clients to all places in milliseconds.
    pub rtt_ms: Vec<f64>,
    /// Share of the viewers whom it is nearest to.
    pub viewers: f64,
    /// Its nodes.
    pub nodes: Vec<Node>,
}

/// One's own nodes, pool and service, as the planner of the model world gets them.
#[derive(Debug, Clone)]
pub struct Own {
    /// By number, the same as in the fleet.
    pub nodes: Vec<Node>,
    /// Their pool.
    pub pool: Pool,
    /// The service.
    pub service: Service,
}

impl Inventory {
    /// The world of this inventory, with so many viewers at the start; monitoring, and what clients and resolvers do, as in
    /// another world.
    pub fn world(&self, other: &World, population: f64) -> World {
        let Self { sites, pool, .. } = self;
        let region = |site: &InventorySite| Region {
            name: site.name.clone(),
            viewers: site.viewers,
            rtt_ms: site.rtt_ms.clone(),
            nic_gbit: site.nodes.iter().map(|node| egress(node) / 1e9).collect(),
            overload: site.nodes.iter().map(|node| node.limits.egress).collect(),
        };
        let mut world = other.clone();
        world.population = population;
        world.regions = sites.iter().map(region).collect();
        world.machines.other_cpus = [0.0, 0.0];
        world.machines.bound_every = 0;
        world.machines.process_limit = UNLIMITED;
        world.viewers.bitrate_mbit = vec![pool.viewer.bitrate.0 / 1e6];
        world.viewers.bitrate_share = vec![1.0];
        world.viewers.session.mean = pool.viewer.stays.as_secs_f64();
        let nodes = sites.iter().flat_map(|site| &site.nodes);
        let interval = nodes.map(|node| node.interval.as_secs_f64()).max_by(f64::total_cmp);
        world.monitoring.scrape.every = interval.unwrap_or(1.0).max(1.0);
        world
    }

    /// The fleet of that world.
    pub fn fleet(&self, world: &World) -> Fleet {
        let mut fleet = Fleet::new(world);
        let nodes: Vec<Node> = self.sites.iter().flat_map(|site| site.nodes.iter().cloned()).collect();
        for (number, node) in nodes.iter().enumerate() {
            fleet.nodes[number].name.clone_from(&node.name);
        }
        fleet.own = Some(Arc::new(Own { nodes, pool: self.pool.clone(), service: self.service.clone() }));
        fleet
    }

    /// Viewers whom all nodes together can have at pressure 1.
    pub fn room(&self) -> f64 {
        self.sites.iter().map(InventorySite::room).sum::<f64>() / self.pool.viewer.bitrate.0
    }
}

impl InventorySite {
    /// What its nodes can send, in bit/s.
    pub fn capacity(&self) -> f64 {
        self.nodes.iter().map(egress).sum()
    }

    /// What they send at pressure 1.
    fn room(&self) -> f64 {
        self.nodes.iter().map(|node| egress(node) * node.limits.egress).sum()
    }
}

fn egress(node: &Node) -> f64 {
    node.capacity.egress.unwrap_or(ASSUMED_EGRESS).0
}
