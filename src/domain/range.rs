/// The bounds of a target's values, in its own unit. No forecast lies beyond them.
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
    /// Learnt from the readings: 0 while a series has never been below it.
    Seen,
    /// No bound.
    Any,
    /// This value.
    At(f64),
}
