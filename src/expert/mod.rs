//! What can forecast a series without a network. Each reads a series' past and writes a point for
//! every lead; none keeps state of its own yet.

mod last;
mod seasonal;

pub use last::last_value;
pub use seasonal::seasonal_naive;

/// Who forecasts. The order is that of every table of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expert {
    Last,
    Seasonal,
    Network,
}

impl Expert {
    pub const ALL: [Self; 3] = [Self::Last, Self::Seasonal, Self::Network];

    /// The name in metrics and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Seasonal => "seasonal",
            Self::Network => "network",
        }
    }

    pub fn index(self) -> usize {
        self as usize
    }
}

/// The names under which errors are shown: every expert, then what was emitted.
pub const JUDGED: [&str; 4] =
    [Expert::Last.name(), Expert::Seasonal.name(), Expert::Network.name(), "mixture"];
/// What was emitted, among those that are judged.
pub const EMITTED: usize = JUDGED.len() - 1;

/// A series' past, newest first.
pub trait Past {
    /// Readings known, at least 1.
    fn known(&self) -> usize;
    /// The value `age` steps before the newest; `age < known()`.
    fn value(&self, age: usize) -> f32;
}
