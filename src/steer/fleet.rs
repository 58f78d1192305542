//! The fleet: nodes, places, pools and services with their numbers, sites, distances and barriers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::barrier;
use crate::geo::{Position, Region, RegionId, Rtt, estimated_rtt};
use crate::pool::{
    AddressBook, Answers, Area, Currency, Family, Full, MAX_ANSWERS, Node, NodeId, Overflow, Place, PlaceId, Policy,
    Pool, PoolId, Service, ServiceId,
};

/// Milliseconds between a client and a place when nothing is known of one of them.
const UNKNOWN_DISTANCE: f64 = 200.0;
/// Milliseconds from one place that the operator calls near to the next, and from the last to where distance begins: with
/// less, a plan would send part of the viewers to the second place although the first is empty.
const NEAR_STEP: f64 = 20.0;
/// What the place of nodes at several places is called; no place of the configuration has a blank in its name.
const ANYWHERE: &str = "any place";
/// How many nodes an answer names at most when the planner may choose.
const MAX_AUTO_ANSWERS: usize = 4;

/// All that is steered. Node ids are kept from one fleet to the next.
#[derive(Debug, Default)]
pub struct Fleet {
    /// By `NodeId`; those that the configuration no longer has keep their number until they are dismissed. Numbers without
    /// a name are free.
    pub nodes: Vec<FleetNode>,
    /// By `PlaceId`: those of the configuration, then the automatic ones.
    pub places: Vec<Place>,
    /// By `PoolId`: a pool of the configuration once for each way in which its services use it.
    pub pools: Vec<FleetPool>,
    /// By `ServiceId`.
    pub services: Vec<FleetService>,
    /// Addresses by `NodeId`.
    pub book: AddressBook,
    /// By `NodeId`, the first pool that has it.
    first_pools: Vec<Option<PoolId>>,
    distances: Vec<f64>,
    /// Where sites stand whose nodes stand at several places.
    anywhere: Option<PlaceId>,
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
    /// Its place in the configuration.
    pub rank: u16,
    /// What its load is counted in: viewers if a pool that has it counts these.
    pub currency: Currency,
}

/// A pool with its sites, as some of its services use it: what is planned and learned, is so for each such use.
#[derive(Debug)]
pub struct FleetPool {
    /// As configured.
    pub pool: Pool,
    /// How its services choose.
    pub policy: Policy,
    /// How many nodes its services name.
    pub answers: Answers,
    /// The barrier of its services.
    pub within: Vec<Area>,
    /// Its nodes, by place and by what sets them apart there.
    pub sites: Vec<Site>,
    /// By region and site, milliseconds with the handicap of what its nodes cost.
    distances: Vec<f64>,
    /// The sites that may serve each region, nearest first; those of one region end where `ends` says.
    candidates: Vec<u16>,
    ends: Vec<u32>,
}

/// The nodes of one pool at one place that the same clients may use at the same cost.
#[derive(Debug)]
pub struct Site {
    /// Where.
    pub place: PlaceId,
    /// Whom alone its nodes serve; empty = everybody.
    pub serves: Vec<Area>,
    /// What its nodes cost, in milliseconds of distance.
    pub cost: f64,
    /// Which, in the order of the configuration: numbers differ between nameservers.
    pub nodes: Vec<NodeId>,
}

/// A service with its pool.
#[derive(Debug)]
pub struct FleetService {
    /// As configured.
    pub service: Service,
    /// Its pool.
    pub pool: PoolId,
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
    /// Where nodes stand by the geography of their addresses, by name.
    pub guesses: &'a BTreeMap<String, Guess>,
}

/// Where the geography has a node's address.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// ISO 3166-1 code.
    pub country: String,
    /// Two letters: AF AN AS EU NA OC SA.
    pub continent: String,
    /// The country's.
    pub position: Position,
}

