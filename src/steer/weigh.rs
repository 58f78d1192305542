//! Weights inside a site: in proportion to headroom, so that all its nodes would be full at the same moment.
//!
//! If A Mbit/s arrive while loads are not seen, node j gets A·H(j) ÷ ΣH ≤ H(j) as long as A ≤ ΣH: stale loads cannot
//! overfill one node before the site as a whole is full. That is exact for an exponent of 1; 1.5 evens loads out faster, and
//! is as safe only up to A = Σ K·h^1.5 ÷ √(largest h), with h = H ÷ K: what is predicted must do the rest.

/// The pressure up to which nodes are filled while there is room anywhere.
pub(super) const FULL: f64 = 0.92;
/// Pressures up to which nodes are filled when the site is full: to the operator's limit, to what the machine can do
/// (1 ÷ 0.8), and beyond.
const LIMITS: [f64; 3] = [1.0, 1.25, BEYOND];
/// The pressure beyond which a node has nothing left.
pub(super) const BEYOND: f64 = 1.6;
/// The share of a site's capacity below which its weights count as nothing, and the next limit is taken.
const NEGLIGIBLE: f64 = 0.01;

/// A node as its site weighs it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weighed {
    /// The load at which its pressure is 1.
    pub(super) capacity: f64,
    /// Its predicted pressure.
    pub(super) pressure: f64,
    /// Product of its factors, 0 to 1; 0 = it may not serve.
    pub(super) factor: f64,
    /// The same as if it served.
    pub(super) ghost: f64,
    /// Its place in the configuration.
    pub(super) rank: u16,
}

/// The weight of a node at a site that has room.
pub(super) fn usual(node: &Weighed, exponent: f64) -> f64 {
    node.capacity * node.factor * (FULL - node.pressure).max(0.0).powf(exponent)
}

/// Weights of a site's nodes, in units of load, and the pressure up to which they are being filled.
///
/// When every node is far beyond what it can do, harm is shared by size; if none may serve, all weights are 0.
pub(super) fn by_headroom(nodes: &[Weighed], exponent: f64) -> (f64, Vec<f64>) {
    let capacity: f64 = nodes.iter().filter(|node| node.factor > 0.0).map(|node| node.capacity).sum();
    let usual: Vec<f64> = nodes.iter().map(|node| usual(node, exponent)).collect();
    // Half of the headroom, raised to the exponent, weighs less than half: so does what counts as nothing.
    if usual.iter().sum::<f64>() >= NEGLIGIBLE * capacity * (FULL / 2.0).powf(exponent - 1.0) {
        return (FULL, usual);
    }
    for limit in LIMITS {
        let weight = |node: &Weighed| node.capacity * node.factor * (limit - node.pressure).max(0.0);
        let weights: Vec<f64> = nodes.iter().map(weight).collect();
        if weights.iter().sum::<f64>() >= NEGLIGIBLE * capacity {
            return (limit, weights);
        }
    }
    (f64::INFINITY, nodes.iter().map(|node| node.capacity * node.factor / node.pressure.max(1.0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::Constants;

    fn by_headroom(nodes: &[Weighed]) -> (f64, Vec<f64>) {
        super::by_headroom(nodes, Constants::USUAL.exponent)
    }

    fn node(pressure: f64) -> Weighed {
        Weighed { capacity: 100.0, pressure, factor: 1.0, ghost: 1.0, rank: 0 }
    }

    #[test]
    fn weights_follow_headroom_and_nobody_above_the_limit_has_any() {
        let (limit, weights) = by_headroom(&[node(0.42), node(0.67), node(0.93)]);
        assert_eq!(limit, FULL);
        assert!((weights[0] / weights[1] - 2.0_f64.powf(1.5)).abs() < 1e-9);
        assert_eq!(weights[2], 0.0);
        let half = Weighed { factor: 0.5, ..node(0.42) };
        assert_eq!(by_headroom(&[half]).1[0] * 2.0, by_headroom(&[node(0.42)]).1[0]);
    }

    #[test]
    fn a_full_site_fills_to_the_limit_then_to_saturation_then_by_what_is_left() {
        assert_eq!(by_headroom(&[node(0.95), node(0.97)]).0, 1.0);
        assert_eq!(by_headroom(&[node(1.1), node(1.0)]).0, 1.25);
        assert_eq!(by_headroom(&[node(1.5), node(1.3)]).0, 1.6);
        let (limit, weights) = by_headroom(&[node(2.0), node(4.0)]);
        assert_eq!((limit, weights), (f64::INFINITY, vec![50.0, 25.0]));
    }

    #[test]
    fn who_may_not_serve_has_no_weight_however_full_the_others_are() {
        for pressure in [0.1, 0.99, 1.2, 1.5, 9.0] {
            let (_, weights) = by_headroom(&[Weighed { factor: 0.0, ..node(0.0) }, node(pressure)]);
            assert!(weights[0] == 0.0 && weights[1] > 0.0, "{pressure}");
        }
        assert_eq!(by_headroom(&[Weighed { factor: 0.0, ..node(0.0) }]).1, [0.0]);
    }

    #[test]
    fn what_arrives_unseen_overfills_no_node_as_long_as_headrooms_are_not_too_different() {
        let pressures = [0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9];
        let nodes = pressures.map(|pressure| Weighed { capacity: 50.0 + 100.0 * pressure, ..node(pressure) });
        let (_, weights) = by_headroom(&nodes);
        let (total, largest) = (weights.iter().sum::<f64>(), FULL - pressures[0]);
        let after = |arrived: f64| {
            let load = |(node, weight): (&Weighed, &f64)| node.pressure + arrived * weight / total / node.capacity;
            nodes.iter().zip(&weights).map(load).fold(0.0, f64::max)
        };
        assert!((after(total / largest.sqrt()) - FULL).abs() < 1e-9, "the emptiest is full, and nobody more");
        let room: f64 = nodes.iter().map(|node| node.capacity * (FULL - node.pressure)).sum();
        assert!(after(room) > 1.0, "with an exponent above 1 the emptiest would get more than it has room for");
    }
}
