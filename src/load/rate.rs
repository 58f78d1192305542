//! Two scrapes → what was used between them.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::load::counters::{Counted, Counters};
use crate::load::recent::{Recent, amounts};
use crate::pool::{Bitrate, Combine, Falls, Measure, Preset, Resource, Rule};

/// Seconds by which the start of a run may move without a restart: the kernel derives it from a clock that is corrected.
const START_SLACK: f64 = 2.0;
/// How far the node's measure of the interval may be from ours; beyond, its clock was set.
const CLOCK_SLACK: f64 = 0.2;
/// How far the busiest of several workers may be above their mean before it alone stands for them.
const UNEVEN: f64 = 0.15;

/// What a node used between two scrapes, in units of the resources.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Utilisation {
    /// The busy share of all cores together, 0 to 1.
    pub cpu: Option<f64>,
    /// Cores that the media server's process used, or the busiest of several.
    pub process_cpu: Option<f64>,
    /// How many it may use, as the exporter tells; one where the preset looks for no number.
    pub cores: Option<f64>,
    /// What was sent to viewers.
    pub egress: Option<Bitrate>,
    /// What could be, as the exporter tells: the speed of the link.
    pub link: Option<Bitrate>,
    /// Connections at the later scrape.
    pub clients: Option<f64>,
    /// How many there can be, as the exporter tells.
    pub seats: Option<f64>,
    /// The part of datagrams that were dropped for want of room.
    pub udp_drops: Option<f64>,
    /// The used share of memory at the later scrape, 0 to 1.
    pub memory: Option<f64>,
    /// The used share of the fullest filesystem at the later scrape, 0 to 1.
    pub disk: Option<f64>,
    /// What presets call otherwise.
    pub custom: Vec<Custom>,
}

/// The use of a resource that a preset names.
#[derive(Debug, Clone, PartialEq)]
pub struct Custom {
    /// Its name.
    pub name: Arc<str>,
    /// The used share of its capacity.
    pub share: f64,
    /// The share at which pressure is 1, if the preset says.
    pub limit: Option<f64>,
}

/// What a rule found: an amount in the unit of its resource, and what it could be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Amount {
    /// How much.
    pub used: f64,
    /// Of how much, if that is told.
    pub capacity: Option<f64>,
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

impl Utilisation {
    /// What the rules of a preset found, for each resource the first that found anything; of drops the most.
    pub fn of_amounts<'p>(amounts: impl Iterator<Item = (&'p Rule, Option<Amount>)>) -> Self {
        let mut used = Self::default();
        for (rule, amount) in amounts {
            if let Some(amount) = amount {
                used.add(rule, amount);
            }
        }
        used
    }

    fn add(&mut self, rule: &Rule, amount: Amount) {
        let Amount { used, capacity } = amount;
        // Where the rule says where a capacity stands and there is none, nobody knows what part of it is used.
        let share = match capacity {
            Some(capacity) => Some(used / capacity),
            None => rule.capacity.is_empty().then_some(used),
        };
        match &rule.resource {
            Resource::Cpu => self.cpu = self.cpu.or(share),
            Resource::ProcessCpu if self.process_cpu.is_none() => {
                // One busy thread is what most media servers have, so that one core is all they can use.
                let assumed = rule.capacity.is_empty().then_some(1.0);
                (self.process_cpu, self.cores) = (Some(used), capacity.or(assumed));
            }
            Resource::Egress if self.egress.is_none() => {
                (self.egress, self.link) = (Some(Bitrate(used)), capacity.map(Bitrate));
            }
            Resource::Clients if self.clients.is_none() => (self.clients, self.seats) = (Some(used), capacity),
            Resource::ProcessCpu | Resource::Egress | Resource::Clients => {}
            // Datagrams that come and that go have a rule each, and either queue may be full.
            Resource::UdpDrops => self.udp_drops = [self.udp_drops, share].into_iter().flatten().reduce(f64::max),
            Resource::Memory => self.memory = self.memory.or(share),
            Resource::Disk => self.disk = self.disk.or(share),
            Resource::Custom(name) => {
                if let Some(share) = share.filter(|_| self.custom.iter().all(|known| known.name != *name)) {
                    self.custom.push(Custom { name: Arc::clone(name), share, limit: rule.limit });
                }
            }
        }
    }
}

