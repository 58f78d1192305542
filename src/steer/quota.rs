//! Quotas: buckets of keys shared out among nodes, exactly by weight, and so that few change hands when weights change.

use std::sync::OnceLock;

use super::hash::{mix, unit};
use crate::pool::NodeId;

/// Buckets of a menu; a client key falls into one by its hash.
pub const BUCKETS: usize = 1024;
/// Buckets of keys that are hashed: so many that chance shares them out evenly enough.
pub(super) const FINE: usize = 4_096;
/// Rounds in which scores are corrected towards the quotas.
const ROUNDS: usize = 12;

/// Who has which bucket; nodes by their place in the list.
pub(super) struct Owners {
    /// By bucket.
    pub(super) owner: Vec<u16>,
    /// By bucket, the `width` nodes with the best scores, best first.
    pub(super) order: Vec<u16>,
}

/// Scores of nodes and buckets, which never change: logarithms are dear.
#[derive(Debug, Default)]
pub(super) struct Scores {
    seed: u64,
    /// By `NodeId`.
    nodes: Vec<Option<Scored>>,
}

#[derive(Debug)]
struct Scored {
    mark: u64,
    /// By bucket.
    scores: Box<[f32]>,
    /// By fine bucket, once somebody wants them.
    fine: OnceLock<Box<[f32]>>,
}

impl Scores {
    /// Knows the scores of these nodes, by their names, from now on. Numbers would not do: nameservers that were reloaded at
    /// other moments have others, and must agree all the same.
    pub(super) fn learn<'n>(&mut self, nodes: impl Iterator<Item = (NodeId, &'n str)>, seed: u64) {
        if self.seed != seed {
            *self = Self { seed, nodes: Vec::new() };
        }
        for (node, name) in nodes {
            let index = usize::from(node.0);
            if self.nodes.len() <= index {
                self.nodes.resize_with(index + 1, || None);
            }
            self.nodes[index].get_or_insert_with(|| {
                let mark = name.bytes().fold(seed, |mark, octet| mix(mark ^ u64::from(octet)));
                let scores = (0..BUCKETS as u64).map(|bucket| score(mark, bucket)).collect();
                Scored { mark, scores, fine: OnceLock::new() }
            });
        }
    }

    /// Knows nodes no longer whose numbers are others' now.
    pub(super) fn forget(&mut self, is_forgotten: impl Fn(NodeId) -> bool) {
        for (index, known) in self.nodes.iter_mut().enumerate() {
            if is_forgotten(NodeId(index as u16)) {
                *known = None;
            }
        }
    }

    /// What stands for a node on all nameservers.
    pub(super) fn mark(&self, node: NodeId) -> u64 {
        self.nodes.get(usize::from(node.0)).and_then(Option::as_ref).map_or(0, |scored| scored.mark)
    }

    /// The scores of a node that is known, by fine bucket.
    fn fine(&self, node: NodeId) -> &[f32] {
        let known = self.nodes.get(usize::from(node.0)).and_then(Option::as_ref);
        let made = |scored: &Scored| (0..FINE as u64).map(|bucket| score(scored.mark, bucket)).collect();
        known.map_or(&[0.0; FINE], |scored| scored.fine.get_or_init(|| made(scored)))
    }

    /// The scores of a node that is known, by bucket.
    fn of(&self, node: NodeId) -> &[f32] {
        let known = self.nodes.get(usize::from(node.0)).and_then(Option::as_ref);
        known.map_or(&[0.0; BUCKETS], |scored| &scored.scores)
    }
}