impl Fleet {
    /// Puts a fleet together; nodes that `previous` had keep their numbers.
    pub fn assemble(assembly: &Assembly<'_>, previous: Option<&Fleet>) -> Self {
        let Assembly { nodes, places, pools, services, regions, rtts, guesses } = assembly;
        let mut fleet = Self { places: places.to_vec(), ..Self::default() };
        fleet.number_nodes(nodes, guesses, previous);
        let hashes = |service: &Service| {
            let pool = pools.iter().find(|pool| pool.name == service.pool);
            matches!(service.policy.or(pool.map(|pool| pool.policy)), Some(Policy::Hash { .. }))
        };
        if services.iter().any(hashes) {
            fleet.anywhere = Some(PlaceId(fleet.places.len() as u16));
            fleet.places.push(Place { name: ANYWHERE.to_owned(), at: None });
        }
        fleet.distances = fleet.measure(regions, rtts);
        for service in *services {
            let Some(pool) = pools.iter().find(|pool| pool.name == service.pool) else { continue };
            let policy = service.policy.unwrap_or(pool.policy);
            let known = fleet.pools.iter().position(|known| known.is_used_by(pool, policy, service));
            let index = known.unwrap_or_else(|| {
                let pool = fleet.use_of(pool, policy, service, regions, guesses);
                fleet.pools.push(pool);
                fleet.pools.len() - 1
            });
            fleet.services.push(FleetService { service: service.clone(), pool: PoolId(index as u16) });
        }
        fleet.set_currencies();
        fleet
    }

