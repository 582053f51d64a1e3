//! `seasons`: who says which a stream has, and how long they are.

use super::section::{Section, parse_duration};
use crate::domain::Grid;
use serde_json::Value;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// Who says which seasons a stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeasonsFrom {
    Config,
    /// The interval: of a day and a week those that are whole numbers of steps.
    Interval,
    /// As [`Self::Interval`], until they are sought in the stream's past.
    Sought,
    /// They were found there.
    Past,
}

impl SeasonsFrom {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Interval | Self::Sought => "interval",
            Self::Past => "past",
        }
    }
}

/// Durations that are whole multiples of the interval, or counts of steps.
pub(super) fn seasons(s: &mut Section<'_>, grid: Grid) -> (Vec<usize>, SeasonsFrom) {
    let steps_of = |d: Duration| {
        let interval = grid.interval()?.as_micros() as u128;
        let steps = d.as_micros() / interval;
        (d.as_micros().is_multiple_of(interval) && (2..=100_000).contains(&steps)).then_some(steps as usize)
    };
    let usual = || [DAY, 7 * DAY].into_iter().filter_map(steps_of).filter(|steps| *steps <= 10_080).collect();
    let items = match s.value("seasons") {
        None => return (usual(), SeasonsFrom::Interval),
        Some(Value::String(text)) if text == "auto" => return (usual(), SeasonsFrom::Sought),
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
