//! Load from a real Prometheus beside the exporters themselves: the same, and never older than it says.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;
use thalweg::load::NodeLoad;
use thalweg::load::history::Reading;
use thalweg::snapshot::Snapshot;

use super::machine::Machine;
use super::support::client::{Client, wait_for};
use super::support::daemon::{SERVER, Served};
use super::support::installation::Installation;

const ZONE: &str = "@ 60 SOA ns1 host 1 1h 1h 1h 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\nplay 60 A 192.0.2.10\n";
/// How busy the machines are.
const PRESSURES: [f64; 3] = [0.3, 0.6, 0.9];

/// A Prometheus that scrapes exporters once a second.
struct Prometheus {
    directory: TempDir,
    listen: SocketAddr,
    process: Child,
}

impl Prometheus {
    fn start(machines: &[Machine]) -> Self {
        let directory = TempDir::new().unwrap();
        let targets: Vec<String> = machines.iter().map(|machine| format!("'{}'", machine.address())).collect();
        let targets = targets.join(", ");
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs: [ {{ job_name: node, static_configs: [ {{ targets: [{targets}] }} ] }} ]\n"
        );
        fs::write(directory.path().join("prometheus.yml"), config).unwrap();
        // It cannot tell which port it got, so that one is chosen for it.
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let process = Self::spawn(directory.path(), listen);
        Self { directory, listen, process }
    }

    fn spawn(directory: &Path, listen: SocketAddr) -> Child {
        let file = directory.join("prometheus.yml");
        Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={listen}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.process = Self::spawn(self.directory.path(), self.listen);
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// The same machines twice: `d0`… read from exporters, `p0`… from Prometheus.
fn config(machines: &[Machine], prometheus: &Prometheus) -> String {
    let mut config = format!(
        "{SERVER}[service.\"play.live.example\"]\n[place.fra]\nat = [50.1, 8.7]\n\
         [load]\nprometheus = [\"http://{}\"]\nmatch = 'job=\"node\"'\ninterval = \"1s\"\n\
         [defaults.node]\nplace = \"fra\"\ncapacity.egress = \"100Gbit/s\"\ninterval = \"1s\"\n",
        prometheus.listen
    );
    for (index, machine) in machines.iter().enumerate() {
        let (url, address) = (machine.url(), machine.address());
        config.push_str(&format!(
            "[node.d{index}]\naddresses = [\"198.51.100.1{index}\"]\nexporters.node = \"{url}\"\n\
             [node.p{index}]\naddresses = [\"203.0.113.1{index}\"]\nexporters.node = \"prometheus:{address}\"\n"
        ));
    }
    config
}

fn reading(snapshot: &Snapshot, name: &str) -> Reading {
    let at = snapshot.fleet.nodes.iter().position(|known| known.node.name == name).unwrap();
    snapshot.tables.nodes[at].reading.clone()
}

fn fresh(reading: &Reading) -> Option<&NodeLoad> {
    match reading {
        Reading::Fresh(load) => Some(load),
        Reading::Stale { .. } | Reading::Never { .. } => None,
    }
}

/// The readings of a node in every snapshot that follows, until `is_last` says so.
fn until(served: &Served, name: &str, mut is_last: impl FnMut(&Snapshot, &Reading) -> bool) {
    let mut last: Option<Arc<Snapshot>> = None;
    wait_for("the last reading", || {
        let snapshot = served.snapshot();
        if last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &snapshot)) {
            return None;
        }
        let reading = reading(&snapshot, name);
        let ends = is_last(&snapshot, &reading);
        last = Some(snapshot);
        ends.then_some(())
    });
}

#[test]
fn prometheus_tells_what_exporters_tell_and_nothing_old_is_taken_for_new() {
    let machine =
        |(index, pressure): (usize, &f64)| Machine::start(Ipv4Addr::new(127, 0, 42, 1 + index as u8), *pressure);
    let mut machines: Vec<Machine> = PRESSURES.iter().enumerate().map(machine).collect();
    let mut prometheus = Prometheus::start(&machines);
    let text = config(&machines, &prometheus);
    let installation = Installation::new([("thalweg.toml", text.as_str()), ("zones/live.example.zone", ZONE)]);
    let served = Served::start(&installation);
    let _client = Client::new(served.dns());

    for (index, expected) in PRESSURES.iter().enumerate() {
        for name in [format!("d{index}"), format!("p{index}")] {
            let found = wait_for("a load", || fresh(&reading(&served.snapshot(), &name)).map(|load| load.pressure));
            // The exporter's counters are exact, but for the time of the scrape.
            assert!((found - expected).abs() < 0.03, "{name}: {found}, not {expected}");
        }
    }

    // An exporter that is gone is known as gone, though queries over a range would go on.
    machines[0].stop();
    until(
        &served,
        "p0",
        |_, reading| matches!(reading, Reading::Stale { because: Some(because), .. } if because.to_string().contains("no target")),
    );

    // While Prometheus is stopped the load falls. When it is there again, its first answers are of before.
    prometheus.stop();
    machines[1].set_egress(0.1);
    until(&served, "p1", |_, reading| matches!(reading, Reading::Stale { .. }));
    prometheus.start_again();
    until(&served, "p1", |snapshot, reading| {
        let Some(load) = fresh(reading) else { return false };
        assert!(snapshot.tables.at - load.sampled < 4.6, "{load:?} at {}", snapshot.tables.at);
        assert!(load.pressure < 0.2, "a load of before is taken for one of now: {load:?}");
        true
    });
}
