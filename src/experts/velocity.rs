use super::state_table::StateTable;
use super::{ExpertGroup, Observation};
use crate::domain::{Damaged, Rows, Take};
use bytemuck::{Pod, Zeroable};

/// Constant velocity: `ŷ_{t+h|t} = y_t + h·v`, with `v` the last observed step. The baseline of
/// trajectory forecasts.
#[derive(Debug)]
pub struct Velocity {
    horizon: usize,
    table: StateTable<VelocityState>,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct VelocityState {
    last: f32,
    /// Change in one step.
    velocity: f32,
    /// Steps since the last observed value.
    ago: u32,
    /// Whether a value was observed (0 or 1).
    known: u32,
}

impl Velocity {
    pub fn new(targets: usize, horizon: usize) -> Self {
        Self { horizon: horizon.max(1), table: StateTable::new(targets, VelocityState::zeroed(), &[], 0, 0) }
    }
}

impl ExpertGroup for Velocity {
    fn names(&self) -> &[&'static str] {
        &["velocity"]
    }

    fn step(&mut self, slot: usize, target: usize, reading: &Observation<'_>, out: &mut [f32]) {
        assert_eq!(out.len(), self.horizon);
        let state = self.table.row(slot, target).state;
        state.ago = state.ago.saturating_add(1);
        if reading.observed && reading.value.is_finite() {
            if state.known > 0 {
                let velocity = (reading.value - state.last) / state.ago as f32;
                state.velocity = if velocity.is_finite() { velocity } else { 0.0 };
            }
            (state.last, state.ago, state.known) = (reading.value, 0, 1);
        }
        for (i, point) in out.iter_mut().enumerate() {
            let point_now = state.last + state.velocity * (i as f32 + 1.0 + state.ago as f32);
            *point = if point_now.is_finite() { point_now } else { state.last };
        }
    }

    fn interrupt(&mut self, slot: usize) {
        self.table.states(slot).for_each(|state| *state = VelocityState::zeroed());
    }
}

super::state_table::rows_of_state_table!(Velocity);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PastReadings;

    #[test]
    fn a_straight_line_goes_on_through_a_gap() {
        let mut velocity = Velocity::new(1, 3);
        velocity.grow(1);
        let mut out = [0.0; 3];
        for (t, observed) in [true, true, false, false, true, false].into_iter().enumerate() {
            let value = if observed { 2.0 * t as f32 - 5.0 } else { 0.0 };
            let past = PastReadings::none();
            let reading = Observation { value, observed, clock: 0, extras: &[], then: &[], past };
            velocity.step(0, 0, &reading, &mut out);
        }
        assert_eq!(out, [7.0, 9.0, 11.0]);
    }
}
