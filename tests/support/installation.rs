//! Installations: files in a temporary directory, and snapshots of them with any load.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use thalweg::feed::inputs::{Inputs, Loaded, load};
use thalweg::load::NodeLoad;
use thalweg::load::health::{NodeHealth, State};
use thalweg::load::history::Reading;
use thalweg::load::rate::Utilisation;
use thalweg::pool::{Bitrate, Family, Node};
use thalweg::snapshot::{InputStatus, Snapshot};
use thalweg::steer::{self, Controller, Fleet, FleetNode, NodeInput, Overrides, mix};
use thalweg::wire::Secrets;

/// The moment of the readings, in seconds of their clock.
const NOW: f64 = 1_000.0;
/// Seconds that a stale reading is old.
const STALE_AGE: f64 = 300.0;
/// Seconds from scrape to scrape.
const WINDOW: f64 = 5.0;

/// Files of an operator, which vanish with it.
pub(crate) struct Installation {
    directory: TempDir,
}

impl Installation {
    /// An installation of these files; their paths are relative to `thalweg.toml`.
    pub(crate) fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let installation = Self { directory: TempDir::new().unwrap() };
        fs::create_dir(installation.path("zones")).unwrap();
        for (path, text) in files {
            fs::write(installation.path(path), text).unwrap();
        }
        installation
    }

    /// The path of a file in it.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// Its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.path("thalweg.toml")
    }

    /// Replaces a file in one step, as editors and git do.
    pub(crate) fn replace(&self, relative: &str, text: &str) {
        let beside = self.path(&format!("{relative}.new"));
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.path(relative)).unwrap();
    }

    /// Writes into a file that stays the same one.
    pub(crate) fn write(&self, relative: &str, text: &str) {
        fs::write(self.path(relative), text).unwrap();
    }
}

/// Reads an installation that must have no errors.
pub(crate) fn inputs(config: &Path) -> Result<Inputs, String> {
    let Loaded { inputs, diagnostics, .. } = load(config, &[], None);
    let errors: Vec<String> =
        diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).map(|error| error.render(false)).collect();
    match inputs {
        Some(inputs) if errors.is_empty() => Ok(inputs),
        _ => Err(errors.join("\n")),
    }
}

/// What the snapshot knows of a node's load.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Load {
    /// Nothing was ever read.
    Silent,
    /// It was just read.
    Fresh(Use),
    /// It was read long ago.
    Stale(Use),
    /// Nothing was ever read, and its probes fail.
    Down,
    /// The same at its address of this family alone.
    DownOver(Family),
    /// Nothing was ever read, and the probes of this pool fail.
    DownIn(String),
}

/// What a node uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Use {
    /// CPU and egress such that this is the pressure.
    Pressure(f64),
    /// A share of all cores.
    Cpu(f64),
    /// Bits per second.
    Egress(f64),
}

impl Load {
    /// As a feed would have read it from the node's exporter.
    pub(crate) fn reading(&self, node: &Node) -> Reading {
        match self {
            Self::Silent | Self::Down | Self::DownOver(_) | Self::DownIn(_) => Reading::Never { because: None },
            Self::Fresh(used) => Reading::Fresh(used.load(node, NOW)),
            Self::Stale(used) => {
                Reading::Stale { last: used.load(node, NOW - STALE_AGE), age: STALE_AGE, because: None }
            }
        }
    }

    /// As its probes would have found it.
    fn health(&self, fleet: &Fleet) -> NodeHealth {
        let down = State::Down { since: NOW };
        let mut health = NodeHealth::default();
        match self {
            Self::Down => health.note(None, None, down),
            Self::DownOver(family) => health.note(None, Some(*family), down),
            Self::DownIn(pool) => health.note(Some(&fleet.uses_of(pool).collect::<Vec<_>>()), None, down),
            Self::Silent | Self::Fresh(_) | Self::Stale(_) => {}
        }
        health
    }
}

impl Use {
    fn load(self, node: &Node, sampled: f64) -> NodeLoad {
        let used = match self {
            Self::Pressure(pressure) => {
                let egress = node.capacity.egress.map(|egress| Bitrate(egress.0 * pressure * node.limits.egress));
                Utilisation { cpu: Some(pressure * node.limits.cpu), egress, ..Utilisation::default() }
            }
            Self::Cpu(share) => Utilisation { cpu: Some(share), ..Utilisation::default() },
            Self::Egress(bits) => Utilisation { cpu: Some(0.0), egress: Some(Bitrate(bits)), ..Utilisation::default() },
        };
        NodeLoad::new(&used, &node.capacity, &node.limits, sampled, WINDOW).expect("the CPU is known")
    }
}

/// A snapshot of inputs in which each node has the load that `load` tells for its name.
pub(crate) fn snapshot(inputs: &Inputs, load: impl Fn(&str) -> Load) -> Snapshot {
    let input = |known: &FleetNode| {
        let load = load(&known.node.name);
        NodeInput { reading: load.reading(&known.node), health: load.health(&inputs.fleet) }
    };
    let nodes: Vec<NodeInput> = inputs.fleet.nodes.iter().map(input).collect();
    let seed = mix(0);
    let (regions, overrides) = (inputs.geo.regions(), &Overrides::default());
    let inputs_of_tick = steer::Inputs { now: NOW, fleet: &inputs.fleet, regions, nodes: &nodes, overrides, seed };
    let tables = Controller::default().tick(&inputs_of_tick);
    inputs.snapshot(1, tables, seed, Secrets::new([[7; 16]]), InputStatus::default())
}
