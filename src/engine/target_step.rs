use crate::series::Slot;

/// One target of one series at one of its steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetStep {
    /// The series.
    pub slot: Slot,
    /// The target's place among the stream's targets.
    pub target: usize,
    /// Steps that the series took before this one.
    pub now: u64,
    /// The cell that seasons are counted by.
    pub clock: i64,
}

impl TargetStep {
    /// The same step of another target.
    pub fn of(self, target: usize) -> Self {
        Self { target, ..self }
    }
}
