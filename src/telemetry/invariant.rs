use super::words::Invariant;

/// Counts how often each invariant did not hold, without a clock or a log. A worker moves the counts into the
/// metric; the simulation panics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations([u64; Invariant::ALL.len()]);

impl Violations {
    /// Counts a violation unless `holds`.
    pub fn check(&mut self, invariant: Invariant, holds: bool) {
        self.0[invariant as usize] += u64::from(!holds);
    }

    /// Takes the counts and starts again from zero.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// The invariants that did not hold, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Invariant, u64)> + '_ {
        Invariant::ALL.iter().map(|i| (*i, self.0[*i as usize])).filter(|(_, n)| *n > 0)
    }
}
