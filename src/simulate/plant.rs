//! The nodes as they are: who watches from which, what that costs them, and what their exporters count.

use super::dice::Dice;
use super::policy::{ELSEWHERE, Fleet, Sample};
use super::scenario::Scenario;
use super::world::World;

/// Where a viewer is who is nowhere: on the way, or gone.
const NOWHERE: u16 = u16::MAX - 1;

/// All nodes, and all viewers that there have been.
#[derive(Debug)]
pub struct Plant {
    /// The fleet as configured.
    pub fleet: Fleet,
    /// The nodes as they are.
    pub nodes: Vec<Node>,
    /// Viewers whom an answer led elsewhere.
    pub elsewhere: usize,
    viewers: Vec<Viewer>,
}

/// A node as it is.
#[derive(Debug, Clone)]
pub struct Node {
    /// Whether it serves nobody.
    pub is_dead: bool,
    /// Whether its exporter says nothing.
    pub is_silent: bool,
    /// What its exporter reports, in times of the truth.
    pub reports: f64,
    /// Whether it is drained.
    pub is_drained: bool,
    /// What its viewers want in Mbit/s.
    pub demand: f64,
    /// Viewers of each client region.
    pub by_region: Vec<u32>,
    nic_mbit: f64,
    process_mbit: f64,
    cpus: f64,
    other_cpus: f64,
    overload: f64,
    bitrate_mbit: Option<f64>,
    viewers: Vec<u32>,
    counted: Sample,
}

/// Someone who watches.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// Client region.
    pub region: u16,
    /// Resolver, counted through all regions.
    pub resolver: u32,
    /// Whether the address comes from us.
    pub asks_us: bool,
    /// Second after which the session is over.
    pub departs: u32,
    bitrate_mbit: f64,
    node: u16,
    position: u32,
}

impl Viewer {
    /// One who is on the way.
    pub fn new(region: usize, resolver: usize, asks_us: bool, departs: u32, bitrate_mbit: f64) -> Self {
        let (region, resolver) = (region as u16, resolver as u32);
        Self { region, resolver, asks_us, departs, bitrate_mbit, node: NOWHERE, position: 0 }
    }
}

impl Node {
    /// What it can send in Mbit/s.
    #[inline]
    pub fn capacity(&self) -> f64 {
        self.nic_mbit.min(self.process_mbit)
    }

    /// 1 where it counts as overloaded: the worst of network, media process and system CPU, by demand.
    #[inline]
    pub fn pressure(&self) -> f64 {
        let process = self.demand / self.process_mbit;
        let system = (process + self.other_cpus) / self.cpus;
        (self.demand / self.nic_mbit).max(process).max(system) / self.overload
    }

    /// Demand at which pressure is 1, in Mbit/s.
    pub fn overload_line(&self) -> f64 {
        self.capacity() * self.overload
    }

    /// How many watch.
    #[inline]
    pub fn population(&self) -> usize {
        self.viewers.len()
    }

    /// What its exporter says now.
    pub fn sample(&self) -> Sample {
        // Viewers are counted by the media server, whose exporter is another than the machine's that lies.
        Sample { connections: self.viewers.len() as f64, ..self.counted }
    }

    /// Counts one second.
    fn count(&mut self) {
        let served = self.demand.min(self.capacity());
        let process = served / self.process_mbit;
        let busy = (process + self.other_cpus).min(self.cpus);
        self.counted.tx_bytes += self.reports * served * 1e6 / 8.0;
        self.counted.process_seconds += self.reports * process;
        self.counted.idle_seconds += self.cpus - self.reports * busy;
    }
}

impl Plant {
    /// The nodes of a world, with what the scenario makes different; nobody watches yet.
    pub fn new(world: &World, scenario: &Scenario, dice: &mut Dice) -> Self {
        let fleet = Fleet::new(world);
        let [least, most] = world.machines.other_cpus;
        let node = |configured: &super::policy::FleetNode| Node {
            is_dead: false,
            is_silent: false,
            reports: 1.0,
            is_drained: false,
            demand: 0.0,
            by_region: vec![0; fleet.regions.len()],
            nic_mbit: configured.nic_mbit,
            process_mbit: configured.process_mbit,
            cpus: configured.cpus,
            other_cpus: dice.between(least, most),
            overload: configured.overload,
            bitrate_mbit: None,
            viewers: Vec::new(),
            counted: Sample {
                tx_bytes: 0.0,
                idle_seconds: 0.0,
                process_seconds: 0.0,
                connections: 0.0,
                cpus: configured.cpus,
            },
        };
        let mut nodes: Vec<Node> = fleet.nodes.iter().map(node).collect();
        for difference in &scenario.nodes {
            for number in &difference.numbers {
                nodes[*number].nic_mbit *= difference.true_nic;
                nodes[*number].bitrate_mbit = difference.bitrate_mbit.or(nodes[*number].bitrate_mbit);
            }
        }
        Self { fleet, nodes, elsewhere: 0, viewers: Vec::new() }
    }

    /// A viewer comes, and is on the way.
    pub fn add(&mut self, viewer: Viewer) -> u32 {
        self.viewers.push(viewer);
        self.viewers.len() as u32 - 1
    }

    /// The viewer of this number.
    #[inline]
    pub fn viewer(&self, number: u32) -> &Viewer {
        &self.viewers[number as usize]
    }

    /// A viewer who was on the way begins to watch from a node, or elsewhere.
    pub fn attach(&mut self, number: u32, to: u16) {
        let viewer = &mut self.viewers[number as usize];
        viewer.node = to;
        if to == ELSEWHERE {
            self.elsewhere += 1;
            return;
        }
        let node = &mut self.nodes[usize::from(to)];
        if let Some(bitrate) = node.bitrate_mbit {
            viewer.bitrate_mbit = bitrate;
        }
        viewer.position = node.viewers.len() as u32;
        node.viewers.push(number);
        node.demand += viewer.bitrate_mbit;
        node.by_region[usize::from(viewer.region)] += 1;
    }

    /// A viewer leaves the node, if at one.
    pub fn detach(&mut self, number: u32) {
        let Viewer { region, bitrate_mbit, node, position, .. } = self.viewers[number as usize];
        self.viewers[number as usize].node = NOWHERE;
        match node {
            NOWHERE => {}
            ELSEWHERE => self.elsewhere -= 1,
            _ => {
                let node = &mut self.nodes[usize::from(node)];
                node.viewers.swap_remove(position as usize);
                if let Some(moved) = node.viewers.get(position as usize) {
                    self.viewers[*moved as usize].position = position;
                }
                node.by_region[usize::from(region)] -= 1;
                node.demand -= bitrate_mbit;
                if node.viewers.is_empty() {
                    // Rounding must not leave a rest.
                    node.demand = 0.0;
                }
            }
        }
    }

    /// The session ends, wherever the viewer is.
    pub fn end(&mut self, number: u32, second: u32) {
        self.detach(number);
        self.viewers[number as usize].departs = second;
    }

    /// All viewers of a node.
    pub fn viewers_of(&self, node: usize) -> Vec<u32> {
        self.nodes[node].viewers.clone()
    }

    /// Any viewer of a node that has some.
    pub fn any_viewer_of(&self, node: usize, dice: &mut Dice) -> u32 {
        let viewers = &self.nodes[node].viewers;
        viewers[dice.below(viewers.len())]
    }

    /// Exporters count one second.
    pub fn count(&mut self) {
        self.nodes.iter_mut().for_each(Node::count);
    }
}
