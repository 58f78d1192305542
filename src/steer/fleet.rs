//! The fleet: nodes, places, pools and services with their numbers, sites and distances.

use std::collections::{BTreeMap, HashMap};

use crate::geo::{Position, Region, RegionId, Rtt, estimated_rtt};
use crate::pool::{
    AddressBook, Answers, Family, MAX_ANSWERS, Node, NodeId, Place, PlaceId, Pool, PoolId, Service, ServiceId,
};

/// Milliseconds between a client and a place when nothing is known of one of them.
const UNKNOWN_DISTANCE: f64 = 200.0;
/// Milliseconds below which only places are that the operator calls near (`geo::estimated_rtt` begins there).
const NEAR_DISTANCE: f64 = 10.0;
/// How many nodes an answer names when the planner may choose.
const AUTO_ANSWERS: usize = 2;

/// All that is steered. Node ids are kept from one fleet to the next.
#[derive(Debug, Default)]
pub struct Fleet {
    /// By `NodeId`; those that the configuration no longer has keep their number.
    pub nodes: Vec<FleetNode>,
    /// By `PlaceId`: those of the configuration, then the automatic ones.
    pub places: Vec<Place>,
    /// By `PoolId`.
    pub pools: Vec<FleetPool>,
    /// By `ServiceId`.
    pub services: Vec<FleetService>,
    /// Addresses by `NodeId`.
    pub book: AddressBook,
    distances: Vec<f64>,
}

/// A node with its place.
#[derive(Debug, Clone)]
pub struct FleetNode {
    /// As configured.
    pub node: Node,
    /// Where it stands.
    pub place: PlaceId,
    /// The configuration still has it.
    pub is_configured: bool,
}

/// A pool with its sites.
#[derive(Debug)]
pub struct FleetPool {
    /// Its key in the configuration.
    pub name: String,
    /// Its nodes by place.
    pub sites: Vec<Site>,
    /// The longest node list that a service of the pool wants.
    pub width: usize,
    nearest: Vec<u16>,
}

/// The nodes of one pool at one place.
#[derive(Debug)]
pub struct Site {
    /// Where.
    pub place: PlaceId,
    /// Which, in the order of their numbers.
    pub nodes: Vec<NodeId>,
}

/// A service with its pool.
#[derive(Debug)]
pub struct FleetService {
    /// As configured.
    pub service: Service,
    /// Its pool.
    pub pool: PoolId,
    /// How many nodes an answer names at most.
    pub answers: usize,
}

/// What a fleet is assembled from; all references by name have been checked.
pub struct Assembly<'a> {
    /// The configured nodes.
    pub nodes: &'a [Node],
    /// The configured places.
    pub places: &'a [Place],
    /// The configured pools.
    pub pools: &'a [Pool],
    /// The configured services.
    pub services: &'a [Service],
    /// The client regions, by `RegionId`.
    pub regions: &'a [Region],
    /// Measured times.
    pub rtts: &'a [Rtt],
    /// Where nodes without a place stand, by name: the country of their address and its position.
    pub guesses: &'a BTreeMap<String, (String, Position)>,
}

impl Fleet {
    /// Puts a fleet together; nodes that `previous` had keep their numbers.
    pub fn assemble(assembly: &Assembly<'_>, previous: Option<&Fleet>) -> Self {
        let Assembly { nodes, places, pools, services, regions, rtts, guesses } = assembly;
        let mut fleet = Self { places: places.to_vec(), ..Self::default() };
        fleet.number_nodes(nodes, guesses, previous);
        fleet.distances = fleet.measure(regions, rtts);
        fleet.pools = pools.iter().map(|pool| fleet.sites_of(pool, services, regions.len())).collect();
        let pool_ids: HashMap<&str, usize> =
            pools.iter().enumerate().map(|(index, pool)| (pool.name.as_str(), index)).collect();
        fleet.services = services
            .iter()
            .filter_map(|service| {
                let pool = PoolId(*pool_ids.get(service.pool.as_str())? as u16);
                Some(FleetService { service: service.clone(), pool, answers: answers_of(service) })
            })
            .collect();
        fleet
    }

    /// A pool.
    #[inline]
    pub fn pool(&self, id: PoolId) -> &FleetPool {
        &self.pools[usize::from(id.0)]
    }

    /// A service.
    #[inline]
    pub fn service(&self, id: ServiceId) -> &FleetService {
        &self.services[usize::from(id.0)]
    }

    /// A node.
    #[inline]
    pub fn node(&self, id: NodeId) -> &FleetNode {
        &self.nodes[usize::from(id.0)]
    }

    /// The number of the node of this name, if the configuration has it.
    pub fn find_node(&self, name: &str) -> Option<NodeId> {
        let index = self.nodes.iter().position(|known| known.is_configured && known.node.name == name)?;
        Some(NodeId(index as u16))
    }

