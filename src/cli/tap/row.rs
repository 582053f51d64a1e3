//! What is shown: a reading with its forecast, a forecast alone, or a record that could not be read.

use crate::codec::{BadRecord, Record, headers};
use crate::domain::{EventTime, Offset, Partition, Reading, SourcePosition};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// Where the record lies that gave a reading or a forecast.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub topic: Arc<str>,
    pub partition: Partition,
    pub offset: Offset,
}

/// Names a reading: its record and its series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ReadingId {
    pub place: Place,
    pub series: String,
}

/// A reading.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ReadingSeen {
    pub id: ReadingId,
    pub time: EventTime,
    /// Targets, then covariates; NaN is a missing one.
    pub values: Vec<f64>,
}

/// A forecast, as it stands in its topic.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ForecastSeen {
    pub id: ReadingId,
    pub said: Value,
}

/// A record that could not be read, or not as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BadSeen {
    pub place: Place,
    pub time: Option<EventTime>,
    pub key: Option<Vec<u8>>,
    pub payload: Vec<u8>,
    pub why: BadRecord,
}

/// What is shown in one piece.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Row {
    Reading(ReadingSeen, Option<ForecastSeen>),
    /// A forecast whose reading was not seen: it lies before the place where the reading of topics began.
    Forecast(ForecastSeen),
    Bad(BadSeen),
}

impl Place {
    pub fn of(position: SourcePosition<'_>) -> Self {
        Self { topic: position.topic.into(), partition: position.partition, offset: position.offset }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{} at {}", self.topic, self.partition, self.offset)
    }
}

impl ReadingSeen {
    pub fn new(place: &Place, reading: &Reading<'_>) -> Self {
        Self {
            id: ReadingId { place: place.clone(), series: reading.series.to_owned() },
            time: reading.time,
            values: reading.values.as_slice().to_vec(),
        }
    }
}

impl BadSeen {
    pub fn new(record: &Record<'_>, why: BadRecord) -> Self {
        Self {
            place: Place::of(record.position()),
            time: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            payload: record.payload.unwrap_or_default().to_vec(),
            why,
        }
    }
}

impl ForecastSeen {
    /// Reads a record of a forecast topic; `None` for one that is no forecast in JSON of this stream.
    pub fn read(record: &Record<'_>, stream: &str) -> Option<Self> {
        let text = |name| std::str::from_utf8(record.headers.get(name)?).ok();
        if text(headers::STREAM)? != stream {
            return None;
        }
        let place = Place {
            topic: text(headers::SOURCE_TOPIC)?.into(),
            partition: Partition(text(headers::SOURCE_PARTITION)?.parse().ok()?),
            offset: Offset(text(headers::SOURCE_OFFSET)?.parse().ok()?),
        };
        let said: Value = serde_json::from_slice(record.payload?).ok()?;
        let series = said["series"].as_str()?.to_owned();
        Some(Self { id: ReadingId { place, series }, said })
    }

    /// When it was made.
    pub fn origin(&self) -> &str {
        self.said["origin"].as_str().unwrap_or("")
    }

    /// What it says of a target for its first lead: the lowest quantile, the point forecast, the highest quantile.
    pub fn next(&self, target: &str) -> Option<[f64; 3]> {
        let said = &self.said["targets"][target];
        let point = said["yhat"][0].as_f64()?;
        let by_level = said["quantiles"].as_object().into_iter().flatten();
        let mut levels: Vec<(f64, f64)> =
            by_level.filter_map(|(level, values)| Some((level.parse().ok()?, values[0].as_f64()?))).collect();
        levels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let end = |level: Option<&(f64, f64)>| level.map_or(point, |(_, value)| *value);
        Some([end(levels.first()), point, end(levels.last())])
    }
}
