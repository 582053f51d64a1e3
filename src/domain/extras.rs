/// How many values experts are shown of a reading beside its target: calendar features, then covariates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// All of them.
    pub count: usize,
    /// How many of them, the first ones, follow from the time alone. They are shown once more when an origin is
    /// learnt from, so that no series keeps them.
    pub timed: usize,
}
