//! Two scrapes of a node's counters → what it used between them.
#![deny(clippy::disallowed_methods)]

use std::fmt;

use crate::load::node_exporter::{Counters, CpuTimes, Device};
use crate::pool::Bitrate;

/// Devices that carry the traffic of others a second time, or none of viewers; `lo` is one by its whole name.
const DROPPED_DEVICES: &[&str] =
    &["docker", "veth", "br-", "virbr", "cni", "cali", "flannel", "ifb", "dummy", "tun", "tap", "wg"];
/// Seconds by which busy time may fall: it is a sum of hundredths that the kernel rounds one by one.
const BUSY_SLACK: f64 = 0.05;
/// Seconds by which the boot time may move without a restart: the kernel derives it from a clock that is corrected.
const BOOT_SLACK: f64 = 2.0;
/// How far the node's measure of the interval may be from ours; beyond, its clock was set.
const CLOCK_SLACK: f64 = 0.2;

/// What a node used between two scrapes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Utilisation {
    /// The busy share of all cores together, 0 to 1.
    pub cpu: Option<f64>,
    /// Sent by the busiest device.
    pub egress: Option<Bitrate>,
    /// The speed of that device's link.
    pub link: Option<Bitrate>,
}

/// Why two scrapes give no rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRates {
    /// The node was started in between, or a counter was.
    Restarted,
    /// Nothing moved, not even time: the later scrape is a copy of the earlier one.
    Frozen,
}

impl fmt::Display for NoRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restarted => "the node or its counters were restarted",
            Self::Frozen => "the exporter repeats an old answer",
        })
    }
}

/// What was used from `before` to `after`, `elapsed` seconds apart by our clock.
pub fn between(before: &Counters, after: &Counters, elapsed: f64) -> Result<Utilisation, NoRates> {
    let devices = devices_in_both(before, after);
    if has_restarted(before, after) || devices.iter().any(|(sent, _)| *sent < 0.0) {
        return Err(NoRates::Restarted);
    }
    if is_frozen(before, after) {
        return Err(NoRates::Frozen);
    }
    let elapsed = seconds(before, after, elapsed);
    // A bond sends at least what its parts send, a link what its VLANs send: the largest counts nothing twice. While
    // all are silent, the device that has sent most since the start is the one that viewers use.
    let busiest = devices.into_iter().max_by(|(a_sent, a), (b_sent, b)| {
        a_sent.total_cmp(b_sent).then(a.sent.unwrap_or(0.0).total_cmp(&b.sent.unwrap_or(0.0)))
    });
    Ok(Utilisation {
        cpu: cpu(before, after),
        egress: busiest.map(|(sent, _)| Bitrate(sent * 8.0 / elapsed)),
        link: busiest.and_then(|(_, device)| device.speed),
    })
}

/// Octets sent in between by each device that counts, and the device as it is now.
fn devices_in_both(before: &Counters, after: &Counters) -> Vec<(f64, Device)> {
    let of = |(name, device): (&String, &Device)| {
        let sent = device.sent? - before.devices.get(name)?.sent?;
        Some((sent, *device))
    };
    after.devices.iter().filter(|(name, _)| is_kept(name)).filter_map(of).collect()
}

fn is_kept(device: &str) -> bool {
    device != "lo" && !DROPPED_DEVICES.iter().any(|prefix| device.starts_with(prefix))
}

fn has_restarted(before: &Counters, after: &Counters) -> bool {
    let is_booted_anew = match (before.boot, after.boot) {
        (Some(before), Some(after)) => (after - before).abs() > BOOT_SLACK,
        _ => false,
    };
    is_booted_anew || cpus_in_both(before, after).any(|(before, after)| after.busy < before.busy - BUSY_SLACK)
}

fn is_frozen(before: &Counters, after: &Counters) -> bool {
    if let (Some(before), Some(after)) = (before.clock, after.clock) {
        return before == after;
    }
    !after.cpus.is_empty() && before.cpus == after.cpus
}

/// The node's own measure of the interval has no network delay in it, so it goes first if it is plausible.
fn seconds(before: &Counters, after: &Counters, elapsed: f64) -> f64 {
    match (before.clock, after.clock) {
        (Some(before), Some(after)) if ((after - before) - elapsed).abs() <= CLOCK_SLACK * elapsed => after - before,
        _ => elapsed,
    }
}

/// The denominator comes from the counters too: no clock, delay or hotplug can bend the share.
fn cpu(before: &Counters, after: &Counters) -> Option<f64> {
    let (mut idle, mut all) = (0.0, 0.0);
    for (before, after) in cpus_in_both(before, after) {
        // The kernel's idle and iowait counters are known to step back; the CPU is skipped for this interval.
        if after.idle >= before.idle {
            idle += after.idle - before.idle;
            all += after.idle - before.idle + (after.busy - before.busy).max(0.0);
        }
    }
    (all > 0.0).then(|| (1.0 - idle / all).clamp(0.0, 1.0))
}

