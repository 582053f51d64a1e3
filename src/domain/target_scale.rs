use super::position::{next_to, turn};
use super::{Coordinate, Transform};

/// How a target of a series is held in memory, and converted back for output.
///
/// A value is held after its transform, relative to an anchor. A coordinate of a position is held in metres to the
/// north or east of its anchor, on the plane that touches the parallel there (equirectangular): a metre of longitude
/// is that of the latitude where the series was first seen, wherever it goes. Longitudes are held unwound, so a way
/// around the earth makes no jump, and converted back into [−180, 180).
#[derive(Clone, Copy, Debug)]
pub struct TargetScale {
    transform: Transform,
    anchor: f64,
    /// The held length of one unit of the target.
    per_unit: f64,
    coordinate: Option<Coordinate>,
}

impl TargetScale {
    /// For a target that is no coordinate of a position.
    pub fn new(transform: Transform, anchor: f64) -> Self {
        Self { transform, anchor, per_unit: 1.0, coordinate: None }
    }

    /// For a coordinate of a position; `latitude` defines the metre of longitude.
    pub fn of_position(coordinate: Coordinate, anchor: f64, latitude: f64) -> Self {
        let per_unit = coordinate.metres_per_degree(latitude);
        Self { transform: Transform::None, anchor, per_unit, coordinate: Some(coordinate) }
    }

    fn transformed(self, held: f32) -> f64 {
        f64::from(held) / self.per_unit + self.anchor
    }

    /// The anchor with which a value that was held as `from` is held as `to`.
    pub fn anchor_between(self, value: f64, [from, to]: [f32; 2]) -> f64 {
        let transformed = self.transform.apply(value);
        let transformed = match self.coordinate {
            Some(Coordinate::Longitude) => next_to(transformed, self.transformed(from)),
            _ => transformed,
        };
        transformed - f64::from(to) / self.per_unit
    }

    /// The anchor with which a value is held as `held`.
    pub fn anchor_of(self, value: f64, held: f32) -> f64 {
        self.transform.apply(value) - f64::from(held) / self.per_unit
    }

    /// The same with another anchor.
    pub fn with_anchor(self, anchor: f64) -> Self {
        Self { anchor, ..self }
    }

    /// How much higher all values are held in another frame of the same target.
    pub fn higher_in(self, other: Self) -> f32 {
        ((self.anchor - other.anchor) * self.per_unit) as f32
    }

    /// Converts a value to its held form. `near` is the last held value of the series; it decides which of the
    /// equivalent longitudes is meant.
    pub fn hold(self, value: f64, near: f32) -> f64 {
        self.hold_transformed(self.transform.apply(value), near)
    }

    /// As [`Self::hold`], for a value after its transform.
    pub fn hold_transformed(self, transformed: f64, near: f32) -> f64 {
        let transformed = match self.coordinate {
            Some(Coordinate::Longitude) => next_to(transformed, self.transformed(near)),
            _ => transformed,
        };
        (transformed - self.anchor) * self.per_unit
    }

    /// Converts a held value back to the target's units; finite if the held value is.
    pub fn to_units(self, held: f32) -> f64 {
        self.in_range(self.transform.undo(self.transformed(held)))
    }

    /// As [`Self::to_units`], for values around a point such as its quantiles: it never decreases. A longitude is the
    /// one nearest to the point, so it may lie outside of [−180, 180).
    pub fn to_units_around(self, held: f32, point: f32) -> f64 {
        match self.coordinate {
            Some(Coordinate::Longitude) => self.transformed(held) + turn(self.transformed(point)),
            _ => self.to_units(held),
        }
    }

    /// Limits a value of the target to the range of output: a longitude to [−180, 180), a latitude to the poles.
    pub fn in_range(self, value: f64) -> f64 {
        match self.coordinate {
            None => value,
            Some(Coordinate::Latitude) => value.clamp(-90.0, 90.0),
            Some(Coordinate::Longitude) => value + turn(value),
        }
    }

    /// The size of a small held step at a held value, in the target's units per held unit.
    pub fn slope(self, held: f32) -> f64 {
        self.transform.slope(self.transformed(held)) / self.per_unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_held_in_metres_and_told_in_degrees() {
        // A second of arc is 30.887 m on the sphere; half as much to the east at 60°.
        let north = TargetScale::of_position(Coordinate::Latitude, 60.0, 60.0);
        let east = TargetScale::of_position(Coordinate::Longitude, 179.999_9, 60.0);
        let second = 1.0 / 3_600.0;
        assert!((north.hold(60.0 + second, 0.0) - 30.887).abs() < 1e-3);
        let held = east.hold(-180.0 + second - 1e-4, 0.0);
        assert!((held - 15.444).abs() < 1e-3, "{held}");
        assert!((east.to_units(held as f32) - (-180.0 + second - 1e-4)).abs() < 1e-9);
        assert!((east.to_units_around(0.0, held as f32) + 180.000_1).abs() < 1e-9);
        assert!((east.to_units_around(held as f32, 0.0) - (180.0 + second - 1e-4)).abs() < 1e-9);
        assert!((east.slope(0.0) * 15.443_6 - second).abs() < 1e-7);
    }

    #[test]
    fn all_is_finite_at_the_pole_and_beyond() {
        for latitude in [-90.0, 90.0] {
            let north = TargetScale::of_position(Coordinate::Latitude, latitude, latitude);
            let east = TargetScale::of_position(Coordinate::Longitude, 0.0, latitude);
            for held in [-1e15, -1e5, 0.0, 3.0, 1e15] {
                assert!(north.to_units(held).abs() <= 90.0);
                let (told, around) = (east.to_units(held), east.to_units_around(held, 0.0));
                assert!((-180.0..180.0).contains(&told) && around.is_finite(), "{told} {around}");
            }
            assert!(east.hold(180.0, 0.0).is_finite() && east.slope(0.0).is_finite());
        }
    }
}
