//! Anomalies and drift on made-up fleets, where it is known what happened.

use std::convert::Infallible;
use tidecast::domain::{AnomalyKind, Leads, Level, Levels, Rows};
use tidecast::scoring::{Actual, Anomalies, Drift, DriftFound, DriftKind, Intervals, MaturedForecast};
use tidecast::synthetic::{Fleet, Label, Reading, Settings, Sink};

const SERIES: usize = 60;
const DAY: usize = 24;
const WEEK: usize = 7 * DAY;
/// Steps before anything is counted.
const YOUNG: i64 = 1_000;

/// Judges each reading against the best forecast of it.
struct Watcher {
    /// By series: what was said, and from which hour.
    said: Vec<Option<(Vec<f32>, i64)>>,
    intervals: Intervals,
    anomalies: Anomalies,
    first: Option<i64>,
    /// The hour of each series' last shift.
    shifted: Vec<i64>,
    calm: usize,
    alarms: usize,
    spikes: usize,
    spikes_found: usize,
    shifts_begun: usize,
    shifts_told: usize,
    shifts_wrong: usize,
}

impl Watcher {
    fn new() -> Self {
        let levels = Levels::new([0.05, 0.5, 0.95].map(|l| Level::try_new(l).unwrap()).to_vec());
        let mut intervals = Intervals::new(1, &Leads::every(1), DAY, &levels);
        let mut anomalies = Anomalies::new(1, &levels);
        intervals.grow(SERIES);
        anomalies.grow(SERIES);
        Self {
            said: vec![None; SERIES],
            intervals,
            anomalies,
            first: None,
            shifted: vec![i64::MIN / 2; SERIES],
            calm: 0,
            alarms: 0,
            spikes: 0,
            spikes_found: 0,
            shifts_begun: 0,
            shifts_told: 0,
            shifts_wrong: 0,
        }
    }

    fn judge(&mut self, origin: &Reading<'_>, hour: i64, point: f32) {
        let (slot, value) = (origin.series, origin.values[0] as f32);
        let mut bounds = [0.0; 3];
        let phase = self.intervals.phase(hour);
        let scale = self.intervals.quantiles(slot, 0, phase, 1, point, 1.0, &mut bounds);
        let arrived = MaturedForecast { value, point, deviation: 1.2533 * scale, bounds: &bounds };
        let score = self.anomalies.judge(slot, 0, arrived);
        self.intervals.update(slot, 0, phase, 1, Actual::accepted(value), point, scale, &bounds);
        if hour - *self.first.get_or_insert(hour) < YOUNG {
            return;
        }
        let found = score.score > 0.999;
        match origin.label {
            Label::Spike => {
                self.spikes += 1;
                self.spikes_found += usize::from(found && score.kind == Some(AnomalyKind::Spike));
            }
            Label::Shift => {
                self.shifted[slot] = hour;
                self.shifts_begun += usize::from(found);
            }
            Label::Calm => {
                self.calm += 1;
                self.alarms += usize::from(found);
                if score.kind == Some(AnomalyKind::Shift) && score.began > 0.999 {
                    let right = hour - self.shifted[slot] < 5;
                    self.shifts_told += usize::from(right);
                    self.shifts_wrong += usize::from(!right);
                }
            }
        }
    }
}

impl Sink for Watcher {
    type Error = Infallible;

    fn reading(&mut self, _: &Reading<'_>) -> Result<(), Infallible> {
        Ok(())
    }

    fn best(&mut self, origin: &Reading<'_>, means: &[f64], _: &[f64]) -> Result<(), Infallible> {
        let (slot, hour) = (origin.series, origin.cell.as_micros() / 3_600_000_000);
        match self.said[slot].take() {
            Some((points, from)) if from + 1 == hour => self.judge(origin, hour, points[0]),
            _ => self.anomalies.interrupt(slot),
        }
        let points: Vec<f32> = means.iter().map(|m| *m as f32).collect();
        self.anomalies.expect(slot, 0, &points);
        self.said[slot] = Some((points, hour));
        Ok(())
    }
}

