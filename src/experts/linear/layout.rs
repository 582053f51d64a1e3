use super::super::holt_winters::{HoltWinters, QUICK, SLOW};
use super::super::profile::Profile;
use super::covariance::Covariance;
use super::features::{Feature, features};
use super::kernels::FEATURES_MAX;
use crate::config::Accuracy;
use crate::domain::Leads;
use crate::simd::padded;

/// The rates of the profiles of the short and of the long season.
const PROFILE_RATES: [f32; 2] = [0.1, 0.25];
/// The half-lives of the means of a series without a season, in readings.
const HALF_LIVES: [usize; 2] = [12, 96];
/// Longer seasons are ignored here: a series would hold several rings of that length.
const SEASON_MAX: usize = 2_048;
/// The forgetting factor λ of a block: a memory of about 5,000 readings.
const FORGETTING: f32 = 0.999_8;
/// The forgetting factor λ of the fast block, which follows breaks: a memory of 500 readings.
const FORGETTING_FAST: f32 = 0.998;
/// The delayed update of all leads is stable while horizon · features · (1 − λ) is below this.
const STABLE: f32 = 0.5;
/// Blocks begin at this reading, or after four of the shorter season if that is sooner.
const START: usize = 48;

/// The settings that the linear experts of a stream depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearShape {
    pub targets: usize,
    pub horizon: usize,
    /// Season lengths in steps, ascending. The two shortest count.
    pub seasons: Vec<usize>,
    /// Calendar features and covariates of a reading.
    pub extras: usize,
    pub accuracy: Accuracy,
    /// Whether targets are differenced. Then no feature depends on a level.
    pub difference: bool,
    /// Whether there are blocks of least squares, or only the naive experts.
    pub linear: bool,
}

/// More features than a block can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{extras} calendar features and covariates, those known ahead once more for each lead that is shown, are \
     too many: at most {most}; leave some out, or have no network that unrolls its leads"
)]
/// More features than a block can carry.
pub struct TooManyExtras {
    pub extras: usize,
    pub most: usize,
}

/// A forecast that a block corrects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Baseline {
    Last,
    Seasonal,
    Profile,
    Holt,
}

impl Baseline {
    /// The number of variants.
    pub const COUNT: usize = 4;
}

/// A block of recursive least squares: one covariance, and weights for each lead of each of its
/// baselines.
#[derive(Clone, Debug)]
pub(super) struct RlsBlock {
    pub features: usize,
    pub bases: Vec<Baseline>,
    pub covariance: Covariance,
    /// The offsets of its parts in a row: weights, errors and covariance among the 32-bit floats, gains
    /// among the 16-bit floats.
    pub weights: usize,
    pub errors: usize,
    pub p: usize,
    pub gains: usize,
}

impl RlsBlock {
    pub fn padded(&self) -> usize {
        padded(self.features)
    }
}

/// The layout of a row of the linear experts, and what is computed from it.
#[derive(Debug)]
pub(super) struct LinearLayout {
    pub leads: Leads,
    compact: bool,
    difference: bool,
    /// The shorter season.
    pub season: Option<usize>,
    pub mean_rates: [f32; 2],
    pub profiles: Vec<Profile>,
    pub holts: [HoltWinters; 2],
    /// The part of an error of the slow Holt-Winters that is left at each lead. `[horizon]`
    pub carries: Vec<f32>,
    /// The same of both, at lead 1 and at the horizon.
    pub holt_carries: [[f32; 2]; 2],
    /// All features but the extras, which follow them. A block has the first ones.
    pub features: Vec<Feature>,
    pub extras: usize,
    pub blocks: Vec<RlsBlock>,
    /// The reading at which blocks begin.
    pub start: usize,
    /// The number of values kept.
    pub ring: usize,
    /// The offsets of the other parts of a row.
    pub profile_floats: Vec<usize>,
    pub profile_counts: Vec<usize>,
    pub holt_floats: [usize; 2],
    pub holt_counts: [usize; 2],
    /// The sizes of a row.
    pub floats: usize,
    pub halves: usize,
    pub counts: usize,
}

