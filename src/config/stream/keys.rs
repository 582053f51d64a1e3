//! The keys of `[streams.NAME]`. Those of its tables are declared beside the tables' readers.

use super::Fill;
use crate::config::alarms::{ANOMALY, DRIFT, LIMITS};
use crate::config::bounds::{IDLE_TTL, MAX_AHEAD, MAX_HELD, MAX_RECORD_BYTES, MAX_SERIES};
use crate::config::counters::COUNTERS;
use crate::config::experts::{ACCURACY, EXPERTS};
use crate::config::fields::FIELDS;
use crate::config::format::FORMAT;
use crate::config::holidays::HOLIDAYS;
use crate::config::key::{Key, Preset, Table};
use crate::config::kinds::{
    Choice, Flag, Mixed, Named, Reals, Span, Text, Texts, Whole, Word, Words, choice, flag, mixed, span,
    text, texts, whole,
};
use crate::config::learn_every::LEARN_EVERY;
use crate::config::model::{MODEL, MODELS};
use crate::config::output::OUTPUT;
use crate::config::position::POSITION;
use crate::config::promotion::PROMOTION;
use crate::config::range::RANGE;
use crate::config::seasons::SEASONS;
use crate::config::training::TRAINING;
use crate::domain::{Aggregate, Transform};
use std::time::Duration;

pub(super) const YEARS_100: Duration = Duration::from_secs(100 * 365 * 86_400);

pub(in crate::config) static STREAMS: Key<Named> = Key {
    name: "streams",
    kind: Named {
        name: "NAME",
        table: Table::new(
            "A pipeline, from its topics to its forecasts. A name has letters, digits, `-`, `_` and `.`, at most \
             100.",
            &[
                &TOPICS,
                &FORECAST_TOPIC,
                &DEAD_LETTER_TOPIC,
                &FORMAT,
                &ONLY,
                &TARGETS,
                &TRANSFORM,
                &RANGE,
                &COUNTERS,
                &POSITION,
                &DIFFERENCE,
                &COVARIATES,
                &KNOWN_AHEAD,
                &ATTRIBUTES,
                &FIELDS,
                &INTERVAL,
                &HORIZON,
                &EMIT_EVERY,
                &QUANTILES,
                &OUTPUT,
                &TIME_ZONE,
                &CALENDAR,
                &HOLIDAYS,
                &SEASONS,
                &LATENESS,
                &MAX_GAP,
                &FILL,
                &AGGREGATE,
                &ACCURACY,
                &EXPERTS,
                &LEARN_EVERY,
                &MODEL,
                &MODELS,
                &TRAINING,
                &PROMOTION,
                &ANOMALY,
                &LIMITS,
                &DRIFT,
                &WINDOW,
                &COLD_REPLAY,
                &MAX_SERIES,
                &IDLE_TTL,
                &MAX_HELD,
                &MAX_AHEAD,
                &MAX_RECORD_BYTES,
            ],
        ),
        required: true,
    },
    effect: "The streams, at least one.",
};

pub(super) static TOPICS: Key<Texts> =
    texts("topics", Preset::Required(&["meters"]), "at least one topic", "The topics that are read.");
pub(super) static FORECAST_TOPIC: Key<Text> = text(
    "forecast_topic",
    Preset::Follows("`NAME.forecasts`", "power.forecasts"),
    "",
    "The topic that forecasts are written to.",
);
pub(super) static DEAD_LETTER_TOPIC: Key<Text> = text(
    "dead_letter_topic",
    Preset::Follows("`NAME.dead-letters`", "power.dead-letters"),
    "",
    "The topic that records are written to when they can't be decoded, with the reason.",
);
pub(super) static ONLY: Key<Texts> = texts(
    "only",
    Preset::Nothing("all series", &["meter-17"]),
    "",
    "The series that are read; readings of others are skipped.",
);
pub(super) static TARGETS: Key<Texts> =
    texts("targets", Preset::Required(&["kw"]), "at least one name", "The values that are forecast.");
