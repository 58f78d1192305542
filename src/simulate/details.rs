//! What is measured beside the figures of all runs: beliefs against the truth, and whom a flood would hurt.

use super::meter::Figures;
use super::plant::{Node, Plant};
use super::policy::{Belief, Fleet};
use super::scenario::Tell;

/// Seconds after an ending that are looked at.
const AFTERMATH: usize = 120;
/// Those of them that are told.
const TOLD: [usize; 8] = [0, 5, 10, 15, 20, 30, 45, 60];
/// Excess of pressure that counts as none.
const NO_EXCESS: f64 = 0.05;
/// Part of its true capacity from which a node may be called saturated.
const NEARLY_ALL: f64 = 0.97;
/// Viewers below which shares say nothing.
const FEW: f64 = 200.0;

/// What some scenarios tell beside the figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// The greatest mean of a second, over all nodes, of the error of believed pressure; none if nothing is believed.
    pub worst_second: Option<f64>,
    /// The greatest error of a node in a second.
    pub worst_node: Option<f64>,
    /// By second after the first ending of sessions, by how much a node was believed to be fuller than it was, at most.
    pub phantom: Vec<f64>,
    /// The least share of its new viewers that a region's nearest site got, percent.
    pub least_local: Option<f64>,
    /// The least number of new viewers that a node got, in times of what its site's nodes of its capacity got.
    pub least_node: Option<f64>,
    /// How many of the busiest resolvers are known at the end of the attack, and of how many.
    pub known: Option<(usize, usize)>,
    /// Nodes that were taken for smaller than they are, and those of which it was true.
    pub clipped: Option<(usize, usize)>,
    /// New viewers by node.
    pub placed: Vec<f64>,
    /// New viewers who were sent elsewhere.
    pub sent_elsewhere: f64,
}

/// One thing that is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What.
    pub title: String,
    /// How much.
    pub value: f64,
    /// Decimals that mean something.
    pub decimals: usize,
    /// Which of several runs was the worst.
    pub worst: Worst,
}

/// Which of several values is the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worst {
    /// The greatest.
    Most,
    /// The least.
    Least,
}

impl Details {
    /// What was measured of the things that are to be told.
    pub fn lines(&self, figures: &Figures, tells: &[Tell]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut line = |title: &str, value: Option<f64>, decimals: usize, worst: Worst| {
            lines.extend(value.map(|value| Line { title: title.to_owned(), value, decimals, worst }));
        };
        let count = |number: usize| number as f64;
        for tell in tells {
            match tell {
                Tell::Prediction => {
                    line("prediction error, mean", figures.prediction_error, 4, Worst::Most);
                    line("prediction error, worst second of all nodes", self.worst_second, 3, Worst::Most);
                    line("prediction error, worst second of one node", self.worst_node, 3, Worst::Most);
                }
                Tell::Elsewhere => {
                    line("sent elsewhere, % of viewer time", Some(figures.elsewhere_percent), 2, Worst::Most);
                }
                Tell::Shunned => {
                    line("new viewers at the nearest site, %, least region", self.least_local, 1, Worst::Least);
                    line("new viewers in times of its site's, least node", self.least_node, 2, Worst::Least);
                }
                Tell::Keys => {
                    let known = self.known.map(|(known, all)| 100.0 * count(known) / count(all.max(1)));
                    line("busiest resolvers known at the end of the attack, %", known, 1, Worst::Least);
                }
                Tell::Clipped => {
                    line("nodes wrongly taken for smaller", self.clipped.map(|it| count(it.0)), 0, Worst::Most);
                    line("nodes rightly taken for smaller", self.clipped.map(|it| count(it.1)), 0, Worst::Least);
                }
                Tell::Phantom => {
                    for second in TOLD {
                        let title = format!("pressure believed too high, worst node, {second} s after the end");
                        line(&title, self.phantom.get(second).copied(), 3, Worst::Most);
                    }
                    let gone = self.phantom.iter().rposition(|excess| *excess >= NO_EXCESS).map_or(0, |last| last + 1);
                    let gone = (!self.phantom.is_empty()).then(|| count(gone));
                    line(&format!("seconds until that stays below {NO_EXCESS}"), gone, 0, Worst::Most);
                }
            }
        }
        lines
    }
}

/// Sums over the seconds that are measured.
#[derive(Debug, Default)]
pub(super) struct Notes {
    details: Details,
    /// Sum and number of the second's errors.
    errors: (f64, u32),
    /// The second's greatest excess.
    excess: f64,
    has_ended: bool,
    /// By node: whether it was ever believed to be at its end, wrongly and rightly.
    saturated: Vec<(bool, bool)>,
    /// By node: whether it ever was.
    was_full: Vec<bool>,
    /// New viewers by region and node.
    came: Vec<Vec<f64>>,
}

