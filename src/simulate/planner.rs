//! The planner in the model world: the very engine, controller and key tables of the server, fed with messages and with
//! bodies of exporters.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::dice::Dice;
use super::policy::{Answer, Belief, ELSEWHERE, Fleet, FleetNode, Policy, Query, Sample};
use super::resolvers::START_MS;
use crate::answer::{Context, Transport, answer, read};
use crate::config::{RateLimit, RateLimitMode, embedded_presets};
use crate::diagnostic::Source;
use crate::geo::{Countries, Geo, Prefix, RegionRule, Rtt};
use crate::load::error::ScrapeError;
use crate::load::health::State;
use crate::load::history::{History, Reading};
use crate::load::{self, merge};
use crate::name::{LookupName, Name};
use crate::pool::{
    Answers, Bitrate, Capacity, Full, Limits, Node, Overflow, Place, Pool, Saturation, Service, ServiceId, TtlBounds,
    Viewer,
};
use crate::snapshot::{Elsewhere, InputStatus, Snapshot, TurnKeys, UrlKeys, Zones};
use crate::steer::{
    self, Assembly, Constants, Controller, Estimate, Key, KeyRule, KeyTable, Ledger, NodeInput, Override, Overrides,
    Tables, mix,
};
use crate::wire::{HEADER, MAX_UDP, Secrets};
use crate::zone::{self, Inclusion, Steered, Zone};

/// The steered name, and the file of its zone.
const NAME: &str = "play.live.example.";
const ZONE: &str = "@ 300 SOA ns1 hostmaster 1 3600 600 86400 300\n@ NS ns1\nns1 A 192.0.2.1\n";
/// The pool.
const POOL: &str = "edge";
/// Where viewers are sent whom the pool has no room for.
const OVERFLOW: &str = "cdn.example.";
/// Client keys that a nameserver knows.
const KEYS: usize = 200_000;
/// Seconds between reports of one nameserver to the others.
const REPORT_EVERY: u64 = 5;
/// The exporters of a node, in the order in which their loads are merged.
const EXPORTERS: [&str; 3] = ["node", "process", "srs"];

/// Nameservers that run the planner.
pub(super) struct Planner {
    fleet: Fleet,
    /// Networks of clients, with their regions.
    networks: Vec<(Prefix, usize)>,
    nameservers: Vec<Nameserver>,
    overrides: Overrides,
    seconds: u64,
    rule: KeyRule,
    constants: Constants,
}

/// One nameserver.
struct Nameserver {
    snapshot: Snapshot,
    controller: Controller,
    keys: KeyTable,
    ledger: Ledger,
    /// By node and exporter.
    histories: Vec<[History; 3]>,
    health: Vec<State>,
    /// Questions with a client subnet, and without.
    messages: [Vec<u8>; 2],
    out: Vec<u8>,
    /// Octets of the last reply, and what was known of its key.
    #[cfg(test)]
    last: Option<(usize, Estimate)>,
    body: String,
}

impl Planner {
    /// The planner for a fleet, whose keys learn by this rule, with these constants.
    pub(super) fn new(fleet: &Fleet, rule: KeyRule, constants: Constants) -> Self {
        Self {
            fleet: fleet.clone(),
            networks: Vec::new(),
            nameservers: Vec::new(),
            overrides: Overrides::default(),
            seconds: 0,
            rule,
            constants,
        }
    }

    /// Everything is set up when the first second passes: by then all clients are located.
    fn set_up(&mut self) {
        let geo = Arc::new(self.geography());
        let fleet = Arc::new(self.steered(&geo));
        for _ in 0..self.fleet.nameservers {
            let interval = Duration::from_secs_f64(self.fleet.scrape_every);
            let history = |number: usize| {
                let node = &fleet.nodes[number].node;
                EXPORTERS.map(|preset| {
                    let preset = Arc::clone(&embedded_presets()[preset]);
                    History::new(preset, node.capacity, node.limits.clone(), interval)
                })
            };
            let nodes = fleet.nodes.len();
            let mut nameserver = Nameserver {
                snapshot: snapshot(&geo, &fleet),
                controller: Controller::new(self.constants.clone()),
                keys: KeyTable::new(KEYS, 1).with_rule(self.rule),
                ledger: Ledger::new(),
                histories: (0..nodes).map(history).collect(),
                health: vec![State::Unknown; nodes],
                messages: [message(true), message(false)],
                out: vec![0; MAX_UDP],
                #[cfg(test)]
                last: None,
                body: String::new(),
            };
            nameserver.tick(0.0, &self.overrides);
            self.nameservers.push(nameserver);
        }
    }

