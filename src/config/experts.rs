//! What forecasts beside the networks, and how much is kept of each series for it.

use super::key::{Key, Preset};
use super::kinds::{Choice, Word, Words, choice};
use super::section::Section;

/// The experts of a stream, checked. The last value is always one of them; where the stream has a season, so
/// are the seasonal naive forecast and a seasonal profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// How much is kept of a series.
    pub accuracy: Accuracy,
    /// Least squares for every lead on lags, seasonal states, the calendar and covariates.
    pub linear: bool,
    /// ARMA, fitted recursively.
    pub arma: bool,
    /// Normalised least mean squares.
    pub lms: bool,
    /// Constant velocity.
    pub velocity: bool,
}

/// How much is kept of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accuracy {
    /// Features are as rich as the stream allows, and forecasts are scored at leads about √2 apart.
    Full,
    /// A few kilobytes: few features, and forecasts are scored at leads about 1, 2, 4, 8, … only.
    Compact,
}

/// One of the experts that a stream can have beside the naive ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expert {
    Linear,
    Arma,
    Lms,
    Velocity,
}

pub(super) static ACCURACY: Key<Choice<Accuracy>> = choice(
    "accuracy",
    &[
        Word::new(
            "full",
            Accuracy::Full,
            "features as rich as the stream allows, forecasts scored at leads 1, 2, 3, 4, 6, 8, 12, …",
        ),
        Word::new(
            "compact",
            Accuracy::Compact,
            "a few kilobytes a series: few features, forecasts scored at leads 1, 2, 4, 8, …",
        ),
    ],
    "How much is kept of each series.",
);
pub(super) static EXPERTS: Key<Words<Expert>> = Key {
    name: "experts",
    kind: Words {
        preset: Preset::Is(&["linear"]),
        words: &[
            Word::new("linear", Expert::Linear, "least squares for every lead"),
            Word::experimental("arma", Expert::Arma, "ARMA, fitted recursively"),
            Word::experimental("lms", Expert::Lms, "normalised least mean squares"),
            Word::new("velocity", Expert::Velocity, "constant velocity, for tracks"),
        ],
    },
    effect: "The experts that forecast beside the naive ones, which are always there.",
};

pub(super) fn experts(s: &mut Section<'_>) -> Experts {
    let accuracy = s.choice(&ACCURACY);
    let mut experts = Experts { accuracy, linear: false, arma: false, lms: false, velocity: false };
    let given = s.words(&EXPERTS);
    for name in given.unwrap_or_else(|| EXPERTS.kind.preset.fixed().iter().map(|&s| s.to_owned()).collect()) {
        match EXPERTS.kind.words.iter().find(|word| word.word == name).map(|word| word.value) {
            Some(Expert::Linear) => experts.linear = true,
            Some(Expert::Arma) => experts.arma = true,
            Some(Expert::Lms) => experts.lms = true,
            Some(Expert::Velocity) => experts.velocity = true,
            None => s.fault(
                "experts",
                format!(
                    "has \"{name}\"; allowed are \"linear\", \"arma\", \"lms\" and \"velocity\" (the naive ones are always there)"
                ),
            ),
        }
    }
    experts
}

impl Experts {
    /// Whether one of them is among the stream's.
    pub(super) fn has(&self, expert: Expert) -> bool {
        match expert {
            Expert::Linear => self.linear,
            Expert::Arma => self.arma,
            Expert::Lms => self.lms,
            Expert::Velocity => self.velocity,
        }
    }
}
