//! The regressors of an origin, from the readings up to it.

use super::features::Feature;
use super::layout::LinearLayout;
use crate::domain::PastReadings;

/// Features are limited to this many deviations of the series.
pub(super) const FEATURE_MAX: f32 = 50.0;

/// The readings of a series up to one of its steps.
#[derive(Clone, Copy)]
pub(super) struct Past<'a> {
    pub past: PastReadings<'a>,
    /// The present value.
    pub value: f32,
    /// How many steps before the present one the step is.
    pub ago: usize,
    /// The step.
    pub step: u64,
    pub season: Option<usize>,
}

impl Past<'_> {
    /// The value so many steps before. Before the start it is the value of a season later, or else the first
    /// value.
    #[inline(always)]
    pub fn value(&self, mut age: usize) -> f32 {
        if age as u64 > self.step {
            if let Some(m) = self.season {
                while age as u64 > self.step && age > m {
                    age -= m;
                }
            }
            age = age.min(self.step as usize);
        }
        let age = age + self.ago;
        if age == 0 { self.value } else { self.past.value(age) }
    }
}

/// The regressors of an origin. `kept`: what was kept of it; `again`: its extras that were not. `x`: `[stride]`
pub(super) fn fill_features(
    layout: &LinearLayout,
    past: Past<'_>,
    unit: f32,
    kept: &[f32],
    again: &[f32],
    x: &mut [f32],
) {
    let value = past.value(0);
    let per_unit = if unit > 0.0 { unit.recip() } else { 0.0 };
    let slow = layout.slow().count();
    let mut slow_values = kept[..slow].iter();
    let (own, rest) = x.split_at_mut(layout.features.len());
    for (x, feature) in own.iter_mut().zip(&layout.features) {
        let difference = match *feature {
            Feature::One => {
                *x = 1.0;
                continue;
            }
            Feature::Lag(lag) => past.value(lag) - value,
            Feature::Difference(age) => past.value(age) - past.value(age + layout.season.unwrap_or(0)),
            Feature::Mean(_) | Feature::Profile(..) | Feature::Holt(..) => {
                *x = *slow_values.next().expect("every slow feature is kept");
                continue;
            }
        };
        *x = (difference * per_unit).clamp(-FEATURE_MAX, FEATURE_MAX);
    }
    let (of_again, of_kept) = rest[..layout.extras].split_at_mut(layout.shown_again);
    of_again.iter_mut().zip(again).for_each(|(x, extra)| *x = extra_in_range(*extra));
    let first = kept.len() - of_kept.len();
    of_kept.copy_from_slice(&kept[first..]);
}

pub(super) fn extra_in_range(extra: f32) -> f32 {
    if extra.is_finite() { extra.clamp(-FEATURE_MAX, FEATURE_MAX) } else { 0.0 }
}
