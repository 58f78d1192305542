//! `thalweg explain` as an operator reads it: each state of a small fleet, and `tests/explain/NAME.expected`, what is said
//! of it. `UPDATE=1` rewrites that.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::sync::Arc;

use support::installation::{Installation, inputs};
use thalweg::answer::{Explanation, Question, explain};
use thalweg::command::explain::text;
use thalweg::feed::inputs::Inputs;
use thalweg::geo::RegionId;
use thalweg::load::NodeLoad;
use thalweg::load::health::State;
use thalweg::load::history::Reading;
use thalweg::load::rate::Utilisation;
use thalweg::name::Name;
use thalweg::pool::{Bitrate, Family, NodeId, PoolId};
use thalweg::snapshot::InputStatus;
use thalweg::steer::{
    self, Controller, Estimate, FleetNode, Ledger, NodeInput, Observation, Order, Override, Overrides, mix,
};
use thalweg::wire::{RecordType, Secrets};

mod support;

/// Two nodes near the client, two farther away, one beyond the sea.
const CONFIG: &str = r#"
[service."play.live.example"]
[pool.default]
viewer.bitrate = "500kbit/s"
viewer.stays = "10m"
[place.fra]
at = [50.1, 8.7]
[place.lon]
at = [51.5, -0.1]
[place.nyc]
at = [40.7, -74.0]
[region.dach]
countries = ["DE", "AT", "CH"]
[defaults.node]
capacity.egress = "1Gbit/s"
[node.fra1]
place = "fra"
addresses = ["198.51.100.10"]
[node.fra2]
place = "fra"
addresses = ["198.51.100.11"]
[node.lon1]
place = "lon"
addresses = ["198.51.100.20"]
[node.lon2]
place = "lon"
addresses = ["198.51.100.21"]
[node.nyc1]
place = "nyc"
addresses = ["203.0.113.10"]
"#;
const ZONE: &str = "@ 60 SOA ns1 host 1 2h 15m 2w 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n";
/// Seconds since 1970 of the question, and of all orders.
const NOW: u64 = 1_700_000_000;
/// Seconds for which the fleet was as it is, with as many viewers coming as leave Frankfurt.
const BEFORE: i32 = 600;

