use super::{AnomalyScore, Crossing, EventTime};

/// Why a forecast is weaker than it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degraded {
    /// No network has been trained yet: the experts serve.
    Warming,
}

impl Degraded {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warming => "warming",
        }
    }
}

/// One target's part of a forecast, in the units of its readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetForecast {
    /// The reading from which the forecast was made; `None` where it was missing.
    pub last: Option<f64>,
    /// What the forecast before said of this reading: the point, then its quantiles; empty where there
    /// was none. `[1 + levels]`
    pub expected: Vec<f64>,
    /// The point forecast. `[horizon]`
    pub yhat: Vec<f64>,
    /// Quantiles, ascending in level. `[levels, horizon]`
    pub quantiles: Vec<f64>,
    /// How many decimals of these values mean something.
    pub decimals: u8,
}

/// The answer to one reading. A buffer that is filled again for every reading: the hot loop
/// allocates nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The start of the cell (or, on an irregular stream, the time) of the reading.
    pub origin: EventTime,
    pub degraded: Option<Degraded>,
    /// How surprising the reading was.
    pub anomaly: AnomalyScore,
    /// What is said of the stream's limits, in the order of the config.
    pub limits: Vec<Crossing>,
    /// One for each target, in the order of the config.
    pub targets: Vec<TargetForecast>,
}

impl Forecast {
    /// One without anything to say but its targets.
    pub fn new(origin: EventTime, targets: Vec<TargetForecast>) -> Self {
        Self { origin, degraded: None, anomaly: AnomalyScore::default(), limits: Vec::new(), targets }
    }
}
