//! How a metric is declared: [`Spec`].

/// The prefix of every metric's name.
pub const PREFIX: &str = "tidecast_";

/// A metric's declaration. Its handles, its help text and its line in `docs/metrics.md` come from here.
#[derive(Debug)]
pub struct Spec {
    /// The name without [`PREFIX`].
    pub name: &'static str,
    /// What Prometheus calls the type.
    pub kind: Kind,
    /// What one is, for `docs/metrics.md`.
    pub unit: Unit,
    /// In the order in which their values are given.
    pub labels: &'static [Label],
    /// The upper bounds of a histogram's buckets; empty for the other kinds.
    pub buckets: &'static [f64],
    /// One or more sentences, also given out at `/metrics`.
    pub help: &'static str,
}

/// The type of a metric in Prometheus' sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counts up from the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

impl Kind {
    /// The word of the text format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What a metric is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds, with fractions.
    Seconds,
    /// Bytes.
    Bytes,
    /// Things, named in the plural.
    Count(&'static str),
    /// A share or another number without a unit.
    Ratio,
    /// A series' own scale: what its values swing within.
    Scale,
    /// 1 or 0.
    Flag,
}

impl Unit {
    /// The word in `docs/metrics.md`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Count(what) => what,
            Self::Ratio => "ratio",
            Self::Scale => "series' scale",
            Self::Flag => "0 or 1",
        }
    }
}

/// A label and the values that it can have. Values are bounded: never a series' name, never data.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// The label's name.
    pub name: &'static str,
    /// All values that it can have, where they are fixed words.
    pub words: &'static [&'static str],
}

impl Label {
    /// A label whose values come from the config or the cluster.
    pub const fn named(name: &'static str) -> Self {
        Self { name, words: &[] }
    }

    /// A label whose values are fixed words.
    pub const fn words(name: &'static str, words: &'static [&'static str]) -> Self {
        Self { name, words }
    }
}
