//! Reads `[streams.NAME]`.

use super::keys::*;
use super::{Calendar, Stream, cell_wait, least_window};
use crate::config::alarms::alarms;
use crate::config::bounds::bounds;
use crate::config::counters::counters;
use crate::config::duration::parse_duration;
use crate::config::experts::experts;
use crate::config::fields::{fields, zone};
use crate::config::format::FORMAT;
use crate::config::holidays::holidays;
use crate::config::key::Key;
use crate::config::kinds::Texts;
use crate::config::learn_every::learn_every;
use crate::config::model::{Base, model};
use crate::config::output::output;
use crate::config::position::{check_limits, position};
use crate::config::promotion::{PROMOTION, promotion};
use crate::config::range::ranges;
use crate::config::seasons::seasons;
use crate::config::section::Section;
use crate::config::training::{TRAINING, training};
use crate::domain::{Aggregate, Grid, Interval, Level, Levels, StreamName};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// The most values known ahead that are kept of a series.
const KNOWN_MAX: usize = 4_096;

pub(in crate::config) fn stream(raw_name: &str, tables: &mut Section<'_>) -> Option<Stream> {
    let name = StreamName::new(raw_name);
    if name.is_none() {
        tables
            .fault(raw_name, "is not a stream's name: letters, digits, \"-\", \"_\" and \".\", at most 100");
    }
    let mut s = tables.of_name(raw_name);
    let topics = s.texts(&TOPICS).unwrap_or_default();
    if topics.is_empty() || topics.iter().any(String::is_empty) {
        s.fault("topics", "must name at least one topic: say for example topics = [\"meters\"]");
    }
    let forecast_topic = s.text_or(&FORECAST_TOPIC, &format!("{raw_name}.forecasts"));
    let dead_letter_topic = s.text_or(&DEAD_LETTER_TOPIC, &format!("{raw_name}.dead-letters"));
    let format = s.choice(&FORMAT);
    let targets = s.texts(&TARGETS).unwrap_or_default();
    if targets.is_empty() {
        s.fault("targets", "must name at least one value to forecast: say for example targets = [\"kw\"]");
    }
    let transform = s.choice(&TRANSFORM);
    let difference = s.flag(&DIFFERENCE);
    let (position, nowhere) = position(&mut s, &targets, transform);
    let ranges = ranges(&mut s, &targets, position, difference);
    let covariates = s.texts(&COVARIATES).unwrap_or_default();
    let known_ahead = of_covariates(&mut s, &KNOWN_AHEAD, &covariates);
    let attributes = of_covariates(&mut s, &ATTRIBUTES, &covariates);
    let time_zone = zone(&mut s, &TIME_ZONE, jiff::tz::TimeZone::UTC);
    let mut fields = fields(&mut s, format, &targets, &covariates, &known_ahead, &time_zone);
    fields.missing.positions = nowhere;
    let grid = grid(&mut s);
    let counters = counters(&mut s, &targets, position, grid);
    let aggregate = aggregate(&mut s, grid);
    if let Some(how @ (Aggregate::Mean | Aggregate::Sum)) = aggregate
        && position.is_some()
    {
        let how = how.as_str();
        s.fault(
            "aggregate",
            format!("is \"{how}\", which two positions do not have everywhere: say \"last\""),
        );
    }
    if fields.name.is_some() && aggregate.is_none() && targets.len() + covariates.len() > 1 {
        s.fault("aggregate", "is \"none\", and fields.name brings one value at a time: say \"join\"");
    }
    let lateness = s.duration(&LATENESS);
    let max_gap = s.count(&MAX_GAP);
    let fill = s.choice(&FILL);
    let horizon = s.count(&HORIZON);
    if known_ahead.len() * horizon > KNOWN_MAX {
        s.fault(
            "known_ahead",
            format!(
                "times the horizon is {}; at most {KNOWN_MAX} values are kept",
                known_ahead.len() * horizon
            ),
        );
    }
    let emit_every = emit_every(&mut s, grid);
    let (seasons, seasons_from) = seasons(&mut s, grid);
    let calendar = calendar(&mut s, grid);
    let holidays = holidays(&mut s);
    let levels = levels(&mut s);
    let output = output(&mut s, &forecast_topic, horizon, &levels);
    let experts = experts(&mut s);
    let learn_every = learn_every(&mut s, &seasons);
    let alarms = alarms(&mut s, &targets);
    check_limits(&s, position, &alarms.limits);
    if alarms.limits.iter().any(|limit| !transform.apply(limit.value).is_finite()) {
        s.fault(
            "limits",
            format!("has a value that {} does not have: it must be above -1", transform.as_str()),
        );
    }
    let model = model(&mut s, experts.accuracy, !seasons.is_empty(), experts.linear);
    if difference && model.base == Base::None {
        s.fault(
            "model.base",
            "is the mean of where a series stood, which difference = true leaves out: say \"last\"",
        );
    }
    let training = training(s.section(&TRAINING), &model, horizon);
    let promotion = promotion(s.section(&PROMOTION));
    let longest = seasons.last().copied().unwrap_or(1);
    let least = least_window(&training, &model, horizon, longest);
    let window = s.count_or(&WINDOW, least.next_power_of_two().max(4_096));
    if window < least {
        s.fault(
            "window",
            format!(
                "is {window}; with these seasons, horizon, training and networks it must be at least {least}"
            ),
        );
    }
    if training.enabled && training.holdout.min(window / 4) <= horizon {
        s.fault(
            "training.holdout",
            format!(
                "must be longer than the horizon of {horizon}, and the window four times as long as both"
            ),
        );
    }
    let bounds = bounds(&mut s);
    let only = s.texts(&ONLY).map(|mut names| {
        names.sort_unstable();
        names
    });
    let four_seasons = grid.interval().map_or(DAY, |i| {
        Duration::from_micros(i.as_micros() as u64)
            .saturating_mul((4 * longest.max(horizon)).max(model.memory()) as u32)
    });
    let held = lateness + cell_wait(grid, aggregate);
    let cold_replay = s.duration_within(&COLD_REPLAY, held + four_seasons, held..=YEARS_100);
    s.finish();
    Some(Stream {
        name: name?,
        topics,
        forecast_topic,
        dead_letter_topic,
        format,
        fields,
        targets,
        transform,
        difference,
        position,
        ranges,
        counters,
        covariates,
        known_ahead,
        attributes,
        grid,
        time_zone,
        aggregate,
        lateness,
        max_gap,
        fill,
        window,
        bounds,
        only,
        seasons,
        seasons_from,
        calendar,
        holidays,
        horizon,
        emit_every,
        levels,
        output,
        experts,
        learn_every,
        alarms,
        cold_replay,
        model,
        training,
        promotion,
    })
}

