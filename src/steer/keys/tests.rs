//! What key tables learn of resolvers of all kinds, and whom they keep when too many come.

mod world;

use self::world::{BEGIN, Dice, Resolver, World};
use super::*;

fn asking(key: u64, now: u64) -> Asking {
    Asking { key, service: ServiceId(0), family: Family::V4, now, typical: 10.0 }
}

fn is_within(value: f64, truth: f64, factor: f64) -> bool {
    value > truth / factor && value < truth * factor
}

#[test]
fn explore() {
    for lam in [0.003, 0.01, 0.1, 1.0, 10.0] {
        #[allow(unused_mut)] let mut world = World::new(vec![Resolver::honest(lam); 20], 1, 1);
        let n = (200.0 * (15.0 + 1.0 / lam)) as u64;
        world.run(n);
        let g: Vec<f64> = (0..20).map(|i| world.viewers(i, 150) / lam).collect();
        println!("honest {lam}: {g:.2?} V/truth {:.3}", world.mean_forecast(n as usize / 2) / (20.0 * lam));
    }
    for ttl in [(|_| 15) as fn(f64) -> u32, |lam| (40.0 / lam).clamp(3.0, 15.0) as u32, |_| 3] {
        for truth in [5.0, 20.0, 100.0, 500.0] {
            for farms in [15, 1] {
                let mut out = vec![];
                for seed in 0..2 {
                    #[allow(unused_mut)] let mut world = World::new(vec![Resolver::farm(truth / farms as f64, 8); farms], 1, seed);
                    world.ttl = ttl;
                    world.run(3600);
                    out.push(world.mean_forecast(3000) / truth);
                }
                println!("farm {farms} truth {truth} ttl {}: {out:.2?}", ttl(1e9));
            }
        }
    }
    for (name, r) in [
        ("coarse", Resolver { is_coarse: true, ..Resolver::honest(1.0) }),
        ("prefetch", Resolver { is_prefetching: true, ..Resolver::honest(1.0) }),
        ("stretch", Resolver { stretched: 300.0, ..Resolver::honest(1.0) }),
        ("coarse3", Resolver { is_coarse: true, ..Resolver::farm(1.0, 3) }),
        ("pre3", Resolver { is_coarse: true, is_prefetching: true, ..Resolver::farm(1.0, 3) }),
    ] {
        for lam in [0.1, 1.0, 10.0] {
            #[allow(unused_mut)] let mut world = World::new(vec![Resolver { viewers: lam, ..r }; 10], 1, 1);
            world.run(20000);
            println!("{name} {lam}: {:.3} V/truth {:.2} {:?}", world.viewers(0, 500), world.mean_forecast(10000) / lam / 10.0, world.last(0));
        }
    }
    let _ = (BEGIN, Dice(1), asking(1, 1), is_within(1.0, 1.0, 1.0));
}
