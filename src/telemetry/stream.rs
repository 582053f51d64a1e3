use super::catalogue as c;
use super::metrics::{counters, gauges, histograms, reals};
use super::shard::Owners;
use super::untold::Untold;
use super::{
    Ahead, Discard, DiscardedReading, Doubt, DoubtedTarget, Eviction, Invariant, LogReset, MissingExample,
    MissingValue, ReadingAhead, RoundOutcome, ShardMetrics, StreamShape,
};
use crate::domain::{ModelVersion, StreamName, TopicPartition};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A stream's metrics with every label resolved: plain atomics for the workers. Counted per batch,
/// never per reading.
#[derive(Clone)]
pub struct StreamMetrics {
    pub readings: IntCounter,
    pub forecasts: IntCounter,
    pub thinned: IntCounter,
    pub aggregated: IntCounter,
    pub reading_to_forecast_seconds: Histogram,
    pub batch_size: Histogram,
    pub step_seconds: Histogram,
    pub restore_seconds: Histogram,
    pub snapshot_seconds: Histogram,
    pub snapshot_failures: IntCounter,
    pub training_seconds: Histogram,
    pub training_loss: Gauge,
    pub promotions: IntCounter,
    pub rollbacks: IntCounter,
    pub promotion_p_value: Gauge,
    pub model_failures: IntCounter,
    rest: Arc<Rest>,
}

struct Rest {
    name: StreamName,
    families: Arc<StreamFamilies>,
    discarded: Vec<IntCounter>,
    ahead: Vec<IntCounter>,
    missing: Vec<IntCounter>,
    doubted: Vec<IntCounter>,
    untold: Untold,
    evicted: Vec<IntCounter>,
    violations: Vec<IntCounter>,
    log_resets: Vec<IntCounter>,
    rounds: Vec<IntCounter>,
    /// `[experts, leads]`
    error: Vec<Vec<Gauge>>,
    skill: Vec<Vec<Gauge>>,
    /// `[levels, leads]`
    coverage: Vec<Vec<Gauge>>,
    model: Mutex<Option<ModelVersion>>,
}

/// How good an expert was lately at one lead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Mean absolute error, in units of each series' scale.
    pub error: f64,
    /// 1 less the error over the seasonal naive's; `None` while that is not known.
    pub skill: Option<f64>,
}

/// One family for each metric that has the label `stream`.
pub(super) struct StreamFamilies {
    readings: IntCounterVec,
    discarded: IntCounterVec,
    ahead: IntCounterVec,
    missing: IntCounterVec,
    doubted: IntCounterVec,
    forecasts: IntCounterVec,
    thinned: IntCounterVec,
    aggregated: IntCounterVec,
    dead_letters: IntCounterVec,
    anomalies: IntCounterVec,
    drifts: IntCounterVec,
    reading_to_forecast: HistogramVec,
    batch: HistogramVec,
    step: HistogramVec,
    restore: HistogramVec,
    snapshot: HistogramVec,
    snapshot_failures: IntCounterVec,
    evicted: IntCounterVec,
    violations: IntCounterVec,
    log_resets: IntCounterVec,
    error: GaugeVec,
    skill: GaugeVec,
    coverage: GaugeVec,
    rounds: IntCounterVec,
    training: HistogramVec,
    training_loss: GaugeVec,
    model: IntGaugeVec,
    promotions: IntCounterVec,
    rollbacks: IntCounterVec,
    hastened: IntCounterVec,
    promotion_loss: GaugeVec,
    promotion_p_value: GaugeVec,
    model_failures: IntCounterVec,
    pub(super) lag: IntGaugeVec,
    pub(super) shard_state: IntGaugeVec,
    pub(super) series: IntGaugeVec,
    pub(super) memory: IntGaugeVec,
    pub(super) snapshot_age: GaugeVec,
    pub(super) snapshot_bytes: IntGaugeVec,
    /// Series in the snapshots of `snapshot_bytes`; not shown by itself.
    pub(super) snapshot_series: IntGaugeVec,
    pub(super) series_snapshot_bytes: GaugeVec,
    pub(super) owners: Owners,
}

