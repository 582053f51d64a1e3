/// The kind of an anomaly, as far as it is known at a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnomalyKind {
    /// This reading is surprising, and those before it were not.
    Spike,
    /// Most of the last few readings were surprising too.
    Streak,
    /// The series jumped three readings ago, and has stayed there.
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
    /// 1 minus the share of calm readings that are at least as surprising. In [0, 1]; 0 for a young
    /// series.
    pub score: f32,
    /// Set from 0.99 on, and where a shift is recognised.
    pub kind: Option<AnomalyKind>,
    /// If a shift is recognised, the score of its first reading; else the score of this reading.
    pub began: f32,
}

impl AnomalyScore {
    /// Whether it is worth a record: its own score is above the threshold, or it recognises a shift that began
    /// above it.
    pub fn is_above(&self, threshold: f32) -> bool {
        self.score > threshold || (self.kind == Some(AnomalyKind::Shift) && self.began > threshold)
    }

    /// The score of a reading of several targets: that of the most surprising target, corrected for the number
    /// of targets (Šidák 1967).
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

/// A forecast's statement about a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Crossing {
    /// The probability that the target is beyond the limit at one lead or more.
    pub probability: f32,
    /// The first lead by which a crossing is more likely than not.
    pub first_lead: Option<u16>,
}
