//! How long resolvers really kept answers: the times between two queries of one key, counted in classes.

/// Upper bounds of the classes in seconds; one more class has what is above.
pub const GAP_BOUNDS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// A histogram of the effective TTLs of resolvers: of the times between two queries of one key, those left out that came
/// before the answer can have expired.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GapHistogram {
    /// How many were within each bound and above the one before; the last, above all bounds.
    pub counts: [u64; GAP_BOUNDS.len() + 1],
    /// Sum of all of them, in seconds.
    pub sum: f64,
}

impl GapHistogram {
    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Self) {
        let Self { counts, sum } = other;
        self.counts.iter_mut().zip(counts).for_each(|(mine, theirs)| *mine += theirs);
        self.sum += sum;
    }

    #[inline]
    pub(super) fn add(&mut self, seconds: f32) {
        let seconds = f64::from(seconds);
        self.counts[GAP_BOUNDS.iter().filter(|&&bound| seconds > bound).count()] += 1;
        self.sum += seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_counted_below_the_bound_that_it_does_not_exceed() {
        let (mut histogram, mut other) = (GapHistogram::default(), GapHistogram::default());
        [0.0, 1.0, 14.0, 15.0, 15.5].into_iter().for_each(|gap| histogram.add(gap));
        [600.0, 601.0].into_iter().for_each(|gap| other.add(gap));
        histogram.merge(&other);
        assert_eq!(histogram.counts, [2, 0, 0, 0, 2, 1, 0, 0, 0, 0, 1, 1]);
        assert_eq!(histogram.sum, 1246.5);
    }
}
