use super::{AnomalyScore, Crossing, EventTime};

/// Why a forecast is weaker than it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degraded {
    /// No network has been trained yet: the experts serve.
    Warming,
}

impl Degraded {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warming => "warming",
        }
    }
}

/// One target's part of a forecast, in the units of its readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetForecast {
    /// The reading at the origin; `None` if the target was missing.
    pub last: Option<f64>,
    /// The previous forecast of this reading: the point, then its quantiles; empty without one. `[1 + levels]`
    pub expected: Vec<f64>,
    /// The point forecast. `[horizon]`
    pub yhat: Vec<f64>,
    /// Quantiles, ascending in level. `[levels, horizon]`
    pub quantiles: Vec<f64>,
    /// The number of significant decimals of these values.
    pub decimals: u8,
}

/// The answer to one reading. The buffer is refilled for every reading, so the hot loop allocates nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The start of the cell (or, on an irregular stream, the time) of the reading.
    pub origin: EventTime,
    /// Why it is weaker than it should be, if it is.
    pub degraded: Option<Degraded>,
    /// How surprising the reading was.
    pub anomaly: AnomalyScore,
    /// The chances of crossing the stream's limits, in the order of the config.
    pub limits: Vec<Crossing>,
    /// One for each target, in the order of the config.
    pub targets: Vec<TargetForecast>,
}

impl Forecast {
    /// A forecast of these targets, with everything else empty.
    pub fn new(origin: EventTime, targets: Vec<TargetForecast>) -> Self {
        Self { origin, degraded: None, anomaly: AnomalyScore::default(), limits: Vec::new(), targets }
    }
}
