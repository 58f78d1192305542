//! Menus: for a site and an address family, at most 256 ready-made node sets, and who gets which.
//!
//! Light keys fall into buckets that are shared out by quota and stay where they are, with more nodes for those that come back
//! seldom; heavy keys draw anew each time. Sets
//! that are ready can be signed before anybody asks.

use std::collections::HashMap;

use super::hash::{mix, unit};
use super::quota::{BUCKETS, FINE, Owners, Scores, best, share_out};
use crate::pool::NodeId;

/// Node sets of a menu, at most; those for light keys are limited to what the heavy ones leave.
const MAX_SETS: usize = 256;
const MAX_LIGHT_SETS: usize = 160;
/// Classes of heavy keys, by the load that one answer brings.
const MAX_CLASSES: usize = 4;
/// Sets that are left at least to keys that linger, the orders in which they are drawn, and how many of the sets with a node
/// its buckets get, at most.
const LINGERING_SETS: usize = 32;
const ROUNDS: u64 = 4;
const VARIANTS: u64 = 32;
/// Sets of a class.
const MAX_DRAWS: usize = 24;
/// How far a node may be named above its share before fewer nodes are named.
const TOLERANCE: f64 = 1.15;
/// Sets of a menu of keys that are hashed, at most: one for each node, and for several nodes an answer as many as there is room for.
const MAX_HASHED_SETS: usize = 4_096;
/// Nodes that light keys are told, when the planner may choose.
pub(super) const LIGHT_ANSWERS: usize = 2;
/// Other buckets that are tried for a set without dead nodes.
const SPARE_DRAWS: u64 = 16;
/// Weights that moved by less than this share need no new menu.
const NOTICED: f64 = 0.01;

/// A node that a menu is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dish {
    /// Which.
    pub(super) node: NodeId,
    /// Its weight; 0 = it is in no set.
    pub(super) weight: f64,
    /// The weight that it would have if it served.
    pub(super) ghost: f64,
    /// Load that it has room for.
    pub(super) room: f64,
}

/// Node sets of a site.
#[derive(Debug, PartialEq)]
pub struct Menu {
    /// Each set of m nodes as 2m − 1 of them, going round: any of its m orders is a part of that.
    nodes: Box<[NodeId]>,
    sets: Vec<Set>,
    light: Box<[Pick]>,
    /// By fine bucket, what keys get where nodes are found by hashing; else empty.
    hashed: Box<[Pick]>,
    /// By bucket, what light keys get that come back seldom: larger sets, with the same node in front.
    lingering: Box<[Pick]>,
    classes: Vec<Class>,
    /// Nodes that share the load of a heavy key's answer.
    heavy_width: f64,
    dishes: Box<[Dish]>,
    width: Width,
}

/// How many nodes answers name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// As the planner likes: two for light keys, up to so many for heavy ones, if none is then named too often.
    Auto(usize),
    /// So many, if there are as many.
    Fixed(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set {
    start: u16,
    length: u8,
}

/// A set, and which of its nodes is named first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    set: u16,
    first: u8,
}

/// Heavy keys whose answers bring up to this load.
#[derive(Debug, PartialEq)]
struct Class {
    load: f64,
    /// Sets, each up to a share of the draws.
    draws: Vec<(f64, u16)>,
}

