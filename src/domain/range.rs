/// The range of a target in its own unit; emitted forecasts lie within it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueRange {
    /// The lower bound.
    pub lowest: Lowest,
    /// The upper bound, if there is one.
    pub highest: Option<f64>,
}

/// The lower bound of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lowest {
    /// By its readings: 0 while the series has never been below 0.
    Seen,
    /// There is no bound.
    Any,
    /// A fixed bound.
    At(f64),
}
