//! What one scrape of any source tells.
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};

use crate::load::error::ScrapeError;
use crate::load::exposition::Sample;
use crate::pool::Bitrate;

/// What one scrape tells; each source fills what it knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counters {
    /// By the number of the CPU.
    pub cpus: BTreeMap<String, CpuTimes>,
    /// By the name of the network device.
    pub devices: BTreeMap<String, Device>,
    /// The media server's processes, by the labels that tell them apart.
    pub processes: BTreeMap<BTreeMap<String, String>, Process>,
    /// What the media server sent, in its own count.
    pub sent: Option<Stepped>,
    /// The share of one core that the media server uses, as it measures that itself over a short time.
    pub core: Option<f64>,
    /// Connections of viewers and publishers.
    pub clients: Option<f64>,
    /// The used share of memory, 0 to 1.
    pub memory: Option<f64>,
    /// The used share of the fullest filesystem, 0 to 1.
    pub disk: Option<f64>,
    /// When the node was started, Unix seconds.
    pub boot: Option<f64>,
    /// What names one run of the media server: another one is a restart.
    pub run: Option<String>,
    /// The node's clock at the scrape, Unix seconds.
    pub clock: Option<f64>,
    /// Lines with a wanted name that could not be read or held no possible value.
    pub refused: usize,
}

/// What one CPU did since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CpuTimes {
    /// Seconds idle, waiting for I/O included.
    pub idle: f64,
    /// Seconds in all other modes; stolen ones count, for they are not there for viewers.
    pub busy: f64,
    /// How many modes were added up.
    pub modes: u32,
}

/// What one network device did since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Device {
    /// Octets sent.
    pub sent: Option<f64>,
    /// The speed of its link, if it is known.
    pub speed: Option<Bitrate>,
}

/// What one process did since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    /// Seconds of CPU time, on all cores together.
    pub cpu: f64,
    /// When it was started, Unix seconds.
    pub started: Option<f64>,
}

/// A counter that its program brings up to date now and then only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stepped {
    /// Octets.
    pub octets: f64,
    /// Seconds from one update to the next.
    pub step: f64,
}

/// Which of two equal series is true nobody can know.
pub(super) fn refuse_duplicates(samples: &[Sample]) -> Result<(), ScrapeError> {
    let mut seen = BTreeSet::new();
    match samples.iter().find(|sample| !seen.insert((sample.name, &sample.labels))) {
        Some(twin) => Err(ScrapeError::Duplicate(twin.name)),
        None => Ok(()),
    }
}