impl LinearLayout {
    /// # Errors
    /// [`TooManyExtras`] when a block has no room for the calendar and the covariates.
    pub fn try_new(shape: &LinearShape) -> Result<Self, TooManyExtras> {
        let horizon = shape.horizon.max(1);
        let compact = shape.accuracy == Accuracy::Compact;
        let seasons: Vec<usize> =
            shape.seasons.iter().copied().filter(|s| (2..=SEASON_MAX).contains(s)).take(2).collect();
        let season = seasons.first().copied();
        let leads = if compact { Leads::buckets(horizon) } else { Leads::every(horizon) };
        let profiled = if compact { &seasons[..seasons.len().min(1)] } else { &seasons };
        let profiles: Vec<Profile> =
            profiled.iter().zip(PROFILE_RATES).map(|(m, rate)| Profile::new(*m, rate, horizon)).collect();
        let holts = [
            HoltWinters::new(QUICK, &seasons, horizon, false),
            HoltWinters::new(SLOW, &seasons, horizon, true),
        ];
        let (mut features, mut fast) = features(&seasons, horizon, profiles.len(), compact);
        if shape.difference {
            fast = features[..fast].iter().filter(|feature| !feature.is_level()).count();
            features.retain(|feature| !feature.is_level());
        }
        let most = FEATURES_MAX - features.len();
        if shape.extras > most {
            return Err(TooManyExtras { extras: shape.extras, most });
        }
        let half_life = |k: usize| seasons.get(k).copied().unwrap_or(if k == 0 { HALF_LIVES[0] } else { 0 });
        let long = if seasons.len() > 1 { half_life(1) } else { (4 * half_life(0)).max(HALF_LIVES[1]) };
        let rate = |half_life: usize| 1.0 - 0.5f32.powf(1.0 / half_life as f32);
        let oldest = features.iter().map(|f| match f {
            Feature::Lag(lag) => *lag,
            Feature::Difference(age) => age + season.unwrap_or(0),
            _ => 0,
        });
        let ring = oldest.max().unwrap_or(0).max(season.map_or(horizon, |m| m * horizon.div_ceil(m))) + 1;
        let mut layout = Self {
            season,
            mean_rates: [rate(half_life(0)), rate(long)],
            carries: holts[1].carries(horizon),
            holt_carries: [0, 1].map(|k| {
                let carries = HoltWinters::carries(&holts[k], horizon);
                [carries[0], carries[horizon - 1]]
            }),
            start: season.map_or(START / 2, |m| (4 * m).min(START)),
            extras: shape.extras,
            blocks: Vec::new(),
            ring,
            profile_floats: Vec::new(),
            profile_counts: Vec::new(),
            holt_floats: [0; 2],
            holt_counts: [0; 2],
            floats: ring,
            halves: 0,
            counts: 0,
            leads,
            compact,
            difference: shape.difference,
            profiles,
            holts,
            features,
        };
        layout.lay_out(fast, shape.linear);
        Ok(layout)
    }

    /// Lays out the parts of a row one after the other.
    fn lay_out(&mut self, fast: usize, linear: bool) {
        let compact = self.compact;
        let take = |total: &mut usize, n: usize| std::mem::replace(total, *total + n);
        for profile in &self.profiles {
            self.profile_floats.push(take(&mut self.floats, profile.floats()));
            self.profile_counts.push(take(&mut self.counts, profile.counts()));
        }
        for (k, holt) in self.holts.iter().enumerate() {
            self.holt_floats[k] = take(&mut self.floats, holt.floats());
            self.holt_counts[k] = take(&mut self.counts, holt.counts());
        }
        let (own, all) = (self.features.len(), self.features.len() + self.extras);
        let mut blocks: Vec<(usize, Vec<Baseline>, f32)> = match self.season {
            None if self.difference => vec![(all, vec![Baseline::Last], FORGETTING)],
            Some(_) if self.difference && compact => vec![(all, vec![Baseline::Seasonal], FORGETTING)],
            Some(_) if self.difference => vec![(all, vec![Baseline::Last, Baseline::Seasonal], FORGETTING)],
            None => vec![(all, vec![Baseline::Last, Baseline::Holt], FORGETTING)],
            Some(_) if compact => vec![(all, vec![Baseline::Seasonal, Baseline::Holt], FORGETTING)],
            Some(_) if self.extras == 0 => {
                vec![(own, vec![Baseline::Profile, Baseline::Seasonal, Baseline::Holt], FORGETTING)]
            }
            Some(_) => vec![
                (own, vec![Baseline::Profile], FORGETTING),
                (all, vec![Baseline::Seasonal, Baseline::Holt], FORGETTING),
            ],
        };
        if !compact {
            let base = if self.season.is_some() { Baseline::Seasonal } else { Baseline::Last };
            blocks.push((fast, vec![base], FORGETTING_FAST));
        }
        if !linear {
            blocks.clear();
        }
        let (horizon, leads) = (self.leads.horizon(), self.leads.len());
        self.halves = horizon * self.stride();
        for (features, bases, forgetting) in blocks {
            let forgetting = forgetting.max(1.0 - STABLE / (horizon * features) as f32);
            let covariance = Covariance::new(features, forgetting);
            let aligned = self.floats.next_multiple_of(16);
            self.floats = aligned;
            let block = RlsBlock {
                features,
                weights: take(&mut self.floats, bases.len() * leads * padded(features)),
                p: take(&mut self.floats, covariance.floats()),
                errors: take(&mut self.floats, bases.len() * leads),
                gains: take(&mut self.halves, horizon * padded(features)),
                covariance,
                bases,
            };
            self.blocks.push(block);
        }
    }