/// What a preset finds between two scrapes that are `elapsed` seconds apart by our clock.
pub fn between(preset: &Preset, before: &Counters, after: &Counters, elapsed: f64) -> Result<Utilisation, NoRates> {
    let found = amounts(preset, &Recent::default(), (0.0, before), (elapsed, after))?;
    let found = found.into_iter().map(|found| found.map(|(amount, _)| amount));
    Ok(Utilisation::of_amounts(preset.rules.iter().zip(found)))
}

/// Whether all that was known of runs is of the past.
pub(super) fn has_restarted(before: &Counters, after: &Counters) -> bool {
    let survives = |(run, started): (&String, &f64)| {
        before.runs.get(run).is_some_and(|before| (started - before).abs() <= START_SLACK)
    };
    // Workers come and go; when none is left of those that were, so is no viewer.
    !before.runs.is_empty() && !after.runs.is_empty() && !after.runs.iter().any(survives)
}

/// Whether the later answer repeats the earlier one. Where no clock is told, that of the cores stands for it: idle or
/// busy, they count on.
pub(super) fn is_frozen(preset: &Preset, before: &Counters, after: &Counters) -> bool {
    if let (Some(before), Some(after)) = (before.clock, after.clock) {
        return before == after;
    }
    let mut rules = preset.rules.iter().zip(before.rules.iter().zip(&after.rules));
    rules.any(|(rule, (before, after))| {
        rule.resource == Resource::Cpu && !rule.of.is_empty() && !after.is_empty() && before == after
    })
}

/// The node's own measure of the interval has no network delay in it, so it goes first if it is plausible.
pub(super) fn seconds(before: &Counters, after: &Counters, elapsed: f64) -> f64 {
    match (before.clock, after.clock) {
        (Some(before), Some(after)) if ((after - before) - elapsed).abs() <= CLOCK_SLACK * elapsed => after - before,
        _ => elapsed,
    }
}

/// What a rule makes of two scrapes; none if no group is in both.
pub(super) fn measure(
    rule: &Rule,
    before: &BTreeMap<String, Counted>,
    after: &BTreeMap<String, Counted>,
    elapsed: f64,
) -> Result<Option<Amount>, NoRates> {
    let groups: Vec<Group> = match rule.reading {
        Measure::Value => after.values().map(|now| Group { used: now.value, of: now.of, now: *now }).collect(),
        Measure::Rate => increases(rule, before, after, elapsed)?,
        Measure::Delta => increases(rule, before, after, 1.0)?,
    };
    Ok(combined(rule, &groups))
}

/// A group over an interval.
#[derive(Debug, Clone, Copy)]
struct Group {
    used: f64,
    of: f64,
    now: Counted,
}

fn increases(
    rule: &Rule,
    before: &BTreeMap<String, Counted>,
    after: &BTreeMap<String, Counted>,
    elapsed: f64,
) -> Result<Vec<Group>, NoRates> {
    let mut groups = Vec::new();
    let mut has_fallen = false;
    for (key, now) in after {
        let Some(then) = before.get(key).filter(|then| then.series == now.series) else { continue };
        if now.value < then.value || now.of < then.of {
            has_fallen = true;
        } else if let Some(elapsed) = between_updates(rule, then, now, elapsed) {
            groups.push(Group {
                used: (now.value - then.value) / elapsed,
                of: (now.of - then.of) / elapsed,
                now: *now,
            });
        }
    }
    let is_restart = has_fallen && (rule.falls == Falls::Restart || groups.is_empty());
    if is_restart { Err(NoRates::Restarted) } else { Ok(groups) }
}