impl Menu {
    /// A menu; none if no node has weight.
    pub(super) fn of(dishes: &[Dish], width: Width, grain: f64, scores: &Scores) -> Option<Self> {
        let served: Vec<Dish> = dishes.iter().copied().filter(|dish| dish.weight > 0.0).collect();
        if served.is_empty() {
            return None;
        }
        let mut sets = Sets { scores, nodes: Vec::new(), sets: Vec::new(), known: HashMap::new() };
        let classes = classes(&served, width, grain, scores, &mut sets);
        let ghosts = dishes.iter().filter(|dish| dish.weight <= 0.0 && dish.ghost > 0.0);
        let ghosts: Vec<(NodeId, f64)> = ghosts.map(|dish| (dish.node, dish.ghost)).collect();
        let most = sets.sets.len() + MAX_LIGHT_SETS;
        let light = light(&served, &ghosts, width, scores, &mut sets, most.min(MAX_SETS - LINGERING_SETS));
        let lingering = lingering(&light, &served, &ghosts, width, scores, &mut sets);
        let first = classes.first().and_then(|class| class.draws.first());
        let heavy_width = first.map_or(1.0, |(_, set)| f64::from(sets.sets[usize::from(*set)].length));
        Some(Self {
            heavy_width,
            nodes: sets.nodes.into(),
            sets: sets.sets,
            light: light.into(),
            hashed: Box::default(),
            lingering: lingering.into(),
            classes,
            dishes: dishes.into(),
            width,
        })
    }

    /// A menu of a site whose keys find their nodes by hashing; none if no node has weight.
    ///
    /// Weighted rendezvous hashing (Schindelhauer and Schomaker: Weighted Distributed Hash Tables, 2005), without quotas: who comes
    /// takes its own keys, who goes leaves its own, and nobody else moves. Shares are what chance makes of `FINE` buckets, within 5 %
    /// of the mean of ten nodes in two cases of three.
    pub(super) fn of_hashed(dishes: &[Dish], width: Width, scores: &Scores) -> Option<Self> {
        let served: Vec<Dish> = dishes.iter().copied().filter(|dish| dish.weight > 0.0).collect();
        let first = served.first()?;
        let mut sets = Sets { scores, nodes: Vec::new(), sets: Vec::new(), known: HashMap::new() };
        let count = match width {
            Width::Fixed(count) | Width::Auto(count) => count.clamp(1, served.len()),
        };
        // Each has a set of its own before larger ones use up the numbers.
        let alone: HashMap<NodeId, u16> =
            served.iter().filter_map(|dish| Some((dish.node, sets.find(&[dish.node], MAX_HASHED_SETS)?))).collect();
        let ranked = best(scores, &served.iter().map(|dish| (dish.node, dish.weight)).collect::<Vec<_>>(), count);
        let hashed: Box<[Pick]> = ranked
            .chunks(count)
            .map(|members| {
                let own = alone.get(&members[0]).copied().unwrap_or(0);
                let set = if count > 1 { sets.find(members, MAX_HASHED_SETS).unwrap_or(own) } else { own };
                sets.pick(set, members[0])
            })
            .collect();
        let own = Pick { set: alone.get(&first.node).copied().unwrap_or(0), first: 0 };
        Some(Self {
            heavy_width: 1.0,
            nodes: sets.nodes.into(),
            sets: sets.sets,
            // Whoever looks for a set without dead nodes takes any of these.
            light: (0..BUCKETS).map(|bucket| hashed.get(bucket * FINE / BUCKETS).copied().unwrap_or(own)).collect(),
            hashed,
            lingering: Box::default(),
            classes: Vec::new(),
            dishes: dishes.into(),
            width,
        })
    }

    /// What a key gets where nodes are found by hashing.
    #[inline]
    pub fn hashed(&self, hash: u64) -> Pick {
        match self.hashed.get(hash as usize % FINE) {
            Some(pick) => *pick,
            None => self.light(hash as usize),
        }
    }

    /// Whether these nodes would make much the same menu.
    pub(super) fn serves(&self, dishes: &[Dish], width: Width) -> bool {
        let total = |dishes: &[Dish]| dishes.iter().map(|dish| dish.weight).sum::<f64>();
        let (ours, theirs) = (total(&self.dishes), total(dishes));
        let is_close = |(old, new): (&Dish, &Dish)| {
            let (old_part, new_part) = (old.weight / ours, new.weight / theirs);
            let is_named = (old.weight > 0.0) == (new.weight > 0.0);
            // A ghost moves nobody while it is one.
            old.node == new.node && is_named && (new_part - old_part).abs() <= NOTICED * old_part
        };
        self.width == width && self.dishes.len() == dishes.len() && self.dishes.iter().zip(dishes).all(is_close)
    }