    /// One region for each of the world's, of the networks that were located there.
    fn geography(&self) -> Geo {
        let rule = |(index, name): (usize, &String)| RegionRule {
            name: name.clone(),
            networks: self.networks.iter().filter(|(_, region)| *region == index).map(|(prefix, _)| *prefix).collect(),
            ..RegionRule::default()
        };
        let rules: Vec<RegionRule> = self.fleet.regions.iter().enumerate().map(rule).collect();
        Geo::compile(&[], Countries::embedded(), &rules, &[], None).0
    }

    fn steered(&self, geo: &Geo) -> steer::Fleet {
        let Fleet { regions, rtt_ms, nodes, scrape_every, own, .. } = &self.fleet;
        let node = |(number, node): (usize, &FleetNode)| {
            let own = own.as_ref().map(|own| &own.nodes[number]);
            let of_model = || {
                let limit = node.overload;
                let limits = Limits { cpu: limit, process_cpu: limit, egress: limit, ..Limits::default() };
                let capacity = Capacity { egress: Some(Bitrate(node.nic_mbit * 1e6)), ..Capacity::default() };
                Node { capacity, limits, ..Node::default() }
            };
            Node {
                name: node.name.clone(),
                v4: Some(node.address),
                v6: None,
                place: Some(regions[node.site].clone()),
                interval: Duration::from_secs_f64(*scrape_every),
                serves: Vec::new(),
                ..own.cloned().unwrap_or_else(of_model)
            }
        };
        let places: Vec<Place> = regions.iter().map(|name| Place { name: name.clone(), at: None }).collect();
        let rtts = regions.iter().zip(rtt_ms).flat_map(|(region, row)| {
            let rtt = |(place, &milliseconds): (&String, &f64)| Rtt {
                region: region.clone(),
                place: place.clone(),
                milliseconds,
            };
            regions.iter().zip(row).map(rtt).collect::<Vec<_>>()
        });
        let (pool, service) = self.pool();
        let nodes: Vec<Node> = nodes.iter().enumerate().map(node).collect();
        let assembly = Assembly {
            nodes: &nodes,
            places: &places,
            pools: &[pool],
            services: &[service],
            regions: geo.regions(),
            rtts: &rtts.collect::<Vec<_>>(),
            guesses: &BTreeMap::new(),
        };
        steer::Fleet::assemble(&assembly, None)
    }

    /// The pool and the service, of the model or one's own; the name and the nodes are the model's.
    fn pool(&self) -> (Pool, Service) {
        let Fleet { bitrate_mbit, session, overflow, own, .. } = &self.fleet;
        let name = Name::parse(NAME, None).expect("the name is well-formed");
        if let Some(own) = own {
            let pool = Pool { name: POOL.to_owned(), select: BTreeMap::new(), ..own.pool.clone() };
            return (pool, Service { name, pool: POOL.to_owned(), within: Vec::new(), ..own.service.clone() });
        }
        let elsewhere = |overflow: super::world::Overflow| {
            Full::Overflow(Overflow {
                cname: Name::parse(OVERFLOW, None).expect("the name is well-formed"),
                addresses: Vec::new(),
                above: overflow.above,
                cost: overflow.cost,
            })
        };
        let pool = Pool {
            name: POOL.to_owned(),
            viewer: Viewer { bitrate: Bitrate(bitrate_mbit * 1e6), stays: Duration::from_secs_f64(*session) },
            full: overflow.map_or(Full::Fill, elsewhere),
            saturation: Saturation::Clip,
            ..Pool::default()
        };
        let service = Service {
            name,
            pool: POOL.to_owned(),
            answers: Answers::Auto,
            ttl: TtlBounds::default(),
            policy: None,
            within: Vec::new(),
        };
        (pool, service)
    }

    fn exchange(&mut self, now: f64) {
        let reports: Vec<steer::Report> = self
            .nameservers
            .iter()
            .map(|from| from.controller.report(&from.snapshot.fleet, from.snapshot.geo.regions()))
            .collect();
        for (to, nameserver) in self.nameservers.iter_mut().enumerate() {
            for (from, report) in reports.iter().enumerate().filter(|(from, _)| *from != to) {
                nameserver.controller.take_report(&from.to_string(), report.clone(), now);
            }
        }
    }
}