/// A stream must not read a topic that is written to, and no two may write to one topic. The models' topic
/// counts as written.
pub(in crate::config) fn check_topics(streams: &[Arc<Stream>], models_topic: &str, root: &Section<'_>) {
    let mut writers = BTreeMap::from([(models_topic.to_owned(), "kafka.models_topic".to_owned())]);
    for stream in streams {
        let anomalies = stream.alarms.anomaly_topic.as_ref().map(|topic| ("anomaly.topic", topic));
        let always =
            [("forecast_topic", &stream.forecast_topic), ("dead_letter_topic", &stream.dead_letter_topic)];
        for (key, topic) in always.into_iter().chain(anomalies) {
            let here = format!("streams.{}.{key}", stream.name);
            if let Some(other) = writers.insert(topic.clone(), here.clone()) {
                root.fault(&here, format!("is \"{topic}\", which {other} writes to already"));
            }
        }
    }
    for stream in streams {
        for topic in &stream.topics {
            if let Some(writer) = writers.get(topic) {
                let here = format!("streams.{}.topics", stream.name);
                root.fault(&here, format!("reads \"{topic}\", which {writer} writes to"));
            }
        }
    }
}

/// Indices of the covariates that a key names.
fn of_covariates(s: &mut Section<'_>, key: &Key<Texts>, covariates: &[String]) -> Vec<usize> {
    let mut known = Vec::new();
    for name in s.texts(key).unwrap_or_default() {
        match covariates.iter().position(|covariate| *covariate == name) {
            Some(at) if !known.contains(&at) => known.push(at),
            Some(_) => {}
            None => s.fault(key.name, format!("names \"{name}\", which is not among the covariates")),
        }
    }
    known
}