pub(super) static TRANSFORM: Key<Choice<Transform>> = choice(
    "transform",
    &[
        Word::new("none", Transform::None, "as they are"),
        Word::new("log1p", Transform::Log1p, "ln(1 + x), for values that vary by factors"),
        Word::new("asinh", Transform::Asinh, "the same where values may be negative"),
    ],
    "The scale on which targets are learnt; a value that the transform does not have counts as missing.",
);
pub(super) static DIFFERENCE: Key<Flag> = flag(
    "difference",
    false,
    "Whether experts and networks learn only how a target moves, and not its level, as for tracks; after a gap \
     beyond `max_gap` a series starts again.",
);
pub(super) static COVARIATES: Key<Texts> = texts(
    "covariates",
    Preset::Is(&[]),
    "names",
    "Values that help to forecast and are not forecast themselves.",
);
pub(super) static KNOWN_AHEAD: Key<Texts> = texts(
    "known_ahead",
    Preset::Is(&[]),
    "some of `covariates`; times the horizon at most 4096",
    "Covariates whose values at the leads come with each reading, such as a weather forecast.",
);
pub(super) static ATTRIBUTES: Key<Texts> = texts(
    "attributes",
    Preset::Is(&[]),
    "some of `covariates`",
    "Covariates that tell series apart and never change; networks see them unscaled, within -8 to 8.",
);
pub(super) static TIME_ZONE: Key<Text> = text(
    "time_zone",
    Preset::Is("UTC"),
    "a name of the IANA database",
    "The time zone of the calendar, and of times that have no offset.",
);
pub(super) static INTERVAL: Key<Text> = text(
    "interval",
    Preset::Required("1h"),
    "a duration from 1ms to 400d, or `irregular`",
    "The time between two readings of a series.",
);
pub(super) static AGGREGATE: Key<Choice<Option<Aggregate>>> = choice(
    "aggregate",
    &[
        Word::new("none", None, "the first is taken and answered at once, the others are dropped"),
        Word::new("last", Some(Aggregate::Last), "the last, once the interval and `lateness` are over"),
        Word::new("mean", Some(Aggregate::Mean), "their mean, once the interval and `lateness` are over"),
        Word::new(
            "join",
            Some(Aggregate::Join),
            "the last of each value, as soon as each has one; what is not there once the interval and `lateness` are \
             over is missing",
        ),
    ],
    "How several readings of a series in one interval become one.",
);
pub(super) static LATENESS: Key<Span> = span(
    "lateness",
    Preset::Is(Duration::ZERO),
    Duration::ZERO..=Duration::from_secs(30 * 86_400),
    "How long readings are held back, in event time, to put them in order.",
);
pub(super) static MAX_GAP: Key<Whole> = whole(
    "max_gap",
    Preset::Is(24),
    0..=100_000,
    "The longest gap, in intervals, that is filled; after a longer one the state of the series starts again.",
);
pub(super) static FILL: Key<Choice<Fill>> = choice(
    "fill",
    &[
        Word::new("forecast", Fill::Forecast, "the series' own forecast of lead 1"),
        Word::new("hold", Fill::Hold, "the last value"),
        Word::new("mask", Fill::Mask, "the last value, and a feature that says it is missing"),
    ],
    "What stands in the intervals of a gap.",
);
pub(super) static HORIZON: Key<Whole> =
    whole("horizon", Preset::Is(24), 1..=1_000, "The number of intervals that each forecast reaches ahead.");
pub(super) static EMIT_EVERY: Key<Mixed> = mixed(
    "emit_every",
    Mixed {
        words: "whole number or duration",
        preset: Preset::Is("1"),
        form: "1 to 1000000 intervals, or a whole multiple of the interval; a duration on an irregular stream",
        schema: r#"{ "type": ["integer", "string"], "minimum": 1, "maximum": 1000000 }"#,
    },
    "One of this many intervals of a series is answered with a forecast: the first reading in each such stretch, counted \
     from 1970 in UTC. The other readings are learnt from and scored all the same.",
);
pub(super) static CALENDAR: Key<Words<()>> = Key {
    name: "calendar",
    kind: Words {
        preset: Preset::Follows("`day` for intervals from 1m to 12h, `week` from 1m", &["day", "week"]),
        words: &[
            Word::new("day", (), "the time of day"),
            Word::new("week", (), "the day of the week"),
            Word::new("year", (), "the day of the year"),
        ],
    },
    effect: "The calendar features.",
};
pub(super) static QUANTILES: Key<Reals> = Key {
    name: "quantiles",
    kind: Reals { preset: Preset::Is(&[0.05, 0.5, 0.95]), form: "at least one level between 0 and 1" },
    effect: "The quantile levels of each forecast.",
};
pub(super) static WINDOW: Key<Whole> = whole(
    "window",
    Preset::Follows("4096, or the power of two that seasons, horizon and training need", 4_096),
    2..=1_000_000,
    "The most readings of a series that are kept to learn from.",
);
pub(super) static COLD_REPLAY: Key<Span> = span(
    "cold_replay",
    Preset::Follows(
        "`lateness` (and an interval, with `aggregate`) and, in intervals, the greatest of 4 times the longest season, 4 times the horizon and what the \
             networks see; a day on an irregular stream",
        Duration::from_secs(28 * 86_400),
    ),
    Duration::ZERO..=YEARS_100,
    "The event time of a partition's past that is replayed without output when a shard starts without a snapshot. At \
     least `lateness`; with `aggregate`, at least one interval more.",
);
