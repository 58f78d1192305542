//! Menus: for a site and an address family, ready-made node lists, one a bucket of client keys.

use super::hash::{mix, unit};
use crate::pool::NodeId;

/// Buckets of a menu; a client key falls into one by its hash.
pub const BUCKETS: usize = 1024;
/// How far a node may be named above its share before fewer nodes are named (STEERING §8).
const TOLERANCE: f64 = 1.15;
/// Weights that moved by less than this share need no new menu.
const NOTICED: f64 = 0.01;

/// Node lists of a site, filled in proportion to weights.
///
/// Which nodes a bucket lists is weighted rendezvous (Schindelhauer and Schomaker: Weighted
/// Distributed Hash Tables, 2005): when a weight changes, only the buckets that must move do.
#[derive(Debug, PartialEq)]
pub struct Menu {
    rows: Box<[NodeId]>,
    width: usize,
    /// How many nodes of a row may be named so that none is named more often than its weight allows.
    fair_width: usize,
    weights: Box<[(NodeId, f64)]>,
}

impl Menu {
    /// A menu of rows of up to `width` nodes; nodes of weight 0 are in none, and there is one at least of more.
    pub(super) fn of(weights: &[(NodeId, f64)], width: usize, seed: u64) -> Self {
        let weights: Box<[(NodeId, f64)]> = weights.iter().copied().filter(|(_, weight)| *weight > 0.0).collect();
        let width = width.min(weights.len());
        let mut rows = Vec::with_capacity(BUCKETS * width);
        let mut scores: Vec<(f64, NodeId)> = Vec::with_capacity(weights.len());
        for bucket in 0..BUCKETS as u64 {
            scores.clear();
            scores.extend(weights.iter().map(|&(node, weight)| {
                let hash = mix(seed ^ mix(bucket << 16 | u64::from(node.0)));
                (-unit(hash).ln() / weight, node)
            }));
            if width < scores.len() {
                scores.select_nth_unstable_by(width, |a, b| a.0.total_cmp(&b.0));
                scores.truncate(width);
            }
            scores.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            rows.extend(scores.iter().map(|(_, node)| *node));
        }
        let (total, largest) =
            weights.iter().fold((0.0, 0.0), |(total, largest), &(_, weight)| (total + weight, weight.max(largest)));
        let fair_width = if largest > 0.0 { (TOLERANCE * total / largest) as usize } else { 1 };
        Self { rows: rows.into(), width, fair_width: fair_width.max(1), weights }
    }

    /// Whether these weights and this width would make much the same menu.
    pub(super) fn serves(&self, weights: &[(NodeId, f64)], width: usize) -> bool {
        let total = |weights: &[(NodeId, f64)]| weights.iter().map(|(_, weight)| weight).sum::<f64>();
        let (ours, theirs) = (total(&self.weights), total(weights));
        let mut wanted = weights.iter().filter(|(_, weight)| *weight > 0.0);
        let is_close = self.weights.iter().all(|(node, weight)| {
            wanted.next().is_some_and(|(other, value)| {
                other == node && (value / theirs - weight / ours).abs() <= NOTICED * weight / ours
            })
        });
        is_close && wanted.next().is_none() && self.width == width.min(self.weights.len())
    }

    /// The nodes of a bucket, in the order in which they are named.
    #[inline]
    pub fn row(&self, bucket: usize) -> &[NodeId] {
        &self.rows[bucket * self.width..][..self.width]
    }

    /// The nodes of a bucket that share its viewers by weight. Resolvers and clients rotate addresses, so
    /// a node that is named second to a larger one gets as much as that, however little room it has.
    #[inline]
    pub fn fair_row(&self, bucket: usize) -> &[NodeId] {
        let row = self.row(bucket);
        &row[..row.len().min(self.fair_width)]
    }

    /// The share of buckets that name each node first.
    pub fn first_shares(&self) -> impl Iterator<Item = (NodeId, f64)> {
        self.weights.iter().map(|&(node, _)| {
            let firsts = (0..BUCKETS).filter(|&bucket| self.row(bucket).first() == Some(&node)).count();
            (node, firsts as f64 / BUCKETS as f64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(values: &[f64]) -> Vec<(NodeId, f64)> {
        values.iter().enumerate().map(|(index, &weight)| (NodeId(index as u16), weight)).collect()
    }

    #[test]
    fn first_places_follow_the_weights() {
        let menu = Menu::of(&weights(&[1.0, 3.0, 0.0, 4.0]), 2, 7);
        let shares: Vec<_> = menu.first_shares().collect();
        for (node, expected) in [(0, 0.125), (1, 0.375), (3, 0.5)] {
            let (_, share) = shares.iter().find(|(id, _)| *id == NodeId(node)).unwrap();
            // Three standard deviations of 1,024 draws.
            let tolerance = 3.0 * (expected * (1.0 - expected) / BUCKETS as f64).sqrt();
            assert!((share - expected).abs() < tolerance, "node {node}: {share} instead of {expected}");
        }
        assert!(shares.iter().all(|(id, _)| *id != NodeId(2)), "weight 0 is never named");
    }

    #[test]
    fn a_row_names_no_node_twice() {
        let menu = Menu::of(&weights(&[1.0, 1.0, 5.0]), 64, 7);
        for bucket in 0..BUCKETS {
            let mut row = menu.row(bucket).to_vec();
            row.sort_unstable();
            assert_eq!(row, [NodeId(0), NodeId(1), NodeId(2)]);
        }
    }

    #[test]
    fn a_node_is_not_named_beside_others_more_often_than_its_weight_allows() {
        assert_eq!(Menu::of(&weights(&[1.0, 1.0, 1.0]), 2, 7).fair_row(0).len(), 2);
        let menu = Menu::of(&weights(&[236.0, 16.0]), 2, 7);
        let named = (0..BUCKETS).filter(|&bucket| menu.fair_row(bucket).contains(&NodeId(1))).count();
        assert!(named < BUCKETS / 10, "6 % of the weight, named in {named} of {BUCKETS} buckets");
    }

    #[test]
    fn a_node_that_loses_weight_moves_only_what_it_loses() {
        let before = Menu::of(&weights(&[1.0, 1.0, 1.0, 1.0]), 1, 7);
        let after = Menu::of(&weights(&[0.0, 1.0, 1.0, 1.0]), 1, 7);
        for bucket in 0..BUCKETS {
            if before.row(bucket) != [NodeId(0)] {
                assert_eq!(before.row(bucket), after.row(bucket));
            }
        }
    }

    #[test]
    fn small_moves_of_weight_keep_the_menu() {
        let menu = Menu::of(&weights(&[1.0, 1.0]), 2, 7);
        assert!(menu.serves(&weights(&[2.0, 2.0]), 2), "only ratios count");
        assert!(menu.serves(&weights(&[1.0, 1.005]), 64));
        assert!(!menu.serves(&weights(&[1.0, 1.1]), 2));
        assert!(!menu.serves(&weights(&[1.0, 0.0]), 2));
        assert!(!menu.serves(&weights(&[1.0, 1.0, 0.001]), 2));
        assert!(!menu.serves(&weights(&[1.0, 1.0]), 1));
    }
}