#[test]
fn spikes_and_shifts_of_a_fleet_are_found_and_told_apart() {
    for covariates in [false, true] {
        let settings = Settings {
            covariates,
            spikes: 0.002,
            shifts: 0.001,
            missing: 0.01,
            drift: 0.01,
            ..Settings::calm(3, SERIES)
        };
        let (mut fleet, mut seen) = (Fleet::new(settings, 6), Watcher::new());
        for _ in 0..4_000 {
            let Ok(()) = fleet.step(&mut seen);
        }
        assert!(seen.spikes > 200, "{}", seen.spikes);
        assert!(seen.spikes_found * 100 >= seen.spikes * 98, "{} of {}", seen.spikes_found, seen.spikes);
        assert!(seen.alarms * 5_000 < seen.calm, "{} in {}", seen.alarms, seen.calm);
        // Shifts of any size happen; those that are surprising are told from spikes.
        assert!(seen.shifts_begun > 20, "{}", seen.shifts_begun);
        assert!(
            seen.shifts_told * 10 >= seen.shifts_begun * 9,
            "{} of {}",
            seen.shifts_told,
            seen.shifts_begun
        );
        assert!(seen.shifts_wrong * 20 <= seen.shifts_told, "{}", seen.shifts_wrong);
    }
}

/// What a series has been at this hour of the week, slowly learnt.
struct Profile {
    drift: Drift,
    steps: Vec<usize>,
    /// Mean and absolute error of each series by hour of the week.
    weeks: Vec<[[f32; 2]; WEEK]>,
    /// Its slow mean and square.
    slow: Vec<[f32; 2]>,
    /// This one says nonsense from this step on.
    broken: Option<(usize, usize)>,
    found: Vec<(usize, DriftFound)>,
}

impl Profile {
    fn found_in(
        settings: Settings,
        steps: usize,
        broken: Option<(usize, usize)>,
    ) -> Vec<(usize, DriftFound)> {
        let mut profile = Self {
            drift: Drift::new(DAY, Drift::THRESHOLD),
            steps: vec![0; SERIES],
            weeks: vec![[[0.0; 2]; WEEK]; SERIES],
            slow: vec![[0.0; 2]; SERIES],
            broken,
            found: Vec::new(),
        };
        profile.drift.grow(SERIES);
        let mut fleet = Fleet::new(settings, 0);
        for _ in 0..steps {
            let Ok(()) = fleet.step(&mut profile);
        }
        profile.found
    }
}

impl Sink for Profile {
    type Error = Infallible;

    fn reading(&mut self, reading: &Reading<'_>) -> Result<(), Infallible> {
        let slot = reading.series;
        let step = self.steps[slot];
        self.steps[slot] += 1;
        let is_broken = self.broken.is_some_and(|(series, from)| series == slot && step >= from);
        let value = if is_broken { [1e6, -1e6][step % 2] } else { reading.values[0] as f32 };
        let ([point, usual], [mean, square]) = (&mut self.weeks[slot][step % WEEK], &mut self.slow[slot]);
        let (error, week) = ((value - *point).abs(), step / WEEK);
        let residual = if week < 4 { f32::NAN } else { error / *usual };
        let deviation = (*square - *mean * *mean).max(1e-6).sqrt();
        let input = if week < 1 { f32::NAN } else { (value - *mean) / deviation };
        self.drift.observe(slot, SERIES, residual, input);
        self.found.extend(self.drift.take().map(|found| (step, found)));
        if week > 0 {
            *usual += (1.0 / week as f32).max(0.1) * (error - *usual);
        }
        *point += (1.0 / (week + 1) as f32).max(0.1) * (value - *point);
        let rate = (1.0 / (step + 1) as f32).max(0.001);
        *mean += rate * (value - *mean);
        *square += rate * (value * value - *square);
        Ok(())
    }

    fn best(&mut self, _: &Reading<'_>, _: &[f64], _: &[f64]) -> Result<(), Infallible> {
        Ok(())
    }
}

#[test]
fn a_fleets_break_is_a_drift_and_a_broken_sensor_is_none() {
    let calm = || Settings { noise: 1.0, ..Settings::calm(7, SERIES) };
    assert_eq!(Profile::found_in(calm(), 3_000, None), []);
    assert_eq!(Profile::found_in(calm(), 3_000, Some((4, 1_500))), []);
    let found = Profile::found_in(Settings { break_at: Some(2_000), ..calm() }, 3_000, None);
    let within = |kind, steps: usize| {
        found.iter().any(|(step, f)| f.kind == kind && (2_000..2_000 + steps).contains(step))
    };
    assert!(within(DriftKind::Residual, 3 * DAY), "{found:?}");
    assert!(within(DriftKind::Level, 20 * DAY), "{found:?}");
    assert!(found.iter().all(|(step, _)| *step >= 2_000), "{found:?}");
}
