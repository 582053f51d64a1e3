/// The kind of an anomaly, as far as a reading tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnomalyKind {
    /// This reading is surprising, and those before it were not.
    Spike,
    /// Most of the last few readings were surprising.
    Streak,
    /// The series has stayed at the level that it jumped to three readings ago.
    Shift,
}

impl AnomalyKind {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Streak => "streak",
            Self::Shift => "shift",
        }
    }
}

/// How surprising a reading is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AnomalyScore {
    /// 1 less the share of calm readings that are at least as surprising. In [0, 1]; 0 for a young
    /// series.
    pub score: f32,
    /// Set from 0.99 on, and where a shift is recognised.
    pub kind: Option<AnomalyKind>,
    /// The score of the reading with which a shift began, where one is recognised; otherwise that of this reading.
    pub began: f32,
}

impl AnomalyScore {
    /// Whether it is written as a record: its own score lies above the threshold, or that of the reading with which
    /// its shift began does.
    pub fn is_above(&self, threshold: f32) -> bool {
        self.score > threshold || (self.kind == Some(AnomalyKind::Shift) && self.began > threshold)
    }

    /// The score of a reading with several targets: that of the most surprising one, corrected for their number
    /// (Šidák 1967).
    pub fn of_all(targets: impl IntoIterator<Item = Self>) -> Self {
        let (mut most, mut n) = (Self::default(), 0);
        for target in targets {
            n += 1;
            let weight =
                |s: &Self| s.score.max(if s.kind == Some(AnomalyKind::Shift) { s.began } else { 0.0 });
            if n == 1 || weight(&target) > weight(&most) {
                most = target;
            }
        }
        Self { score: most.score.powi(n.max(1)), began: most.began.powi(n.max(1)), ..most }
    }
}

/// What a forecast says about a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Crossing {
    /// The probability that the target is beyond the limit at one lead or more.
    pub probability: f32,
    /// The first lead by which a crossing is more likely than not.
    pub first_lead: Option<u16>,
}