/// Shares the buckets out: each node owns as many as its weight wants, to the nearest whole bucket.
///
/// The base is weighted rendezvous hashing (Schindelhauer and Schomaker: Weighted Distributed Hash Tables, 2005): bucket
/// and node have a score, the best wins, and a change of one weight moves only what it must. Its counts are random, so
/// prices on the nodes, raised and lowered as in an auction (Bertsekas: The auction algorithm, 1988), bring them near the
/// quotas, and what is left over goes where it costs least. The result depends on the weights alone, not on what was before.
///
/// `ghosts` are nodes that may not serve now, with the weights that they would have: buckets are shared out as if they
/// did, and then theirs are handed on. So whoever dies moves nobody but its own.
pub(super) fn share_out(scores: &Scores, served: &[(NodeId, f64)], ghosts: &[(NodeId, f64)], width: usize) -> Owners {
    let all = || served.iter().chain(ghosts);
    let weights: Vec<f64> = all().map(|(_, weight)| *weight).collect();
    let scores: Vec<&[f32]> = all().map(|(node, _)| scores.of(*node)).collect();
    let count = scores.len();
    let mut prices: Vec<f32> = weights.iter().map(|weight| -(weight.max(f64::MIN_POSITIVE).ln() as f32)).collect();
    let mut owner = vec![0_u16; BUCKETS];
    let mut owned = vec![0_usize; count];
    let wanted = quotas(&weights);
    for round in 0..=ROUNDS {
        win(&scores, &prices, &mut owner);
        owned.fill(0);
        owner.iter().for_each(|owner| owned[usize::from(*owner)] += 1);
        if round == ROUNDS || owned == wanted {
            break;
        }
        for (price, (&owned, &quota)) in prices.iter_mut().zip(owned.iter().zip(&wanted)) {
            *price += 0.8 * ((owned as f32 + 0.5) / (quota as f32 + 0.5)).ln();
        }
    }
    even_out(&scores, &prices, &wanted, &mut owner, &mut owned);
    if !ghosts.is_empty() {
        let mut left = quotas(&weights[..served.len()]);
        left.resize(count, 0);
        even_out(&scores, &prices, &left, &mut owner, &mut owned);
    }
    let order = rank(&scores[..served.len()], &prices, width);
    Owners { owner, order }
}

/// By fine bucket, the `width` nodes that score best for their weights, best first.
pub(super) fn best(scores: &Scores, served: &[(NodeId, f64)], width: usize) -> Vec<NodeId> {
    let priced: Vec<(&[f32], f32)> =
        served.iter().map(|(node, weight)| (scores.fine(*node), -(weight.ln() as f32))).collect();
    if width == 1 {
        // Node by node, so that the machine compares many buckets at once.
        let (mut least, mut owner) = (vec![f32::INFINITY; FINE], vec![served[0].0; FINE]);
        for ((scores, price), (node, _)) in priced.iter().zip(served) {
            for ((least, owner), score) in least.iter_mut().zip(&mut owner).zip(*scores) {
                let cost = score + price;
                if cost < *least {
                    (*least, *owner) = (cost, *node);
                }
            }
        }
        return owner;
    }
    let mut order = Vec::with_capacity(FINE * width);
    let mut ranked: Vec<(f32, NodeId)> = Vec::with_capacity(served.len());
    for bucket in 0..FINE {
        ranked.clear();
        ranked.extend(priced.iter().zip(served).map(|((scores, price), (node, _))| (scores[bucket] + price, *node)));
        if width < ranked.len() {
            ranked.select_nth_unstable_by(width - 1, |a, b| a.0.total_cmp(&b.0));
            ranked.truncate(width);
        }
        ranked.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        order.extend(ranked.iter().map(|(_, node)| *node));
    }
    order
}

/// Who wins each bucket: node by node, so that the machine compares many buckets at once.
fn win(scores: &[&[f32]], prices: &[f32], owner: &mut [u16]) {
    let mut least = [f32::INFINITY; BUCKETS];
    for (index, (scores, price)) in scores.iter().zip(prices).enumerate() {
        for ((least, owner), score) in least.iter_mut().zip(owner.iter_mut()).zip(*scores) {
            let cost = score + price;
            if cost < *least {
                (*least, *owner) = (cost, index as u16);
            }
        }
    }
}

/// By bucket, the first `width` nodes in the order of their scores.
fn rank(scores: &[&[f32]], prices: &[f32], width: usize) -> Vec<u16> {
    let mut order = Vec::with_capacity(BUCKETS * width);
    let mut ranked: Vec<(f32, u16)> = Vec::with_capacity(scores.len());
    for bucket in 0..BUCKETS {
        ranked.clear();
        ranked.extend((0..).zip(scores).map(|(index, scores)| (scores[bucket] + prices[usize::from(index)], index)));
        if width < ranked.len() {
            ranked.select_nth_unstable_by(width - 1, |a, b| a.0.total_cmp(&b.0));
            ranked.truncate(width);
        }
        ranked.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        order.extend(ranked.iter().map(|(_, index)| *index));
    }
    order
}

