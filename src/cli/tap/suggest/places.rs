//! Which place is the time, which names the series, and which are values.

use super::elements::{Elements, number, text};
use super::format::Shape;
use crate::config::Format;
use crate::console::Failure;
use crate::domain::EventTime;
use serde_json::Value;
use std::collections::BTreeMap;

/// The most targets that are suggested.
const TARGETS_MAX: usize = 8;

/// Names that say which thing a reading is of, the likelier first.
const SERIES_NAMES: [&str; 34] = [
    "series",
    "series_id",
    "seriesid",
    "device_id",
    "deviceid",
    "device",
    "sensor_id",
    "sensorid",
    "sensor",
    "meter_id",
    "meterid",
    "meter",
    "id",
    "entity_id",
    "asset_id",
    "asset",
    "machine_id",
    "machine",
    "station_id",
    "station",
    "node",
    "host",
    "hostname",
    "instance",
    "serial",
    "serial_number",
    "uuid",
    "mac",
    "eui",
    "dev_eui",
    "vehicle",
    "location",
    "room",
    "name",
];
/// Names of what an element's only value is.
const VALUE_NAMES: [&str; 9] =
    ["metric", "measurement", "parameter", "channel", "variable", "field", "property", "tag", "signal"];
/// Names of a time.
const TIME_NAMES: [&str; 16] = [
    "timestamp",
    "@timestamp",
    "ts",
    "time",
    "datetime",
    "date_time",
    "event_time",
    "eventtime",
    "created_at",
    "measured_at",
    "recorded_at",
    "observed_at",
    "date",
    "epoch",
    "t",
    "when",
];
/// Numbers with these names count records or name things, and are not measured.
const NOT_MEASURED: [&str; 8] =
    ["seq", "sequence", "seqno", "version", "offset", "partition", "index", "row"];

/// Where the parts of a reading lie.
pub(super) struct Places {
    pub records: Option<String>,
    /// None: what the format says.
    pub series: Option<Vec<String>>,
    /// None: what the format says.
    pub time: Option<String>,
    /// Names and places.
    pub targets: Vec<(String, String)>,
    /// Whether the places of targets are those that the format has anyway.
    pub are_usual: bool,
    /// What an element must have.
    pub filter: Option<(String, String)>,
    pub notes: Vec<String>,
}

impl Places {
    /// # Errors
    /// When no place has numbers.
    pub fn guess(elements: &Elements, shape: &Shape) -> Result<Self, Failure> {
        let mut places = Self {
            records: elements.records.clone(),
            series: None,
            time: None,
            targets: Vec::new(),
            are_usual: true,
            filter: None,
            notes: Vec::new(),
        };
        match shape.format {
            Format::TelegrafJson | Format::Influx => {
                places.most_frequent_name(elements);
                places.fields(elements, "/fields/");
            }
            Format::Thingsboard => places.fields(elements, "/values/"),
            Format::OtlpProto | Format::OtlpJson | Format::PrometheusJson | Format::PrometheusRemoteWrite => {
                let name = places.most_frequent_name(elements);
                places.targets.push((name, "/value".to_owned()));
            }
            Format::Plain => places.targets.push(("value".to_owned(), "/value".to_owned())),
            _ => places.free(elements),
        }
        if places.targets.is_empty() {
            let seen: Vec<&str> = elements.columns.iter().map(|(place, _)| place.as_str()).take(20).collect();
            return Err(Failure::new(format!(
                "the records have no numbers that could be forecast; there are: {}",
                seen.join(", ")
            )));
        }
        Ok(places)
    }

