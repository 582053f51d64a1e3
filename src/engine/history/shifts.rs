//! A target's value against its past: the steps of a season ago, and the frames of earlier forecasts.

use crate::domain::TargetScale;
use crate::engine::target_step::TargetStep;
use crate::series::{RecentView, Scaler};

/// The steps that a target made from one reading to the next a season ago.
pub(crate) struct SeasonSteps<'a> {
    recent: RecentView<'a>,
    seasons: &'a [usize],
    target: usize,
    /// The step that it makes now.
    step: f32,
}

impl<'a> SeasonSteps<'a> {
    pub(super) fn new(recent: RecentView<'a>, seasons: &'a [usize], target: usize, step: f32) -> Self {
        Self { recent, seasons, target, step }
    }

    /// Whether one of them was the same as the step now, to within a distance.
    pub fn has_one_within(&self, distance: f32) -> bool {
        let Self { recent, seasons, target, step } = self;
        let seasons = seasons.iter().filter(|season| recent.observed(**season, *target));
        let mut steps = seasons.map(|m| recent.value(m - 1, *target) - recent.value(*m, *target));
        steps.any(|then| (step - then).abs() <= distance)
    }
}

/// A target's new value in the frames of earlier steps. A forecast that was made before the level shifted knew
/// nothing of the shift, and is compared with the value as it would have been held then.
pub(crate) struct ValueInFrames<'a> {
    scaler: &'a Scaler,
    at: TargetStep,
    /// The step of the last level shift.
    shifted_at: u64,
    /// The value as it is held now.
    held: f32,
}

impl<'a> ValueInFrames<'a> {
    pub(super) fn new(scaler: &'a Scaler, at: TargetStep, held: f32) -> Self {
        Self { scaler, at, shifted_at: scaler.moved_at(at.slot, at.target), held }
    }

    /// The value as it is held now.
    pub fn now(&self) -> f32 {
        self.held
    }

    /// The value as it would have been held so many steps ago.
    pub fn steps_ago(&self, steps: u64) -> f32 {
        match self.at.now.saturating_sub(steps) {
            made if made < self.shifted_at => {
                let frame: TargetScale = self.scaler.frame(self.at.slot, self.at.target);
                self.held + frame.higher_in(self.scaler.frame_at(self.at.slot, self.at.target, made))
            }
            _ => self.held,
        }
    }
}
