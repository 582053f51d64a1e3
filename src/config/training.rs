//! `[streams.NAME.training]`: rounds of truncated BPTT, what they learn from and what they may cost.

use super::model::Model;
use super::section::Section;
use std::time::Duration;

/// How a stream's network is trained, checked.
#[derive(Clone, Debug)]
pub struct Training {
    pub enabled: bool,
    pub schedule: Schedule,
    pub budget: Budget,
    /// Series in a mini-batch.
    pub batch: usize,
    /// How many steps back a gradient goes.
    pub truncation: usize,
    /// Readings that warm the state before the first gradient.
    pub burn_in: usize,
    pub learning_rate: f64,
    pub refresh_learning_rate: f64,
    pub weight_decay: f64,
    pub clip_norm: f64,
    pub input_dropout: f64,
    pub recurrent_dropout: f64,
    pub layer_dropout: f64,
    pub loss: LossKind,
    /// What a target counts in the loss, by lead, `[horizon]`.
    pub lead_weights: Vec<f32>,
    /// The share of mini-batches in which a decoder is given the targets.
    pub teacher_forcing: f64,
    /// Newest readings of each series on which a round is judged and from which it does not learn.
    pub holdout: usize,
    pub seed: u64,
}

/// Distance from a forecast to its target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossKind {
    /// Squared up to so many typical errors, then linear.
    Huber(f64),
    Squared,
    /// The network forecasts the stream's quantiles too; its point is the median.
    Pinball,
}

/// When a round starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The first, in readings per series.
    pub first_after: usize,
    pub every: Every,
}

/// From one round to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// Readings per series.
    Readings(usize),
    /// Event time.
    Time(Duration),
}

/// What a round may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    pub first_steps: usize,
    pub steps: usize,
    /// The share of one core.
    pub cpu_share: f64,
    /// The most series whose windows a round sees.
    pub series: usize,
}

pub(super) fn training(mut s: Section<'_>, model: &Model, horizon: usize) -> Training {
    // A week of an hourly stream with a day's horizon; of others in proportion.
    let days = 7 * horizon;
    let holdout = s.count("holdout", days.clamp(56, 168.max(2 * horizon)), 1..=100_000);
    let training = Training {
        enabled: s.flag("enabled", true),
        schedule: Schedule {
            first_after: s.count("first_after", 4 * days.clamp(56, 168), 1..=100_000_000),
            every: every(&mut s, days.clamp(28, 168)),
        },
        budget: Budget {
            first_steps: s.count("first_steps", 300, 1..=1_000_000),
            steps: s.count("steps", 40, 1..=1_000_000),
            cpu_share: s.real("cpu_share", 0.5, 0.01..=1.0),
            series: s.count("series", 1_024, 1..=1_000_000),
        },
        batch: s.count("batch", 32, 1..=4_096),
        truncation: s.count("truncation", 128, 1..=4_096),
        burn_in: s.count("burn_in", 24, 0..=4_096),
        learning_rate: s.real("learning_rate", 3e-3, 1e-7..=1.0),
        refresh_learning_rate: s.real("refresh_learning_rate", 1e-3, 1e-7..=1.0),
        weight_decay: s.real("weight_decay", 1.0, 0.0..=100.0),
        clip_norm: s.real("clip_norm", 1.0, 1e-6..=1e6),
        input_dropout: s.real("input_dropout", 0.0, 0.0..=0.95),
        recurrent_dropout: s.real("recurrent_dropout", 0.0, 0.0..=0.95),
        layer_dropout: s.real("layer_dropout", 0.0, 0.0..=0.95),
        loss: loss(&mut s),
        lead_weights: lead_weights(&mut s, horizon),
        teacher_forcing: if model.unrolls() { s.real("teacher_forcing", 0.5, 0.0..=1.0) } else { 0.0 },
        holdout,
        seed: s.whole("seed", 1, 0..=u64::MAX),
    };
    s.finish();
    training
}

/// A count of readings, or a duration.
fn every(s: &mut Section<'_>, default: usize) -> Every {
    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
    if s.value("every").is_some_and(serde_json::Value::is_string) {
        return Every::Time(s.duration("every", SHORTEST, SHORTEST..=LONGEST));
    }
    Every::Readings(s.count("every", default, 1..=100_000_000))
}

fn loss(s: &mut Section<'_>) -> LossKind {
    let (huber, squared, pinball) = (LossKind::Huber(1.0), LossKind::Squared, LossKind::Pinball);
    match s.choice("loss", &[("huber", huber), ("squared", squared), ("pinball", pinball)]) {
        LossKind::Huber(_) => LossKind::Huber(s.real("huber_delta", 1.0, 1e-3..=1e3)),
        other => other,
    }
}

fn lead_weights(s: &mut Section<'_>, horizon: usize) -> Vec<f32> {
    let Some(given) = s.reals("lead_weights") else { return vec![1.0; horizon] };
    let right = given.len() == horizon && given.iter().all(|w| (0.0..=1e3).contains(w));
    if !right || given.iter().sum::<f64>() == 0.0 {
        let problem = format!("must be {horizon} numbers, one for each lead, from 0 to 1000 and not all 0");
        s.fault("lead_weights", problem);
        return vec![1.0; horizon];
    }
    given.iter().map(|w| *w as f32).collect()
}