fn cpus_in_both<'a>(before: &'a Counters, after: &'a Counters) -> impl Iterator<Item = (&'a CpuTimes, &'a CpuTimes)> {
    // With a mode more or less, for example one refused, the sums cannot be compared.
    after.cpus.iter().filter_map(|(cpu, after)| {
        before.cpus.get(cpu).filter(|before| before.modes == after.modes).map(|before| (before, after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(cpus: &[(f64, f64)], devices: &[(&str, f64, Option<f64>)]) -> Counters {
        let times = |&(idle, busy)| CpuTimes { idle, busy, modes: 8 };
        let device = |&(name, sent, speed): &(&str, f64, Option<f64>)| {
            (name.to_owned(), Device { sent: Some(sent), speed: speed.map(Bitrate) })
        };
        Counters {
            cpus: cpus.iter().enumerate().map(|(cpu, pair)| (cpu.to_string(), times(pair))).collect(),
            devices: devices.iter().map(device).collect(),
            boot: None,
            clock: None,
            refused: 0,
        }
    }

    fn rates(before: &Counters, after: &Counters, elapsed: f64) -> Utilisation {
        between(before, after, elapsed).expect("rates")
    }

    #[test]
    fn cpu_is_the_busy_share_of_all_cores_whatever_our_clock_says() {
        let before = counters(&[(100.0, 50.0), (200.0, 10.0)], &[]);
        // One core: 3 of 5 s idle; the other: 1 of 5 s idle.
        let after = counters(&[(103.0, 52.0), (201.0, 14.0)], &[]);
        for elapsed in [0.1, 5.0, 60.0] {
            assert!((rates(&before, &after, elapsed).cpu.expect("cpu") - 0.6).abs() < 1e-12);
        }
    }

    #[test]
    fn a_core_whose_idle_time_steps_back_is_skipped() {
        let before = counters(&[(100.0, 50.0), (200.0, 10.0)], &[]);
        let after = counters(&[(99.9, 55.0), (203.0, 11.0)], &[]);
        assert!((rates(&before, &after, 5.0).cpu.expect("cpu") - 0.25).abs() < 1e-12);
        let after = counters(&[(99.9, 55.0), (199.0, 11.0)], &[]);
        assert_eq!(rates(&before, &after, 5.0).cpu, None);
    }

    #[test]
    fn cores_of_one_scrape_only_or_of_other_modes_are_skipped() {
        let before = counters(&[(100.0, 50.0)], &[]);
        let after = counters(&[(104.0, 51.0), (3.0, 900.0)], &[]);
        assert!((rates(&before, &after, 5.0).cpu.expect("cpu") - 0.2).abs() < 1e-12);
        let mut fewer = after.clone();
        fewer.cpus.get_mut("0").expect("cpu 0").modes = 7;
        assert_eq!(rates(&before, &fewer, 5.0).cpu, None);
    }

    #[test]
    fn egress_is_that_of_the_busiest_device_that_counts() {
        let devices = |sent: [f64; 4]| {
            let [lo, veth, eth0, bond0] = sent;
            counters(
                &[],
                &[("lo", lo, None), ("veth12", veth, None), ("eth0", eth0, Some(1e9)), ("bond0", bond0, Some(2e9))],
            )
        };
        let after = devices([9e9, 9e9, 1_250_000.0, 2_500_000.0]);
        let used = rates(&devices([0.0; 4]), &after, 10.0);
        assert_eq!((used.egress, used.link), (Some(Bitrate(2e6)), Some(Bitrate(2e9))));
        // All silent: the link of the one that sent most.
        let used = rates(&after, &after, 10.0);
        assert_eq!((used.egress, used.link), (Some(Bitrate(0.0)), Some(Bitrate(2e9))));
    }

    #[test]
    fn a_node_of_dropped_devices_has_no_egress() {
        let before = counters(&[(1.0, 1.0)], &[("lo", 0.0, None), ("wg0", 0.0, None)]);
        let after = counters(&[(2.0, 2.0)], &[("lo", 5.0, None), ("wg0", 5.0, None)]);
        assert_eq!(rates(&before, &after, 1.0), Utilisation { cpu: Some(0.5), egress: None, link: None });
    }

    #[test]
    fn what_falls_was_restarted() {
        let before = Counters { boot: Some(1000.0), ..counters(&[(9.0, 9.0)], &[("eth0", 100.0, None)]) };
        let fallen_device = Counters { boot: Some(1000.0), ..counters(&[(10.0, 9.0)], &[("eth0", 99.0, None)]) };
        let fallen_core = Counters { boot: None, ..counters(&[(0.1, 0.2)], &[("eth0", 101.0, None)]) };
        let booted = Counters { boot: Some(1060.0), ..counters(&[(10.0, 10.0)], &[("eth0", 101.0, None)]) };
        for after in [fallen_device, fallen_core, booted.clone()] {
            assert_eq!(between(&before, &after, 5.0), Err(NoRates::Restarted));
        }
        let corrected = Counters { boot: Some(1001.0), ..booted };
        assert!(between(&before, &corrected, 5.0).is_ok());
    }

    #[test]
    fn a_repeated_answer_is_no_idle_node() {
        let body = counters(&[(9.0, 9.0)], &[("eth0", 100.0, None)]);
        assert_eq!(between(&body, &body, 5.0), Err(NoRates::Frozen));
        let clock = Counters { clock: Some(7.0), ..counters(&[], &[("eth0", 100.0, None)]) };
        assert_eq!(between(&clock, &clock, 5.0), Err(NoRates::Frozen));
    }

    #[test]
    fn the_nodes_clock_measures_the_interval_unless_it_was_set() {
        let at = |clock, sent| Counters { clock: Some(clock), ..counters(&[], &[("eth0", sent, None)]) };
        for (node_seconds, expected) in [(4.0, 2e6), (6.0, 8e6 / 6.0), (3.9, 1.6e6), (6.1, 1.6e6), (-60.0, 1.6e6)] {
            let used = rates(&at(1000.0, 0.0), &at(1000.0 + node_seconds, 1e6), 5.0);
            assert!((used.egress.expect("egress").0 - expected).abs() < 1e-6, "{node_seconds}");
        }
    }
}
