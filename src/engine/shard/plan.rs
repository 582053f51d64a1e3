//! What the series of a stream will take, before there are any.

use super::Shard;
use crate::config::Stream;
use crate::domain::{EventTime, Reading, Values};
use crate::engine::history::History;
use crate::engine::serving::Model;
use crate::nn::Error;
use crate::telemetry::{MemoryByPart, MemoryPart};
use std::sync::Arc;
use std::time::Duration;

/// Slots of the shard that is asked. The first series have longer rings than the others, to be shown.
const ASKED: [usize; 2] = [128, 192];

/// What the series of a stream take, measured on the tables of a shard.
#[derive(Clone, Debug)]
pub struct MemoryPlan {
    /// Bytes of a series that has no training window, without readings that are held back. Names are taken to be
    /// 16 bytes long.
    pub each: MemoryByPart,
    /// Series of a shard that have a training window.
    pub trained: usize,
    /// Bytes of all training windows of a shard.
    pub training_windows: usize,
}

impl MemoryPlan {
    /// Asks a shard of the stream. `model`: networks of the stream's shapes, whose states count too.
    ///
    /// # Errors
    /// When the networks can't run.
    ///
    /// # Panics
    /// When no shard can be made of the stream: see [`check`](crate::engine::check).
    pub fn of(stream: &Stream, model: &Model) -> Result<Self, Error> {
        let mut stream = stream.clone();
        let trained = if stream.training.enabled { stream.training.budget.series } else { 0 };
        let trained = trained.min(stream.bounds.max_series);
        let training_windows = History::new(&Arc::new(stream.clone())).training_windows(trained);
        // The training windows of the first series are many times those of all others.
        stream.training.budget.series = 0;
        stream.bounds.max_series = stream.bounds.max_series.max(ASKED[1]);
        (stream.lateness, stream.aggregate, stream.only) = (Duration::ZERO, None, None);
        let stream = Arc::new(stream);
        let [some, more] = ASKED.map(|slots| held(&stream, model, slots));
        let (some, more) = (some?, more?);
        let mut each = MemoryByPart::default();
        for (part, bytes) in more.iter() {
            each.add(
                part,
                match part {
                    // They grow by leaps.
                    MemoryPart::Names | MemoryPart::Order => bytes.div_ceil(ASKED[1]),
                    _ => (bytes - some.of(part)).div_ceil(ASKED[1] - ASKED[0]),
                },
            );
        }
        Ok(Self { each, trained, training_windows })
    }

    /// How many series fit into so many bytes beside the training windows, with the most spare room that tables
    /// ever have.
    pub fn series_in(&self, bytes: usize) -> usize {
        let each = self.each.total();
        bytes.saturating_sub(self.training_windows) / (each + each / super::SPARE)
    }
}

/// The bytes of a shard with a reading of so many series, without spare room.
fn held(stream: &Arc<Stream>, model: &Model, slots: usize) -> Result<MemoryByPart, Error> {
    let mut shard = Shard::new(stream.clone());
    shard.make_room(slots);
    if !model.networks.is_empty() {
        shard.bring(model)?;
        shard.warm(usize::MAX)?;
    }
    let values: Values = (0..stream.values_per_reading()).map(|_| Some(1.0)).collect();
    for slot in 0..slots {
        let (series, time) = (format!("series-{slot:09}"), EventTime::from_micros(0).expect("a time"));
        shard.offer(&Reading { series: &series, time, later: None, values: &values }, slot as i64, None);
    }
    shard.serving.grow(slots)?;
    Ok(shard.memory_by_part())
}
