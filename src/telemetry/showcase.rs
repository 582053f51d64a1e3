//! What the dashboard shows of a stream: plain values, bounded when they are published.

use super::RoundOutcome;
use crate::domain::{EventTime, ModelVersion};
use std::time::Duration;

/// The most recent readings of a showcase that are kept, for each target.
pub(super) const READINGS_MAX: usize = 200;
/// The most leads of a forecast that are kept.
pub(super) const LEADS_MAX: usize = 1_000;
/// The most targets of a series that are kept.
pub(super) const TARGETS_MAX: usize = 8;
/// The most rounds of a stream's training history that are kept.
pub(super) const ROUNDS_MAX: usize = 50;

/// One series of a stream, as an example.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Showcase {
    /// The series' name.
    pub series: String,
    /// Its targets.
    pub targets: Vec<ShownTarget>,
}

/// One target of a [`Showcase`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShownTarget {
    /// The target's name in the config.
    pub name: String,
    /// Ascending in time; NaN where a value was missing.
    pub readings: Vec<(EventTime, f64)>,
    /// The newest forecast.
    pub forecast: Option<ShownForecast>,
}

/// A forecast with the times that it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownForecast {
    /// The time of the newest reading that it uses.
    pub origin: EventTime,
    /// The time of each lead. `[horizon]`
    pub times: Vec<EventTime>,
    /// The point forecast. `[horizon]`
    pub yhat: Vec<f64>,
    /// The quantiles' levels, ascending.
    pub levels: Vec<f64>,
    /// The quantiles. `[levels, horizon]`
    pub quantiles: Vec<f64>,
}

impl Showcase {
    pub(super) fn bounded(mut self) -> Self {
        self.targets.truncate(TARGETS_MAX);
        for target in &mut self.targets {
            let surplus = target.readings.len().saturating_sub(READINGS_MAX);
            target.readings.drain(..surplus);
            if let Some(forecast) = &mut target.forecast {
                forecast.shorten(LEADS_MAX);
            }
        }
        self
    }
}

impl ShownForecast {
    fn shorten(&mut self, leads: usize) {
        let horizon = self.yhat.len();
        if horizon <= leads {
            return;
        }
        self.times.truncate(leads);
        self.yhat.truncate(leads);
        self.quantiles = self.quantiles.chunks(horizon).flat_map(|row| row[..leads].to_vec()).collect();
    }
}

/// Recent errors of a stream's experts, measured by one worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// The lead buckets.
    pub leads: Vec<usize>,
    /// The errors of each expert.
    pub experts: Vec<ExpertScore>,
    /// How many forecasts were scored, which is the weight of this worker's errors.
    pub scored: u64,
}

/// Recent errors of one expert.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpertScore {
    /// The expert's name.
    pub expert: String,
    /// Mean absolute error in units of each series' scale; NaN where nothing was scored. `[leads]`
    pub error: Vec<f64>,
}

impl Scores {
    /// The mean over workers, weighted by what each has scored.
    pub(super) fn merged<'a>(all: impl Iterator<Item = &'a Scores>) -> Option<Scores> {
        let mut all: Vec<&Scores> = all.filter(|s| s.scored > 0).collect();
        all.sort_by_key(|s| std::cmp::Reverse(s.scored));
        let most = *all.first()?;
        all.retain(|s| s.leads == most.leads && s.experts.len() == most.experts.len());
        let mut merged = most.clone();
        merged.scored = all.iter().map(|s| s.scored).sum();
        for (i, expert) in merged.experts.iter_mut().enumerate() {
            for (lead, error) in expert.error.iter_mut().enumerate() {
                let (sum, weight) = all
                    .iter()
                    .filter_map(|s| Some((*s.experts[i].error.get(lead)?, s.scored as f64)))
                    .filter(|(e, _)| e.is_finite())
                    .fold((0.0, 0.0), |(sum, weight), (e, w)| (sum + e * w, weight + w));
                *error = sum / weight;
            }
        }
        Some(merged)
    }
}

/// A finished training round.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// Its number, from 1.
    pub round: u64,
    /// How it ended.
    pub outcome: RoundOutcome,
    /// Its loss on the held-out readings.
    pub loss: f64,
    /// How long it took.
    pub took: Duration,
    /// The model that serves since, if the round changed it.
    pub model: Option<ModelVersion>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(scored: u64, error: &[f64]) -> Scores {
        let experts = vec![ExpertScore { expert: "last".into(), error: error.to_vec() }];
        Scores { leads: vec![1, 24], experts, scored }
    }

    #[test]
    fn workers_count_by_what_they_have_scored() {
        let all = [scores(100, &[1.0, f64::NAN]), scores(300, &[2.0, 4.0]), scores(0, &[9.0, 9.0])];
        let merged = Scores::merged(all.iter()).unwrap();
        assert_eq!(merged.scored, 400);
        assert_eq!(merged.experts[0].error, [1.75, 4.0]);
        assert!(Scores::merged([].iter()).is_none());
    }

    #[test]
    fn a_showcase_is_bounded() {
        let time = |i: i64| EventTime::from_micros(i * 1_000_000).unwrap();
        let forecast = ShownForecast {
            origin: time(0),
            times: (0..1_500).map(time).collect(),
            yhat: vec![0.0; 1_500],
            levels: vec![0.1, 0.9],
            quantiles: (0..3_000).map(f64::from).collect(),
        };
        let target = ShownTarget {
            name: "kw".into(),
            readings: (0..500).map(|i| (time(i), i as f64)).collect(),
            forecast: Some(forecast),
        };
        let shown = Showcase { series: "a".into(), targets: vec![target; 20] }.bounded();
        assert_eq!(shown.targets.len(), TARGETS_MAX);
        assert_eq!(shown.targets[0].readings.len(), READINGS_MAX);
        assert_eq!(shown.targets[0].readings[READINGS_MAX - 1].1, 499.0);
        let forecast = shown.targets[0].forecast.as_ref().unwrap();
        assert_eq!((forecast.times.len(), forecast.quantiles.len()), (LEADS_MAX, 2 * LEADS_MAX));
        assert_eq!(
            forecast.quantiles[LEADS_MAX], 1_500.0,
            "the second level's row begins at its own first lead"
        );
    }
}
