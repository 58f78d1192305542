//! What key tables learn of resolvers of all kinds, and whom they keep when too many come.

mod world;

use self::world::{BEGIN, Dice, Resolver, World};
use super::*;

fn asking(key: u64, now: u64) -> Asking {
    Asking { key, service: ServiceId(0), family: Family::V4, now, typical: 10.0 }
}

/// Asks, and gives the answer a TTL of 15 s.
fn ask(table: &mut KeyTable, asking: &Asking) -> Estimate {
    let (estimate, slot) = table.observe(asking);
    table.answered(slot, 15, asking.now);
    estimate
}

fn assert_within(value: f64, truth: f64, factor: f64, what: &str) {
    assert!(value > truth / factor && value < truth * factor, "{what}: {value} where the truth is {truth}");
}

/// Mean forecast of resolvers, relative to their viewers, after they have been learned.
fn forecast(resolvers: Vec<Resolver>, seconds: u64, rule: KeyRule) -> f64 {
    let truth: f64 = resolvers.iter().map(|resolver| resolver.viewers).sum();
    let mut world = World::new(resolvers, 1, 5).with_rule(rule);
    world.run(seconds);
    world.mean_forecast(seconds as usize * 3 / 4) / truth
}

#[test]
fn the_viewers_behind_a_cache_are_learned_from_its_gaps() {
    for viewers in [0.01, 0.1, 1.0, 10.0] {
        let mut world = World::new(vec![Resolver::honest(viewers); 20], 1, 1);
        world.run((200.0 * (15.0 + 1.0 / viewers)) as u64);
        (0..20).for_each(|index| assert_within(world.viewers(index, 150), viewers, 1.5, "an honest cache"));
        assert!(!world.last(0).is_shared);
        assert_eq!(world.last(0).stretched, 0.0);
    }
}

#[test]
fn a_busy_cache_is_found_within_a_few_queries_and_a_quiet_one_forgotten_as_well() {
    let mut world = World::new(vec![Resolver::honest(5.0)], 1, 2);
    world.run(6 * 16);
    assert_within(world.viewers(0, 1), 5.0, 4.0, "after six queries");
    world.resolvers[0].viewers = 0.02;
    world.run(20 * 65);
    assert_within(world.viewers(0, 3), 0.02, 4.0, "after twenty quiet ones");
}

#[test]
fn farms_of_caches_behind_one_address_are_counted_rightly() {
    for truth in [5.0, 20.0, 100.0, 500.0] {
        let farms = vec![Resolver::farm(truth / 15.0, 8); 15];
        let ratio = forecast(farms.clone(), 3600, KeyRule::Exposure);
        assert_within(ratio, 1.0, 2.0, "fifteen farms");
        let studied = forecast(farms, 3600, KeyRule::LastExpired);
        assert!((ratio - 1.0).abs() <= (studied - 1.0).abs() + 0.05, "{ratio}, and by the other rule {studied}");
    }
    let mut world = World::new(vec![Resolver::farm(1.0, 8); 15], 1, 3);
    world.run(1800);
    assert!((0..15).all(|index| world.last(index).is_shared));
}

#[test]
fn farms_among_single_caches_are_counted_rightly() {
    let mut resolvers = vec![Resolver::honest(0.5); 20];
    resolvers.extend(vec![Resolver::farm(2.0, 8); 5]);
    assert_within(forecast(resolvers, 3600, KeyRule::Exposure), 1.0, 1.5, "a mixture");
}

#[test]
fn clocks_of_whole_seconds_do_not_deceive() {
    for viewers in [0.1, 1.0, 10.0] {
        let coarse = Resolver { is_coarse: true, ..Resolver::honest(viewers) };
        assert_within(forecast(vec![coarse; 10], 20_000, KeyRule::Exposure), 1.0, 2.0, "a whole-second clock");
        let three = Resolver { is_coarse: true, ..Resolver::farm(viewers, 3) };
        assert_within(forecast(vec![three; 10], 20_000, KeyRule::Exposure), 1.0, 2.0, "three caches");
    }
}

