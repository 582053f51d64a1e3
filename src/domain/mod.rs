//! The words of the field as types: time, reading, forecast, quantile. Values that cannot be wrong, and tables with
//! a row for each series. No I/O, no clock, no randomness.

#![forbid(unsafe_code)]

mod aggregate;
mod alarm;
mod counter;
mod extras;
mod finite;
mod forecast;
mod leads;
mod normal;
mod past_readings;
mod pattern;
mod position;
mod quantile;
mod range;
mod reading;
mod round;
mod rows;
mod season;
mod segments;
mod stream;
mod target_scale;
mod time;
mod transform;

pub use aggregate::{Aggregate, Partial};
pub use alarm::{AnomalyKind, AnomalyScore, Crossing};
pub use counter::{Count, Counter, Growth};
pub use extras::Extras;
pub use finite::Finite;
pub use forecast::{Degraded, Forecast, TargetForecast};
pub use leads::Leads;
pub use normal::{ln_normal_upper, normal_density, normal_tail, normal_upper};
pub use past_readings::PastReadings;
pub use pattern::{NotAPattern, TimePattern, WrittenTime, end_of_day};
pub use position::{Coordinate, Position};
pub use quantile::{Level, Levels, NotALevel};
pub use range::{Lowest, ValueRange};
pub use reading::{Reading, Values};
pub use round::RoundScores;
pub use rows::{Damaged, Rows, Take, lengthen, lengthen_by_rows, put, put_bytes};
pub use season::seasonal_age;
pub use segments::Segments;
pub use stream::{
    Generation, LeaderEpoch, ModelVersion, Offset, Partition, SourcePosition, StreamName, TopicId,
    TopicPartition,
};
pub use target_scale::TargetScale;
pub use time::{EventTime, Grid, Interval, OutOfRange};
pub use transform::Transform;