    /// Whether it names nobody else.
    pub(super) fn names_only(&self, may_serve: impl Fn(NodeId) -> bool) -> bool {
        self.nodes.iter().all(|node| may_serve(*node))
    }

    /// What the keys of a bucket get.
    #[inline]
    pub fn light(&self, bucket: usize) -> Pick {
        self.light[bucket % BUCKETS]
    }

    /// What a heavy key gets whose answer brings so much load: `draw` and `turn`, evenly drawn, choose the set and whom it
    /// names first.
    #[inline]
    pub fn heavy(&self, load: f64, draw: f64, turn: u64) -> Pick {
        let load = load / self.heavy_width;
        let class = self.classes.iter().find(|class| load <= class.load).or(self.classes.last());
        let Some(class) = class else { return self.light[0] };
        let drawn = class.draws.iter().find(|(until, _)| draw <= *until).or(class.draws.last());
        let set = drawn.map_or(0, |(_, set)| *set);
        Pick { set, first: (turn % u64::from(self.sets[usize::from(set)].length.max(1))) as u8 }
    }

    /// What a light key of a bucket gets that comes back seldom: more nodes. If as much as `load` may come to the answer and
    /// that is too much for some, those which have room for it; `draw` and `turn` are then those of the key, and stay.
    #[inline]
    pub fn lingering(&self, bucket: usize, load: f64, draw: f64, turn: u64) -> Pick {
        match self.classes.first() {
            Some(class) if load > class.load * self.heavy_width => self.heavy(load, draw, turn),
            _ => self.lingering[bucket % BUCKETS],
        }
    }

    /// The nodes, in the order in which they are named.
    #[inline]
    pub fn nodes(&self, pick: Pick) -> &[NodeId] {
        let Set { start, length } = self.sets[usize::from(pick.set)];
        let start = usize::from(start) + usize::from(pick.first);
        &self.nodes[start..start + usize::from(length)]
    }

    /// What a key gets in the place of a set with dead nodes: the next set without any, in an order that its hash gives.
    /// If every set has one, the living of this one; all of it if none lives.
    #[cold]
    pub(super) fn without(&self, pick: Pick, dead: &[NodeId], hash: u64) -> (Pick, &[NodeId]) {
        let named = self.nodes(pick);
        let is_alive = |node: &NodeId| !dead.contains(node);
        if named.iter().all(is_alive) {
            return (pick, named);
        }
        // Buckets are shared out by weight, so the living share what the dead had by theirs.
        let drawn = (1..=SPARE_DRAWS).map(|turn| self.light(mix(hash ^ turn) as usize));
        let sets = self.sets.len();
        let others = (0..sets).map(|ahead| Pick { set: ((hash as usize % sets + ahead) % sets) as u16, first: 0 });
        if let Some(other) = drawn.chain(others).find(|&other| self.nodes(other).iter().all(is_alive)) {
            return (other, self.nodes(other));
        }
        // Each set goes round: the living follow one another somewhere.
        let Set { start, length } = self.sets[usize::from(pick.set)];
        let round = &self.nodes[usize::from(start)..][..2 * usize::from(length) - 1];
        let runs = round.split(|node| !is_alive(node)).map(|run| &run[..run.len().min(usize::from(length))]);
        match runs.max_by_key(|run| run.len()).filter(|run| !run.is_empty()) {
            // Rather fewer nodes than always the same one first.
            Some(run) => (pick, &run[mix(hash) as usize % run.len()..]),
            None => (pick, named),
        }
    }

    /// For each set, the least room of its nodes.
    pub(super) fn rooms(&self, room: impl Fn(NodeId) -> f64) -> Box<[f32]> {
        let least = |set: &Set| {
            let nodes = &self.nodes[usize::from(set.start)..][..usize::from(set.length)];
            nodes.iter().map(|node| room(*node)).fold(f64::INFINITY, f64::min) as f32
        };
        self.sets.iter().map(least).collect()
    }