impl StreamFamilies {
    pub fn register(r: &Registry) -> Self {
        Self {
            readings: counters(r, &c::READINGS),
            discarded: counters(r, &c::DISCARDED),
            ahead: counters(r, &c::AHEAD),
            missing: counters(r, &c::VALUES_MISSING),
            doubted: counters(r, &c::VALUES_DOUBTED),
            forecasts: counters(r, &c::FORECASTS),
            thinned: counters(r, &c::THINNED),
            aggregated: counters(r, &c::AGGREGATED),
            dead_letters: counters(r, &c::DEAD_LETTERS),
            anomalies: counters(r, &c::ANOMALIES),
            drifts: counters(r, &c::DRIFTS),
            reading_to_forecast: histograms(r, &c::READING_TO_FORECAST),
            batch: histograms(r, &c::BATCH),
            step: histograms(r, &c::STEP),
            restore: histograms(r, &c::RESTORE),
            snapshot: histograms(r, &c::SNAPSHOT),
            snapshot_failures: counters(r, &c::SNAPSHOT_FAILURES),
            evicted: counters(r, &c::EVICTED),
            violations: counters(r, &c::VIOLATIONS),
            log_resets: counters(r, &c::LOG_RESETS),
            error: reals(r, &c::FORECAST_ERROR),
            skill: reals(r, &c::SKILL),
            coverage: reals(r, &c::COVERAGE),
            rounds: counters(r, &c::ROUNDS),
            training: histograms(r, &c::TRAINING),
            training_loss: reals(r, &c::TRAINING_LOSS),
            model: gauges(r, &c::MODEL),
            promotions: counters(r, &c::PROMOTIONS),
            rollbacks: counters(r, &c::ROLLBACKS),
            hastened: counters(r, &c::HASTENED),
            promotion_loss: reals(r, &c::PROMOTION_LOSS),
            promotion_p_value: reals(r, &c::PROMOTION_P),
            model_failures: counters(r, &c::MODEL_FAILURES),
            lag: gauges(r, &c::LAG),
            shard_state: gauges(r, &c::SHARD_STATE),
            series: gauges(r, &c::SERIES),
            memory: gauges(r, &c::MEMORY),
            snapshot_age: reals(r, &c::SNAPSHOT_AGE),
            snapshot_bytes: gauges(r, &c::SNAPSHOT_BYTES),
            snapshot_series: IntGaugeVec::new(Opts::new("snapshot_series", "a divisor"), &["stream"])
                .expect("a name and a label"),
            series_snapshot_bytes: reals(r, &c::SERIES_SNAPSHOT_BYTES),
            owners: Owners::default(),
        }
    }
}

