use super::EventTime;

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
    /// One for each target, in the order of the config.
    pub targets: Vec<TargetForecast>,
}