    /// Every set once, in no order.
    pub fn sets(&self) -> impl Iterator<Item = &[NodeId]> {
        self.sets.iter().map(|set| &self.nodes[usize::from(set.start)..][..usize::from(set.length)])
    }

    /// The share of light keys that each node is named to first.
    pub fn first_shares(&self) -> impl Iterator<Item = (NodeId, f64)> {
        self.dishes.iter().map(|dish| {
            let all = if self.hashed.is_empty() { &self.light } else { &self.hashed };
            let firsts = all.iter().filter(|pick| self.nodes(**pick).first() == Some(&dish.node));
            (dish.node, firsts.count() as f64 / all.len() as f64)
        })
    }
}

impl Pick {
    /// The set's place in `Menu::sets`.
    #[inline]
    pub fn set(self) -> usize {
        usize::from(self.set)
    }
}

/// Sets that were made so far, each once.
struct Sets<'s> {
    scores: &'s Scores,
    nodes: Vec<NodeId>,
    sets: Vec<Set>,
    known: HashMap<Vec<NodeId>, u16>,
}

impl Sets<'_> {
    /// The set of these nodes, which is made unless there would then be too many; in any order.
    fn find(&mut self, members: &[NodeId], most: usize) -> Option<u16> {
        let mut sorted = members.to_vec();
        // By what stands for them on all nameservers, and whoever asked for the set first.
        sorted.sort_unstable_by_key(|node| self.scores.mark(*node));
        if let Some(known) = self.known.get(&sorted) {
            return Some(*known);
        }
        // Places of nodes have 16 bits.
        let end = self.nodes.len() + 2 * members.len() - 1;
        if self.sets.len() >= most || end > usize::from(u16::MAX) {
            return None;
        }
        let index = self.sets.len() as u16;
        self.sets.push(Set { start: self.nodes.len() as u16, length: members.len() as u8 });
        self.nodes.extend(sorted.iter().chain(&sorted[..sorted.len() - 1]));
        self.known.insert(sorted, index);
        Some(index)
    }

    fn members(&self, set: u16) -> &[NodeId] {
        let Set { start, length } = self.sets[usize::from(set)];
        &self.nodes[usize::from(start)..][..usize::from(length)]
    }

    fn pick(&self, set: u16, first: NodeId) -> Pick {
        let first = self.members(set).iter().position(|node| *node == first).unwrap_or(0);
        Pick { set, first: first as u8 }
    }
}

/// How many nodes may be named together so that none is named more often than its weight allows.
fn fair_width(weights: impl Iterator<Item = f64>) -> usize {
    let (total, largest) =
        weights.fold((0.0, 0.0_f64), |(total, largest), weight| (total + weight, largest.max(weight)));
    ((TOLERANCE * total / largest) as usize).max(1)
}

/// Buckets by quota: whom each names first follows the weights, the others follow in the order of their scores.
fn light(
    served: &[Dish],
    ghosts: &[(NodeId, f64)],
    width: Width,
    scores: &Scores,
    sets: &mut Sets<'_>,
    most: usize,
) -> Vec<Pick> {
    let weights: Vec<(NodeId, f64)> = served.iter().map(|dish| (dish.node, dish.weight)).collect();
    let count = match width {
        Width::Auto(most) => fair_width(weights.iter().map(|(_, weight)| *weight)).min(most).min(LIGHT_ANSWERS),
        Width::Fixed(count) => count.min(served.len()),
    };
    let nodes: Vec<NodeId> = served.iter().map(|dish| dish.node).collect();
    let Owners { owner, order } = share_out(scores, &weights, ghosts, count);
    // Buckets for which there is no set of their own any more share that of another with the same first node.
    let mut spare: Vec<Option<u16>> = vec![None; served.len()];
    let of_bucket = |(bucket, &first): (usize, &u16)| {
        let others = order[bucket * count..][..count].iter().filter(|&&other| other != first).take(count - 1);
        let members: Vec<NodeId> =
            std::iter::once(&first).chain(others).map(|&index| nodes[usize::from(index)]).collect();
        let spare = &mut spare[usize::from(first)];
        // Each node has a set with itself in front at least, as long as there are no more nodes than sets.
        let set = sets.find(&members, most - usize::from(spare.is_some()) * (served.len().min(most / 2)));
        let set = set.or(*spare).or_else(|| sets.find(&members, MAX_SETS)).unwrap_or(0);
        spare.get_or_insert(set);
        sets.pick(set, nodes[usize::from(first)])
    };
    owner.iter().enumerate().map(of_bucket).collect()
}

