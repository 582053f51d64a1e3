/// Between which values a target lies, in its own unit: no forecast is told beyond them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueRange {
    pub lowest: Lowest,
    pub highest: Option<f64>,
}

/// Below what a target never lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lowest {
    /// As its readings say: not below 0 while a series has never been there.
    Seen,
    /// It may be anything.
    Any,
    At(f64),
}