impl StreamMetrics {
    pub(super) fn new(shape: &StreamShape, families: Arc<StreamFamilies>) -> Self {
        let stream = shape.name.as_str();
        let grid = |family: &GaugeVec, rows: Vec<String>| -> Vec<Vec<Gauge>> {
            rows.iter()
                .map(|row| {
                    shape
                        .leads
                        .iter()
                        .map(|lead| {
                            let gauge = family.with_label_values(&[stream, row, &lead.to_string()]);
                            // Until it has been measured it is not zero.
                            gauge.set(f64::NAN);
                            gauge
                        })
                        .collect()
                })
                .collect()
        };
        let words = |family: &IntCounterVec, words: Vec<&str>| -> Vec<IntCounter> {
            words.iter().map(|word| family.with_label_values(&[stream, *word])).collect()
        };
        let levels = || shape.levels.iter().map(|l| l.to_string()).collect();
        let rest = Rest {
            name: shape.name.clone(),
            discarded: words(&families.discarded, Discard::ALL.iter().map(|d| d.as_str()).collect()),
            ahead: words(&families.ahead, Ahead::ALL.iter().map(|a| a.as_str()).collect()),
            missing: words(&families.missing, MissingValue::ALL.iter().map(|m| m.as_str()).collect()),
            doubted: words(&families.doubted, Doubt::ALL.iter().map(|d| d.as_str()).collect()),
            untold: Untold::new(),
            evicted: words(&families.evicted, Eviction::ALL.iter().map(|e| e.as_str()).collect()),
            violations: words(&families.violations, Invariant::ALL.iter().map(|i| i.as_str()).collect()),
            log_resets: words(&families.log_resets, LogReset::ALL.iter().map(|l| l.as_str()).collect()),
            rounds: words(&families.rounds, RoundOutcome::ALL.iter().map(|o| o.as_str()).collect()),
            error: grid(&families.error, shape.experts.clone()),
            skill: grid(&families.skill, shape.experts.clone()),
            coverage: grid(&families.coverage, levels()),
            model: Mutex::new(None),
            families: Arc::clone(&families),
        };
        families.series.with_label_values(&[stream]);
        families.memory.with_label_values(&[stream]);
        families.snapshot_bytes.with_label_values(&[stream]);
        families.series_snapshot_bytes.with_label_values(&[stream]).set(f64::NAN);
        let loss = families.training_loss.with_label_values(&[stream]);
        let p_value = families.promotion_p_value.with_label_values(&[stream]);
        [&loss, &p_value].into_iter().for_each(|gauge| gauge.set(f64::NAN));
        Self {
            readings: families.readings.with_label_values(&[stream]),
            forecasts: families.forecasts.with_label_values(&[stream]),
            thinned: families.thinned.with_label_values(&[stream]),
            aggregated: families.aggregated.with_label_values(&[stream]),
            reading_to_forecast_seconds: families.reading_to_forecast.with_label_values(&[stream]),
            batch_size: families.batch.with_label_values(&[stream]),
            step_seconds: families.step.with_label_values(&[stream]),
            restore_seconds: families.restore.with_label_values(&[stream]),
            snapshot_seconds: families.snapshot.with_label_values(&[stream]),
            snapshot_failures: families.snapshot_failures.with_label_values(&[stream]),
            training_seconds: families.training.with_label_values(&[stream]),
            training_loss: loss,
            promotions: families.promotions.with_label_values(&[stream]),
            rollbacks: families.rollbacks.with_label_values(&[stream]),
            promotion_p_value: p_value,
            model_failures: families.model_failures.with_label_values(&[stream]),
            rest: Arc::new(rest),
        }
    }

    pub fn discarded(&self, reason: Discard) -> &IntCounter {
        &self.rest.discarded[reason as usize]
    }

    /// Counts discarded readings; the log will tell of them. `first` gives one of them as an example.
    pub fn discard(&self, why: Discard, count: u64, first: impl FnOnce() -> Option<DiscardedReading>) {
        if count > 0 {
            self.discarded(why).inc_by(count);
            self.rest.untold.discarded.add(why as usize, count, first);
        }
    }

    /// As [`Self::discard`], for values that are missing though something stands in their fields.
    pub fn miss(&self, why: MissingValue, count: u64, first: impl FnOnce() -> Option<MissingExample>) {
        if count > 0 {
            self.rest.missing[why as usize].inc_by(count);
            self.rest.untold.missing.add(why as usize, count, first);
        }
    }

    /// As [`Self::discard`], for targets that were not taken as they came.
    pub fn doubt(&self, why: Doubt, count: u64, first: impl FnOnce() -> Option<DoubtedTarget>) {
        if count > 0 {
            self.rest.doubted[why as usize].inc_by(count);
            self.rest.untold.doubted.add(why as usize, count, first);
        }
    }

