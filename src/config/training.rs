//! `[streams.NAME.training]`: rounds of truncated BPTT, what they learn from and what they may cost.

use super::key::{Key, Preset};
use super::kinds::{
    Choice, Flag, Mixed, Real, Reals, Sub, Whole, Word, choice, flag, mixed, real, sub, whole,
};
use super::model::Model;
use super::section::Section;
use std::time::Duration;

/// How a stream's network is trained, checked.
#[derive(Clone, Debug)]
pub struct Training {
    /// Whether networks are trained at all.
    pub enabled: bool,
    /// When a round starts.
    pub schedule: Schedule,
    /// What a round may cost.
    pub budget: Budget,
    /// Series in a mini-batch.
    pub batch: usize,
    /// How many steps back a gradient goes.
    pub truncation: usize,
    /// Readings that warm the state before the first gradient.
    pub burn_in: usize,
    /// AdamW's learning rate in the first round.
    pub learning_rate: f64,
    /// AdamW's learning rate in every later round.
    pub refresh_learning_rate: f64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// The norm to which gradients are clipped.
    pub clip_norm: f64,
    /// The share of inputs that are dropped, with one mask for a whole sequence.
    pub input_dropout: f64,
    /// The share of the recurrent state that is dropped, with one mask for a whole sequence.
    pub recurrent_dropout: f64,
    /// The share of what goes from layer to layer that is dropped.
    pub layer_dropout: f64,
    /// The distance that is minimised.
    pub loss: LossKind,
    /// The weight of each lead in the loss, `[horizon]`.
    pub lead_weights: Vec<f32>,
    /// The share of mini-batches in which a decoder is given the targets.
    pub teacher_forcing: f64,
    /// The newest readings of each series, on which a round is judged and from which it does not learn.
    pub holdout: usize,
    /// The seed of weights, batches and dropout.
    pub seed: u64,
}

/// Distance from a forecast to its target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossKind {
    /// Squared up to this many typical errors, then linear.
    Huber(f64),
    /// The squared error.
    Squared,
    /// The quantile loss. The network forecasts the stream's quantiles too; its point is the median.
    Pinball,
}

/// When a round starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The first round, in readings per series.
    pub first_after: usize,
    /// From one round to the next.
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
    /// Mini-batches of the first round.
    pub first_steps: usize,
    /// Mini-batches of every later round.
    pub steps: usize,
    /// The share of one core.
    pub cpu_share: f64,
    /// The most series whose windows a round sees.
    pub series: usize,
}

pub(super) static TRAINING: Key<Sub> = sub(
    "training",
    "Rounds of training: truncated backpropagation through time on the newest readings, beside serving.",
    &[
        &ENABLED,
        &FIRST_AFTER,
        &EVERY,
        &FIRST_STEPS,
        &STEPS,
        &CPU_SHARE,
        &SERIES,
        &BATCH,
        &TRUNCATION,
        &BURN_IN,
        &HOLDOUT,
        &LOSS,
        &HUBER_DELTA,
        &LEAD_WEIGHTS,
        &TEACHER_FORCING,
        &LEARNING_RATE,
        &REFRESH_LEARNING_RATE,
        &WEIGHT_DECAY,
        &CLIP_NORM,
        &INPUT_DROPOUT,
        &RECURRENT_DROPOUT,
        &LAYER_DROPOUT,
        &SEED,
    ],
);
static ENABLED: Key<Flag> =
    flag("enabled", true, "Whether networks are trained. A model that exists already continues to serve.");
static FIRST_AFTER: Key<Whole> = whole(
    "first_after",
    Preset::Follows("28 horizons, at least 224 and at most 672", 672),
    1..=100_000_000,
    "The number of readings per series after which the first round starts.",
);
static EVERY: Key<Mixed> = mixed(
    "every",
    Mixed {
        words: "whole number or duration",
        preset: Preset::Follows("7 horizons, at least 28 and at most 168", "168"),
        form: "1 to 100000000 readings per series, or 1s to 36500d of event time",
        schema: r#"{ "type": ["integer", "string"], "minimum": 1, "maximum": 100000000 }"#,
    },
    "The distance from one round to the next; drift and requests start one earlier.",
);
static FIRST_STEPS: Key<Whole> =
    whole("first_steps", Preset::Is(300), 1..=1_000_000, "The number of mini-batches of the first round.");
static STEPS: Key<Whole> =
    whole("steps", Preset::Is(40), 1..=1_000_000, "The number of mini-batches of every later round.");
static CPU_SHARE: Key<Real> =
    real("cpu_share", 0.5, 0.01..=1.0, "The share of one core that training may take.");
static SERIES: Key<Whole> =
    whole("series", Preset::Is(1_024), 1..=1_000_000, "The most series that a round learns from.");
static BATCH: Key<Whole> = whole("batch", Preset::Is(32), 1..=4_096, "The number of series in a mini-batch.");
static TRUNCATION: Key<Whole> =
    whole("truncation", Preset::Is(128), 1..=4_096, "The number of readings that a gradient goes back.");
