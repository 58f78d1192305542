//! The model world as its file says it: regions, machines, viewers, resolvers, monitoring.

use serde::Deserialize;

/// All that does not happen but is: the world in which scenarios play.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// Viewers at the start, and on average if nothing happens.
    pub population: f64,
    /// Seconds before anything is measured, in which the policy under test places the first viewers.
    pub warm_up: u32,
    /// How many nameservers the resolvers ask.
    pub nameservers: usize,
    /// Share of capacity from which a node counts as overloaded.
    pub overload: f64,
    /// Client regions, each with the nodes of one site.
    #[serde(rename = "region")]
    pub regions: Vec<Region>,
    /// What the nodes are like apart from their network.
    pub machines: Machines,
    /// What viewers do.
    pub viewers: Viewers,
    /// What resolvers do.
    pub resolvers: Resolvers,
    /// What the nameservers learn, and when.
    pub monitoring: Monitoring,
    /// Where else viewers may be sent, for policies that know of it.
    pub overflow: Option<Overflow>,
}

/// Someone else's network, of which there is no end.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overflow {
    /// Pressure of all sites from which it may be used.
    pub above: f64,
    /// Its distance from everybody in milliseconds.
    pub cost: f64,
}

/// A client region, and the site that stands in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Share of the viewers.
    pub viewers: f64,
    /// Round trips to each site in milliseconds.
    pub rtt_ms: Vec<f64>,
    /// Network capacity of each node of the site in Gbit/s.
    pub nic_gbit: Vec<f64>,
    /// Share of capacity from which each of them counts as overloaded, where it is not the world's.
    #[serde(default)]
    pub overload: Vec<f64>,
}

/// What the nodes are like apart from their network.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machines {
    /// CPUs of a node.
    pub cpus: f64,
    /// CPUs that other processes use: least and most.
    pub other_cpus: [f64; 2],
    /// The media process is at its limit at so many times the network capacity.
    pub process_limit: f64,
    /// In each site every so-manieth node is bound by its media process.
    pub bound_every: usize,
    /// What limits those, in times of their network capacity.
    pub bound_limit: f64,
    /// How viewers leave a node that has less than they want.
    pub give_up: GiveUp,
}

/// Share of viewers that give up, per second: `slope * (demand / capacity - 1)`, at most `most`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GiveUp {
    /// Per second and excess.
    pub slope: f64,
    /// Per second.
    pub most: f64,
}

/// What viewers do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Viewers {
    /// Bitrates that there are.
    pub bitrate_mbit: Vec<f64>,
    /// Share of viewers with each.
    pub bitrate_share: Vec<f64>,
    /// How long they stay.
    pub session: Session,
    /// Least and most seconds until those of a dead node ask again.
    pub returns_within: [f64; 2],
    /// Seconds until one asks again whose answer named dead nodes only.
    pub retry_after: f64,
}

/// How long viewers stay: lognormal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Mean in seconds.
    pub mean: f64,
    /// Deviation of the logarithm.
    pub sigma: f64,
    /// Longest in seconds.
    pub longest: f64,
}

/// What resolvers do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolvers {
    /// How many each region has.
    pub per_region: usize,
    /// Exponent of their sizes.
    pub zipf: f64,
    /// Those that keep answers longer than they may.
    pub stretch: Vec<Stretch>,
    /// Share that is seen in another region.
    pub mislocated: f64,
    /// Share that rotates lists of addresses.
    pub rotates: f64,
    /// Share of queries that go to the preferred nameserver.
    pub prefers: f64,
    /// Caches behind one address.
    pub caches: Caches,
    /// Seconds by which a TTL may end early, at most.
    pub expires_early: f64,
    /// Asking before the TTL ends.
    pub prefetch: Prefetch,
}

/// Resolvers that keep answers at least so long.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// Their share.
    pub share: f64,
    /// Least seconds.
    pub seconds: f64,
}

/// Caches behind one address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caches {
    /// How many.
    pub count: usize,
    /// For resolvers with more than this share of their region.
    pub above: f64,
}

/// Resolvers that ask before the TTL ends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prefetch {
    /// Their share.
    pub share: f64,
    /// Part of the TTL after which a viewer's question makes them ask.
    pub at: f64,
}

/// What the nameservers learn, and when.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monitoring {
    /// Reading exporters.
    pub scrape: Scrape,
    /// Probing the service.
    pub probe: Probe,
}

/// Reading exporters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scrape {
    /// Seconds between two.
    pub every: f64,
    /// By which part of that they vary, up or down.
    pub jitter: f64,
    /// Share that is lost.
    pub lost: f64,
}

/// Probing the service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Seconds between two.
    pub every: f64,
    /// So many failures in a row make a node down.
    pub down_after: u32,
    /// So many successes in a row make it up again.
    pub up_after: u32,
}

