//! `[streams.NAME.promotion]`: what a challenger must show before it serves, and how it is watched then.

use super::section::Section;

/// How a stream's champion is chosen, checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promotion {
    /// How sure it must be that a challenger is better on the held-out readings; at 0 it need only be
    /// better there.
    pub confidence: f64,
    /// The share of the base's loss that it must save there, or prove at 95 % that it is better: what is
    /// learnt from noise does neither.
    pub gain: f64,
    /// Whether it must be better again on readings that came after its round.
    pub shadow: bool,
    /// For how many rounds a new champion is held against the former one; 0 for none.
    pub watch: usize,
    /// How sure it must be that it is worse before the former one serves again.
    pub rollback_confidence: f64,
}

pub(super) fn promotion(mut s: Section<'_>) -> Promotion {
    let promotion = Promotion {
        confidence: s.real("confidence", 0.5, 0.0..=0.9999),
        gain: s.real("gain", 0.02, 0.0..=0.9),
        shadow: s.flag("shadow", false),
        watch: s.count("watch", 3, 0..=1_000),
        rollback_confidence: s.real("rollback_confidence", 0.95, 0.5..=0.9999),
    };
    s.finish();
    promotion
}
