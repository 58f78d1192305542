//! UDP workers and cores, as the kernel has them: how many there are, and where each may run.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use support::child::Child;
use support::client::{Client, wait_for};
use support::installation::Installation;
use support::query::Query;
use thalweg::wire::RecordType;

mod support;

/// Descriptors of the program, more than are needed.
const DESCRIPTORS: u32 = 256;
/// Cores that the program may use, at most: a worker has a thread, and several descriptors, for each.
const CORES: usize = 4;
/// Networks that ask, so many that each worker has some of them.
const NETWORKS: u8 = 64;

/// The program with two addresses and these keys, on these cores.
fn start(cores: &[String], keys: &str) -> (Child, Installation) {
    let config = format!("[server]\ndns = [\"127.0.0.1:0\", \"[::1]:0\"]\nadmin = \"127.0.0.1:0\"\n{keys}\n");
    let zone = "$TTL 60\n@ SOA ns1 host 1 2h 15m 2w 60\n@ NS ns1\nns1 A 192.0.2.53\n";
    let installation = Installation::new([("thalweg.toml", &*config), ("zones/live.example.zone", zone)]);
    (Child::start_under(&["taskset", "-c", &cores.join(",")], &installation.config(), DESCRIPTORS), installation)
}

/// The cores of its UDP workers, in the order of their numbers.
fn of_workers(child: &Child) -> Vec<String> {
    let mut workers: Vec<(usize, String)> = child
        .cores_of_threads()
        .into_iter()
        .filter_map(|(name, cores)| Some((name.strip_prefix("udp-")?.parse().unwrap(), cores)))
        .collect();
    workers.sort_unstable();
    workers.into_iter().map(|(_, cores)| cores).collect()
}

/// Those of all other threads.
fn of_others(child: &Child) -> BTreeSet<String> {
    let others = child.cores_of_threads().into_iter().filter(|(name, _)| !name.starts_with("udp-"));
    others.map(|(_, cores)| cores).collect()
}

/// Some of the cores that this test may use: as the kernel writes them, and one by one.
fn some_cores() -> (String, Vec<String>) {
    let list_of = |status: &str| {
        status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned()
    };
    let own = list_of(&fs::read_to_string("/proc/self/status").unwrap());
    let cores = own.split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse::<usize>().unwrap()..=last.parse().unwrap()
    });
    let cores: Vec<String> = cores.take(CORES).map(|core| core.to_string()).collect();
    let taskset = Command::new("taskset").args(["-c", &cores.join(","), "cat", "/proc/self/status"]).output().unwrap();
    (list_of(&String::from_utf8(taskset.stdout).unwrap()), cores)
}

#[test]
fn pinned_workers_of_each_address_take_the_cores_in_turn_and_nothing_else_is_pinned() {
    let (list, cores) = some_cores();
    // One more than there are cores has the first of them again.
    let workers = cores.len() + 1;
    let (child, _installation) = start(&cores, &format!("workers = {workers}\npin_workers = true"));
    let of_address = cores.iter().cycle().take(workers).cloned();
    let expected: Vec<String> = of_address.clone().chain(of_address).collect();
    wait_for("each worker is on its core", || (of_workers(&child) == expected).then_some(()));
    assert_eq!(of_others(&child), BTreeSet::from([list]));
    assert_eq!(child.logged("UDP workers keep to cores"), 1);
    let query = Query::new("ns1.live.example.", RecordType::A);
    let reply = Client::new(child.dns).ask(&query);
    assert!(reply.lines.iter().any(|line| line.contains("192.0.2.53")), "{reply:?}");
}

#[test]
fn workers_go_where_the_kernel_puts_them_unless_they_are_pinned() {
    let (list, cores) = some_cores();
    let (child, _installation) = start(&cores, "workers = \"auto\"");
    // A worker would be on its core before its first answer.
    let query = Query::new("ns1.live.example.", RecordType::A);
    for network in 0..NETWORKS {
        Client::of([127, 0, network, 1].into(), child.dns).ask(&query);
    }
    assert!(of_workers(&child).iter().all(|cores| *cores == list), "{:?}", of_workers(&child));
    // As many as cores for each address; a quota of the machine may make it fewer.
    let parallelism = std::thread::available_parallelism().unwrap().get().min(cores.len());
    assert_eq!(of_workers(&child).len(), 2 * parallelism);
}

#[test]
fn cores_that_taskset_forbids_are_neither_counted_nor_used() {
    let (_, cores) = some_cores();
    let last = cores.last().unwrap();
    let only = [last.clone()];
    let (child, _installation) = start(&only, "workers = \"auto\"\npin_workers = true");
    // One for each address: "auto" counts the cores that are left.
    wait_for("two workers", || (of_workers(&child) == [last.clone(), last.clone()]).then_some(()));
    let (child, _installation) = start(&only, "workers = 3\npin_workers = true");
    wait_for("six workers", || (of_workers(&child) == vec![last.clone(); 6]).then_some(()));
    assert_eq!(of_others(&child), BTreeSet::from([last.clone()]));
}