    /// As [`Self::discard`], for readings whose time was ahead of that of their partition.
    pub fn run_ahead(&self, what: Ahead, count: u64, first: impl FnOnce() -> Option<ReadingAhead>) {
        if count > 0 {
            self.rest.ahead[what as usize].inc_by(count);
            self.rest.untold.ahead.add(what as usize, count, first);
        }
    }

    /// Tells the log of what was discarded, missing, doubted or ahead, where it is time.
    pub fn tell_due(&self) {
        self.rest.untold.tell(&self.rest.name, Some(Instant::now()));
    }

    /// As [`Self::tell_due`], of all that is left, whenever it was told last: at the end.
    pub fn tell_all(&self) {
        self.rest.untold.tell(&self.rest.name, None);
    }

    pub fn evicted(&self, reason: Eviction) -> &IntCounter {
        &self.rest.evicted[reason as usize]
    }

    pub fn violated(&self, invariant: Invariant, times: u64) {
        self.rest.violations[invariant as usize].inc_by(times);
    }

    pub fn log_resets(&self, reason: LogReset) -> &IntCounter {
        &self.rest.log_resets[reason as usize]
    }

    pub fn rounds(&self, outcome: RoundOutcome) -> &IntCounter {
        &self.rest.rounds[outcome as usize]
    }

    /// Looks its label up: for the rare bad record. Reasons are fixed words, never data.
    pub fn dead_letters(&self, reason: &'static str) -> IntCounter {
        self.rest.families.dead_letters.with_label_values(&[self.rest.name.as_str(), reason])
    }

    /// As [`Self::dead_letters`], for the rare surprise.
    pub fn anomalies(&self, kind: &'static str) -> IntCounter {
        self.rest.families.anomalies.with_label_values(&[self.rest.name.as_str(), kind])
    }

    /// As [`Self::dead_letters`], for the rare drift.
    pub fn drifts(&self, kind: &'static str) -> IntCounter {
        self.rest.families.drifts.with_label_values(&[self.rest.name.as_str(), kind])
    }

    /// As [`Self::dead_letters`], for a round that does not wait for its time.
    pub fn hastened(&self, why: &'static str) -> IntCounter {
        self.rest.families.hastened.with_label_values(&[self.rest.name.as_str(), why])
    }

    /// What the last round found of one of those that it judged; `None` where there was none.
    pub fn set_promotion_loss(&self, of: &'static str, loss: Option<f64>) {
        let gauge = self.rest.families.promotion_loss.with_label_values(&[self.rest.name.as_str(), of]);
        gauge.set(loss.unwrap_or(f64::NAN));
    }

    /// `expert` and `bucket` count as in the [`StreamShape`].
    pub fn set_accuracy(&self, expert: usize, bucket: usize, accuracy: Accuracy) {
        self.rest.error[expert][bucket].set(accuracy.error);
        self.rest.skill[expert][bucket].set(accuracy.skill.unwrap_or(f64::NAN));
    }

    /// `level` and `bucket` count as in the [`StreamShape`].
    pub fn set_coverage(&self, level: usize, bucket: usize, share: f64) {
        self.rest.coverage[level][bucket].set(share);
    }

    /// Which model serves; `None` before the first.
    pub fn set_model(&self, version: Option<ModelVersion>) {
        let (name, family) = (&self.rest.name, &self.rest.families.model);
        let mut serving = self.rest.model.lock().expect("no holder of this lock panics");
        if *serving == version {
            return;
        }
        if let Some(old) = serving.take() {
            let _ = family.remove_label_values(&[name.as_str(), &old.name(name)]);
        }
        if let Some(new) = version {
            family.with_label_values(&[name.as_str(), &new.name(name)]).set(1);
        }
        *serving = version;
    }

    /// The metrics of a shard that this process owns; dropping them removes what they showed.
    pub fn shard(&self, at: &TopicPartition) -> ShardMetrics {
        ShardMetrics::new(Arc::clone(&self.rest.families), &self.rest.name, at)
    }
}