impl World {
    /// What cannot be so, in words that name the key.
    pub fn complaints(&self) -> Vec<String> {
        let Self {
            population,
            warm_up,
            nameservers,
            overload,
            regions,
            machines,
            viewers,
            resolvers,
            monitoring,
            overflow,
        } = self;
        let mut complaints = Vec::new();
        let mut want = |holds: bool, words: &str| {
            if !holds {
                complaints.push(words.to_owned());
            }
        };
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let positive = |value: f64| value > 0.0 && value.is_finite();
        want(*population >= 0.0 && *population <= 10_000_000.0, "population must be between 0 and 10 million");
        want((1..=86_400).contains(warm_up), "warm_up must be between 1 and 86400 seconds");
        want((1..=64).contains(nameservers), "nameservers must be between 1 and 64");
        want(positive(*overload) && *overload <= 1.0, "overload must be above 0 and at most 1");
        want((1..=250).contains(&regions.len()), "there must be between 1 and 250 regions");
        let nodes: usize = regions.iter().map(|region| region.nic_gbit.len()).sum();
        want((1..=1000).contains(&nodes), "there must be between 1 and 1000 nodes");
        for Region { name, viewers, rtt_ms, nic_gbit, overload } in regions {
            want(*viewers >= 0.0, &format!("region {name}: viewers must not be below 0"));
            let rtts = rtt_ms.len() == regions.len() && rtt_ms.iter().all(|rtt| *rtt >= 0.0);
            want(rtts, &format!("region {name}: rtt_ms must have one number a region, none below 0"));
            want(nic_gbit.iter().all(|nic| positive(*nic)), &format!("region {name}: nic_gbit must be above 0"));
            let limits = overload.iter().all(|limit| positive(*limit) && *limit <= 1.0);
            let limits = limits && (overload.is_empty() || overload.len() == nic_gbit.len());
            want(limits, &format!("region {name}: overload must have one number a node, above 0 and at most 1"));
        }
        let total: f64 = regions.iter().map(|region| region.viewers).sum();
        want((total - 1.0).abs() < 0.001, &format!("the viewers of all regions must add up to 1, not {total}"));
        want(positive(machines.cpus), "machines.cpus must be above 0");
        want(ordered(machines.other_cpus), "machines.other_cpus must be two numbers, the lesser first");
        want(positive(machines.process_limit), "machines.process_limit must be above 0");
        want(positive(machines.bound_limit), "machines.bound_limit must be above 0");
        let bitrates = viewers.bitrate_mbit.iter().all(|bitrate| positive(*bitrate));
        let shares = viewers.bitrate_share.iter().all(|part| *part >= 0.0);
        want(bitrates && !viewers.bitrate_mbit.is_empty(), "viewers.bitrate_mbit must be above 0");
        let total: f64 = viewers.bitrate_share.iter().sum();
        want(
            shares && viewers.bitrate_share.len() == viewers.bitrate_mbit.len() && (total - 1.0).abs() < 0.001,
            "viewers.bitrate_share must have one number a bitrate, and add up to 1",
        );
        let Session { mean, sigma, longest } = viewers.session;
        want(positive(mean) && positive(sigma) && positive(longest), "viewers.session must have numbers above 0");
        want(ordered(viewers.returns_within), "viewers.returns_within must be two numbers, the lesser first");
        want(positive(viewers.retry_after), "viewers.retry_after must be above 0");
        want(
            (1..=60_000 / regions.len().max(1)).contains(&resolvers.per_region),
            "too many or no resolvers.per_region",
        );
        want((0.0..=5.0).contains(&resolvers.zipf), "resolvers.zipf must be between 0 and 5");
        let stretching: f64 = resolvers.stretch.iter().map(|stretch| stretch.share).sum();
        want(share(stretching), "the shares of resolvers.stretch must add up to at most 1");
        for (key, value) in [
            ("resolvers.mislocated", resolvers.mislocated),
            ("resolvers.rotates", resolvers.rotates),
            ("resolvers.prefers", resolvers.prefers),
            ("resolvers.prefetch.share", resolvers.prefetch.share),
            ("resolvers.prefetch.at", resolvers.prefetch.at),
            ("monitoring.scrape.lost", monitoring.scrape.lost),
            ("monitoring.scrape.jitter", monitoring.scrape.jitter),
        ] {
            want(share(value), &format!("{key} must be between 0 and 1"));
        }
        want((1..=64).contains(&resolvers.caches.count), "resolvers.caches.count must be between 1 and 64");
        want(resolvers.expires_early >= 0.0, "resolvers.expires_early must not be below 0");
        want(monitoring.scrape.every >= 1.0, "monitoring.scrape.every must be at least 1");
        want(monitoring.probe.every >= 1.0, "monitoring.probe.every must be at least 1");
        want(overflow.is_none_or(|it| share(it.above)), "overflow.above must be between 0 and 1");
        want(overflow.is_none_or(|it| it.cost >= 0.0 && it.cost.is_finite()), "overflow.cost must not be below 0");
        complaints
    }
}

/// Two numbers from 0 on, the lesser first.
fn ordered([low, high]: [f64; 2]) -> bool {
    0.0 <= low && low <= high && high.is_finite()
}
