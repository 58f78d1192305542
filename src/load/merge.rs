//! What several sources know of one node → what is known of it.
#![deny(clippy::disallowed_methods)]

use crate::load::history::{Reading, Trouble};
use crate::load::{NodeLoad, Use, worst};
use crate::pool::Resource;

/// One reading of those of a node's sources.
///
/// The first source that has an egress gives it, and with it the time that the reading describes; it stays the one
/// when it falls silent, because a source of less (a media server of all that a machine does) would make room out of
/// nothing. Of everything else the larger counts. The reading is as old as that egress, or the worst resource if that
/// is older.
pub fn merge(mut readings: Vec<Reading>) -> Reading {
    if readings.len() == 1 {
        let only = readings.remove(0);
        let is_known = only.last().is_none_or(|load| !load.uses.is_empty());
        return if is_known { only } else { Reading::Never { because: Some(Trouble::NothingKnown) } };
    }
    let loads: Vec<(&Reading, &NodeLoad)> =
        readings.iter().filter_map(|reading| Some((reading, reading.last()?))).collect();
    let worst_source = loads.iter().max_by(|(_, a), (_, b)| a.pressure.total_cmp(&b.pressure));
    let Some(&worst_source) = worst_source else {
        return Reading::Never { because: readings.into_iter().find_map(why) };
    };
    let main = loads.iter().find(|(_, load)| load.egress.is_some()).copied().unwrap_or(worst_source);
    let uses = united(&loads, main.1);
    let Some(worst_use) = worst(&uses) else {
        return Reading::Never { because: Some(Trouble::NothingKnown) };
    };
    // The worst resource of all may not be that of the source with the worst: its egress may be one that is not used.
    let shows_worst = |(_, load): &&(&Reading, &NodeLoad)| load.uses.contains(&worst_use);
    let worst_source = loads.iter().find(shows_worst).copied().unwrap_or(main);
    let most = |of: fn(&NodeLoad) -> Option<f64>| loads.iter().filter_map(|(_, load)| of(load)).max_by(f64::total_cmp);
    let clients = most(|load| load.clients);
    let merged = NodeLoad {
        pressure: worst_use.pressure(),
        worst: worst_use.resource.clone(),
        clients,
        clients_at: loads.iter().find(|(_, load)| load.clients == clients).and_then(|(_, load)| load.clients_at),
        gate: loads.iter().map(|(_, load)| load.gate).fold(1.0, f64::min),
        is_draining: loads.iter().any(|(_, load)| load.is_draining),
        restarts: loads.iter().fold(0, |sum, (_, load)| sum.wrapping_add(load.restarts)),
        uses,
        ..main.1.clone()
    };
    let stalest = [main.0, worst_source.0].into_iter().max_by(|a, b| age(a).total_cmp(&age(b)));
    match stalest {
        Some(Reading::Stale { age, because, .. }) => {
            Reading::Stale { last: merged, age: *age, because: because.clone() }
        }
        _ => Reading::Fresh(merged),
    }
}

/// Every resource once: egress as `main` has it, of the others what presses most.
fn united(loads: &[(&Reading, &NodeLoad)], main: &NodeLoad) -> Vec<Use> {
    let mut uses: Vec<Use> = main.uses.clone();
    for each in loads.iter().flat_map(|(_, load)| &load.uses) {
        match uses.iter_mut().find(|known| known.resource == each.resource) {
            Some(known) if each.resource != Resource::Egress && each.pressure() > known.pressure() => {
                *known = each.clone();
            }
            Some(_) => {}
            None if each.resource == Resource::Egress => {}
            None => uses.push(each.clone()),
        }
    }
    uses.sort_by(|a, b| a.resource.cmp(&b.resource));
    uses
}

fn age(reading: &Reading) -> f64 {
    match reading {
        Reading::Stale { age, .. } => *age,
        Reading::Fresh(_) | Reading::Never { .. } => -1.0,
    }
}

