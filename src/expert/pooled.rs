use crate::domain::{Damaged, Take, put};

/// A series that has just become mature counts at least this much among those before it.
const SERIES_MAX: u32 = 64;

/// The mean of what mature series have learnt, for those that begin: gathered as they come, seen by
/// others only once it is published.
#[derive(Clone, Debug)]
pub(super) struct Pooled {
    gathered: Vec<f32>,
    published: Vec<f32>,
    gathered_series: u32,
    published_series: u32,
}

impl Pooled {
    pub fn new(floats: usize) -> Self {
        Self {
            gathered: vec![0.0; floats],
            published: vec![0.0; floats],
            gathered_series: 0,
            published_series: 0,
        }
    }

    /// Takes a mature series in; one that is not finite is passed over.
    pub fn take(&mut self, learnt: &[f32]) {
        let learnt = &learnt[..self.gathered.len()];
        if !learnt.iter().all(|v| v.is_finite()) {
            return;
        }
        self.gathered_series = self.gathered_series.saturating_add(1);
        let share = 1.0 / self.gathered_series.min(SERIES_MAX) as f32;
        self.gathered.iter_mut().zip(learnt).for_each(|(mean, v)| *mean += share * (v - *mean));
    }

    pub fn publish(&mut self) {
        if self.published_series != self.gathered_series {
            self.published_series = self.gathered_series;
            self.published.copy_from_slice(&self.gathered);
        }
    }

    /// What has been published, if anything.
    pub fn published(&self) -> Option<&[f32]> {
        (self.published_series > 0).then_some(&self.published)
    }

    pub fn save(&self, out: &mut Vec<u8>) {
        put(out, &[self.gathered_series, self.published_series]);
        put(out, &self.gathered);
        put(out, &self.published);
    }

    pub fn load(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        (self.gathered_series, self.published_series) = (from.one()?, from.one()?);
        from.fill(&mut self.gathered)?;
        from.fill(&mut self.published)
    }
}