/// A state of the fleet, and a question.
struct Scene {
    config: String,
    /// Pressure by node; a node that is not here was never read.
    pressures: Vec<(&'static str, f64)>,
    /// Pressure after ten seconds, of nodes for which it changes.
    then: Vec<(&'static str, f64)>,
    stale: Vec<&'static str>,
    down: Vec<&'static str>,
    orders: Vec<Override>,
    viewers: Option<f64>,
}

impl Scene {
    /// All is calm, but for these nodes.
    fn of(pressures: &[(&'static str, f64)]) -> Self {
        let calm = [("fra1", 0.40), ("fra2", 0.55), ("lon1", 0.30), ("lon2", 0.35), ("nyc1", 0.20)];
        let pressure = |(name, calm): (&'static str, f64)| {
            let own = pressures.iter().find(|(node, _)| *node == name);
            (name, own.map_or(calm, |(_, pressure)| *pressure))
        };
        Self {
            config: CONFIG.to_owned(),
            pressures: calm.map(pressure).to_vec(),
            then: Vec::new(),
            stale: Vec::new(),
            down: Vec::new(),
            orders: Vec::new(),
            viewers: None,
        }
    }

    fn reading(&self, known: &FleetNode, seconds: f64) -> Reading {
        let of = |list: &[(&str, f64)]| list.iter().find(|(name, _)| *name == known.node.name).map(|(_, value)| *value);
        let Some(first) = of(&self.pressures) else { return Reading::Never { because: None } };
        let is_stale = self.stale.contains(&known.node.name.as_str());
        let at = if is_stale && seconds > 0.0 { 0.0 } else { (seconds / 5.0).floor() * 5.0 };
        let pressure = of(&self.then).filter(|_| at >= 10.0).unwrap_or(first);
        let egress = Some(Bitrate(1e9 * 0.8 * pressure));
        let used = Utilisation { cpu: Some(0.5 * pressure), egress, ..Utilisation::default() };
        let load = NodeLoad::new(&used, &known.node.capacity, &known.node.limits, 1_000.0 + at, 5.0).unwrap();
        if is_stale && seconds >= 15.0 {
            return Reading::Stale { last: load, age: seconds - at, because: None };
        }
        Reading::Fresh(load)
    }

    fn tables(&self, inputs: &Inputs) -> steer::Tables {
        let mut controller = Controller::default();
        let order = |(index, what): (usize, &Override)| Order {
            id: index as u64 + 1,
            what: what.clone(),
            who: "karl@ops1".to_owned(),
            reason: "kernel update".to_owned(),
            since: NOW,
            until: Some(NOW + 3_600),
        };
        let orders: Arc<[Order]> = self.orders.iter().enumerate().map(order).collect();
        let regions = inputs.geo.regions();
        let overrides = Overrides::of_orders(orders, regions.iter().map(|region| region.name.as_str()));
        let mut tables = steer::Tables::default();
        for second in -BEFORE..=20 {
            let seconds = f64::from(second);
            let input = |known: &FleetNode| NodeInput {
                reading: self.reading(known, seconds),
                health: match self.down.contains(&known.node.name.as_str()) {
                    true if second >= 5 => State::Down { since: 1_005.0 },
                    _ => State::Unknown,
                }
                .into(),
            };
            let nodes: Vec<NodeInput> = inputs.fleet.nodes.iter().map(input).collect();
            let mut ledger = Ledger::new();
            let (region, pool, family) = (find_region(inputs, "dach"), PoolId(0), Family::V4);
            let nodes_told = [NodeId(0), NodeId(1)];
            for _ in 0..2 + second.rem_euclid(2) {
                let estimate = Estimate { viewers: 0.0, ..Estimate::default() };
                ledger.book(&Observation { region, pool, family, nodes: &nodes_told, ttl: 15, estimate });
            }
            controller.book(&ledger);
            let (now, fleet, seed) = (1_000.0 + seconds, &*inputs.fleet, mix(0));
            tables =
                controller.tick(&steer::Inputs { now, fleet, regions, nodes: &nodes, overrides: &overrides, seed });
        }
        tables
    }

    /// What `explain` says.
    fn told(&self) -> String {
        let installation =
            Installation::new([("thalweg.toml", self.config.as_str()), ("zones/live.example.zone", ZONE)]);
        let inputs = inputs(&installation.config()).unwrap();
        let tables = self.tables(&inputs);
        let snapshot = inputs.snapshot(1, tables, mix(0), Secrets::new([[7; 16]]), InputStatus::default());
        let name = Name::parse("play.live.example", None).unwrap();
        let question = Question::of_client(name, RecordType::A, [84, 128, 0, 9].into());
        let explanation = explain(&snapshot, &Question { viewers: self.viewers, ..question }, NOW * 1_000);
        // What goes through the daemon's JSON comes out of it.
        let json = serde_json::to_string(&explanation).unwrap();
        assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), explanation);
        text("play.live.example", &explanation, self.viewers.is_some())
    }
}

fn find_region(inputs: &Inputs, name: &str) -> RegionId {
    RegionId(inputs.geo.regions().iter().position(|region| region.name == name).unwrap() as u16)
}

fn node(name: &str) -> String {
    name.to_owned()
}

fn scenes() -> Vec<(&'static str, Scene)> {
    let full = [("fra1", 1.3), ("fra2", 1.2), ("lon1", 1.1), ("lon2", 1.15), ("nyc1", 1.05)];
    let pool = |keys: &str| CONFIG.replace("[pool.default]", &format!("[pool.default]\n{keys}"));
    vec![
        ("calm", Scene::of(&[])),
        ("spilling", Scene::of(&[("fra1", 0.86), ("fra2", 0.84)])),
        ("full", Scene::of(&[("fra1", 1.1), ("fra2", 1.05)])),
        ("all_full", Scene::of(&full)),
        ("stale", Scene { stale: vec!["fra1"], ..Scene::of(&[]) }),
        ("distrusted", Scene { then: vec![("fra1", 0.02)], ..Scene::of(&[]) }),
        ("down", Scene { down: vec!["fra1"], ..Scene::of(&[]) }),
        (
            "drained",
            Scene {
                orders: vec![Override::Drain { node: node("fra1") }, Override::Drain { node: node("fra2") }],
                ..Scene::of(&[])
            },
        ),
        (
            "barrier",
            Scene {
                config: CONFIG
                    .replace("[node.fra1]", "[node.fra1]\nserves = [\"FR\"]")
                    .replace("[node.fra2]", "[node.fra2]\nserves = [\"FR\"]"),
                ..Scene::of(&[])
            },
        ),
        (
            "overflow",
            Scene { config: pool("full = \"overflow\"\noverflow.cname = \"cdn.example.net\""), ..Scene::of(&full) },
        ),
        (
            "pinned",
            Scene { orders: vec![Override::Pin { region: node("dach"), place: node("nyc") }], ..Scene::of(&[]) },
        ),
        ("frozen", Scene { orders: vec![Override::Freeze], ..Scene::of(&[]) }),
        ("weighed", Scene { orders: vec![Override::Weight { node: node("fra1"), weight: 0.3 }], ..Scene::of(&[]) }),
        ("heavy", Scene { viewers: Some(20.0), ..Scene::of(&[]) }),
        ("round_robin", Scene { config: pool("policy = \"round_robin\""), ..Scene::of(&[]) }),
        ("unread", Scene { pressures: Vec::new(), ..Scene::of(&[]) }),
    ]
}

#[test]
fn every_state_of_a_fleet_is_explained_as_written_down() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain");
    let mut differences = Vec::new();
    for (name, scene) in scenes() {
        let path = directory.join(format!("{name}.expected"));
        let told = scene.told();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &told).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if told != expected {
            differences.push(format!("== {name}\n-- expected\n{expected}\n-- found\n{told}"));
        }
    }
    assert!(differences.is_empty(), "{}\nUPDATE=1 rewrites what is expected", differences.join("\n"));
}
