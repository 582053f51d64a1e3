use super::position::{next_to, turn};
use super::{Coordinate, Transform};

/// The scale on which a target of a series is kept, and the way back to its own unit.
///
/// A target is kept transformed, less an anchor. A coordinate of a position is kept in metres north or east of its
/// anchor, in the equirectangular projection: the metre of a degree of longitude is that of the latitude where the
/// series was first seen, wherever it goes. Longitudes are kept unwound, so that a way around the earth makes no jump,
/// and are given back in [−180, 180).
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    transform: Transform,
    anchor: f64,
    /// What one of the target's units is worth as it is held.
    per_unit: f64,
    coordinate: Option<Coordinate>,
}

impl Frame {
    /// The scale of a target that is no coordinate.
    pub fn new(transform: Transform, anchor: f64) -> Self {
        Self { transform, anchor, per_unit: 1.0, coordinate: None }
    }

    /// The scale of a coordinate; `latitude` gives the metres of a degree of longitude.
    pub fn of_position(coordinate: Coordinate, anchor: f64, latitude: f64) -> Self {
        let per_unit = coordinate.metres_per_degree(latitude);
        Self { transform: Transform::None, anchor, per_unit, coordinate: Some(coordinate) }
    }

    fn bent(self, held: f32) -> f64 {
        f64::from(held) / self.per_unit + self.anchor
    }

    /// The anchor by which a value, which was held as `from`, is held as `to`.
    pub fn anchor_between(self, value: f64, [from, to]: [f32; 2]) -> f64 {
        let bent = self.transform.apply(value);
        let bent = match self.coordinate {
            Some(Coordinate::Longitude) => next_to(bent, self.bent(from)),
            _ => bent,
        };
        bent - f64::from(to) / self.per_unit
    }

    /// The anchor by which a value is held as `held`.
    pub fn anchor_of(self, value: f64, held: f32) -> f64 {
        self.transform.apply(value) - f64::from(held) / self.per_unit
    }

    /// The same with another anchor.
    pub fn with_anchor(self, anchor: f64) -> Self {
        Self { anchor, ..self }
    }

    /// By how much higher everything is held in another frame of the same target.
    pub fn higher_in(self, other: Self) -> f32 {
        ((self.anchor - other.anchor) * self.per_unit) as f32
    }

    /// A value as it is held. `near`: where the series was, as it is held, which says how often a longitude
    /// has gone around.
    pub fn hold(self, value: f64, near: f32) -> f64 {
        self.hold_bent(self.transform.apply(value), near)
    }

    /// As [`Self::hold`], of a value that is bent already.
    pub fn hold_bent(self, bent: f64, near: f32) -> f64 {
        let bent = match self.coordinate {
            Some(Coordinate::Longitude) => next_to(bent, self.bent(near)),
            _ => bent,
        };
        (bent - self.anchor) * self.per_unit
    }

    /// What is held in the target's own units: finite where that is.
    pub fn tell(self, held: f32) -> f64 {
        self.in_range(self.transform.undo(self.bent(held)))
    }

    /// As [`Self::tell`], for what goes around a point, as its quantiles do: never falling. A longitude is
    /// that next to the point's, and so may lie outside of [−180, 180).
    pub fn tell_around(self, held: f32, point: f32) -> f64 {
        match self.coordinate {
            Some(Coordinate::Longitude) => self.bent(held) + turn(self.bent(point)),
            _ => self.tell(held),
        }
    }

    /// A value of the target as it is told: a longitude in [−180, 180), a latitude no further than the pole.
    pub fn in_range(self, value: f64) -> f64 {
        match self.coordinate {
            None => value,
            Some(Coordinate::Latitude) => value.clamp(-90.0, 90.0),
            Some(Coordinate::Longitude) => value + turn(value),
        }
    }

    /// How many of the target's units a small step is worth at a value, as both are held.
    pub fn slope(self, held: f32) -> f64 {
        self.transform.slope(self.bent(held)) / self.per_unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_held_in_metres_and_told_in_degrees() {
        // A second of arc is 30.887 m on the sphere; half as much to the east at 60°.
        let north = Frame::of_position(Coordinate::Latitude, 60.0, 60.0);
        let east = Frame::of_position(Coordinate::Longitude, 179.999_9, 60.0);
        let second = 1.0 / 3_600.0;
        assert!((north.hold(60.0 + second, 0.0) - 30.887).abs() < 1e-3);
        let held = east.hold(-180.0 + second - 1e-4, 0.0);
        assert!((held - 15.444).abs() < 1e-3, "{held}");
        assert!((east.tell(held as f32) - (-180.0 + second - 1e-4)).abs() < 1e-9);
        assert!((east.tell_around(0.0, held as f32) + 180.000_1).abs() < 1e-9);
        assert!((east.tell_around(held as f32, 0.0) - (180.0 + second - 1e-4)).abs() < 1e-9);
        assert!((east.slope(0.0) * 15.443_6 - second).abs() < 1e-7);
    }

    #[test]
    fn all_is_finite_at_the_pole_and_beyond() {
        for latitude in [-90.0, 90.0] {
            let north = Frame::of_position(Coordinate::Latitude, latitude, latitude);
            let east = Frame::of_position(Coordinate::Longitude, 0.0, latitude);
            for held in [-1e15, -1e5, 0.0, 3.0, 1e15] {
                assert!(north.tell(held).abs() <= 90.0);
                let (told, around) = (east.tell(held), east.tell_around(held, 0.0));
                assert!((-180.0..180.0).contains(&told) && around.is_finite(), "{told} {around}");
            }
            assert!(east.hold(180.0, 0.0).is_finite() && east.slope(0.0).is_finite());
        }
    }
}