static BURN_IN: Key<Whole> = whole(
    "burn_in",
    Preset::Is(24),
    0..=4_096,
    "The number of readings that warm the state up before the first gradient.",
);
static HOLDOUT: Key<Whole> = whole(
    "holdout",
    Preset::Follows("7 horizons, at least 56 and at most the greater of 168 and 2 horizons", 168),
    1..=100_000,
    "The number of newest readings of each series on which a round is judged and from which it does not learn; \
     more than the horizon.",
);
pub(super) static LOSS: Key<Choice<LossKind>> = choice(
    "loss",
    &[
        Word::new("huber", LossKind::Huber(1.0), "squared near zero, then linear"),
        Word::experimental("squared", LossKind::Squared, "the squared error"),
        Word::experimental(
            "pinball",
            LossKind::Pinball,
            "the quantile loss of every level of `quantiles`; the point is the median",
        ),
    ],
    "The distance from a forecast to its target that training minimises.",
);
static HUBER_DELTA: Key<Real> = real(
    "huber_delta",
    1.0,
    1e-3..=1e3,
    "Where the Huber loss becomes linear, in typical errors; known only with `loss = \"huber\"`.",
);
static LEAD_WEIGHTS: Key<Reals> = Key {
    name: "lead_weights",
    kind: Reals {
        preset: Preset::Follows("1 for each", &[1.0; 24]),
        form: "a number from 0 to 1000 for each lead, not all of them 0",
    },
    effect: "The weight of each lead in the loss.",
};
static TEACHER_FORCING: Key<Real> = real(
    "teacher_forcing",
    0.5,
    0.0..=1.0,
    "The share of mini-batches in which a decoder is given the targets; known only with a head that unrolls, \
     `encoder_decoder` or `vector_to_sequence`.",
);
static LEARNING_RATE: Key<Real> =
    real("learning_rate", 3e-3, 1e-7..=1.0, "AdamW's learning rate in the first round.");
static REFRESH_LEARNING_RATE: Key<Real> =
    real("refresh_learning_rate", 1e-3, 1e-7..=1.0, "AdamW's learning rate in every later round.");
static WEIGHT_DECAY: Key<Real> = real("weight_decay", 1.0, 0.0..=100.0, "AdamW's decoupled weight decay.");
static CLIP_NORM: Key<Real> =
    real("clip_norm", 1.0, 1e-6..=1e6, "The norm to which the gradient of a mini-batch is clipped.");
static INPUT_DROPOUT: Key<Real> =
    real("input_dropout", 0.0, 0.0..=0.95, "The share of inputs that are dropped, one mask for a sequence.");
static RECURRENT_DROPOUT: Key<Real> = real(
    "recurrent_dropout",
    0.0,
    0.0..=0.95,
    "The share of the recurrent state that is dropped, one mask for a sequence.",
);
static LAYER_DROPOUT: Key<Real> =
    real("layer_dropout", 0.0, 0.0..=0.95, "The share of values between layers that are dropped.");
static SEED: Key<Whole> =
    whole("seed", Preset::Is(1), 0..=u64::MAX, "The seed of weights, mini-batches and dropout.");

pub(super) fn training(mut s: Section<'_>, model: &Model, horizon: usize) -> Training {
    // A week of an hourly stream with a day's horizon; of others in proportion.
    let days = 7 * horizon;
    let holdout = s.count_or(&HOLDOUT, days.clamp(56, 168.max(2 * horizon)));
    let training = Training {
        enabled: s.flag(&ENABLED) && !model.networks.is_empty(),
        schedule: Schedule {
            first_after: s.count_or(&FIRST_AFTER, 4 * days.clamp(56, 168)),
            every: every(&mut s, days.clamp(28, 168)),
        },
        budget: Budget {
            first_steps: s.count(&FIRST_STEPS),
            steps: s.count(&STEPS),
            cpu_share: s.real(&CPU_SHARE),
            series: s.count(&SERIES),
        },
        batch: s.count(&BATCH),
        truncation: s.count(&TRUNCATION),
        burn_in: s.count(&BURN_IN),
        learning_rate: s.real(&LEARNING_RATE),
        refresh_learning_rate: s.real(&REFRESH_LEARNING_RATE),
        weight_decay: s.real(&WEIGHT_DECAY),
        clip_norm: s.real(&CLIP_NORM),
        input_dropout: s.real(&INPUT_DROPOUT),
        recurrent_dropout: s.real(&RECURRENT_DROPOUT),
        layer_dropout: s.real(&LAYER_DROPOUT),
        loss: loss(&mut s),
        lead_weights: lead_weights(&mut s, horizon),
        teacher_forcing: if model.unrolls() { s.real(&TEACHER_FORCING) } else { 0.0 },
        holdout,
        seed: s.whole(&SEED),
    };
    s.finish();
    training
}

/// A count of readings, or a duration.
fn every(s: &mut Section<'_>, default: usize) -> Every {
    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
    if s.value(&EVERY).is_some_and(serde_json::Value::is_string) {
        return Every::Time(s.mixed_duration(&EVERY, SHORTEST, SHORTEST..=LONGEST));
    }
    Every::Readings(s.mixed_count(&EVERY, default, 1..=100_000_000))
}

fn loss(s: &mut Section<'_>) -> LossKind {
    match s.choice(&LOSS) {
        LossKind::Huber(_) => LossKind::Huber(s.real(&HUBER_DELTA)),
        other => other,
    }
}

fn lead_weights(s: &mut Section<'_>, horizon: usize) -> Vec<f32> {
    let Some(given) = s.reals(&LEAD_WEIGHTS) else { return vec![1.0; horizon] };
    let right = given.len() == horizon && given.iter().all(|w| (0.0..=1e3).contains(w));
    if !right || given.iter().sum::<f64>() == 0.0 {
        let problem = format!("must be {horizon} numbers, one for each lead, from 0 to 1000 and not all 0");
        s.fault("lead_weights", problem);
        return vec![1.0; horizon];
    }
    given.iter().map(|w| *w as f32).collect()
}