#[test]
fn resolvers_that_fetch_early_are_counted_rightly() {
    let unbound = |ttl: u32| ttl / 10;
    let bind = |ttl: u32| if ttl < 9 { 0 } else { 2 };
    let knot = |ttl: u32| (5 + ttl / 100).min(ttl);
    // The longest TTL; the shorter one of a rush now and then; and one that changes from answer to answer.
    let ttls: [fn(usize) -> u32; 3] =
        [|_| 15, |answers| if answers % 80 < 40 { 15 } else { 5 }, |answers| [15, 6][answers % 2]];
    // Knot Resolver fetches at each query in the last five seconds: which are all, with short TTLs.
    type Lead = fn(u32) -> u32;
    let cases: [(&str, Lead, usize); 3] = [("Unbound", unbound, 3), ("BIND", bind, 3), ("Knot Resolver", knot, 1)];
    for (name, ahead, count) in cases {
        for (number, ttl) in ttls.iter().enumerate().take(count) {
            for (viewers, caches) in [(0.1, 1), (1.0, 1), (10.0, 1), (0.1, 3), (1.0, 3), (10.0, 3)] {
                let early = Resolver { ahead, is_coarse: true, ..Resolver::farm(viewers, caches) };
                let mut world = World::new(vec![early; 10], 1, 5);
                world.ttl = *ttl;
                world.run(20_000);
                let ratio = world.mean_forecast(15_000) / (10.0 * viewers);
                let what = format!("{viewers} viewers/s behind {caches} of {name}, TTLs {number}");
                assert_within(ratio, 1.0, if caches == 1 { 1.8 } else { 3.5 }, &what);
            }
        }
    }
}

#[test]
fn resolvers_that_stretch_ttls_are_found_and_forgiven() {
    let mut world = World::new(vec![Resolver { stretched: 300.0, ..Resolver::honest(1.0) }], 1, 5);
    world.run(4000);
    assert_within(world.last(0).stretched, 300.0, 1.02, "the stretched TTL");
    assert_within(world.viewers(0, 5), 1.0, 5.0, "its viewers");
    world.run(40_000);
    assert_within(world.viewers(0, 100), 1.0, 2.0, "its viewers after a while");
    world.resolvers[0].stretched = 0.0;
    world.run(320 + 16);
    assert_eq!(world.last(0).stretched, 0.0);
    let mut table = KeyTable::new(64, 1);
    let mut late = 0;
    let mut next = |gap| {
        late += gap;
        ask(&mut table, &asking(1, BEGIN + late)).stretched
    };
    assert_eq!([0, 301, 300, 302, 301, 301].map(|gap| next(1000 * gap)), [0.0, 0.0, 0.0, 0.0, 300.0, 300.0]);
    assert_eq!(next(16_000), 0.0, "one gap that is shorter is enough");
    // One with few viewers comes back late too, but not at equal times.
    let mut quiet = World::new(vec![Resolver::honest(0.02); 20], 1, 6);
    quiet.run(20_000);
    let found = quiet.seen.iter().flatten().filter(|estimate| estimate.stretched > 0.0).count();
    assert!(found * 20 < quiet.seen.iter().flatten().count(), "{found} of a quiet cache's gaps");
}

#[test]
fn a_and_aaaa_are_counted_once() {
    let single = forecast(vec![Resolver::honest(1.0); 10], 6000, KeyRule::Exposure);
    let paired = forecast(vec![Resolver { is_paired: true, ..Resolver::honest(1.0) }; 10], 6000, KeyRule::Exposure);
    assert_within(paired, single, 1.15, "pairs");

    let mut table = KeyTable::new(64, 1);
    let v6 = |now| Asking { family: Family::V6, ..asking(1, now) };
    assert!(ask(&mut table, &asking(1, BEGIN)).counts);
    // Some viewers have no IPv6: the other type comes when one who has it asks.
    assert!(!ask(&mut table, &v6(BEGIN + 5_000)).counts);
    assert!(ask(&mut table, &v6(BEGIN + 6_000)).counts, "a second time it is another cache");
    assert!(!ask(&mut table, &asking(1, BEGIN + 6_001)).counts);
    let mut world = World::new(vec![Resolver { is_paired: true, ..Resolver::honest(1.0) }], 1, 7);
    world.run(3_000);
    assert!(world.seen[0].iter().all(|estimate| !estimate.is_shared), "a pair is no second cache");
}

#[test]
fn a_key_counts_five_queries_a_second_and_ten_at_once() {
    let mut table = KeyTable::new(64, 1);
    let mut counted = |from: u64, count: u64, apart: u64| {
        (0..count).filter(|number| ask(&mut table, &asking(1, BEGIN + from + number * apart)).counts).count()
    };
    assert_eq!(counted(0, 100, 0), 10);
    assert_eq!(counted(10_000, 1_000, 10), 10 + 5 * 10 - 1);
    assert_eq!(counted(60_000, 100, 250), 100);
}

