//! Chance, from a seed: the same numbers on every machine.

use crate::steer::mix;

/// A stream of random numbers: xoshiro256++ (Blackman, Vigna: Scrambled Linear Pseudorandom Number Generators, 2021).
#[derive(Debug, Clone)]
pub struct Dice {
    state: [u64; 4],
}

impl Dice {
    /// The stream of this number among those of a seed; streams do not disturb each other.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut last = mix(seed ^ mix(stream));
        Self {
            state: std::array::from_fn(|_| {
                last = mix(last);
                last
            }),
        }
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number in [0, 1).
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number in [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number below `bound`, which is not 0.
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        // The bias of one part in 2^32 is of no weight here.
        (((self.bits() >> 32) * bound as u64) >> 32) as usize
    }

    /// Whether something of this probability happens.
    #[inline]
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Exponential with mean 1.
    #[inline]
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Normal with mean 0 and deviation 1 (Box and Muller, 1958).
    #[inline]
    pub fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// An index drawn in proportion to weights; the last one if rounding leaves a rest, none if no weight is above 0.
    pub fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> Option<usize> {
        let total: f64 = weights.clone().sum();
        if total <= 0.0 {
            return None;
        }
        let mut rest = self.unit() * total;
        let mut last = None;
        for (index, weight) in weights.enumerate().filter(|(_, weight)| *weight > 0.0) {
            last = Some(index);
            rest -= weight;
            if rest < 0.0 {
                break;
            }
        }
        last
    }
}

/// A lognormal distribution of durations, none longer than a bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sessions {
    mu: f64,
    sigma: f64,
    longest: f64,
}

impl Sessions {
    /// The distribution that has this mean in seconds before the bound cuts it.
    pub(super) fn new(mean: f64, sigma: f64, longest: f64) -> Self {
        Self { mu: mean.ln() - sigma * sigma / 2.0, sigma, longest }
    }

    /// The mean with the bound, in seconds.
    pub(super) fn mean(&self) -> f64 {
        let Self { mu, sigma, longest } = *self;
        let z = (longest.ln() - mu) / sigma;
        (mu + sigma * sigma / 2.0).exp() * normal_cdf(z - sigma) + longest * (1.0 - normal_cdf(z))
    }

    /// How long a new session lasts, in seconds.
    #[inline]
    pub(super) fn draw(&self, dice: &mut Dice) -> f64 {
        (self.mu + self.sigma * dice.normal()).exp().min(self.longest)
    }

    /// How long a session that is met in progress will still last, in seconds: long ones are met more often.
    pub(super) fn residual(&self, dice: &mut Dice) -> f64 {
        let Self { mu, sigma, longest } = *self;
        loop {
            // Weighted by its length, a lognormal is a lognormal again, moved by sigma².
            let length = (mu + sigma * sigma + sigma * dice.normal()).exp();
            // What the bound cuts off has the weight of the bound, not of the length it would have had.
            if length <= longest || dice.happens(longest / length) {
                return length.min(longest) * dice.unit();
            }
        }
    }
}

/// Distribution function of the normal, to 1.5e-7 (Abramowitz, Stegun: 7.1.26).
fn normal_cdf(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let erf = 1.0 - series.iter().fold(0.0, |sum, coefficient| (sum + coefficient) * t) * (-x * x).exp();
    if z >= 0.0 { (1.0 + erf) / 2.0 } else { (1.0 - erf) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_have_the_mean_they_say() {
        let (sessions, mut dice) = (Sessions::new(3600.0, 1.0, 20_000.0), Dice::new(7, 0));
        let mean = (0..400_000).map(|_| sessions.draw(&mut dice)).sum::<f64>() / 400_000.0;
        assert!((mean / sessions.mean() - 1.0).abs() < 0.01, "{mean} for {}", sessions.mean());
        assert!(sessions.mean() < 3600.0);
    }

    #[test]
    fn sessions_in_progress_last_as_renewal_theory_says() {
        let (sessions, mut dice) = (Sessions::new(2400.0, 1.0, 1e9), Dice::new(7, 1));
        let mean = (0..400_000).map(|_| sessions.residual(&mut dice)).sum::<f64>() / 400_000.0;
        // E[X²] / 2 E[X], which is m e^(sigma²) / 2 for a lognormal.
        let expected = 2400.0 * 1_f64.exp() / 2.0;
        assert!((mean / expected - 1.0).abs() < 0.03, "{mean} for {expected}");
    }

    #[test]
    fn weights_are_kept() {
        let mut dice = Dice::new(1, 2);
        let mut counts = [0_i32; 4];
        for _ in 0..60_000 {
            counts[dice.weighted([1.0, 0.0, 2.0, 3.0].into_iter()).unwrap()] += 1;
        }
        assert!(counts[1] == 0 && (counts[0] - 10_000).abs() < 400 && (counts[3] - 30_000).abs() < 600);
        assert_eq!(dice.weighted([0.0, 0.0].into_iter()), None);
    }
}