    /// The same nodes and numbers without those of these names that the configuration no longer has: their numbers are free
    /// for others. It is good for nothing but to assemble the next fleet over it.
    pub fn dismissing(&self, names: &BTreeSet<String>) -> Self {
        let mut nodes = self.nodes.clone();
        for known in nodes.iter_mut().filter(|known| names.contains(&known.node.name)) {
            known.node = Node::default();
            known.is_configured = false;
        }
        Self { nodes, ..Self::default() }
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

    /// The first pool that has a node: what viewers are like there.
    pub fn first_pool_of(&self, node: NodeId) -> Option<&FleetPool> {
        self.first_pool_id_of(node).map(|pool| self.pool(pool))
    }

    /// The number of the first pool that has a node.
    pub(super) fn first_pool_id_of(&self, node: NodeId) -> Option<PoolId> {
        self.first_pools.get(usize::from(node.0)).copied().flatten()
    }

    /// A node.
    #[inline]
    pub fn node(&self, id: NodeId) -> &FleetNode {
        &self.nodes[usize::from(id.0)]
    }

    /// The uses of the pool of this name.
    pub fn uses_of(&self, pool: &str) -> impl Iterator<Item = PoolId> {
        let uses = self.pools.iter().enumerate().filter(move |(_, used)| used.pool.name == pool);
        uses.map(|(index, _)| PoolId(index as u16))
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

    /// What a use of a pool is called in metrics and logs: the pool, and what sets the use apart if there are several.
    pub fn name_of_use(&self, id: PoolId) -> String {
        let FleetPool { pool, policy, answers, within, .. } = self.pool(id);
        if self.pools.iter().filter(|other| other.pool.name == pool.name).count() < 2 {
            return pool.name.clone();
        }
        let mut parts = vec![policy.word().to_owned()];
        if let Policy::Hash { key, bound } = policy {
            parts.push(format!("{key:?} {bound}").to_lowercase());
        }
        if let Answers::Fixed(count) = answers {
            parts.push(format!("answers {count}"));
        }
        if !within.is_empty() {
            let areas: Vec<String> = within.iter().map(ToString::to_string).collect();
            parts.push(format!("within {}", areas.join(" ")));
        }
        format!("{} ({})", pool.name, parts.join(", "))
    }

    fn number_nodes(&mut self, nodes: &[Node], guesses: &BTreeMap<String, Guess>, previous: Option<&Fleet>) {
        self.nodes = previous.map_or_else(Vec::new, |fleet| fleet.nodes.clone());
        for known in &mut self.nodes {
            known.is_configured = false;
            // Places are numbered anew; nobody asks where a vanished node stood.
            known.place = PlaceId(0);
        }
        let mut ids: HashMap<String, usize> =
            self.nodes.iter().enumerate().map(|(index, known)| (known.node.name.clone(), index)).collect();
        let is_free = |(_, known): &(usize, &FleetNode)| known.node.name.is_empty();
        let free: Vec<usize> = self.nodes.iter().enumerate().filter(is_free).map(|(index, _)| index).collect();
        let mut free = free.into_iter();
        for (rank, node) in nodes.iter().enumerate() {
            let place = self.place_of(node, guesses);
            let numbered = FleetNode {
                node: node.clone(),
                place,
                is_configured: true,
                rank: rank as u16,
                currency: Currency::Egress,
            };
            match ids.get(&node.name) {
                Some(&index) => self.nodes[index] = numbered,
                None => {
                    let index = free.next().unwrap_or(self.nodes.len());
                    ids.insert(node.name.clone(), index);
                    match self.nodes.get_mut(index) {
                        Some(known) => *known = numbered,
                        None => self.nodes.push(numbered),
                    }
                }
            }
        }
        for (index, known) in self.nodes.iter().enumerate() {
            self.book.enter(NodeId(index as u16), known.node.v4, known.node.v6);
        }
    }

    /// The place where a node stands; an automatic one is added if need be.
    fn place_of(&mut self, node: &Node, guesses: &BTreeMap<String, Guess>) -> PlaceId {
        let (name, at) = match (&node.place, guesses.get(&node.name)) {
            (Some(name), _) => (name.as_str(), None),
            (None, Some(guess)) => (guess.country.as_str(), Some(guess.position)),
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
                return NEAR_STEP * rank as f64;
            }
            let over_the_globe = match (region.position, place.at) {
                (Some(from), Some(to)) => estimated_rtt(from.kilometres_to(to)),
                _ => UNKNOWN_DISTANCE,
            };
            NEAR_STEP * region.near.len() as f64 + over_the_globe
        };
        regions.iter().flat_map(|region| self.places.iter().map(move |place| between(region, place))).collect()
    }

    /// A pool as a service uses it: its sites, and which of them may serve each region.
    fn use_of(
        &self,
        pool: &Pool,
        policy: Policy,
        service: &Service,
        regions: &[Region],
        guesses: &BTreeMap<String, Guess>,
    ) -> FleetPool {
        let mut sites: Vec<Site> = Vec::new();
        for (index, known) in self.nodes.iter().enumerate().filter(|(_, known)| known.is_configured) {
            let (node, place) = (&known.node, known.place);
            let place_name = &self.places[usize::from(place.0)].name;
            if !pool.selects(node) || !barrier::has_node(&service.within, place_name, guesses.get(&node.name)) {
                continue;
            }
            let is_its = |site: &&mut Site| site.place == place && site.serves == node.serves && site.cost == node.cost;
            match sites.iter_mut().find(is_its) {
                Some(site) => site.nodes.push(NodeId(index as u16)),
                None => {
                    let nodes = vec![NodeId(index as u16)];
                    sites.push(Site { place, serves: node.serves.clone(), cost: node.cost, nodes });
                }
            }
        }
        let may_serve = |site: &Site| -> Vec<bool> {
            let place = &self.places[usize::from(site.place.0)].name;
            regions.iter().map(|region| barrier::may_serve(region, place, &site.serves, &service.within)).collect()
        };
        let mut sites: Vec<(Vec<bool>, Site)> = sites.into_iter().map(|site| (may_serve(&site), site)).collect();
        if let Policy::Hash { .. } = policy {
            sites = self.merged(sites);
        }
        for (_, site) in &mut sites {
            site.nodes.sort_by_key(|id| self.node(*id).rank);
        }
        sites.sort_by_key(|(_, site)| (site.place, self.node(site.nodes[0]).rank));
        let (serves, sites): (Vec<Vec<bool>>, Vec<Site>) = sites.into_iter().unzip();
        let mut used = FleetPool {
            pool: pool.clone(),
            policy,
            answers: service.answers,
            within: service.within.clone(),
            sites,
            distances: Vec::new(),
            candidates: Vec::new(),
            ends: Vec::new(),
        };
        for region in (0..regions.len() as u16).map(RegionId) {
            let distances: Vec<f64> =
                used.sites.iter().map(|site| self.distance(region, site.place) + site.cost).collect();
            let all = 0..used.sites.len() as u16;
            let serves = |site: u16| serves[usize::from(site)][usize::from(region.0)];
            let mut candidates: Vec<u16> = all.filter(|&site| serves(site)).collect();
            candidates.sort_by(|&a, &b| distances[usize::from(a)].total_cmp(&distances[usize::from(b)]));
            used.distances.extend(distances);
            used.candidates.extend(candidates);
            used.ends.push(used.candidates.len() as u32);
        }
        used
    }

    /// Sites that may serve the same regions, as one: where a key is hashed, distance says nothing, and whoever asks must find the
    /// same node among all.
    fn merged(&self, sites: Vec<(Vec<bool>, Site)>) -> Vec<(Vec<bool>, Site)> {
        let mut merged: Vec<(Vec<bool>, Site)> = Vec::new();
        for (serves, site) in sites {
            match merged.iter_mut().find(|(others, _)| *others == serves) {
                Some((_, all)) => {
                    let is_elsewhere = all.place != site.place;
                    all.place = self.anywhere.filter(|_| is_elsewhere).unwrap_or(all.place);
                    all.nodes.extend(site.nodes);
                }
                None => merged.push((serves, site)),
            }
        }
        merged
    }

    fn set_currencies(&mut self) {
        self.first_pools = vec![None; self.nodes.len()];
        for (index, pool) in self.pools.iter().enumerate() {
            for id in pool.sites.iter().flat_map(|site| &site.nodes) {
                self.first_pools[usize::from(id.0)].get_or_insert(PoolId(index as u16));
            }
        }
        for pool in self.pools.iter().filter(|pool| pool.pool.currency == Currency::Clients) {
            for id in pool.sites.iter().flat_map(|site| &site.nodes) {
                self.nodes[usize::from(id.0)].currency = Currency::Clients;
            }
        }
    }
}

impl FleetPool {
    /// The sites that may serve a region, nearest first.
    pub fn candidates(&self, region: RegionId) -> &[u16] {
        let region = usize::from(region.0);
        let Some(&end) = self.ends.get(region) else { return &[] };
        let start = region.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.candidates[start as usize..end as usize]
    }

    /// Milliseconds between the clients of a region and a site, with the handicap of its cost.
    pub fn distance(&self, region: RegionId, site: usize) -> f64 {
        self.distances.get(usize::from(region.0) * self.sites.len() + site).copied().unwrap_or(UNKNOWN_DISTANCE)
    }

    /// Where viewers go that there is no room for, if anywhere.
    pub fn overflow(&self) -> Option<&Overflow> {
        match &self.pool.full {
            Full::Overflow(overflow) => Some(overflow),
            Full::Fill | Full::Refuse => None,
        }
    }

    /// The most nodes that an answer names.
    pub fn width(&self) -> usize {
        match self.answers {
            Answers::Auto => MAX_AUTO_ANSWERS,
            Answers::Fixed(count) => usize::from(count).clamp(1, MAX_ANSWERS),
        }
    }

    /// What stays the same over reloads, and tells this use of the pool from others.
    pub fn identity(&self) -> String {
        format!("{} {:?} {:?} {:?}", self.pool.name, self.policy, self.answers, self.within)
    }

    fn is_used_by(&self, pool: &Pool, policy: Policy, service: &Service) -> bool {
        self.pool.name == pool.name
            && self.policy == policy
            && self.answers == service.answers
            && self.within == service.within
    }
}