#[test]
fn workers_that_share_the_keys_learn_what_one_learns() {
    let resolvers: Vec<Resolver> =
        (0..40).map(|index| Resolver::farm(0.05 * f64::from(index + 1), 1 + index as usize % 2 * 3)).collect();
    let learned = |workers| {
        let mut world = World::new(resolvers.clone(), workers, 8);
        // What is typical comes from all workers; it is held here, so that only the tables differ.
        world.typical = Some(20.0);
        world.run(4_000);
        world
    };
    let one = learned(1);
    for workers in [2, 4] {
        let several = learned(workers);
        for index in 0..resolvers.len() {
            let (mine, theirs) = (several.last(index), one.last(index));
            assert_within(mine.viewers, theirs.viewers, 1.001, "a worker among others");
            assert_eq!((mine.is_shared, mine.stretched), (theirs.is_shared, theirs.stretched));
            assert_eq!(several.seen[index].len(), one.seen[index].len());
        }
    }
}

#[test]
fn keys_differ_by_address_network_and_name() {
    let table = KeyTable::new(64, 1);
    let source: IpAddr = "198.51.100.7".parse().unwrap();
    let key = |source: &str, subnet: Option<&str>, name| {
        let source: IpAddr = source.parse().unwrap();
        table.key(source, &Key::of(subnet.map(|subnet| subnet.parse().unwrap()), source), name)
    };
    let first = key("198.51.100.7", None, 1);
    assert_eq!(first, key("::ffff:198.51.100.7", None, 1));
    assert_eq!(key("198.51.100.7", Some("192.0.2.0/25"), 1), key("198.51.100.7", Some("192.0.2.0/24"), 1));
    let all = [
        first,
        key("198.51.100.8", None, 1),
        key("198.51.100.7", None, 2),
        key("198.51.100.7", Some("192.0.2.0/24"), 1),
        key("198.51.100.7", Some("198.51.100.0/24"), 1),
        key("2001:db8::1", None, 1),
        key("2001:db8::2", None, 1),
        key("2001:db8:0:1::1", None, 1),
        KeyTable::new(64, 2).key(source, &Key::of(None, source), 1),
    ];
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), all.len());
}

#[test]
fn each_name_of_a_resolver_is_learned_by_itself() {
    let mut world = World::new(vec![Resolver::honest(2.0), Resolver::honest(0.02)], 1, 9);
    let mut names = KeyTable::new(64, 1);
    let source: IpAddr = "198.51.100.7".parse().unwrap();
    let placed = Key::of(None, source);
    world.keys = [1, 2].map(|name| names.key(source, &placed, name)).to_vec();
    std::mem::swap(&mut world.workers[0], &mut names);
    world.run(8_000);
    assert_within(world.viewers(0, 50), 2.0, 2.0, "the busy name");
    assert_within(world.viewers(1, 50), 0.02, 2.0, "the quiet name");
}

#[test]
fn a_new_key_begins_as_others_of_its_service_do_but_never_as_a_busy_one() {
    let quiet = |rate: f64| {
        let mut world = World::new(vec![Resolver::honest(rate); 400], 1, 10);
        world.run((5.0 * (15.0 + 1.0 / rate)) as u64);
        let mut table = world.workers.remove(0);
        let begin = world.now;
        let first = ask(&mut table, &asking(0xfeed, begin));
        let second = ask(&mut table, &asking(0xfeed, begin + 16_000));
        let other = ask(&mut table, &Asking { service: ServiceId(1), ..asking(0xbeef, begin) });
        assert_eq!(other, Estimate::default(), "another service has its own");
        (first.viewers, second.viewers)
    };
    let (first, second) = quiet(0.001);
    assert_within(first, 0.001, 3.0, "where most come rarely");
    assert!(second < 0.1);
    let (first, second) = quiet(3.0);
    assert_eq!(first, Estimate::default().viewers, "it may never come back");
    assert!(second > 0.3, "it came back soon, and others are busy: {second}");
}

