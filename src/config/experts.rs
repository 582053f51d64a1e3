//! What forecasts beside the network, and how much is kept of each series for it.

use super::section::Section;

/// The experts of a stream, checked. The last value is always one, and so are the seasonal naive and a
/// profile where there is a season.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    pub accuracy: Accuracy,
    /// Least squares for every lead on lags, seasonal states, the calendar and covariates.
    pub linear: bool,
    pub arma: bool,
    /// Normalised least mean squares.
    pub lms: bool,
    /// Constant velocity.
    pub velocity: bool,
}

/// How much is kept of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accuracy {
    /// Every lead has weights of its own, features are as rich as the stream allows.
    Full,
    /// A few kilobytes: few features, weights at leads 1, 2, 4, 8, … only.
    Compact,
}

pub(super) fn experts(s: &mut Section<'_>) -> Experts {
    let accuracy = s.choice("accuracy", &[("full", Accuracy::Full), ("compact", Accuracy::Compact)]);
    let mut experts = Experts { accuracy, linear: false, arma: false, lms: false, velocity: false };
    for name in s.texts("experts").unwrap_or_else(|| vec!["linear".to_owned()]) {
        match name.as_str() {
            "linear" => experts.linear = true,
            "arma" => experts.arma = true,
            "lms" => experts.lms = true,
            "velocity" => experts.velocity = true,
            other => s.fault(
                "experts",
                format!(
                    "has \"{other}\"; allowed are \"linear\", \"arma\", \"lms\" and \"velocity\" (the naive ones are always there)"
                ),
            ),
        }
    }
    experts
}
