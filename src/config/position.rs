//! `position`: which two of the targets are the position of a series.

use super::alarms::Limit;
use super::key::{Key, Preset};
use super::kinds::{Mixed, Sub, Text, mixed, sub, text};
use super::section::Section;
use crate::domain::{Coordinate, Position, Transform};
use serde_json::Value;

/// The position that receivers report before they know where they are.
const NOWHERE: [f64; 2] = [0.0, 0.0];

pub(super) static POSITION: Key<Sub> = sub(
    "position",
    "Two targets that are a position in degrees. They are learnt in metres north and east of the series' first \
     position, and forecast in degrees, longitudes from -180 to 180. A position that lacks a coordinate, or has one \
     that is not on the earth, is missing as a whole.",
    &[&LATITUDE, &LONGITUDE, &POSITION_MISSING],
);
static LATITUDE: Key<Text> =
    text("latitude", Preset::Required("lat"), "one of `targets`", "The target that is the latitude.");
static LONGITUDE: Key<Text> = text(
    "longitude",
    Preset::Required("lon"),
    "another of `targets`",
    "The target that is the longitude, from -180 to 180 or from 0 to 360.",
);
static POSITION_MISSING: Key<Mixed> = mixed(
    "missing",
    Mixed {
        words: "list of pairs",
        preset: Preset::Is("[[0, 0]]"),
        form: "pairs of a latitude and a longitude",
        schema: r#"{ "type": "array", "items": { "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 } }"#,
    },
    "Positions that mean a missing one; receivers report (0, 0) before they know where they are.",
);

/// The position, and the latitudes and longitudes that mean a missing one.
pub(super) fn position(
    s: &mut Section<'_>,
    targets: &[String],
    transform: Transform,
) -> (Option<Position>, Vec<[f64; 2]>) {
    if s.value(&POSITION).is_none() {
        return (None, Vec::new());
    }
    let mut p = s.section(&POSITION);
    let mut place = |key: &Key<Text>| {
        let name = p.required_text(key);
        let place = targets.iter().position(|target| *target == name);
        if place.is_none() && !name.is_empty() {
            p.fault(key.name, format!("is \"{name}\", which is none of the stream's targets"));
        }
        place
    };
    let (latitude, longitude) = (place(&LATITUDE), place(&LONGITUDE));
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
    let Some(value) = p.value(&POSITION_MISSING) else { return vec![NOWHERE] };
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
