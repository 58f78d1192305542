//! What is measured: every second after the warm-up.

use super::details::Notes;
use super::plant::Plant;
use super::policy::Policy;
use super::resolvers::QueryCounts;

/// Bins of the distribution of pressure, each a hundredth wide; what is above the last counts there.
const BINS: usize = 1000;

/// Sums over the seconds that are measured.
#[derive(Debug, Default)]
pub(super) struct Meter {
    seconds: f64,
    viewer_seconds: f64,
    overloaded: f64,
    elsewhere: f64,
    demand: f64,
    throttled: f64,
    rtt: f64,
    local: f64,
    peaks: Vec<f64>,
    bins: Vec<u64>,
    mean_pressure: f64,
    prediction: (f64, u64),
    /// Seconds that viewers waited whose answer named dead nodes only.
    pub failed: f64,
    /// Viewers who came to drained nodes, and the second of the last.
    pub leaked: (u64, u32),
    /// Viewers of the nodes that were drained, when they were.
    pub drained: u64,
    /// Queries and answers.
    pub counts: QueryCounts,
    /// What only some scenarios tell.
    pub notes: Notes,
}

/// The figures of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Share of viewer time on nodes of pressure 1 or more, percent.
    pub overload_percent: f64,
    /// 99th percentile over time of the highest pressure.
    pub peak_p99: f64,
    /// 99th percentile over seconds of nodes of pressure.
    pub node_p99: f64,
    /// Mean over time of the highest pressure, in times of the mean one.
    pub max_over_mean: f64,
    /// Share of the traffic wanted that nodes could not send, percent.
    pub throttled_percent: f64,
    /// Mean round trip of viewers to their nodes in milliseconds.
    pub rtt_ms: f64,
    /// Share of viewer time at the nearest site, percent.
    pub local_percent: f64,
    /// Share of answers that named another first node than the resolver's last.
    pub changes_per_query: f64,
    /// Queries per second, all nameservers together.
    pub qps: f64,
    /// Share of viewer time spent waiting after an answer that named dead nodes only, percent.
    pub failed_percent: f64,
    /// Viewers who came to drained nodes, percent of those that were there.
    pub leak_percent: f64,
    /// Second after the warm-up in which the last of them came.
    pub last_leak: u32,
    /// Mean difference of the pressure that the policy believed from the true one; none if it believes nothing.
    pub prediction_error: Option<f64>,
    /// Mean number of viewers.
    pub population: f64,
    /// Share of viewer time on someone else's network, percent.
    pub elsewhere_percent: f64,
}

impl Meter {
    /// Measures one second.
    pub(super) fn second(&mut self, plant: &Plant, policy: &dyn Policy) {
        self.bins.resize(BINS, 0);
        let (mut peak, mut sum, mut alive) = (0.0_f64, 0.0, 0.0);
        for (number, node) in plant.nodes.iter().enumerate() {
            let (pressure, population) = (node.pressure(), node.population() as f64);
            self.viewer_seconds += population;
            if pressure >= 1.0 {
                self.overloaded += population;
            }
            self.demand += node.demand;
            self.throttled += (node.demand - node.capacity()).max(0.0);
            let site = plant.fleet.nodes[number].site;
            for (region, count) in node.by_region.iter().enumerate() {
                self.rtt += f64::from(*count) * plant.fleet.rtt_ms[region][site];
                if plant.fleet.nearest[region][0] == site {
                    self.local += f64::from(*count);
                }
            }
            if node.is_dead {
                continue;
            }
            peak = peak.max(pressure);
            sum += pressure;
            alive += 1.0;
            self.bins[((pressure * 100.0) as usize).min(BINS - 1)] += 1;
            for nameserver in 0..plant.fleet.nameservers {
                if let Some(belief) = policy.belief(nameserver, number) {
                    self.prediction.0 += (belief.pressure - pressure).abs();
                    self.prediction.1 += 1;
                    self.notes.believed(number, node, &belief);
                }
            }
        }
        self.notes.second();
        self.seconds += 1.0;
        self.elsewhere += plant.elsewhere as f64;
        self.peaks.push(peak);
        self.mean_pressure += if alive > 0.0 { sum / alive } else { 0.0 };
    }

    /// The figures of all seconds measured.
    pub(super) fn figures(mut self) -> Figures {
        let viewers = self.viewer_seconds + self.elsewhere;
        let mean_peak = self.peaks.iter().sum::<f64>() / self.peaks.len() as f64;
        self.peaks.sort_by(f64::total_cmp);
        let ninety_ninth = (self.peaks.len() * 99 / 100).min(self.peaks.len().saturating_sub(1));
        let QueryCounts { queries, repeated, changed } = self.counts;
        Figures {
            overload_percent: 100.0 * share(self.overloaded, viewers),
            peak_p99: self.peaks.get(ninety_ninth).copied().unwrap_or(0.0),
            node_p99: percentile(&self.bins, 0.99),
            max_over_mean: share(mean_peak * self.seconds, self.mean_pressure),
            throttled_percent: 100.0 * share(self.throttled, self.demand),
            rtt_ms: share(self.rtt, self.viewer_seconds),
            local_percent: 100.0 * share(self.local, self.viewer_seconds),
            changes_per_query: share(changed as f64, repeated as f64),
            qps: share(queries as f64, self.seconds),
            failed_percent: 100.0 * share(self.failed, viewers),
            leak_percent: 100.0 * share(self.leaked.0 as f64, self.drained as f64),
            last_leak: self.leaked.1,
            prediction_error: (self.prediction.1 > 0).then(|| self.prediction.0 / self.prediction.1 as f64),
            population: share(viewers, self.seconds),
            elsewhere_percent: 100.0 * share(self.elsewhere, viewers),
        }
    }
}

/// A quotient, and 0 if there is nothing to divide by.
fn share(part: f64, of: f64) -> f64 {
    if of > 0.0 { part / of } else { 0.0 }
}

/// The upper end of the bin which holds this part of all counts.
fn percentile(bins: &[u64], part: f64) -> f64 {
    let total: u64 = bins.iter().sum();
    let mut sum = 0;
    for (bin, count) in bins.iter().enumerate() {
        sum += count;
        if sum as f64 >= part * total as f64 {
            return (bin + 1) as f64 / 100.0;
        }
    }
    0.0
}
