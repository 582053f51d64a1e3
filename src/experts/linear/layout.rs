use super::features::{Feature, features};
use super::holt_winters::{HoltWinters, QUICK, SLOW};
use super::kernels::FEATURES_MAX;
use super::leads::WeightedLeads;
use super::profile::{Profile, UNSEEN};
use super::root::CovarianceRoot;
use crate::config::Accuracy;
use crate::simd::padded;
use std::ops::Range;

/// The rates of the profiles of the short and of the long season.
const PROFILE_RATES: [f32; 2] = [0.1, 0.25];
/// The half-lives of the means of a series without a season, in readings.
const HALF_LIVES: [usize; 2] = [12, 96];
/// Longer seasons are ignored here: a series would hold several rings of that length.
const SEASON_MAX: usize = 2_048;
/// The forgetting factor λ of a block: a memory of about 5,000 readings, or of this many seasons if that is
/// longer.
const FORGETTING: f32 = 0.999_8;
const SEASONS_KEPT: f32 = 200.0;
/// The forgetting factor λ of the fast block, which follows breaks: a memory of 500 readings.
const FORGETTING_FAST: f32 = 0.998;
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
    /// How many of the extras, the first ones, are shown once more when an origin is learnt from
    /// ([`Observation::then`](super::Observation::then)). The others are kept of each origin.
    pub shown_again: usize,
    pub accuracy: Accuracy,
    /// Whether targets are differenced. Then no feature depends on a level.
    pub difference: bool,
    /// Whether there are blocks of least squares, or only the naive experts.
    pub linear: bool,
}

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

/// A block of recursive least squares: one covariance, and weights for each weighted lead of each of its
/// baselines.
#[derive(Clone, Debug)]
pub(super) struct RlsBlock {
    pub features: usize,
    pub bases: Vec<Baseline>,
    pub covariance: CovarianceRoot,
    /// Where its parts lie among the 16-bit floats of a row. `[rows, padded]`, `[halves]`, `[padded rows]`
    pub weights: Range<usize>,
    pub root: Range<usize>,
    pub errors: Range<usize>,
}

impl RlsBlock {
    pub fn padded(&self) -> usize {
        padded(self.features)
    }
}

/// The layout of a row of the linear experts, and what is computed from it.
///
/// A row are 16-bit floats: which of the last readings were observed (as bits), what is kept of the last
/// origins, the seasonal states, and the blocks. The readings themselves are the caller's.
#[derive(Debug)]
pub(super) struct LinearLayout {
    pub horizon: usize,
    pub leads: WeightedLeads,
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
    /// How many of the extras, the first ones, the caller shows once more when an origin is learnt from.
    pub shown_again: usize,
    pub blocks: Vec<RlsBlock>,
    /// The reading at which blocks begin.
    pub start: usize,
    /// The number of readings before the present one that are looked back on.
    pub look_back: usize,
    /// Where parts of a row lie among its 16-bit floats.
    pub observed: Range<usize>,
    pub origins: Range<usize>,
    pub before: Range<usize>,
    pub profile_halves: Vec<Range<usize>>,
    pub holt_halves: [Range<usize>; 2],
    pub halves: usize,
}

/// Seasonal states of which each step keeps what they were before it: the profile of the short season, and
/// both seasons of the slow Holt-Winters.
pub(super) const BEFORE: usize = 3;
/// Bits of a 16-bit word.
pub(super) const WORD: usize = 16;