fn grid(s: &mut Section<'_>) -> Grid {
    let Some(text) = s.optional_text(&INTERVAL) else {
        s.fault("interval", "is missing: say for example interval = \"1h\", or \"irregular\"");
        return Grid::Irregular;
    };
    if text == "irregular" {
        return Grid::Irregular;
    }
    match parse_duration(&text).and_then(Interval::new) {
        Some(interval) => Grid::Fixed(interval),
        None => {
            s.fault(
                "interval",
                format!("is \"{text}\"; allowed are \"irregular\" and durations from 1ms to 400d"),
            );
            Grid::Irregular
        }
    }
}

/// How several readings in one cell become one; `None` where only the first counts.
fn aggregate(s: &mut Section<'_>, grid: Grid) -> Option<Aggregate> {
    let how = s.choice(&AGGREGATE);
    if how.is_some() && grid == Grid::Irregular {
        s.fault("aggregate", "needs a fixed interval: an irregular stream has no cells");
    }
    how
}

/// A count of readings, or a duration that is a whole multiple of the interval, in cells.
fn emit_every(s: &mut Section<'_>, grid: Grid) -> i64 {
    if let Some(Value::String(text)) = s.value(&EMIT_EVERY) {
        let cell_us = grid.interval().map_or(1, Interval::as_micros);
        let micros = parse_duration(text).and_then(|d| i64::try_from(d.as_micros()).ok());
        let cells = micros.filter(|us| *us > 0 && us % cell_us == 0).map(|us| us / cell_us);
        let problem = format!("is \"{text}\"; it must be a whole multiple of the interval, like \"1h\"");
        return cells.unwrap_or_else(|| {
            s.fault("emit_every", problem);
            1
        });
    }
    let readings = s.mixed_count(&EMIT_EVERY, 1, 1..=1_000_000) as i64;
    if readings > 1 && grid == Grid::Irregular {
        s.fault("emit_every", "must be a duration on an irregular stream, like \"10s\"");
    }
    readings
}

fn calendar(s: &mut Section<'_>, grid: Grid) -> Calendar {
    let Some(names) = s.words(&CALENDAR) else {
        let seconds = grid.interval().map_or(0.0, Interval::as_seconds);
        return Calendar { day: (60.0..=43_200.0).contains(&seconds), week: seconds >= 60.0, year: false };
    };
    let mut calendar = Calendar::default();
    for name in names {
        match name.as_str() {
            "day" => calendar.day = true,
            "week" => calendar.week = true,
            "year" => calendar.year = true,
            other => {
                s.fault("calendar", format!("has \"{other}\"; allowed are \"day\", \"week\" and \"year\""));
            }
        }
    }
    calendar
}

fn levels(s: &mut Section<'_>) -> Levels {
    let given = s.reals(&QUANTILES).unwrap_or_else(|| QUANTILES.kind.preset.fixed().to_vec());
    if given.is_empty() {
        s.fault("quantiles", "must name at least one level: say for example quantiles = [0.05, 0.5, 0.95]");
    }
    let mut levels = Vec::new();
    for level in given {
        match Level::try_new(level) {
            Ok(level) => levels.push(level),
            Err(e) => s.fault("quantiles", e.to_string()),
        }
    }
    Levels::new(levels)
}