impl Notes {
    /// A nameserver believes this of a node in this second.
    pub(super) fn believed(&mut self, number: usize, node: &Node, belief: &Belief) {
        let excess = belief.pressure - node.pressure();
        self.errors.0 += excess.abs();
        self.errors.1 += 1;
        self.excess = self.excess.max(excess);
        let worst = self.details.worst_node.get_or_insert(0.0);
        *worst = worst.max(excess.abs());
        self.saturated.resize(self.saturated.len().max(number + 1), (false, false));
        self.was_full.resize(self.saturated.len(), false);
        self.was_full[number] |= node.demand >= NEARLY_ALL * node.capacity();
        if belief.is_saturated {
            let (wrongly, rightly) = &mut self.saturated[number];
            *wrongly |= !self.was_full[number];
            *rightly |= self.was_full[number];
        }
    }

    /// The second is over.
    pub(super) fn second(&mut self) {
        let (sum, count) = std::mem::take(&mut self.errors);
        let excess = std::mem::take(&mut self.excess);
        if count == 0 {
            return;
        }
        let worst = self.details.worst_second.get_or_insert(0.0);
        *worst = worst.max(sum / f64::from(count));
        if self.has_ended && self.details.phantom.len() < AFTERMATH {
            self.details.phantom.push(excess);
        }
    }

    /// Sessions end with their channels in this second.
    pub(super) fn ended(&mut self) {
        self.has_ended = true;
    }

    /// A new viewer was sent elsewhere.
    pub(super) fn left(&mut self) {
        self.details.sent_elsewhere += 1.0;
    }

    /// A new viewer came to a node.
    pub(super) fn came(&mut self, region: usize, node: usize, plant: &Plant) {
        if self.came.is_empty() {
            self.came = vec![vec![0.0; plant.nodes.len()]; plant.fleet.regions.len()];
        }
        self.came[region][node] += 1.0;
    }

    /// So many of the busiest resolvers are known, of all of them.
    pub(super) fn known(&mut self, known: usize, all: usize) {
        self.details.known = Some((known, all));
    }

    /// What there is to tell.
    pub(super) fn details(self, fleet: &Fleet) -> Details {
        let Self { mut details, saturated, came, .. } = self;
        let count = |which: fn(&(bool, bool)) -> bool| saturated.iter().filter(|node| which(node)).count();
        details.clipped = (!saturated.is_empty()).then(|| (count(|node| node.0), count(|node| node.1)));
        let least = |shares: &mut dyn Iterator<Item = f64>| shares.min_by(f64::total_cmp);
        let local = |(region, came): (usize, &Vec<f64>)| {
            let site = fleet.nearest[region].iter().map(|site| &fleet.sites[*site]).find(|site| !site.is_empty())?;
            let (all, near): (f64, f64) = (came.iter().sum(), site.iter().map(|node| came[*node]).sum());
            (all >= FEW).then(|| 100.0 * near / all)
        };
        details.least_local = least(&mut came.iter().enumerate().filter_map(local));
        let of_node = |node: usize| came.iter().map(|row| row[node]).sum::<f64>();
        let parts = fleet.sites.iter().filter(|_| !came.is_empty()).flat_map(|site| {
            let capacity: f64 = site.iter().map(|node| fleet.nodes[*node].capacity()).sum();
            let all: f64 = site.iter().map(|node| of_node(*node)).sum();
            let fair = move |node: usize| all * fleet.nodes[node].capacity() / capacity;
            site.iter().filter(move |node| fair(**node) >= FEW).map(move |node| of_node(*node) / fair(*node))
        });
        details.least_node = least(&mut parts.into_iter());
        details.placed = (0..fleet.nodes.len()).map(of_node).collect();
        details
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phantom_load_is_gone_when_it_does_not_come_back() {
        let details = Details { phantom: vec![0.4, 0.2, 0.01, 0.06, 0.02], ..Details::default() };
        let figures = super::super::meter::Meter::default().figures();
        let lines = details.lines(&figures, &[Tell::Phantom]);
        assert_eq!(lines.last().map(|line| line.value), Some(4.0));
        assert_eq!(lines[0].value, 0.4);
        assert!(Details::default().lines(&figures, &Tell::ALL).iter().all(|line| line.title.contains("elsewhere")));
    }
}