impl LinearLayout {
    /// # Errors
    /// [`TooManyExtras`] when a block has no room for the calendar and the covariates.
    pub fn try_new(shape: &LinearShape) -> Result<Self, TooManyExtras> {
        let horizon = shape.horizon.max(1);
        let compact = shape.accuracy == Accuracy::Compact;
        let seasons: Vec<usize> =
            shape.seasons.iter().copied().filter(|s| (2..=SEASON_MAX).contains(s)).take(2).collect();
        let season = seasons.first().copied();
        let profiles: Vec<Profile> =
            seasons.iter().zip(PROFILE_RATES).map(|(m, rate)| Profile::new(*m, rate)).collect();
        let holts = [HoltWinters::new(QUICK, &seasons), HoltWinters::new(SLOW, &seasons)];
        let (mut features, mut fast) = features(&seasons, horizon, compact);
        if shape.difference {
            fast = features[..fast].iter().filter(|feature| !feature.is_level()).count();
            features.retain(|feature| !feature.is_level());
        }
        if !shape.linear {
            features.clear();
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
        // Features and baselines of the origin that is learnt from look back from there.
        let learnt_from = if shape.linear { horizon } else { 0 };
        let look_back = oldest.max().unwrap_or(0).max(season.unwrap_or(1) - 1) + learnt_from;
        let mut layout = Self {
            horizon,
            leads: WeightedLeads::new(horizon, season, compact),
            season,
            mean_rates: [rate(half_life(0)), rate(long)],
            carries: holts[1].carries(horizon),
            holt_carries: holts.map(|holt| {
                let carries = holt.carries(horizon);
                [carries[0], carries[horizon - 1]]
            }),
            start: season.map_or(START / 2, |m| (4 * m).min(START)),
            extras: shape.extras,
            shown_again: shape.shown_again,
            blocks: Vec::new(),
            look_back,
            observed: 0..0,
            origins: 0..0,
            before: 0..0,
            profile_halves: Vec::new(),
            holt_halves: [0..0, 0..0],
            halves: 0,
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
        let mut end = 0;
        let mut take = |n: usize| {
            end += n;
            end - n..end
        };
        let horizon = self.horizon;
        let levels = linear && !self.difference;
        if linear {
            self.observed = take(horizon.div_ceil(WORD));
            self.origins = take(horizon * self.kept());
        }
        if levels {
            self.before = take(if self.season.is_some() { BEFORE * horizon } else { 0 });
            self.holt_halves = [0, 1].map(|k| take(self.holts[k].halves()));
        }
        for (k, profile) in self.profiles.iter().enumerate() {
            // Without blocks only the profile that is an expert is used.
            let is_used = levels || (self.has_profile_expert() && k + 1 == self.profiles.len());
            self.profile_halves.push(take(if is_used { profile.season } else { 0 }));
        }
        let parts = if linear { self.parts(fast) } else { Vec::new() };
        for (features, bases, forgetting) in parts {
            let covariance = CovarianceRoot::new(features, forgetting);
            let rows = bases.len() * self.leads.len();
            let block = RlsBlock {
                features,
                weights: take(rows * padded(features)),
                root: take(covariance.halves()),
                errors: take(padded(rows)),
                covariance,
                bases,
            };
            self.blocks.push(block);
        }
        // Whole registers, so that no row begins in the middle of one.
        self.halves = padded(end);
    }

    /// The blocks: how many features each has, what it corrects, and how fast it forgets.
    fn parts(&self, fast: usize) -> Vec<(usize, Vec<Baseline>, f32)> {
        let forgetting =
            self.season.map_or(FORGETTING, |m| FORGETTING.max(1.0 - 1.0 / (SEASONS_KEPT * m as f32)));
        let (own, all) = (self.features.len(), self.features.len() + self.extras);
        let mut parts = match self.season {
            None if self.difference => vec![(all, vec![Baseline::Last], forgetting)],
            Some(_) if self.difference && self.compact => vec![(all, vec![Baseline::Seasonal], forgetting)],
            Some(_) if self.difference => {
                vec![(all, vec![Baseline::Last, Baseline::Seasonal], forgetting)]
            }
            None => vec![(all, vec![Baseline::Last, Baseline::Holt], forgetting)],
            Some(_) if self.compact => vec![(all, vec![Baseline::Seasonal, Baseline::Holt], forgetting)],
            Some(_) if self.extras == 0 => {
                vec![(own, vec![Baseline::Profile, Baseline::Seasonal, Baseline::Holt], forgetting)]
            }
            Some(_) => vec![
                (own, vec![Baseline::Profile], forgetting),
                (all, vec![Baseline::Seasonal, Baseline::Holt], forgetting),
            ],
        };
        if !self.compact {
            let base = if self.season.is_some() { Baseline::Seasonal } else { Baseline::Last };
            parts.push((fast, vec![base], FORGETTING_FAST));
        }
        parts
    }

    /// The first 16-bit float of the blocks. They reach to the end of the row.
    pub fn blocks_from(&self) -> usize {
        self.blocks.first().map_or(self.halves, |block| block.weights.start)
    }

    /// Whether there are blocks of least squares.
    pub fn has_blocks(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// The forecast whose shape a corrected baseline has between two weighted leads. The seasonal naive
    /// forecast repeats the noise of single readings. A correction takes that out at its own lead; between
    /// two leads it can't. So Holt-Winters, which is smooth, stands in there.
    pub fn shape_between(&self, base: Baseline) -> Baseline {
        let every = self.leads.len() == self.horizon;
        if base == Baseline::Seasonal && !every && self.has_levels() { Baseline::Holt } else { base }
    }

    /// Whether targets are differenced.
    pub fn difference(&self) -> bool {
        self.difference
    }

    /// The number of all features, padded.
    pub fn stride(&self) -> usize {
        padded(self.features.len() + self.extras)
    }

    /// The features that can't be found again from the readings.
    pub fn slow(&self) -> impl Iterator<Item = Feature> {
        self.features.iter().copied().filter(|feature| feature.is_level())
    }

    /// Whether blocks correct Holt-Winters, and features are taken from seasonal states.
    pub fn has_levels(&self) -> bool {
        !self.holt_halves[1].is_empty() || (self.season.is_none() && !self.difference && self.has_blocks())
    }

    /// What is kept of an origin: its slow features, level and error of the slow Holt-Winters, and the extras
    /// that are not shown again.
    pub fn kept(&self) -> usize {
        let levels = if self.difference { 0 } else { 2 };
        self.slow().count() + levels + self.extras - self.shown_again
    }

    /// The halves of a row that has seen nothing.
    pub fn blank(&self) -> Vec<u16> {
        let mut halves = vec![0; self.halves];
        self.profile_halves.iter().for_each(|at| halves[at.clone()].fill(UNSEEN));
        self.blocks.iter().for_each(|block| block.covariance.fill(&mut halves[block.root.clone()]));
        halves
    }

    /// Whether the profile of the longer season is an expert of its own.
    pub fn has_profile_expert(&self) -> bool {
        self.season.is_some() && !self.difference
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
            shown_again: 30,
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
        assert_eq!((layout.start, layout.look_back), (48, 168 + 24));
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
                    shown_again: 0,
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