/// For each bucket a set for keys that linger, with the bucket's node in front: drawn as for the smallest heavy keys, but as
/// if `ghosts` served too. For each of them the best of the others takes its part, so that whoever dies moves nobody to whom
/// it was not named.
fn lingering(
    light: &[Pick],
    served: &[Dish],
    ghosts: &[(NodeId, f64)],
    width: Width,
    scores: &Scores,
    sets: &mut Sets<'_>,
) -> Vec<Pick> {
    let mut all: Vec<(NodeId, f64)> = served.iter().map(|dish| (dish.node, dish.weight)).collect();
    all.extend(ghosts);
    let serves = |node: &NodeId| served.iter().any(|dish| dish.node == *node);
    // Who would be named, what stands for them all, how often they are drawn, and their set.
    let mut drawn: Vec<(Vec<NodeId>, u64, f64, u16)> = Vec::new();
    for round in 0..ROUNDS {
        // In one order the same nodes always stand together, and the others of a set would share all that one loses.
        all.sort_by_key(|(node, _)| mix(scores.mark(*node) ^ round));
        let mut from = 0.0;
        let mut found: Vec<(Vec<NodeId>, u64)> = Vec::new();
        let draws = draws(&all, width, |members| {
            let whole = members.iter().fold(round, |whole, node| mix(whole ^ scores.mark(*node)));
            let mut named: Vec<NodeId> = members.iter().copied().filter(serves).collect();
            for ghost in members.iter().filter(|node| !serves(node)) {
                // Weighted rendezvous, as for buckets.
                let others = served.iter().filter(|dish| !named.contains(&dish.node));
                let score =
                    |dish: &&Dish| rendezvous(whole ^ scores.mark(*ghost) ^ scores.mark(dish.node), dish.weight);
                let best = others.min_by(|a, b| score(a).total_cmp(&score(b)));
                named.extend(best.map(|dish| dish.node));
            }
            let set = sets.find(&named, MAX_SETS)?;
            found.push((members.to_vec(), whole));
            Some(set)
        });
        for ((until, set), (members, whole)) in draws.into_iter().zip(found) {
            drawn.push((members, whole, until - from, set));
            from = until;
        }
    }
    let variants = |first: NodeId| -> Vec<u16> {
        let fitting: Vec<_> = drawn.iter().filter(|(members, ..)| members.contains(&first)).collect();
        let best = |variant| {
            let scored = fitting.iter().map(|(_, whole, part, set)| (rendezvous(whole ^ mix(variant), *part), *set));
            scored.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, set)| set)
        };
        (0..VARIANTS).filter_map(best).collect()
    };
    let mut known: HashMap<NodeId, Vec<u16>> = HashMap::new();
    let of_bucket = |(bucket, pick): (usize, &Pick)| {
        let first = sets.members(pick.set)[usize::from(pick.first)];
        let sets_with = known.entry(first).or_insert_with(|| variants(first));
        // Not the bucket's own number: its bits and whom it belongs to are not independent of each other.
        let variant = mix(bucket as u64) % VARIANTS;
        sets_with.get(variant as usize).map_or(*pick, |set| sets.pick(*set, first))
    };
    light.iter().enumerate().map(of_bucket).collect()
}

