//! `[streams.NAME.promotion]`: what a challenger must show before it serves, and how it is watched then.

use super::key::{Key, Preset};
use super::kinds::{Flag, Real, Sub, Whole, flag, real, sub, whole};
use super::section::Section;

/// How a stream's champion is chosen, checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promotion {
    /// How sure it must be that a challenger is better on the held-out readings. At 0 being better there
    /// is enough.
    pub confidence: f64,
    /// The share of the base's loss that a challenger must save there. One that saves less must prove at 95 %
    /// that it is better. What is learnt from noise does neither.
    pub gain: f64,
    /// Whether a challenger must be better again on readings that came after its round.
    pub shadow: bool,
    /// For how many rounds a new champion is compared with the former one; 0 for none.
    pub watch: usize,
    /// How sure it must be that the new champion is worse before the former one serves again.
    pub rollback_confidence: f64,
}

pub(super) static PROMOTION: Key<Sub> = sub(
    "promotion",
    "Which network serves. A challenger has to beat the champion and the experts on the newest readings.",
    &[&CONFIDENCE, &GAIN, &SHADOW, &WATCH, &ROLLBACK_CONFIDENCE],
);
static CONFIDENCE: Key<Real> = real(
    "confidence",
    0.5,
    0.0..=0.9999,
    "How sure it must be that a challenger is better on the held-out readings; 0.95 asks for proof, and at 0 being \
     better there is enough.",
);
static GAIN: Key<Real> = real(
    "gain",
    0.02,
    0.0..=0.9,
    "The share of the experts' loss that a challenger must save; one that saves less must prove at 95 % that it \
     is better.",
);
static SHADOW: Key<Flag> = flag(
    "shadow",
    false,
    "Whether a challenger must win again on the readings of the next round before it serves.",
);
static WATCH: Key<Whole> = whole(
    "watch",
    Preset::Is(3),
    0..=1_000,
    "The number of rounds in which the former champion can still come back; 0 for none.",
);
static ROLLBACK_CONFIDENCE: Key<Real> = real(
    "rollback_confidence",
    0.95,
    0.5..=0.9999,
    "How sure it must be that the new champion is worse before the former one serves again.",
);

pub(super) fn promotion(mut s: Section<'_>) -> Promotion {
    let promotion = Promotion {
        confidence: s.real(&CONFIDENCE),
        gain: s.real(&GAIN),
        shadow: s.flag(&SHADOW),
        watch: s.count(&WATCH),
        rollback_confidence: s.real(&ROLLBACK_CONFIDENCE),
    };
    s.finish();
    promotion
}