impl Policy for Planner {
    fn located(&mut self, network: Ipv4Addr, length: u8, region: usize) {
        self.networks.push((Prefix::of(network.into(), length), region));
    }

    fn answer(&mut self, query: &Query, _dice: &mut Dice) -> Answer {
        if self.nameservers.is_empty() {
            self.set_up();
        }
        self.nameservers[query.nameserver].answer(query)
    }

    fn scraped(&mut self, nameserver: usize, node: usize, at_ms: u64, _window: f64, sample: &Sample) {
        if self.nameservers.is_empty() {
            self.set_up();
        }
        self.nameservers[nameserver].scraped(node, seconds(at_ms), sample);
    }

    fn missed(&mut self, nameserver: usize, node: usize, _at_ms: u64) {
        if let Some(nameserver) = self.nameservers.get_mut(nameserver) {
            nameserver.histories[node].iter_mut().for_each(|history| history.fail(ScrapeError::Truncated));
        }
    }

    fn probed(&mut self, nameserver: usize, node: usize, at_ms: u64, is_up: bool) {
        if self.nameservers.is_empty() {
            self.set_up();
        }
        let since = seconds(at_ms);
        self.nameservers[nameserver].health[node] = if is_up { State::Up { since } } else { State::Down { since } };
    }

    fn drained(&mut self, node: usize, _at_ms: u64, is_drained: bool) {
        let name = &self.fleet.nodes[node].name;
        let mut standing: Vec<Override> = self.overrides.iter().cloned().collect();
        standing.retain(|each| !matches!(each, Override::Drain { node } if node == name));
        if is_drained {
            standing.push(Override::Drain { node: name.clone() });
        }
        self.overrides = Overrides::new(standing, std::iter::empty());
    }

    fn tick(&mut self, at_ms: u64) {
        if self.nameservers.is_empty() {
            self.set_up();
        }
        self.seconds += 1;
        let now = seconds(at_ms);
        if self.seconds.is_multiple_of(REPORT_EVERY) {
            self.exchange(now);
        }
        for nameserver in &mut self.nameservers {
            nameserver.tick(now, &self.overrides);
        }
    }

    fn belief(&self, nameserver: usize, node: usize) -> Option<Belief> {
        let node = self.nameservers.get(nameserver)?.snapshot.tables.nodes.get(node)?;
        Some(Belief { pressure: node.pressure, is_saturated: node.saturated.is_some() })
    }

    fn remembers(&self, nameserver: usize, resolver: Ipv4Addr, at_ms: u64) -> Option<bool> {
        let keys = &self.nameservers.get(nameserver)?.keys;
        let source = IpAddr::V4(resolver);
        let name = LookupName::from_wire(Name::parse(NAME, None).expect("the name is well-formed").wire());
        Some(keys.remembers(keys.key(source, &Key::of(None, source), u64::from(name.hash_of_all())), at_ms))
    }
}

impl Nameserver {
    fn tick(&mut self, now: f64, overrides: &Overrides) {
        self.controller.book(&self.ledger);
        self.ledger.clear(1);
        let input = |(histories, health): (&[History; 3], &State)| NodeInput {
            reading: merged(histories, now),
            health: (*health).into(),
        };
        let nodes: Vec<NodeInput> = self.histories.iter().zip(&self.health).map(input).collect();
        let Snapshot { fleet, geo, seed, .. } = &self.snapshot;
        let inputs = steer::Inputs { now, fleet, regions: geo.regions(), nodes: &nodes, overrides, seed: *seed };
        self.snapshot.tables = Arc::new(self.controller.tick(&inputs));
    }

    fn scraped(&mut self, node: usize, at: f64, sample: &Sample) {
        render(&mut self.body, at, sample);
        for (history, preset) in self.histories[node].iter_mut().zip(EXPORTERS) {
            match load::read(&embedded_presets()[preset], self.body.as_bytes()) {
                // What gives no load yet is part of the reading.
                Ok(counters) => drop(history.observe(at, counters)),
                Err(error) => history.fail(error),
            }
        }
    }

