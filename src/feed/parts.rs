//! Hashes of the parts of the inputs, by which nameservers notice that one of them reads something else.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::intake::Part;
use crate::steer::Fleet;

/// Variables of the environment that count, and those of the tables that are each nameserver's own.
const PREFIX: &str = "THALWEG_";
const OWN: [&str; 2] = ["server", "cluster"];

/// A hash for each part. What is hashed has no order and no paths, for these may differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts {
    sums: BTreeMap<Part, u64>,
}

impl Parts {
    /// Takes something that belongs to a part.
    pub(super) fn add(&mut self, part: Part, thing: &impl Hash) {
        self.add_sum(part, share(thing));
    }

    /// Takes several things, whose shares were added up.
    pub(super) fn add_sum(&mut self, part: Part, shares: u64) {
        let sum = self.sums.entry(part).or_default();
        *sum = sum.wrapping_add(shares);
    }

    /// Takes the configuration: all but what is the nameserver's own, and without comments.
    pub(super) fn add_configuration(&mut self, text: &str, environment: &[(String, String)]) {
        // What cannot be read is not served.
        let Ok(mut table) = text.parse::<toml::Table>() else { return };
        OWN.iter().for_each(|own| drop(table.remove(*own)));
        self.add(Part::Configuration, &format!("{table:?}"));
        for (name, value) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            let is_own = |own: &str| name[PREFIX.len()..].to_lowercase().starts_with(&format!("{own}__"));
            if !OWN.iter().any(|own| is_own(own)) {
                self.add(Part::Configuration, &(name, value));
            }
        }
    }

    /// The sum of what belongs to a part; 0 if nothing does.
    pub(super) fn of(&self, part: Part) -> u64 {
        self.sums.get(&part).copied().unwrap_or_default()
    }

    /// As others are told, with the nodes of this fleet.
    pub(super) fn told(&self, fleet: &Fleet) -> BTreeMap<Part, String> {
        let mut all = self.clone();
        all.sums.insert(Part::Nodes, 0);
        for known in fleet.nodes.iter().filter(|known| known.is_configured) {
            all.add(Part::Nodes, &format!("{:?}", known.node));
        }
        all.sums.into_iter().map(|(part, sum)| (part, format!("{sum:016x}"))).collect()
    }
}

/// What a thing adds to the sum of its part, wrapping; the same on all nameservers.
pub(super) fn share(thing: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str, environment: &[(&str, &str)]) -> Parts {
        let mut parts = Parts::default();
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        parts.add_configuration(text, &environment);
        parts
    }

    #[test]
    fn only_what_all_nameservers_share_counts() {
        let text = "[server]\nadmin = \"127.0.0.1:1\"\n[pool.edge]\npolicy = \"planner\"\n";
        let same = parts(text, &[]);
        for other in [
            "[server]\nadmin = \"127.0.0.1:2\"\n[pool.edge]\npolicy = \"planner\"\n",
            "# a comment\n[pool.edge]\npolicy='planner'\n[cluster]\nlisten = \"127.0.0.1:3\"\n",
        ] {
            assert_eq!(parts(other, &[("THALWEG_SERVER__ADMIN", "127.0.0.1:4"), ("HOME", "/")]), same, "{other}");
        }
        assert_ne!(parts("[pool.edge]\npolicy = \"nearest\"\n", &[]), same);
        assert_ne!(parts(text, &[("THALWEG_GEOIP__RTT", "rtt.csv")]), same);
    }

    #[test]
    fn order_does_not_matter() {
        let sum = |texts: &[&str]| {
            let mut parts = Parts::default();
            texts.iter().for_each(|text| parts.add(Part::Zones, text));
            parts
        };
        assert_eq!(sum(&["a", "b"]), sum(&["b", "a"]));
        assert_ne!(sum(&["a", "b"]), sum(&["a", "c"]));
    }
}
