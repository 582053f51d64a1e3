//! `seasons`: how long the seasons of a stream are, and where that is known from.

use super::duration::parse_duration;
use super::key::{Key, Preset};
use super::kinds::{Mixed, mixed};
use super::section::Section;
use crate::domain::Grid;
use serde_json::Value;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// Where the seasons of a stream are known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeasonsFrom {
    /// The config names them.
    Config,
    /// The interval: a day and a week, where they are whole numbers of steps.
    Interval,
    /// As [`Self::Interval`], until they are detected in the stream's past.
    Undetected,
    /// They were detected in the stream's past.
    Past,
}

impl SeasonsFrom {
    /// The word for it in logs and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Interval | Self::Undetected => "interval",
            Self::Past => "past",
        }
    }
}

pub(super) static SEASONS: Key<Mixed> = mixed(
    "seasons",
    Mixed {
        words: "list of durations and counts, or `\"auto\"`",
        preset: Preset::Follows(
            "a day and a week, where they are 2 to 10080 times the interval",
            r#"["1d", "1w"]"#,
        ),
        form: "each 2 to 100000 times the interval",
        schema: r#"{ "type": ["array", "string"], "items": { "type": ["string", "integer"] } }"#,
    },
    "The lengths of the stream's seasons; `\"auto\"` finds them in three weeks of the topics' past at the first \
     start.",
);

/// Durations that are whole multiples of the interval, or counts of steps.
pub(super) fn seasons(s: &mut Section<'_>, grid: Grid) -> (Vec<usize>, SeasonsFrom) {
    let steps_of = |d: Duration| {
        let interval = grid.interval()?.as_micros() as u128;
        let steps = d.as_micros() / interval;
        (d.as_micros().is_multiple_of(interval) && (2..=100_000).contains(&steps)).then_some(steps as usize)
    };
    let usual = || [DAY, 7 * DAY].into_iter().filter_map(steps_of).filter(|steps| *steps <= 10_080).collect();
    let items = match s.value(&SEASONS) {
        None => return (usual(), SeasonsFrom::Interval),
        Some(Value::String(text)) if text == "auto" => return (usual(), SeasonsFrom::Undetected),
        Some(Value::Array(items)) => items,
        Some(_) => {
            s.fault("seasons", "must be a list or \"auto\": say for example seasons = [\"1d\", \"1w\"]");
            return (Vec::new(), SeasonsFrom::Config);
        }
    };
    let mut seasons = Vec::new();
    for item in items {
        let steps = match item {
            Value::String(text) => parse_duration(text).and_then(steps_of),
            other => other.as_u64().map(|n| n as usize).filter(|n| (2..=100_000).contains(n)),
        };
        match steps {
            Some(steps) => seasons.push(steps),
            None => s.fault(
                "seasons",
                format!(
                    "has {item}; allowed are durations that are 2 to 100000 times the interval, and such counts"
                ),
            ),
        }
    }
    seasons.sort_unstable();
    seasons.dedup();
    (seasons, SeasonsFrom::Config)
}