    fn answer(&mut self, query: &Query) -> Answer {
        let [with, without] = &mut self.messages;
        let message = match query.subnet {
            Some(subnet) => {
                let from = with.len() - SUBNET_OCTETS;
                with[from..].copy_from_slice(&subnet.octets()[..SUBNET_OCTETS]);
                with
            }
            None => without,
        };
        let mut name = LookupName::new();
        let Some(read) = read(message, &mut name) else { return Answer::default() };
        let context = Context {
            client: SocketAddr::new(IpAddr::V4(query.source), 53),
            local: None,
            transport: Transport::Udp,
            now: query.at_ms,
            idle: None,
            estimate: Estimate::default(),
        };
        let (_outcome, observation) =
            answer(&self.snapshot, &read, &context, Some(&mut self.keys), &mut self.out, None);
        let Some(observation) = observation else { return Answer::default() };
        #[cfg(test)]
        if let crate::answer::Outcome::Reply { length, .. } = _outcome {
            self.last = Some((length, observation.estimate));
        }
        self.ledger.book(&observation);
        if observation.nodes.is_empty() {
            return Answer { nodes: std::iter::once(ELSEWHERE).collect(), ttl: observation.ttl };
        }
        Answer { nodes: observation.nodes.iter().map(|node| node.0).collect(), ttl: observation.ttl }
    }
}

fn merged(histories: &[History; 3], now: f64) -> Reading {
    merge(histories.iter().map(|history| history.load(now)).collect())
}

fn seconds(at_ms: u64) -> f64 {
    at_ms.saturating_sub(START_MS) as f64 / 1000.0
}

/// What a nameserver serves before its first tick: the one zone, and no tables.
fn snapshot(geo: &Arc<Geo>, fleet: &Arc<steer::Fleet>) -> Snapshot {
    let origin = Name::parse("live.example.", None).expect("the name is well-formed");
    let mut open = |_: &Inclusion<'_>| unreachable!("the zone includes nothing");
    let (records, _) = zone::read(&Source::new("live.example.zone", ZONE), &origin, &mut open);
    let owner = Name::parse(NAME, None).expect("the name is well-formed");
    let steered = Steered { owner, service: ServiceId(0), has_v4: true, has_v6: false };
    let (zone, _) = Zone::build(&records, &[steered]);
    Snapshot {
        generation: 1,
        zones: Arc::new(Zones::new(zone.into_iter().map(Arc::new).collect())),
        geo: Arc::clone(geo),
        fleet: Arc::clone(fleet),
        elsewhere: Arc::new(Elsewhere::of(fleet)),
        signatures: Arc::default(),
        tables: Arc::new(Tables::default()),
        http_dns: Arc::default(),
        url_keys: UrlKeys::default(),
        turn_keys: TurnKeys::default(),
        rate_limit: Arc::new(RateLimit { mode: RateLimitMode::Off, per_second: 1, slip: 0, exempt: Vec::new() }),
        seed: mix(0),
        identity: Arc::default(),
        cookies: Secrets::default(),
        keys: Arc::default(),
        transfers: Arc::default(),
        inputs: InputStatus::default(),
        inventories: Arc::default(),
        secondaries: Arc::default(),
    }
}

/// The bodies of a node's exporters in one: machine, media process, viewers.
fn render(body: &mut String, at: f64, sample: &Sample) {
    let Sample { tx_bytes, idle_seconds, process_seconds, connections, cpus } = sample;
    body.clear();
    // Writing into a string cannot fail.
    let _cannot_fail = write!(
        body,
        "# TYPE node_cpu_seconds_total counter\n\
         # TYPE node_network_transmit_bytes_total counter\n\
         node_network_transmit_bytes_total{{device=\"eth0\"}} {tx_bytes}\n\
         # TYPE process_cpu_seconds_total counter\n\
         process_cpu_seconds_total {process_seconds}\n\
         # TYPE srs_clients gauge\n\
         srs_clients {connections}\n"
    );
    for cpu in 0..*cpus as usize {
        let idle = idle_seconds / cpus;
        let busy = (at - idle).max(0.0);
        let _cannot_fail = write!(
            body,
            "node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"idle\"}} {idle}\n\
             node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"user\"}} {busy}\n"
        );
    }
}

/// Octets of a client subnet of 24 bits, the last of a message that has one.
const SUBNET_OCTETS: usize = 3;

/// The question for the steered name's addresses, with room for a client subnet of 24 bits if it is to have one (RFC 7871
/// §6).
fn message(has_subnet: bool) -> Vec<u8> {
    let mut message = vec![0; HEADER];
    message[5] = 1;
    message[11] = u8::from(has_subnet);
    for label in NAME.trim_end_matches('.').split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    if has_subnet {
        message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0]);
        message.extend([0; SUBNET_OCTETS]);
    }
    message
}

#[cfg(test)]
mod tests;