#[test]
fn the_busiest_keys_survive_a_flood_of_others_and_new_ones_get_in() {
    // A tenth of the true size: 20,000 keys, of which 100 are real, and 5,000 random ones a second.
    let mut table = KeyTable::new(20_000, 9);
    let mut dice = Dice(77);
    let unknown = Estimate::default().viewers;
    let (mut due, mut known) = (vec![0; 140], vec![None; 140]);
    let flood_begins = 300_000;
    for (key, due) in due.iter_mut().enumerate() {
        let is_late = key >= 100;
        *due = if is_late { flood_begins + 60_000 + (key as u64 - 100) * 8_000 } else { dice.next() % 15_000 };
    }
    let begun = due.clone();
    for moment in 0..flood_begins + 600_000 {
        let now = BEGIN + moment;
        if moment >= flood_begins {
            (0..5).for_each(|_| {
                let _ = ask(&mut table, &asking(dice.next(), now));
            });
        }
        for (key, due) in due.iter_mut().enumerate().filter(|(_, due)| **due == moment) {
            let is_known = ask(&mut table, &asking(key as u64, now)).viewers != unknown;
            assert!(is_known || known[key].is_none(), "key {key} was driven out");
            if is_known && known[key].is_none() {
                known[key] = Some(moment);
            }
            *due += 15_000 + (-dice.unit().ln() * 2000.0) as u64;
        }
    }
    for (key, (known, begun)) in known.iter().zip(begun).enumerate() {
        let waited = known.expect("known in the end") - begun;
        assert!(waited < 180_000, "key {key} waited for {waited} ms");
    }
}

#[test]
fn a_burst_of_queries_buys_no_place() {
    let mut table = KeyTable::new(8, 1);
    for key in 0..8u64 {
        (0..20).for_each(|query| {
            let _ = ask(&mut table, &asking(key, BEGIN + query * 50));
        });
    }
    let later = BEGIN + 1000 * u64::from(2 * places::PROBATION + 2);
    let (_, slot) = table.observe(&asking(99, later));
    assert_ne!(slot, NOWHERE, "what came in one burst is gone after the time of a newcomer");
}

#[test]
fn odd_numbers_and_clocks_do_no_harm() {
    let mut dice = Dice(4);
    let mut table = KeyTable::new(64, 1);
    let times =
        [0, 1, BEGIN, BEGIN - 1, BEGIN - 40 * 86_400_000, u64::MAX, u64::MAX / 2, u64::from(u32::MAX), BEGIN + 1];
    for round in 0..20_000u64 {
        let typical = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1e300, 5.0][dice.next() as usize % 7];
        let now = times[dice.next() as usize % times.len()].wrapping_add(dice.next() % 3);
        let family = if dice.next().is_multiple_of(2) { Family::V4 } else { Family::V6 };
        let service = ServiceId(dice.next() as u16);
        let asking = Asking { key: dice.next() % 100, service, family, now, typical };
        let (estimate, slot) = table.observe(&asking);
        assert!((1e-4..=100.0).contains(&estimate.viewers), "{estimate:?} in round {round}");
        assert!(estimate.stretched.is_finite() && estimate.stretched >= 0.0);
        table.answered(slot, [0, 1, 15, 86_400, u32::MAX][dice.next() as usize % 5], now);
    }
    let gaps = table.gaps();
    assert!(gaps.sum.is_finite() && gaps.counts.iter().sum::<u64>() > 0);
    // A clock that is set back by a minute: nothing is learned from it, and the next gaps are right.
    let mut table = KeyTable::new(64, 1);
    for query in 0..20 {
        let back = if query >= 10 { 60_000 } else { 0 };
        let estimate = ask(&mut table, &asking(1, BEGIN + query * 16_000 - back));
        assert!(estimate.counts && !estimate.is_shared);
    }
    assert_within(
        ask(&mut table, &asking(1, BEGIN + 20 * 16_000 - 60_000)).viewers,
        0.56,
        1.3,
        "a second beyond the TTL",
    );
}

#[test]
fn the_time_wraps_without_a_trace() {
    let run = |begin: u64| {
        let mut table = KeyTable::new(64, 1);
        (0..40).map(|query| ask(&mut table, &asking(1, begin + query * 4_000))).collect::<Vec<_>>()
    };
    let wrap = u64::from(u32::MAX) * 400;
    assert_eq!(run(wrap - 80_000), run(BEGIN));
}

#[test]
fn effective_ttls_are_counted() {
    let mut world =
        World::new(vec![Resolver { stretched: 60.0, ..Resolver::honest(10.0) }, Resolver::honest(10.0)], 1, 11);
    world.run(6_000);
    let gaps = world.workers[0].gaps();
    let (honest, stretched) = (gaps.counts[5], gaps.counts[8]);
    assert!((380..400).contains(&honest) && (95..100).contains(&stretched), "{gaps:?}");
    assert_eq!(gaps.counts.iter().sum::<u64>(), honest + stretched);
}
