//! How far apart the readings of a series are, and which values only grow.

use super::elements::{Element, Elements, number, text};
use super::places::{Places, instant};
use crate::domain::EventTime;
use std::collections::BTreeMap;

/// Intervals that people choose, in seconds.
const USUAL: [f64; 22] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_200.0, 1_800.0,
    3_600.0, 7_200.0, 21_600.0, 43_200.0, 86_400.0,
];
/// How far from a usual interval the middle one may be.
const NEAR: f64 = 0.2;
/// Where no series has two readings.
const UNKNOWN: &str = "1m";
/// As many steps without a single fall make a count, if at least half of them rise.
const RISES_MIN: usize = 50;

/// How readings follow each other.
pub(super) struct Pace {
    /// A duration as the config has it, or `irregular`.
    pub interval: String,
    /// Targets that only grow.
    pub counters: Vec<String>,
    pub notes: Vec<String>,
}

/// What the readings of one series say.
#[derive(Default)]
struct Track<'a> {
    readings: Vec<(EventTime, &'a Element)>,
}

pub(super) fn guess(elements: &Elements, places: &Places) -> Pace {
    let mut tracks: BTreeMap<String, Track<'_>> = BTreeMap::new();
    for element in elements.all.iter().filter(|element| is_about(element, places)) {
        let time = time(element, places);
        if let Some(time) = time {
            tracks.entry(name(element, places)).or_default().readings.push((time, element));
        }
    }
    tracks.values_mut().for_each(|track| track.readings.sort_by_key(|(time, _)| *time));
    let mut gaps: Vec<f64> = tracks
        .values()
        .flat_map(|track| track.readings.windows(2))
        .map(|pair| pair[1].0.seconds_since(pair[0].0))
        .filter(|gap| *gap > 0.0)
        .collect();
    gaps.sort_by(f64::total_cmp);
    let mut notes = Vec::new();
    let interval = match gaps.get(gaps.len() / 2) {
        None => {
            notes.push(format!(
                "No series has two readings in the sample, so the interval of {UNKNOWN} is no guess: set it."
            ));
            UNKNOWN.to_owned()
        }
        Some(middle) => {
            let length = usual(*middle);
            let fits = |gap: &&f64| {
                let steps = (**gap / length).round().max(1.0);
                (**gap / length - steps).abs() <= NEAR * steps.min(2.0)
            };
            let share = gaps.iter().filter(fits).count() as f64 / gaps.len() as f64;
            if 2.0 * share < 1.0 {
                notes.push(format!(
                    "The readings of a series have no common interval; in the middle {middle:.3} s lie between two."
                ));
                "irregular".to_owned()
            } else {
                written(length)
            }
        }
    };
    let only_grows = |(_, place): &&(String, String)| {
        let (mut rises, mut steps, mut falls) = (0, 0, 0);
        for track in tracks.values() {
            let values = track.readings.iter().filter_map(|(_, element)| number(element.leaves.get(place)?));
            let values: Vec<f64> = values.collect();
            for pair in values.windows(2) {
                steps += 1;
                rises += usize::from(pair[1] > pair[0]);
                falls += usize::from(pair[1] < pair[0]);
            }
        }
        falls == 0 && steps >= RISES_MIN && 2 * rises >= steps
    };
    let counters: Vec<String> =
        places.targets.iter().filter(only_grows).map(|(name, _)| name.clone()).collect();
    if !counters.is_empty() {
        notes.push(format!(
            "Never falls, so it is taken for a count and forecast as its growth: {}. Remove it from `counters` if it is \
             none.",
            counters.join(", ")
        ));
    }
    Pace { interval, counters, notes }
}

fn is_about(element: &Element, places: &Places) -> bool {
    places
        .filter
        .as_ref()
        .is_none_or(|(place, wanted)| element.leaves.get(place).is_some_and(|value| text(value) == *wanted))
}

fn time(element: &Element, places: &Places) -> Option<EventTime> {
    let own = match &places.time {
        Some(place) => return instant(element.leaves.get(place)?),
        None => ["/timestamp", "/time", "/ts"].iter().find_map(|place| element.leaves.get(*place)),
    };
    own.and_then(instant).or(element.record_time)
}

/// As the stream would name it, or at least as distinct.
fn name(element: &Element, places: &Places) -> String {
    if let Some(series) = &places.series {
        return series
            .iter()
            .filter_map(|place| element.leaves.get(place))
            .map(text)
            .collect::<Vec<_>>()
            .join("/");
    }
    let is_label = |place: &str| {
        ["/tags/", "/labels/", "/attributes/", "/resource/"].iter().any(|under| place.starts_with(under))
            || place == "/name"
            || place == "/device"
    };
    let labels = element.leaves.iter().filter(|(place, _)| is_label(place));
    let labels: String = labels.map(|(place, value)| format!("{place}={},", text(value))).collect();
    if labels.is_empty() { element.key.clone().unwrap_or_default() } else { labels }
}

/// The usual interval near this length, or the length itself in whole seconds or milliseconds.
fn usual(length: f64) -> f64 {
    let near = USUAL.into_iter().filter(|usual| (length / usual - 1.0).abs() <= NEAR);
    let nearest = near.min_by(|a, b| (length - a).abs().total_cmp(&(length - b).abs()));
    nearest.unwrap_or_else(
        || {
            if length >= 1.0 { length.round() } else { (length * 1e3).round().max(1.0) / 1e3 }
        },
    )
}

/// A length in seconds as the config writes it.
fn written(length: f64) -> String {
    let millis = (length * 1e3).round() as u64;
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(size, _)| millis.is_multiple_of(*size));
    unit.map_or_else(|| format!("{millis}ms"), |(size, unit)| format!("{}{unit}", millis / size))
}