    /// The first float of the blocks. They reach to the end of the row.
    pub fn blocks_from(&self) -> usize {
        self.blocks.first().map_or(self.floats, |block| block.weights)
    }

    /// The features kept of an origin, padded.
    pub fn stride(&self) -> usize {
        padded(self.features.len() + self.extras)
    }

    /// Whether the profile of the longer season is an expert of its own.
    pub fn has_profile_expert(&self) -> bool {
        self.season.is_some() && !self.compact && !self.difference
    }

    /// The number of experts without a block.
    pub fn plain(&self) -> usize {
        1 + usize::from(self.season.is_some()) + usize::from(self.has_profile_expert())
    }

    /// The names of the experts, in the order of their forecasts.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names = vec!["last"];
        if self.season.is_some() {
            names.push("seasonal");
        }
        if self.has_profile_expert() {
            names.push("profile");
        }
        for (b, block) in self.blocks.iter().enumerate() {
            let fast = !self.compact && b + 1 == self.blocks.len();
            names.extend(block.bases.iter().map(|base| match base {
                _ if fast => "linear_fast",
                Baseline::Last => "linear_last",
                Baseline::Seasonal => "linear_seasonal",
                Baseline::Profile => "linear_profile",
                Baseline::Holt => "linear_holt",
            }));
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hourly_stream_has_three_blocks_and_all_lags_of_a_day() {
        let shape = LinearShape {
            targets: 1,
            horizon: 24,
            seasons: vec![24, 168],
            extras: 30,
            accuracy: Accuracy::Full,
            difference: false,
            linear: true,
        };
        let layout = LinearLayout::try_new(&shape).unwrap();
        let blocks: Vec<usize> = layout.blocks.iter().map(|b| b.features).collect();
        assert_eq!(blocks, [38, 68, 7]);
        let mut lags: Vec<usize> = layout
            .features
            .iter()
            .filter_map(|f| if let Feature::Lag(l) = f { Some(*l) } else { None })
            .collect();
        lags.sort_unstable();
        assert_eq!(lags, (1..24).chain([144, 156, 167, 168]).collect::<Vec<_>>());
        assert_eq!((layout.start, layout.ring), (48, 169));
        assert_eq!(layout.names().len(), 7);
        assert!(LinearLayout::try_new(&LinearShape { extras: 1_000, ..shape }).is_err());
    }

    #[test]
    fn no_feature_is_there_twice() {
        for seasons in
            [vec![], vec![2], vec![3, 4], vec![7, 28], vec![12], vec![24], vec![96, 672], vec![1440]]
        {
            for accuracy in [Accuracy::Full, Accuracy::Compact] {
                let shape = LinearShape {
                    targets: 1,
                    horizon: 10,
                    seasons: seasons.clone(),
                    extras: 0,
                    accuracy,
                    difference: false,
                    linear: true,
                };
                let layout = LinearLayout::try_new(&shape).unwrap();
                for (i, feature) in layout.features.iter().enumerate() {
                    assert!(!layout.features[..i].contains(feature), "{seasons:?}: {feature:?} twice");
                }
                assert!(layout.features.len() <= 40, "{seasons:?}");
            }
        }
    }
}