/// Whole buckets for each weight, by the largest remainders; equal ones in the order of the list.
fn quotas(weights: &[f64]) -> Vec<usize> {
    let total: f64 = weights.iter().sum();
    let exact: Vec<f64> = weights.iter().map(|weight| weight / total * BUCKETS as f64).collect();
    let mut quotas: Vec<usize> = exact.iter().map(|exact| *exact as usize).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let left = BUCKETS.saturating_sub(quotas.iter().sum());
    for index in by_remainder.into_iter().cycle().take(left) {
        quotas[index] += 1;
    }
    quotas
}

#[inline]
fn score(mark: u64, bucket: u64) -> f32 {
    (-unit(mix(mark ^ mix(bucket))).ln()).ln() as f32
}

/// Moves buckets from nodes that own too many to those that own too few, each time the one that loses least.
fn even_out(scores: &[&[f32]], prices: &[f32], quotas: &[usize], owner: &mut [u16], owned: &mut [usize]) {
    let count = quotas.len();
    let cost = |bucket: usize, index: usize| scores[index][bucket] + prices[index];
    let mut moves: Vec<(f32, usize, usize)> = Vec::new();
    for (bucket, &from) in
        owner.iter().enumerate().filter(|(_, from)| owned[usize::from(**from)] > quotas[usize::from(**from)])
    {
        let to = (0..count).filter(|&to| owned[to] < quotas[to]);
        moves.extend(to.map(|to| (cost(bucket, to) - cost(bucket, usize::from(from)), bucket, to)));
    }
    moves.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    for (_, bucket, to) in moves {
        let from = usize::from(owner[bucket]);
        if from != to && owned[from] > quotas[from] && owned[to] < quotas[to] {
            owner[bucket] = to as u16;
            owned[from] -= 1;
            owned[to] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 7;

    fn owners(weights: &[f64]) -> Vec<u16> {
        share(&numbered(weights), &[])
    }

    fn share(served: &[(NodeId, f64)], ghosts: &[(NodeId, f64)]) -> Vec<u16> {
        let mut scores = Scores::default();
        let names: Vec<String> = (0..256).map(|number| format!("node{number}")).collect();
        scores.learn(served.iter().chain(ghosts).map(|(node, _)| (*node, names[usize::from(node.0)].as_str())), SEED);
        share_out(&scores, served, ghosts, 1).owner
    }

    fn numbered(weights: &[f64]) -> Vec<(NodeId, f64)> {
        weights.iter().enumerate().map(|(index, weight)| (NodeId(index as u16), *weight)).collect()
    }

    fn uneven(count: usize) -> Vec<f64> {
        (0..count).map(|index| 0.3 + unit(mix(index as u64 ^ 99)) * 4.0).collect()
    }

    #[test]
    fn each_node_owns_what_its_weight_wants_within_one_bucket() {
        for count in [1, 2, 3, 8, 30, 200] {
            let weights = uneven(count);
            let owners = owners(&weights);
            let total: f64 = weights.iter().sum();
            for (index, weight) in weights.iter().enumerate() {
                let owned = owners.iter().filter(|&&owner| usize::from(owner) == index).count() as f64;
                let wanted = weight / total * BUCKETS as f64;
                assert!((owned - wanted).abs() <= 1.0, "{count} nodes: {index} owns {owned} of {wanted}");
            }
        }
    }

    #[test]
    fn a_node_that_loses_a_tenth_moves_little_more_than_that() {
        for count in [3, 8, 30] {
            let weights = uneven(count);
            let before = owners(&weights);
            for loser in 0..count {
                let mut after = weights.clone();
                after[loser] *= 0.9;
                let after = owners(&after);
                let owned = |owners: &[u16]| owners.iter().filter(|&&owner| usize::from(owner) == loser).count();
                let lost = owned(&before) - owned(&after);
                let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
                assert!(moved as f64 <= 1.2 * lost as f64 + count as f64, "{count} nodes: {moved} moved, {lost} lost");
            }
        }
    }

    #[test]
    fn a_node_that_dies_moves_its_own_buckets_and_at_most_one_of_each_other() {
        for count in [2, 3, 8, 30] {
            let weights = uneven(count);
            let before = owners(&weights);
            for dead in 0..count {
                let (mut served, mut ghosts) = (numbered(&weights), Vec::new());
                ghosts.push(served.remove(dead));
                let after = share(&served, &ghosts);
                let name = |index: u16| served[usize::from(index)].0.0;
                let strangers = before
                    .iter()
                    .zip(&after)
                    .filter(|(before, after)| usize::from(**before) != dead && **before != name(**after));
                assert!(strangers.count() < count, "{count} nodes without {dead}");
            }
        }
    }
}