/// The score of a candidate of this weight; the lowest wins (Schindelhauer and Schomaker, as for quotas).
fn rendezvous(hash: u64, weight: f64) -> f64 {
    -unit(mix(hash)).ln() / weight
}

/// Classes of heavy keys: a node whose room is small against an answer's load is named less.
///
/// Sets are drawn by systematic sampling (Madow: On the theory of systematic sampling II, 1949): each node is in a drawn
/// set with a probability in proportion to its weight.
fn classes(served: &[Dish], width: Width, grain: f64, scores: &Scores, sets: &mut Sets<'_>) -> Vec<Class> {
    let rooms = || served.iter().map(|dish| dish.room.max(f64::MIN_POSITIVE) * grain);
    let (least, largest) = (rooms().fold(f64::INFINITY, f64::min), rooms().fold(0.0, f64::max));
    let count = ((largest / least).log(4.0).ceil() as usize + 1).clamp(1, MAX_CLASSES);
    let step = if count > 1 { (largest / least).powf(1.0 / (count - 1) as f64) } else { 1.0 };
    let mut order: Vec<&Dish> = served.iter().collect();
    order.sort_by_key(|dish| scores.mark(dish.node));
    (0..count)
        .map(|class| {
            let load = least * step.powi(class as i32);
            let weighed: Vec<(NodeId, f64)> = order
                .iter()
                .map(|dish| (dish.node, dish.weight * (dish.room * grain / load).min(1.0).powi(2)))
                .filter(|(_, weight)| *weight > 0.0)
                .collect();
            Class { load, draws: draws(&weighed, width, |members| sets.find(members, MAX_SETS)) }
        })
        .collect()
}

/// Sets of these nodes, each up to a share of the draws; `find` says where a set is, if there is room for it.
fn draws(weighed: &[(NodeId, f64)], width: Width, mut find: impl FnMut(&[NodeId]) -> Option<u16>) -> Vec<(f64, u16)> {
    let count = match width {
        Width::Auto(most) => fair_width(weighed.iter().map(|(_, weight)| *weight)).min(most).min(weighed.len()),
        Width::Fixed(count) => count.min(weighed.len()),
    };
    let mut ends = Vec::with_capacity(weighed.len());
    let mut total = 0.0;
    for (_, weight) in weighed {
        total += weight;
        ends.push(total);
    }
    let step = total / count as f64;
    // Between two of these starts the same nodes are drawn.
    let mut breaks: Vec<f64> = ends.iter().map(|end| end % step).filter(|start| *start > 1e-9 * step).collect();
    breaks.push(step);
    breaks.sort_by(f64::total_cmp);
    breaks.dedup_by(|a, b| (*a - *b).abs() < 1e-9 * step);
    if breaks.len() > MAX_DRAWS {
        breaks = (1..=MAX_DRAWS).map(|draw| step * draw as f64 / MAX_DRAWS as f64).collect();
    }
    let mut from = 0.0;
    let mut drawn = Vec::with_capacity(breaks.len());
    for until in breaks {
        let start = (from + until) / 2.0;
        from = until;
        let mut members: Vec<NodeId> = Vec::with_capacity(count);
        for hit in 0..count {
            let at = ends.partition_point(|end| *end < start + step * hit as f64).min(weighed.len() - 1);
            // A node that is hit twice is named once, and the next one in its place.
            let others = (0..weighed.len()).map(|ahead| weighed[(at + ahead) % weighed.len()].0);
            members.extend(others.into_iter().find(|node| !members.contains(node)));
        }
        if let Some(set) = find(&members) {
            drawn.push((until / step, set));
        }
    }
    drawn
}

/// The key's draw, in (0, 1).
#[inline]
pub(super) fn draw(hash: u64) -> f64 {
    unit(mix(hash))
}
