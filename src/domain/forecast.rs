use super::{AnomalyScore, Crossing, EventTime};

/// Why a forecast is weaker than it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degraded {
    /// No network has been trained yet: the experts serve.
    Warming,
}

impl Degraded {
    /// The word on the wire.
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
    /// What the forecast before expected of this reading: the point, then the quantiles; empty where there was no
    /// forecast. `[1 + levels]`
    pub expected: Vec<f64>,
    /// The point forecast. `[horizon]`
    pub yhat: Vec<f64>,
    /// Quantiles, ascending in level. `[levels, horizon]`
    pub quantiles: Vec<f64>,
    /// The number of significant decimals of these values.
    pub decimals: u8,
}

/// The answer to one reading. A buffer that is filled again for every reading: the hot loop
/// allocates nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The start of the cell (or, on an irregular stream, the time) of the reading.
    pub origin: EventTime,
    /// Why the forecast is weaker than it should be, if it is.
    pub degraded: Option<Degraded>,
    /// How surprising the reading was.
    pub anomaly: AnomalyScore,
    /// One crossing for each of the stream's limits, in the order of the config.
    pub limits: Vec<Crossing>,
    /// One for each target, in the order of the config.
    pub targets: Vec<TargetForecast>,
}

impl Forecast {
    /// A forecast of these targets, without an anomaly and without limits.
    pub fn new(origin: EventTime, targets: Vec<TargetForecast>) -> Self {
        Self { origin, degraded: None, anomaly: AnomalyScore::default(), limits: Vec::new(), targets }
    }
}
