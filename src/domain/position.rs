/// The longest way around the earth, in degrees.
const TURN: f64 = 360.0;

/// A degree of a meridian, in metres, on a sphere of the earth's mean radius of 6,371,008.8 m (R1 of
/// Moritz 2000, "Geodetic Reference System 1980").
const DEGREE: f64 = 6_371_008.8 * std::f64::consts::PI / 180.0;
/// The least length of a degree of longitude relative to one of latitude: that at 89.94°.
const COSINE_LEAST: f64 = 1e-3;

/// Two targets that form a position in degrees, by their indices among the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Index of the latitude among the targets.
    pub latitude: usize,
    /// Index of the longitude among the targets.
    pub longitude: usize,
}

/// One coordinate of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinate {
    /// Degrees to the north.
    Latitude,
    /// Degrees to the east.
    Longitude,
}

impl Position {
    /// Which coordinate a target is; `None` for any other target.
    pub fn coordinate(self, target: usize) -> Option<Coordinate> {
        match target {
            _ if target == self.latitude => Some(Coordinate::Latitude),
            _ if target == self.longitude => Some(Coordinate::Longitude),
            _ => None,
        }
    }

    /// A target of a reading; NaN if it is missing. A position is present as a whole or not at all: if a coordinate
    /// is missing or out of range, both are missing. Ships send 91° and 181° for an unknown position.
    pub fn of(self, values: &[f64], target: usize) -> f64 {
        let is_whole = Coordinate::Latitude.has(values[self.latitude])
            && Coordinate::Longitude.has(values[self.longitude]);
        if is_whole || self.coordinate(target).is_none() { values[target] } else { f64::NAN }
    }

    /// A target's value; of the equivalent longitudes the one nearest to `said`.
    pub fn around(self, target: usize, value: f64, said: f64) -> f64 {
        if target == self.longitude { next_to(value, said) } else { value }
    }
}

impl Coordinate {
    /// The length of a degree in metres; for longitude at the given latitude.
    pub fn metres_per_degree(self, latitude: f64) -> f64 {
        match self {
            Self::Latitude => DEGREE,
            Self::Longitude => DEGREE * latitude.to_radians().cos().max(COSINE_LEAST),
        }
    }

    /// Whether the coordinate is in range; longitudes may be counted from −180 or from 0.
    pub fn has(self, degrees: f64) -> bool {
        match self {
            Self::Latitude => degrees.abs() <= 90.0,
            Self::Longitude => (-180.0..=TURN).contains(&degrees),
        }
    }
}

/// Of the equivalent longitudes the one nearest to another longitude.
pub(super) fn next_to(longitude: f64, other: f64) -> f64 {
    longitude + TURN * ((other - longitude) / TURN).round()
}

/// The value to add to a longitude so that it lies in [−180, 180).
pub(super) fn turn(longitude: f64) -> f64 {
    let turn = -TURN * ((longitude + 180.0) / TURN).floor();
    // A hair beside ±180 the sum rounds to the other side.
    match longitude + turn {
        told if told >= 180.0 => turn - TURN,
        told if told < -180.0 => turn + TURN,
        _ => turn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longitudes_lie_within_a_turn() {
        for (longitude, want) in [
            (0.0, 0.0),
            (179.99, 179.99),
            (180.0, -180.0),
            (-180.0, -180.0),
            (350.0, -10.0),
            (-190.0, 170.0),
            (720.5, 0.5),
        ] {
            let got = longitude + turn(longitude);
            assert!((got - want).abs() < 1e-9 && (-180.0..180.0).contains(&got), "{got} for {longitude}");
        }
        for longitude in
            [-180.0f64, 180.0, -540.0, 900.0].into_iter().flat_map(|l| [l.next_down(), l.next_up()])
        {
            assert!((-180.0..180.0).contains(&(longitude + turn(longitude))), "{longitude}");
        }
        assert!((next_to(-179.99, 179.99) - 180.01).abs() < 1e-9);
        assert!((next_to(179.99, -540.0) + 540.01).abs() < 1e-9);
        assert!(turn(f64::NAN).is_nan());
    }

    #[test]
    fn a_position_is_whole_or_missing() {
        let position = Position { latitude: 1, longitude: 0 };
        let all = |values: [f64; 3]| [0, 1, 2].map(|target| position.of(&values, target));
        assert_eq!(all([350.0, -90.0, 7.0]), [350.0, -90.0, 7.0]);
        for values in [
            [f64::NAN, 1.0, 7.0],
            [1.0, f64::NAN, 7.0],
            [181.0, 91.0, 7.0],
            [-180.1, 0.0, 7.0],
            [361.0, 0.0, 7.0],
        ] {
            let [longitude, latitude, speed] = all(values);
            assert!(longitude.is_nan() && latitude.is_nan() && speed == 7.0, "{values:?}");
        }
    }
}