/// Seconds in which a counter came from one value to the other; none if it was not brought up to date at all.
fn between_updates(rule: &Rule, then: &Counted, now: &Counted, elapsed: f64) -> Option<f64> {
    let updated = now.clock.zip(then.clock).map(|(now, then)| now - then);
    let Some(updated) = updated.filter(|_| rule.reading == Measure::Rate) else { return Some(elapsed) };
    // Beyond, its clock was set, or it is brought up to date so seldom that this says little.
    let is_plausible = (elapsed / 2.0..=elapsed * 2.0).contains(&updated);
    if is_plausible { Some(updated) } else { (updated != 0.0).then_some(elapsed) }
}

/// One amount of all groups; none without any.
fn combined(rule: &Rule, groups: &[Group]) -> Option<Amount> {
    if groups.is_empty() {
        return None;
    }
    if rule.combine == Combine::Max {
        return largest(rule, groups);
    }
    let count = groups.len() as f64;
    let sum = |of: fn(&Group) -> f64| groups.iter().map(of).sum::<f64>();
    let (used, of) = (sum(|group| group.used), sum(|group| group.of));
    // One that is of no group is of all together.
    let shared = groups.iter().find(|group| group.now.is_shared).and_then(|group| group.now.capacity);
    let told = shared.or_else(|| groups.iter().map(|group| group.now.capacity).sum());
    let mean = |amount: f64| amount / count;
    let (used, capacity) = match rule.combine {
        Combine::Count => (count, told),
        Combine::Avg if rule.of.is_empty() => (mean(used), shared.or(told.map(mean))),
        Combine::Workers => {
            let most = groups.iter().map(|group| group.used).fold(0.0, f64::max);
            let is_uneven = (most - mean(used)) * rule.scale > UNEVEN;
            (if is_uneven { most } else { mean(used) }, shared.or(told.map(mean)))
        }
        Combine::Sum | Combine::Avg | Combine::Max => (part(rule, used, of)?, told),
    };
    Some(Amount { used: used * rule.scale, capacity })
}

/// The group with the largest amount, or of the largest part of its capacity. What is sent goes by the amount: a bond
/// sends at least what its parts send, a link what its VLANs send, so that the largest counts nothing twice. Of equals the
/// one that has counted most since its start: while all devices are silent, that is the one that viewers use.
fn largest(rule: &Rule, groups: &[Group]) -> Option<Amount> {
    let is_by_part = rule.resource != Resource::Egress && !rule.capacity.is_empty();
    let amount = |group: &Group| {
        let used = part(rule, group.used, group.of)? * rule.scale;
        let weight = if is_by_part { used / group.now.capacity? } else { used };
        Some((weight, group.now.value, Amount { used, capacity: group.now.capacity }))
    };
    let amounts = groups.iter().filter_map(amount);
    amounts.max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))).map(|(.., amount)| amount)
}

