//! The machine inside a model node: how busy its viewers and a batch job keep it, and what counters made of that.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::scene::{CAPACITY, LIMIT};

/// What one viewer is sent, in bit/s.
pub(super) const BITRATE: f64 = 1e6;
/// Cores, as the exporter shows them.
const CORES: u32 = 4;
/// Share of all cores that is busy without viewers.
const BASE_CPU: f64 = 0.04;
/// Share of all cores that a viewer takes.
const VIEWER_CPU: f64 = 0.002;

/// Counters that grow with time and with what the machine does.
#[derive(Debug)]
pub(super) struct Machine {
    /// Unix seconds of the start.
    booted: f64,
    started: Instant,
    /// Up to when the counters are right.
    counted: Instant,
    viewers: u32,
    job: Option<Job>,
    /// Seconds of all cores together.
    user: f64,
    nice: f64,
    idle: f64,
    /// Octets.
    sent: f64,
}

/// Work that has nothing to do with viewers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Job {
    /// The share of all cores that it takes, if there is so much.
    pub cpu: f64,
    /// When it is done.
    pub until: Instant,
}

/// What the machine does at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Activity {
    /// Viewers that are connected.
    pub viewers: u32,
    /// A batch job runs.
    pub has_job: bool,
    /// Use over limit of the worse of CPU and egress.
    pub pressure: f64,
}

impl Machine {
    /// A machine that has just been started.
    pub(super) fn new(now: Instant, booted: f64) -> Self {
        let (user, nice, idle, sent) = (0.0, 0.0, 0.0, 0.0);
        Self { booted, started: now, counted: now, viewers: 0, job: None, user, nice, idle, sent }
    }

    /// A viewer has connected.
    pub(super) fn arrive(&mut self, now: Instant) {
        self.count_to(now);
        self.viewers += 1;
    }

    /// A viewer has gone.
    pub(super) fn leave(&mut self, now: Instant) {
        self.count_to(now);
        self.viewers -= 1;
    }

    /// Starts a batch job, in place of one that may be running.
    pub(super) fn begin(&mut self, now: Instant, job: Job) {
        self.count_to(now);
        self.job = Some(job);
    }

    /// What it does now.
    pub(super) fn activity(&mut self, now: Instant) -> Activity {
        self.count_to(now);
        let (own, job) = self.cpu();
        let egress = f64::from(self.viewers) * BITRATE / CAPACITY;
        Activity { viewers: self.viewers, has_job: self.job.is_some(), pressure: (own + job).max(egress) / LIMIT }
    }

    /// The counters in the words of node_exporter.
    pub(super) fn exposition(&mut self, now: Instant) -> String {
        self.count_to(now);
        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| {
            writeln!(text, "{line}").expect("writing to a string cannot fail");
        };
        line(format_args!("# TYPE node_boot_time_seconds gauge\nnode_boot_time_seconds {:.0}", self.booted));
        line(format_args!("# TYPE node_cpu_seconds_total counter"));
        for cpu in 0..CORES {
            for (mode, seconds) in [("idle", self.idle), ("nice", self.nice), ("user", self.user)] {
                // As a kernel does, in hundredths.
                let seconds = seconds / f64::from(CORES);
                line(format_args!("node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"{mode}\"}} {seconds:.2}"));
            }
        }
        line(format_args!("# TYPE node_network_speed_bytes gauge"));
        line(format_args!("node_network_speed_bytes{{device=\"eth0\"}} {}", CAPACITY / 8.0));
        line(format_args!("# TYPE node_network_transmit_bytes_total counter"));
        line(format_args!("node_network_transmit_bytes_total{{device=\"eth0\"}} {:.0}", self.sent));
        let clock = self.booted + (now - self.started).as_secs_f64();
        line(format_args!("# TYPE node_time_seconds gauge\nnode_time_seconds {clock:.6}"));
        text
    }

    /// Shares of all cores: of viewers and the system, and of the job.
    fn cpu(&self) -> (f64, f64) {
        let own = (BASE_CPU + f64::from(self.viewers) * VIEWER_CPU).min(1.0);
        (own, self.job.map_or(0.0, |job| job.cpu.min(1.0 - own)))
    }

    fn count_to(&mut self, now: Instant) {
        if let Some(job) = self.job
            && job.until <= now
        {
            self.count(job.until.saturating_duration_since(self.counted));
            self.counted = self.counted.max(job.until);
            self.job = None;
        }
        self.count(now.saturating_duration_since(self.counted));
        self.counted = self.counted.max(now);
    }

    fn count(&mut self, time: Duration) {
        let (own, job) = self.cpu();
        let cores = time.as_secs_f64() * f64::from(CORES);
        self.user += cores * own;
        self.nice += cores * job;
        self.idle += cores * (1.0 - own - job);
        self.sent += time.as_secs_f64() * f64::from(self.viewers) * BITRATE / 8.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::embedded_presets;
    use crate::load::counters::Counters;
    use crate::load::{rate, read};

    fn counters(machine: &mut Machine, now: Instant) -> Counters {
        let text = machine.exposition(now);
        let counters = read(&embedded_presets()["node"], text.as_bytes()).expect("counters");
        assert_eq!(counters.refused, 0, "{text}");
        counters
    }

    #[test]
    fn the_server_reads_from_the_counters_what_the_machine_did() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut machine = Machine::new(start, 1e9);
        for _ in 0..50 {
            machine.arrive(at(1.0));
        }
        let before = counters(&mut machine, at(2.0));
        machine.begin(at(4.0), Job { cpu: 0.5, until: at(8.0) });
        let after = counters(&mut machine, at(12.0));
        let used = rate::between(&embedded_presets()["node"], &before, &after, 10.0).expect("rates");
        let own = BASE_CPU + 50.0 * VIEWER_CPU;
        assert!((used.cpu.expect("cpu") - (own + 0.4 * 0.5)).abs() < 0.005, "{used:?}");
        assert!((used.egress.expect("egress").0 - 50.0 * BITRATE).abs() < 100.0, "{used:?}");
        assert_eq!(used.link.map(|link| link.0), Some(CAPACITY));
    }

    #[test]
    fn a_job_takes_what_is_left_until_it_is_done() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut machine = Machine::new(start, 1e9);
        machine.arrive(start);
        machine.begin(start, Job { cpu: 1.0, until: at(5) });
        let busy = machine.activity(at(1));
        assert_eq!(busy, Activity { viewers: 1, has_job: true, pressure: 1.0 / LIMIT });
        machine.leave(at(6));
        let calm = machine.activity(at(6));
        assert_eq!(calm, Activity { viewers: 0, has_job: false, pressure: BASE_CPU / LIMIT });
        // A later word ends the job too.
        machine.begin(at(7), Job { cpu: 1.0, until: at(100) });
        machine.begin(at(8), Job { cpu: 1.0, until: at(8) });
        assert!(!machine.activity(at(8)).has_job);
    }
}
