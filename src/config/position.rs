//! `position`: which two of the targets are where a series is.

use super::alarms::Limit;
use super::section::Section;
use crate::domain::{Coordinate, Position, Transform};
use serde_json::Value;

/// Where receivers say that they are before they know: nobody forecasts from there.
const NOWHERE: [f64; 2] = [0.0, 0.0];

/// The position, and the latitudes and longitudes that stand for none.
pub(super) fn position(
    s: &mut Section<'_>,
    targets: &[String],
    transform: Transform,
) -> (Option<Position>, Vec<[f64; 2]>) {
    if s.value("position").is_none() {
        return (None, Vec::new());
    }
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
        return (None, Vec::new());
    }
    let missing = pairs(&mut p);
    p.finish();
    if transform != Transform::None {
        s.fault(
            "position",
            format!("is in degrees, which transform = \"{}\" would bend", transform.as_str()),
        );
    }
    let position = latitude.zip(longitude).map(|(latitude, longitude)| Position { latitude, longitude });
    (position, missing)
}

/// `missing`: a list of latitudes and longitudes.
fn pairs(p: &mut Section<'_>) -> Vec<[f64; 2]> {
    let Some(value) = p.value("missing") else { return vec![NOWHERE] };
    let pair = |item: &Value| -> Option<[f64; 2]> {
        let degrees: Vec<f64> = item.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
        degrees.try_into().ok()
    };
    let pairs = value.as_array().and_then(|items| items.iter().map(pair).collect());
    pairs.unwrap_or_else(|| {
        p.fault(
            "missing",
            format!("is {value}; it must be a list of pairs of a latitude and a longitude, like [[0, 0]]"),
        );
        Vec::new()
    })
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
