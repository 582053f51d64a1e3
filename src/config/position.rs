//! `position`: which two of the targets are where a series is.

use super::alarms::Limit;
use super::section::Section;
use crate::domain::{Coordinate, Position, Transform};

pub(super) fn position(s: &mut Section<'_>, targets: &[String], transform: Transform) -> Option<Position> {
    s.value("position")?;
    let mut p = s.section("position");
    let mut place = |key: &str, example: &str| {
        let name = p.required_text(key, example);
        let place = targets.iter().position(|target| *target == name);
        if place.is_none() && !name.is_empty() {
            p.fault(key, format!("is \"{name}\", which is none of the stream's targets"));
        }
        place
    };
    let (latitude, longitude) = (place("latitude", "\"lat\""), place("longitude", "\"lon\""));
    if latitude.is_some() && latitude == longitude {
        p.fault("longitude", "is the same target as the latitude");
        return None;
    }
    p.finish();
    if transform != Transform::None {
        s.fault(
            "position",
            format!("is in degrees, which transform = \"{}\" would bend", transform.as_str()),
        );
    }
    Some(Position { latitude: latitude?, longitude: longitude? })
}

/// Limits of a position must lie on the earth.
pub(super) fn check_limits(s: &Section<'_>, position: Option<Position>, limits: &[Limit]) {
    for limit in limits {
        match position.and_then(|p| p.coordinate(limit.target)) {
            Some(coordinate) if !coordinate.has(limit.value) => {
                let range = match coordinate {
                    Coordinate::Latitude => "latitude: it must lie from -90 to 90",
                    Coordinate::Longitude => "longitude: it must lie from -180 to 360",
                };
                s.fault("limits", format!("has {}, which is no {range}", limit.value));
            }
            _ => {}
        }
    }
}
