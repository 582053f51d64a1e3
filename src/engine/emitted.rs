use super::forecaster::Candidates;
use crate::domain::{Forecast, ModelVersion};
use crate::series::Slot;

/// The answer to a reading.
pub struct Emitted<'a> {
    /// The slot of the reading's series.
    pub slot: Slot,
    /// The name of the reading's series.
    pub series: &'a str,
    /// The key of the reading's record.
    pub key: Option<&'a [u8]>,
    /// The offset of the reading's record.
    pub offset: i64,
    /// The version of the model that serves; `None` while none does.
    pub model: Option<ModelVersion>,
    /// Whether `emit_every` leaves the forecast out. What it says about the reading itself holds.
    pub is_thinned: bool,
    /// The forecast, and what it says about the reading itself.
    pub forecast: &'a Forecast,
    pub(super) candidates: Candidates<'a>,
}

impl Emitted<'_> {
    /// The forecast of one of those that are judged ([`Shard::judged`](super::Shard::judged)), in the target's
    /// units; not a number where it has none.
    ///
    /// # Panics
    /// When there is no such target or lead, or `judged` is out of range.
    pub fn said(&self, judged: usize, target: usize, lead: usize) -> f64 {
        self.candidates.at(judged, target, lead)
    }

    /// The forecast of one of the networks alone, in the order of the config.
    ///
    /// # Panics
    /// As [`Self::said`].
    pub fn network(&self, network: usize, target: usize, lead: usize) -> f64 {
        self.said(self.candidates.experts() + 1 + network, target, lead)
    }
}