fn why(reading: Reading) -> Option<Trouble> {
    match reading {
        Reading::Never { because } | Reading::Stale { because, .. } => because,
        Reading::Fresh(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::rate::Utilisation;
    use crate::pool::{Bitrate, Capacity, Limits};

    const CAPACITY: Capacity = Capacity { egress: Some(Bitrate(1e9)), clients: Some(1000.0), process_cpu: None };

    fn load(used: &Utilisation, sampled: f64, window: f64) -> NodeLoad {
        NodeLoad::new(used, &CAPACITY, &Limits::default(), sampled, window).expect("a load")
    }

    #[test]
    fn viewers_without_a_limit_are_known_beside_other_load_and_are_none_alone() {
        let used = Utilisation { clients: Some(300.0), ..Utilisation::default() };
        let counted = NodeLoad::new(&used, &Capacity::default(), &Limits::default(), 100.0, 5.0).expect("a count");
        let alone = merge(vec![Reading::Fresh(counted.clone())]);
        assert_eq!(alone, Reading::Never { because: Some(Trouble::NothingKnown) });
        let beside = merge(vec![Reading::Fresh(machine()), Reading::Fresh(counted)]);
        assert_eq!(beside.last().map(|load| (load.worst.clone(), load.clients)), Some((Resource::Egress, Some(300.0))));
    }

    /// Half of the CPU, 640 Mbit/s.
    fn machine() -> NodeLoad {
        let used = Utilisation {
            cpu: Some(0.4),
            egress: Some(Bitrate(6.4e8)),
            memory: Some(0.9),
            disk: Some(0.1),
            ..Utilisation::default()
        };
        load(&used, 100.0, 5.0)
    }

    /// This share of its core, 600 Mbit/s for 300 viewers.
    fn media(core: f64) -> NodeLoad {
        let used = Utilisation {
            process_cpu: Some(core),
            cores: Some(1.0),
            egress: Some(Bitrate(6e8)),
            clients: Some(300.0),
            ..Utilisation::default()
        };
        load(&used, 103.0, 15.0)
    }

    fn stale(load: NodeLoad, age: f64) -> Reading {
        Reading::Stale { last: load, age, because: Some(Trouble::Frozen) }
    }

    #[test]
    fn resources_are_united_and_the_worst_presses() {
        let Reading::Fresh(load) = merge(vec![Reading::Fresh(machine()), Reading::Fresh(media(0.72))]) else {
            panic!("not fresh")
        };
        assert_eq!((load.worst, load.pressure), (Resource::ProcessCpu, 0.72 / 0.8));
        let shares: Vec<_> = load.uses.iter().map(|each| (each.resource.clone(), each.share)).collect();
        let expected =
            [(Resource::Cpu, 0.4), (Resource::ProcessCpu, 0.72), (Resource::Egress, 0.64), (Resource::Clients, 0.3)];
        assert_eq!(shares, expected);
        assert_eq!((load.clients, load.clients_at), (Some(300.0), Some(103.0)));
        assert!((load.gate - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_first_source_with_an_egress_gives_it_and_the_time() {
        let Reading::Fresh(load) = merge(vec![Reading::Fresh(machine()), Reading::Fresh(media(0.1))]) else {
            panic!("not fresh")
        };
        assert_eq!((load.egress, load.worst), (Some(Bitrate(6.4e8)), Resource::Egress));
        assert_eq!((load.at, load.sampled, load.window), (97.5, 100.0, 5.0));
        let silent = NodeLoad { egress: None, uses: vec![machine().uses[0].clone()], ..machine() };
        let Reading::Fresh(load) = merge(vec![Reading::Fresh(silent), Reading::Fresh(media(0.1))]) else {
            panic!("not fresh")
        };
        assert_eq!((load.egress, load.at, load.window), (Some(Bitrate(6e8)), 95.5, 15.0));
        // More in the second source does not replace less in the first.
        let more = NodeLoad {
            uses: vec![Use { resource: Resource::Egress, share: 0.9, limit: 0.8 }],
            pressure: 0.9 / 0.8,
            ..media(0.1)
        };
        let Reading::Fresh(load) = merge(vec![Reading::Fresh(machine()), Reading::Fresh(more)]) else {
            panic!("not fresh")
        };
        assert_eq!((load.egress, load.pressure), (Some(Bitrate(6.4e8)), 0.64 / 0.8));
    }

    #[test]
    fn a_node_is_stale_if_its_egress_or_its_worst_resource_is() {
        let is_stale = |reading: Reading| match reading {
            Reading::Stale { age, because, .. } => {
                assert_eq!(because, Some(Trouble::Frozen));
                Some(age)
            }
            Reading::Fresh(_) => None,
            Reading::Never { .. } => panic!("never"),
        };
        let fresh = Reading::Fresh;
        assert_eq!(is_stale(merge(vec![stale(machine(), 20.0), fresh(media(0.1))])), Some(20.0));
        assert_eq!(is_stale(merge(vec![stale(machine(), 20.0), fresh(media(0.9))])), Some(20.0));
        assert_eq!(is_stale(merge(vec![fresh(machine()), stale(media(0.9), 30.0)])), Some(30.0));
        assert_eq!(is_stale(merge(vec![fresh(machine()), stale(media(0.1), 30.0)])), None);
        assert_eq!(is_stale(merge(vec![stale(machine(), 20.0), stale(media(0.9), 30.0)])), Some(30.0));
    }

    #[test]
    fn sources_that_never_answered_add_nothing() {
        let never = |because| Reading::Never { because };
        assert_eq!(merge(vec![]), never(None));
        assert_eq!(merge(vec![never(None), never(Some(Trouble::OneScrape))]), never(Some(Trouble::OneScrape)));
        assert_eq!(merge(vec![never(None), Reading::Fresh(machine())]), Reading::Fresh(machine()));
        assert_eq!(merge(vec![stale(machine(), 9.0), never(None)]), stale(machine(), 9.0));
    }

    #[test]
    fn a_restart_of_any_source_is_one_of_the_node() {
        let (machine, media) = (NodeLoad { restarts: 2, ..machine() }, NodeLoad { restarts: 1, ..media(0.1) });
        let merged = merge(vec![Reading::Fresh(machine), Reading::Fresh(media)]);
        assert_eq!(merged.last().map(|load| load.restarts), Some(3));
    }
}
