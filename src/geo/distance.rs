//! Distances on the globe, and the round trips they make likely.
#![deny(clippy::disallowed_methods)]

use super::Position;

/// The mean radius of the earth.
const EARTH_KILOMETRES: f64 = 6371.0;

impl Position {
    /// Great-circle distance in kilometres.
    pub fn kilometres_to(self, other: Self) -> f64 {
        let (from, to) = (self.radians(), other.radians());
        // The haversine keeps its precision for neighbours, where the law of cosines loses it.
        let half = |angle: f64| (angle / 2.0).sin().powi(2);
        let haversine = half(to.0 - from.0) + from.0.cos() * to.0.cos() * half(to.1 - from.1);
        2.0 * EARTH_KILOMETRES * haversine.clamp(0.0, 1.0).sqrt().asin()
    }

    /// The middle of positions on the sphere, each with its weight; none if they have none.
    pub fn mean(positions: impl IntoIterator<Item = (Self, f64)>) -> Option<Self> {
        let mut sum = [0.0; 3];
        for (position, weight) in positions {
            let (latitude, longitude) = position.radians();
            sum[0] += weight * latitude.cos() * longitude.cos();
            sum[1] += weight * latitude.cos() * longitude.sin();
            sum[2] += weight * latitude.sin();
        }
        let [x, y, z] = sum;
        // Opposite points cancel each other out: any direction that is left is rounding.
        let is_somewhere = x.hypot(y).hypot(z) > 1e-9;
        is_somewhere.then(|| Self { latitude: z.atan2(x.hypot(y)).to_degrees(), longitude: y.atan2(x).to_degrees() })
    }

    /// A position if both degrees are in range.
    pub(super) fn checked(latitude: f64, longitude: f64) -> Option<Self> {
        let is_valid = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        is_valid.then_some(Self { latitude, longitude })
    }

    fn radians(self) -> (f64, f64) {
        (self.latitude.to_radians(), self.longitude.to_radians())
    }
}

/// The round trip to expect over a great-circle distance, in milliseconds: 10, and 1 for each 100 km.
///
/// Light in fibre needs 1 ms for 100 km and back; the rest is last miles and detours.
pub fn estimated_rtt(kilometres: f64) -> f64 {
    10.0 + kilometres / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRANKFURT: Position = Position { latitude: 50.1, longitude: 8.7 };
    const NEW_YORK: Position = Position { latitude: 40.7, longitude: -74.0 };
    const SYDNEY: Position = Position { latitude: -33.9, longitude: 151.2 };

    #[test]
    fn distances_are_those_of_the_atlas() {
        for (from, to, kilometres) in [(FRANKFURT, NEW_YORK, 6200.0), (FRANKFURT, SYDNEY, 16_490.0)] {
            let distance = from.kilometres_to(to);
            assert!((distance - kilometres).abs() < 50.0, "{distance}");
            assert!((distance - to.kilometres_to(from)).abs() < 1e-6);
        }
        assert_eq!(FRANKFURT.kilometres_to(FRANKFURT), 0.0);
    }

    #[test]
    fn the_date_line_is_no_edge() {
        let (west, east) =
            (Position { latitude: 0.0, longitude: 179.0 }, Position { latitude: 0.0, longitude: -179.0 });
        assert!(west.kilometres_to(east) < 223.0);
        let middle = Position::mean([(west, 1.0), (east, 1.0)]).unwrap();
        assert!((middle.longitude.abs() - 180.0).abs() < 1e-6, "{middle:?}");
    }

    #[test]
    fn weights_pull_the_mean() {
        let middle = Position::mean([(FRANKFURT, 1.0), (NEW_YORK, 1.0)]).unwrap();
        let nearer = Position::mean([(FRANKFURT, 3.0), (NEW_YORK, 1.0)]).unwrap();
        assert!(nearer.kilometres_to(FRANKFURT) < middle.kilometres_to(FRANKFURT));
    }

    #[test]
    fn nothing_and_opposites_have_no_middle() {
        let (pole, other) = (Position { latitude: 90.0, longitude: 0.0 }, Position { latitude: -90.0, longitude: 0.0 });
        assert_eq!(Position::mean([]), None);
        assert_eq!(Position::mean([(pole, 1.0), (other, 1.0)]), None);
    }

    #[test]
    fn a_round_trip_grows_by_a_millisecond_each_100_kilometres() {
        assert_eq!(estimated_rtt(0.0), 10.0);
        assert_eq!(estimated_rtt(6200.0), 72.0);
    }
}
