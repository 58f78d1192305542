//! Two scrapes of a node's counters → what it used between them.
#![deny(clippy::disallowed_methods)]

use std::fmt;

use crate::load::counters::{Counters, CpuTimes, Device, Process};
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

/// How far the busiest of several workers may be above their mean before it alone stands for them.
const UNEVEN: f64 = 0.15;

/// What a node used between two scrapes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Utilisation {
    /// The busy share of all cores together, 0 to 1.
    pub cpu: Option<f64>,
    /// The share of one core that each process of the media server used; above 1 if it used several.
    pub process_cpu: Option<f64>,
    /// Sent by the busiest device.
    pub egress: Option<Bitrate>,
    /// The speed of that device's link.
    pub link: Option<Bitrate>,
    /// Connections at the later scrape.
    pub clients: Option<f64>,
    /// The used share of memory at the later scrape, 0 to 1.
    pub memory: Option<f64>,
    /// The used share of the fullest filesystem at the later scrape, 0 to 1.
    pub disk: Option<f64>,
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
        process_cpu: after.core.or_else(|| process_cpu(before, after, elapsed)),
        egress: busiest.map(|(sent, _)| Bitrate(sent * 8.0 / elapsed)),
        link: busiest.and_then(|(_, device)| device.speed),
        clients: after.clients,
        memory: after.memory,
        disk: after.disk,
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
    // Workers come and go; when none is left of those that were, so is no viewer.
    let is_run_anew = before.run.is_some() && after.run.is_some() && before.run != after.run
        || !before.processes.is_empty() && !after.processes.is_empty() && survivors(before, after).next().is_none()
        || before.sent.zip(after.sent).is_some_and(|(before, after)| after.octets < before.octets);
    is_booted_anew
        || is_run_anew
        || cpus_in_both(before, after).any(|(before, after)| after.busy < before.busy - BUSY_SLACK)
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

/// One number for all workers: their mean, unless one has much more to do than the others.
fn process_cpu(before: &Counters, after: &Counters, elapsed: f64) -> Option<f64> {
    let shares: Vec<f64> = survivors(before, after).map(|(before, after)| (after.cpu - before.cpu) / elapsed).collect();
    let max = shares.iter().copied().max_by(f64::total_cmp)?;
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    Some(if max - mean > UNEVEN { max } else { mean })
}

/// The processes that ran all the time.
fn survivors<'a>(before: &'a Counters, after: &'a Counters) -> impl Iterator<Item = (&'a Process, &'a Process)> {
    after.processes.iter().filter_map(|(labels, after)| {
        let before = before.processes.get(labels)?;
        let is_same = match (before.started, after.started) {
            // It is derived from the time of boot, and moves with it.
            (Some(before), Some(after)) => (after - before).abs() <= BOOT_SLACK,
            _ => true,
        };
        (is_same && after.cpu >= before.cpu).then_some((before, after))
    })
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
    use crate::load::counters::Stepped;

    fn counters(cpus: &[(f64, f64)], devices: &[(&str, f64, Option<f64>)]) -> Counters {
        let times = |&(idle, busy)| CpuTimes { idle, busy, modes: 8 };
        let device = |&(name, sent, speed): &(&str, f64, Option<f64>)| {
            (name.to_owned(), Device { sent: Some(sent), speed: speed.map(Bitrate) })
        };
        Counters {
            cpus: cpus.iter().enumerate().map(|(cpu, pair)| (cpu.to_string(), times(pair))).collect(),
            devices: devices.iter().map(device).collect(),
            ..Counters::default()
        }
    }

    /// Workers with their seconds of CPU time and their start.
    fn workers(workers: &[(&str, f64, f64)]) -> Counters {
        let of = |&(pid, cpu, started): &(&str, f64, f64)| {
            ([("pid".to_owned(), pid.to_owned())].into(), Process { cpu, started: Some(started) })
        };
        Counters { processes: workers.iter().map(of).collect(), ..Counters::default() }
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
        assert_eq!(rates(&before, &after, 1.0), Utilisation { cpu: Some(0.5), ..Utilisation::default() });
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

    #[test]
    fn workers_count_by_their_mean_unless_one_is_much_busier() {
        let before = workers(&[("1", 10.0, 100.0), ("2", 50.0, 100.0)]);
        let used = |first: f64, second: f64| {
            let after = workers(&[("1", 10.0 + 10.0 * first, 100.0), ("2", 50.0 + 10.0 * second, 100.0)]);
            rates(&before, &after, 10.0).process_cpu.expect("a share")
        };
        assert!((used(0.5, 0.7) - 0.6).abs() < 1e-9);
        assert!((used(0.5, 0.79) - 0.645).abs() < 1e-9);
        assert!((used(0.5, 0.81) - 0.81).abs() < 1e-9);
        assert!((used(0.0, 0.0)).abs() < 1e-9);
        // Several threads.
        assert!((used(2.5, 2.5) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn a_media_server_is_restarted_when_none_of_its_processes_is_left() {
        let before = workers(&[("1", 10.0, 100.0), ("2", 50.0, 100.0)]);
        for after in [
            workers(&[("1", 11.0, 500.0), ("2", 51.0, 500.0)]),
            workers(&[("1", 1.0, 100.0), ("2", 1.0, 100.0)]),
            workers(&[("3", 60.0, 500.0)]),
        ] {
            assert_eq!(between(&before, &after, 5.0), Err(NoRates::Restarted), "{after:?}");
        }
        // One of two was replaced: the other one still has its viewers.
        let after = workers(&[("1", 12.0, 101.0), ("3", 2.0, 500.0)]);
        assert_eq!(rates(&before, &after, 5.0).process_cpu, Some(0.4));
        // Nothing is told in one of the scrapes: unknown, but no restart.
        assert_eq!(rates(&before, &Counters::default(), 5.0).process_cpu, None);
    }

    #[test]
    fn another_run_or_less_sent_is_a_restart() {
        let of = |run: &str, octets| Counters {
            run: Some(run.to_owned()),
            sent: Some(Stepped { octets, step: 3.0 }),
            ..Counters::default()
        };
        assert_eq!(between(&of("a", 5.0), &of("b", 9.0), 5.0), Err(NoRates::Restarted));
        assert_eq!(between(&of("a", 5.0), &of("a", 4.0), 5.0), Err(NoRates::Restarted));
        // Nobody watches: that is not frozen.
        assert!(between(&of("a", 5.0), &of("a", 5.0), 5.0).is_ok());
        assert!(between(&Counters { run: None, ..of("a", 5.0) }, &of("a", 5.0), 5.0).is_ok());
    }

    #[test]
    fn what_is_no_rate_is_that_of_the_later_scrape() {
        let before = Counters { clients: Some(1.0), core: Some(0.1), memory: Some(0.1), ..Counters::default() };
        let after = Counters { clients: Some(2.0), core: Some(0.2), disk: Some(0.3), ..Counters::default() };
        let expected =
            Utilisation { clients: Some(2.0), process_cpu: Some(0.2), disk: Some(0.3), ..Utilisation::default() };
        assert_eq!(rates(&before, &after, 5.0), expected);
    }
}