/// What is used, or which part of the whole that is; none of nothing.
fn part(rule: &Rule, used: f64, of: f64) -> Option<f64> {
    if rule.of.is_empty() {
        return Some(used);
    }
    let part = (of > 0.0).then(|| (used / of).clamp(0.0, 1.0))?;
    Some(if rule.is_rest { 1.0 - part } else { part })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{embedded_presets, read_preset};
    use crate::diagnostic::Source;
    use crate::load;

    /// What a preset makes of two bodies.
    fn between(preset: &Preset, before: &str, after: &str, elapsed: f64) -> Result<Utilisation, NoRates> {
        let [before, after] = [before, after].map(|body| load::read(preset, body.as_bytes()).expect(body));
        super::between(preset, &before, &after, elapsed)
    }

    fn node(before: &str, after: &str, elapsed: f64) -> Result<Utilisation, NoRates> {
        between(&embedded_presets()["node"], before, after, elapsed)
    }

    fn own(rules: &str) -> Preset {
        let (preset, diagnostics) = read_preset("own", &Source::new("own.toml", rules), embedded_presets());
        preset.unwrap_or_else(|| panic!("{diagnostics:?}"))
    }

    /// Idle and busy seconds of each core.
    fn cores(cores: &[(f64, f64)]) -> String {
        let core = |(core, (idle, busy)): (usize, &(f64, f64))| {
            format!(
                "node_cpu_seconds_total{{cpu=\"{core}\",mode=\"idle\"}} {idle}\n\
                 node_cpu_seconds_total{{cpu=\"{core}\",mode=\"iowait\"}} 1\n\
                 node_cpu_seconds_total{{cpu=\"{core}\",mode=\"user\"}} {busy}\n"
            )
        };
        cores.iter().enumerate().map(core).collect()
    }

    /// Octets sent by each device, and its speed.
    fn devices(devices: &[(&str, f64, Option<f64>)]) -> String {
        let device = |(name, sent, speed): &(&str, f64, Option<f64>)| {
            let speed = speed.map(|speed| format!("node_network_speed_bytes{{device=\"{name}\"}} {}\n", speed / 8.0));
            format!("node_network_transmit_bytes_total{{device=\"{name}\"}} {sent}\n{}", speed.unwrap_or_default())
        };
        devices.iter().map(device).collect()
    }

    fn cpu(before: &[(f64, f64)], after: &[(f64, f64)], elapsed: f64) -> Option<f64> {
        node(&cores(before), &cores(after), elapsed).expect("rates").cpu
    }

    fn is_near(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|found| (found - expected).abs() < 1e-9)
    }

    #[test]
    fn cpu_is_the_busy_share_of_all_cores_whatever_our_clock_says() {
        // One core: 3 of 5 s idle; the other: 1 of 5 s idle.
        for elapsed in [0.1, 5.0, 60.0] {
            let found = cpu(&[(100.0, 50.0), (200.0, 10.0)], &[(103.0, 52.0), (201.0, 14.0)], elapsed);
            assert!(is_near(found, 0.6), "{found:?}");
        }
    }

    #[test]
    fn a_core_whose_idle_time_steps_back_is_skipped() {
        let before = [(100.0, 50.0), (200.0, 10.0)];
        assert!(is_near(cpu(&before, &[(99.9, 55.0), (203.0, 11.0)], 5.0), 0.25));
        // Of all cores: a restart.
        assert_eq!(node(&cores(&before), &cores(&[(99.9, 55.0), (199.0, 11.0)]), 5.0), Err(NoRates::Restarted));
    }

    #[test]
    fn cores_of_one_scrape_only_or_of_other_modes_are_skipped() {
        let before = [(100.0, 50.0)];
        assert!(is_near(cpu(&before, &[(104.0, 51.0), (3.0, 900.0)], 5.0), 0.2));
        let fewer = cores(&[(104.0, 51.0)]).replace("node_cpu_seconds_total{cpu=\"0\",mode=\"iowait\"} 1\n", "");
        assert_eq!(node(&cores(&before), &fewer, 5.0).expect("no rates are no restart").cpu, None);
        // Without its idle time a core would look fully busy.
        let body = cores(&[(100.0, 50.0), (9.0, 9.0)]).replace("cpu=\"1\",mode=\"i", "cpu=\"1\",mode=\"j");
        let later = cores(&[(104.0, 51.0), (9.0, 14.0)]).replace("cpu=\"1\",mode=\"i", "cpu=\"1\",mode=\"j");
        assert!(is_near(node(&body, &later, 5.0).expect("rates").cpu, 0.2));
    }

    #[test]
    fn egress_is_that_of_the_busiest_device_that_counts() {
        let four = |sent: [f64; 4]| {
            let [lo, veth, eth0, bond0] = sent;
            devices(&[("lo", lo, None), ("veth12", veth, None), ("eth0", eth0, Some(1e9)), ("bond0", bond0, Some(2e9))])
        };
        let after = four([9e9, 9e9, 1_250_000.0, 2_500_000.0]);
        let used = node(&four([0.0; 4]), &after, 10.0).expect("rates");
        assert_eq!((used.egress, used.link), (Some(Bitrate(2e6)), Some(Bitrate(2e9))));
        // All silent: the link of the one that sent most.
        let used = node(&after, &after, 10.0).expect("rates");
        assert_eq!((used.egress, used.link), (Some(Bitrate(0.0)), Some(Bitrate(2e9))));
    }

    #[test]
    fn a_device_of_unknown_speed_has_no_link_unless_the_operator_tells() {
        let body = |sent, told: &str| format!("{}{told}", devices(&[("eth0", sent, Some(-1e6))]));
        assert_eq!(node(&body(0.0, ""), &body(5e6, ""), 4.0).expect("rates").link, None);
        let told = "thalweg_egress_capacity_bits_per_second 5e8\n";
        assert_eq!(node(&body(0.0, told), &body(5e6, told), 4.0).expect("rates").link, Some(Bitrate(5e8)));
    }

    #[test]
    fn a_node_of_dropped_devices_has_no_egress() {
        let body = |sent, idle| devices(&[("lo", sent, None), ("wg0", sent, None)]) + &cores(&[(idle, idle)]);
        let used = node(&body(0.0, 1.0), &body(5.0, 2.0), 1.0);
        assert_eq!(used, Ok(Utilisation { cpu: Some(0.5), ..Utilisation::default() }));
    }

    #[test]
    fn what_falls_was_restarted() {
        let body = |boot: f64, idle, sent| {
            format!("node_boot_time_seconds {boot}\n{}{}", cores(&[(idle, 9.0)]), devices(&[("eth0", sent, None)]))
        };
        let before = body(1000.0, 9.0, 100.0);
        for after in [body(1000.0, 10.0, 99.0), body(1000.0, 0.1, 101.0), body(1060.0, 10.0, 101.0)] {
            assert_eq!(node(&before, &after, 5.0), Err(NoRates::Restarted));
        }
        assert!(node(&before, &body(1001.0, 10.0, 101.0), 5.0).is_ok());
    }

    #[test]
    fn a_repeated_answer_is_no_idle_node() {
        let body = cores(&[(9.0, 9.0)]) + &devices(&[("eth0", 100.0, None)]);
        assert_eq!(node(&body, &body, 5.0), Err(NoRates::Frozen));
        let clock = format!("node_time_seconds 7\n{}", devices(&[("eth0", 100.0, None)]));
        assert_eq!(node(&clock, &clock, 5.0), Err(NoRates::Frozen));
    }

    #[test]
    fn the_nodes_clock_measures_the_interval_unless_it_was_set() {
        let at = |clock: f64, sent| format!("node_time_seconds {clock}\n{}", devices(&[("eth0", sent, None)]));
        for (node_seconds, expected) in [(4.0, 2e6), (6.0, 8e6 / 6.0), (3.9, 1.6e6), (6.1, 1.6e6), (-60.0, 1.6e6)] {
            let used = node(&at(1000.0, 0.0), &at(1000.0 + node_seconds, 1e6), 5.0).expect("rates");
            assert!((used.egress.expect("egress").0 - expected).abs() < 1e-6, "{node_seconds}");
        }
    }

    /// Workers with their seconds of CPU time and their start.
    fn workers(workers: &[(&str, f64, f64)]) -> String {
        let worker = |(pid, cpu, started): &(&str, f64, f64)| {
            format!(
                "process_cpu_seconds_total{{pid=\"{pid}\"}} {cpu}\nprocess_start_time_seconds{{pid=\"{pid}\"}} {started}\n"
            )
        };
        workers.iter().map(worker).collect()
    }

    fn process(before: &str, after: &str, elapsed: f64) -> Result<Utilisation, NoRates> {
        between(&embedded_presets()["process"], before, after, elapsed)
    }

    #[test]
    fn workers_count_by_their_mean_unless_one_is_much_busier() {
        let before = workers(&[("1", 10.0, 100.0), ("2", 50.0, 100.0)]);
        for (first, second, expected) in
            [(0.5, 0.7, 0.6), (0.5, 0.79, 0.645), (0.5, 0.81, 0.81), (0.0, 0.0, 0.0), (2.5, 2.5, 2.5)]
        {
            let after = workers(&[("1", 10.0 + 10.0 * first, 100.0), ("2", 50.0 + 10.0 * second, 100.0)]);
            assert!(is_near(process(&before, &after, 10.0).expect("rates").process_cpu, expected), "{first} {second}");
        }
    }

    #[test]
    fn a_media_server_is_restarted_when_none_of_its_processes_is_left() {
        let before = workers(&[("1", 10.0, 100.0), ("2", 50.0, 100.0)]);
        for after in [
            workers(&[("1", 11.0, 500.0), ("2", 51.0, 500.0)]),
            workers(&[("1", 1.0, 100.0), ("2", 1.0, 100.0)]),
            workers(&[("3", 60.0, 500.0)]),
        ] {
            assert_eq!(process(&before, &after, 5.0), Err(NoRates::Restarted), "{after}");
        }
        // One of two was replaced: the other one still has its viewers.
        let after = workers(&[("1", 12.0, 101.0), ("3", 2.0, 500.0)]);
        assert!(is_near(process(&before, &after, 5.0).expect("rates").process_cpu, 0.4));
    }

    #[test]
    fn another_run_or_less_sent_is_a_restart() {
        let srs = |run: &str, sent| {
            format!("srs_build_info{{service=\"{run}\",pid=\"1\"}} 1\nsrs_clients 4\nsrs_send_bytes_total {sent}\n")
        };
        let between = |before: &str, after: &str| between(&embedded_presets()["srs"], before, after, 5.0);
        assert_eq!(between(&srs("a", 5), &srs("b", 9)), Err(NoRates::Restarted));
        assert_eq!(between(&srs("a", 5), &srs("a", 4)), Err(NoRates::Restarted));
        // Nobody watches: that is not frozen.
        assert_eq!(between(&srs("a", 5), &srs("a", 5)).map(|used| used.clients), Ok(Some(4.0)));
    }

    #[test]
    fn groups_are_combined_as_their_rule_says() {
        for (rule, before, after, expected) in [
            ("metric = \"a\"", "a{x=\"1\"} 1\na{x=\"2\"} 2\n", "a{x=\"1\"} 3\na{x=\"2\"} 4\n", Some(7.0)),
            ("metric = \"a\"\ncombine = \"max\"", "a 0\n", "a{x=\"1\"} 3\na{x=\"2\"} 4\n", Some(4.0)),
            ("metric = \"a\"\ncombine = \"avg\"", "a 0\n", "a{x=\"1\"} 3\na{x=\"2\"} 4\n", Some(3.5)),
            ("metric = \"a\"\ncombine = \"count\"", "a 0\n", "a{x=\"1\"} 3\na{x=\"2\"} 0\n", Some(2.0)),
            ("metric = 'a{x!=\"2\"}'\nscale = 10", "a 0\n", "a{x=\"1\"} 3\na{x=\"2\"} 4\n", Some(30.0)),
            ("metric = \"a\"\nas = \"rate\"", "a 1\n", "a 11\n", Some(2.0)),
            ("metric = \"a\"\nas = \"delta\"", "a 1\n", "a 11\n", Some(10.0)),
            // One that fell is left out, if the rule says so.
            (
                "metric = \"a\"\nas = \"delta\"\nfalls = \"skip\"",
                "a{x=\"1\"} 9\na 0\n",
                "a{x=\"1\"} 1\na 5\n",
                Some(5.0),
            ),
            // Parts: of all that all are of, and the largest.
            (
                "metric = \"a\"\nof = \"b\"\neach = [\"x\"]",
                "a 0\nb 9\n",
                "a{x=\"1\"} 1\nb{x=\"1\"} 2\na{x=\"2\"} 0\nb{x=\"2\"} 8\n",
                Some(0.1),
            ),
            (
                "metric = \"a\"\nof = \"b\"\neach = [\"x\"]\ncombine = \"max\"\nrest = true",
                "a 0\nb 9\n",
                "a{x=\"1\"} 1\nb{x=\"1\"} 4\na{x=\"2\"} 4\nb{x=\"2\"} 8\n",
                Some(0.75),
            ),
            ("metric = \"a\"\nof = \"b\"", "a 0\nb 9\n", "a 1\nb 0\n", None),
            (
                "metric = \"a\"\nunless = \"b\"",
                "a 0\n",
                "a{x=\"1\"} 3\nb{x=\"1\"} 1\na{x=\"2\"} 4\nb{x=\"2\"} 0\n",
                Some(4.0),
            ),
        ] {
            // A process may use any number of cores, so that nothing bends the value.
            let preset = own(&format!("[[rule]]\nresource = \"process_cpu\"\n{rule}\n"));
            let found = between(&preset, before, after, 5.0).expect("rates").process_cpu;
            assert!(
                found == expected || expected.is_some_and(|expected| is_near(found, expected)),
                "{rule}: {found:?}"
            );
        }
    }

    #[test]
    fn capacity_is_a_number_or_stands_in_a_metric_or_a_label() {
        for (capacity, body, expected) in [
            ("20", "", Some(0.25)),
            ("\"c\"", "c 10\n", Some(0.5)),
            ("[\"d\", \"c\"]", "c 10\n", Some(0.5)),
            ("[\"d\", \"c\"]", "d 0\nc 10\n", Some(0.5)),
            ("{ metric = \"c\", scale = 2 }", "c 10\n", Some(0.25)),
            ("{ metric = \"c\", label = \"most\" }", "c{most=\"50\"} 1\n", Some(0.1)),
            ("{ metric = \"c\", over = \"d\" }", "c 100\nd 2\n", Some(0.1)),
            // It says where the capacity stands, and there is none.
            ("\"c\"", "", None),
            ("\"c\"", "c -1\n", None),
            ("{ metric = \"c\", over = \"d\" }", "c 100\nd 0\n", None),
        ] {
            let preset = own(&format!(
                "[[rule]]\nresource = \"queue\"\nmetric = \"a\"\neach = []\ncapacity = {capacity}\n[[rule]]\nresource = \"cpu\"\nmetric = \"a\"\n"
            ));
            let body = format!("a{{x=\"1\"}} 2\na{{x=\"2\"}} 3\n{body}");
            let found = between(&preset, &body, &body, 5.0).expect("rates").custom.pop().map(|custom| custom.share);
            assert_eq!(found, expected, "{capacity} {body}");
        }
    }

    #[test]
    fn the_largest_part_of_a_quota_counts() {
        let body = |small: f64, large: f64| {
            format!(
                "container_cpu_usage_seconds_total{{id=\"a\",image=\"i\",container=\"c\"}} {small}\n\
                 container_cpu_usage_seconds_total{{id=\"b\",image=\"i\",container=\"c\"}} {large}\n\
                 container_cpu_usage_seconds_total{{id=\"c\",image=\"i\",container=\"c\"}} {large}\n\
                 container_spec_cpu_quota{{id=\"a\"}} 50000\ncontainer_spec_cpu_period{{id=\"a\"}} 100000\n\
                 container_spec_cpu_quota{{id=\"b\"}} 400000\ncontainer_spec_cpu_period{{id=\"b\"}} 100000\n"
            )
        };
        let used = between(&embedded_presets()["cadvisor"], &body(0.0, 0.0), &body(2.0, 10.0), 5.0).expect("rates");
        assert_eq!((used.process_cpu, used.cores), (Some(0.4), Some(0.5)));
    }

    #[test]
    fn for_each_resource_the_first_rule_that_finds_anything_counts() {
        let rules =
            "[[rule]]\nresource = \"clients\"\nmetric = \"new\"\n[[rule]]\nresource = \"clients\"\nmetric = \"old\"\n";
        let found = |body: &str| between(&own(rules), body, body, 5.0).expect("rates").clients;
        assert_eq!([found("new 0\nold 7\n"), found("old 7\n")], [Some(0.0), Some(7.0)]);
    }
}