    /// Whether a pool has a node with an address of the family; health and load do not matter.
    pub fn has_family(&self, pool: PoolId, family: Family) -> bool {
        let mut nodes = self.pool(pool).sites.iter().flat_map(|site| &site.nodes);
        nodes.any(|&id| self.node(id).node.address(family).is_some())
    }

    /// Milliseconds between the clients of a region and a place.
    pub fn distance(&self, region: RegionId, place: PlaceId) -> f64 {
        let index = usize::from(region.0) * self.places.len() + usize::from(place.0);
        self.distances.get(index).copied().unwrap_or(UNKNOWN_DISTANCE)
    }

    fn number_nodes(
        &mut self,
        nodes: &[Node],
        guesses: &BTreeMap<String, (String, Position)>,
        previous: Option<&Fleet>,
    ) {
        self.nodes = previous.map_or_else(Vec::new, |fleet| fleet.nodes.clone());
        for known in &mut self.nodes {
            known.is_configured = false;
            // Places are numbered anew; nobody asks where a vanished node stood.
            known.place = PlaceId(0);
        }
        let mut ids: HashMap<String, usize> =
            self.nodes.iter().enumerate().map(|(index, known)| (known.node.name.clone(), index)).collect();
        for node in nodes {
            let place = self.place_of(node, guesses);
            let numbered = FleetNode { node: node.clone(), place, is_configured: true };
            match ids.get(&node.name) {
                Some(&index) => self.nodes[index] = numbered,
                None => {
                    ids.insert(node.name.clone(), self.nodes.len());
                    self.nodes.push(numbered);
                }
            }
        }
        for (index, known) in self.nodes.iter().enumerate() {
            self.book.enter(NodeId(index as u16), known.node.v4, known.node.v6);
        }
    }

    /// The place where a node stands; an automatic one is added if need be.
    fn place_of(&mut self, node: &Node, guesses: &BTreeMap<String, (String, Position)>) -> PlaceId {
        let (name, at) = match (&node.place, guesses.get(&node.name)) {
            (Some(name), _) => (name.as_str(), None),
            (None, Some((country, position))) => (country.as_str(), Some(*position)),
            (None, None) => ("unknown", None),
        };
        let index = self.places.iter().position(|place| place.name == name).unwrap_or_else(|| {
            self.places.push(Place { name: name.to_owned(), at });
            self.places.len() - 1
        });
        PlaceId(index as u16)
    }

    /// Distances by region and place: measured, else from the operator's order, else over the globe.
    fn measure(&self, regions: &[Region], rtts: &[Rtt]) -> Vec<f64> {
        let measured: HashMap<(&str, &str), f64> =
            rtts.iter().map(|rtt| ((rtt.region.as_str(), rtt.place.as_str()), rtt.milliseconds)).collect();
        let between = |region: &Region, place: &Place| {
            if let Some(milliseconds) = measured.get(&(region.name.as_str(), place.name.as_str())) {
                return *milliseconds;
            }
            if let Some(rank) = region.near.iter().position(|near| *near == place.name) {
                return NEAR_DISTANCE * rank as f64 / region.near.len() as f64;
            }
            match (region.position, place.at) {
                (Some(from), Some(to)) => estimated_rtt(from.kilometres_to(to)),
                _ => UNKNOWN_DISTANCE,
            }
        };
        regions.iter().flat_map(|region| self.places.iter().map(move |place| between(region, place))).collect()
    }

    fn sites_of(&self, pool: &Pool, services: &[Service], regions: usize) -> FleetPool {
        let mut by_place: BTreeMap<PlaceId, Vec<NodeId>> = BTreeMap::new();
        for (index, known) in self.nodes.iter().enumerate() {
            if known.is_configured && pool.selects(&known.node) {
                by_place.entry(known.place).or_default().push(NodeId(index as u16));
            }
        }
        let sites: Vec<Site> = by_place.into_iter().map(|(place, nodes)| Site { place, nodes }).collect();
        let mut nearest = Vec::with_capacity(sites.len() * regions);
        for region in 0..regions {
            let mut order: Vec<u16> = (0..sites.len() as u16).collect();
            let distance = |site: u16| self.distance(RegionId(region as u16), sites[usize::from(site)].place);
            order.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
            nearest.extend(order);
        }
        let mine = services.iter().filter(|service| service.pool == pool.name);
        let width = mine.map(answers_of).max().unwrap_or(AUTO_ANSWERS);
        FleetPool { name: pool.name.clone(), sites, width, nearest }
    }
}

impl FleetPool {
    /// The pool's sites, nearest first for a region.
    pub fn nearest(&self, region: usize) -> &[u16] {
        &self.nearest[region * self.sites.len()..][..self.sites.len()]
    }
}

fn answers_of(service: &Service) -> usize {
    match service.answers {
        Answers::Auto => AUTO_ANSWERS,
        Answers::Fixed(count) => usize::from(count).clamp(1, MAX_ANSWERS),
    }
}