    /// Takes the metric that most elements are about, and leaves the others to streams of their own.
    fn most_frequent_name(&mut self, elements: &Elements) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for element in &elements.all {
            // A metric without a number is no candidate.
            let has_number = element.leaves.iter().any(|(place, value)| {
                (place == "/value" || place.starts_with("/fields/")) && number(value).is_some()
            });
            if let Some(name) = element.leaves.get("/name").filter(|_| has_number) {
                *counts.entry(text(name)).or_default() += 1;
            }
        }
        let most = counts.iter().max_by_key(|(name, count)| (**count, std::cmp::Reverse((*name).clone())));
        let Some((name, _)) = most.map(|(name, count)| (name.clone(), *count)) else {
            return "value".to_owned();
        };
        if counts.len() > 1 {
            let others: Vec<&str> =
                counts.keys().filter(|other| **other != name).map(String::as_str).take(12).collect();
            self.notes.push(format!(
                "There are {} kinds of readings, and this stream is about {name}; make a stream for each other that \
                 you want: {}.",
                counts.len(),
                others.join(", ")
            ));
        }
        self.filter = Some(("/name".to_owned(), name.clone()));
        name
    }

    fn fields(&mut self, elements: &Elements, under: &str) {
        let about = |element: &&super::elements::Element| {
            self.filter.as_ref().is_none_or(|(place, name)| {
                element.leaves.get(place).is_some_and(|value| text(value) == *name)
            })
        };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut total = 0;
        for element in elements.all.iter().filter(about) {
            total += 1;
            for (place, value) in &element.leaves {
                // Deeper values have no usual place.
                let name = place.strip_prefix(under).filter(|name| !name.contains('/'));
                if name.is_some() && number(value).is_some() {
                    *counts.entry(place).or_default() += 1;
                }
            }
        }
        let frequent = |place: &&String| counts.get(place.as_str()).is_some_and(|count| 2 * count >= total);
        let found: Vec<String> =
            elements.columns.iter().map(|(place, _)| place).filter(frequent).cloned().collect();
        let names = found.iter().map(|place| (unescaped(&place[under.len()..]), place.clone())).collect();
        self.take(names);
    }

    /// Objects of no known shape.
    fn free(&mut self, elements: &Elements) {
        self.time = time(elements);
        if self.time.is_none() {
            self.notes
                .push("No field looks like a time, so a reading has the time of its record.".to_owned());
        }
        let only_value =
            elements.columns.iter().filter(|(place, _)| self.is_measured(elements, place)).count() == 1;
        self.series = series(elements, self.time.as_deref(), only_value);
        if self.series.is_none() {
            let has_keys = elements.all.iter().filter(|element| element.key.is_some()).count();
            self.notes.push(match has_keys {
                0 => "No field names the series, and the records have no keys: say in fields.series which field does."
                    .to_owned(),
                _ => "The series is named by the record's key.".to_owned(),
            });
        }
        let measured: Vec<&String> = elements
            .columns
            .iter()
            .map(|(place, _)| place)
            .filter(|place| self.is_measured(elements, place))
            .collect();
        let varies =
            |place: &&&String| elements.column(place).is_some_and(|column| column.distinct.len() > 1);
        let varying: Vec<&String> = measured.iter().filter(varies).copied().collect();
        let chosen = if varying.is_empty() { measured } else { varying };
        let mut names: Vec<(String, String)> = Vec::new();
        for place in chosen {
            let parts: Vec<String> =
                place.trim_start_matches('^').split('/').skip(1).map(unescaped).collect();
            let last = parts.last().cloned().unwrap_or_default();
            let name = if names.iter().any(|(name, _)| *name == last) { parts.join("_") } else { last };
            self.are_usual &= *place == format!("/{}", super::elements::escaped(&name));
            names.push((name, place.clone()));
        }
        self.take(names);
    }

    fn is_measured(&self, elements: &Elements, place: &str) -> bool {
        let Some(column) = elements.column(place) else { return false };
        let name = last_name(place);
        let names_series = self.series.iter().flatten().any(|series| series == place);
        let is_id = name.ends_with("_id") || name == "id" || SERIES_NAMES[..14].contains(&&*name);
        2 * column.numbers >= elements.all.len()
            && 10 * column.numbers >= 9 * column.count
            && self.time.as_deref() != Some(place)
            && !names_series
            && !is_id
            && !TIME_NAMES.contains(&&*name)
            && !NOT_MEASURED.contains(&&*name)
    }

    fn take(&mut self, mut names: Vec<(String, String)>) {
        if names.len() > TARGETS_MAX {
            let others: Vec<&str> =
                names[TARGETS_MAX..].iter().map(|(name, _)| name.as_str()).take(24).collect();
            self.notes.push(format!(
                "The first {TARGETS_MAX} of {} values are targets; the others: {}.",
                names.len(),
                others.join(", ")
            ));
            names.truncate(TARGETS_MAX);
        }
        self.targets = names;
    }
}

fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

fn last_name(place: &str) -> String {
    unescaped(place.rsplit('/').next().unwrap_or(place)).to_lowercase()
}

/// The place that looks most like the time of a reading.
fn time(elements: &Elements) -> Option<String> {
    let total = elements.all.len();
    let score = |place: &str| {
        let values = || elements.all.iter().filter_map(|element| element.leaves.get(place));
        let times = values().filter(|value| instant(value).is_some()).count();
        if 10 * times < 9 * total {
            return None;
        }
        let name = last_name(place);
        let rank = TIME_NAMES.iter().position(|known| *known == name);
        // A number is a time by its name only; most measured numbers could be one by their size.
        let is_text = values().all(|value| value.is_string() && number(value).is_none());
        match rank {
            Some(rank) => Some(rank),
            None if name.contains("time") || name.ends_with("_at") || name.ends_with("date") => Some(50),
            None if is_text => Some(100),
            None => None,
        }
    };
    let scored = elements.columns.iter().filter_map(|(place, _)| Some((score(place)?, place)));
    scored.min_by_key(|(score, _)| *score).map(|(_, place)| place.clone())
}

/// A time as `time_format = "auto"` reads it, near enough to compare times.
pub(super) fn instant(value: &Value) -> Option<EventTime> {
    if let Some(number) = number(value) {
        let scale = match number {
            6e8..4.2e9 => 1e6,
            6e11..4.2e12 => 1e3,
            6e14..4.2e15 => 1.0,
            6e17..4.2e18 => 1e-3,
            _ => return None,
        };
        return EventTime::from_micros((number * scale) as i64).ok();
    }
    let text = value.as_str()?.trim();
    let micros = match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.as_microsecond(),
        Err(_) => {
            let local: jiff::civil::DateTime = text.parse().ok()?;
            local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond()
        }
    };
    EventTime::from_micros(micros).ok()
}

/// The places that tell series apart; none: the key.
fn series(elements: &Elements, time: Option<&str>, has_one_value: bool) -> Option<Vec<String>> {
    let total = elements.all.len();
    let rank = |place: &str, names: &[&str]| {
        let name = last_name(place);
        names.iter().position(|known| *known == name)
    };
    let is_name = |place: &str| {
        elements.column(place).is_some_and(|c| 20 * c.count >= 19 * total && Some(place) != time)
            && elements.all.iter().all(|e| e.leaves.get(place).is_none_or(|v| v.is_string() || v.is_i64()))
    };
    let places = || elements.columns.iter().map(|(place, _)| place).filter(|place| is_name(place));
    let by_name = places().filter_map(|place| Some((rank(place, &SERIES_NAMES)?, place)));
    let by_ending = places().filter(|place| last_name(place).ends_with("_id")).map(|place| (100, place));
    let keys = elements.all.iter().filter(|element| element.key.is_some()).count();
    let thing = by_name.chain(by_ending).min_by_key(|(rank, _)| *rank).map(|(_, place)| place.clone());
    let thing = match thing {
        Some(place) => Some(place),
        // Without a telling name: the text that has the most values and still comes again. A key is better.
        None if 20 * keys >= 19 * total => None,
        None => places()
            .filter_map(|place| Some((elements.column(place)?, place)))
            .filter(|(column, _)| column.texts == column.count && 2 * column.distinct.len() <= total)
            .max_by_key(|(column, _)| column.distinct.len())
            .map(|(_, place)| place.clone()),
    };
    let what = places()
        .filter(|place| has_one_value && rank(place, &VALUE_NAMES).is_some())
        .find(|place| elements.column(place).is_some_and(|column| column.distinct.len() > 1))
        .cloned();
    let places: Vec<String> = thing.into_iter().chain(what).collect();
    (!places.is_empty()).then_some(places)
}
