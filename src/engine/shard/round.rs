//! A round from end to end, a tile of series at a time: what is computed for one series is still in the cache when
//! its networks have stepped.

use super::Shard;
use crate::engine::emitted::Emitted;
use crate::engine::intake::SeriesStep;
use crate::engine::target_step::TargetStep;
use crate::nn::Error;
use crate::scoring::{Actual, Belief};
use crate::telemetry::{Doubt, Invariant};

/// Series that are taken in, stepped and answered together.
pub(super) const TILE: usize = 128;

impl Shard {
    /// Steps the next round, one reading a series, and calls `sink` with each answer that is due. Returns how many
    /// series stepped; `None` when no reading waits.
    ///
    /// # Errors
    /// When a network can't step: a fault of the program or the device.
    pub fn run_round(&mut self, sink: &mut impl FnMut(Emitted<'_>)) -> Result<Option<usize>, Error> {
        while let Some(series) = self.intake.pass_publication() {
            self.forecaster.publish(series);
        }
        let Some(steps) = self.intake.next_round() else { return Ok(None) };
        self.serving.grow(self.intake.directory().slots())?;
        for tile in steps.chunks(TILE) {
            self.run_tile(tile, sink)?;
        }
        let stepped = steps.len();
        self.intake.finish_round(steps);
        Ok(Some(stepped))
    }

    fn run_tile(&mut self, tile: &[SeriesStep], sink: &mut impl FnMut(Emitted<'_>)) -> Result<(), Error> {
        self.serving.begin_tile();
        for (i, step) in tile.iter().enumerate() {
            if let Some(next) = tile.get(i + 1) {
                self.forecaster.prefetch(next.slot, self.history.total(next.slot));
            }
            let (snapshot, state) = self.snapshot_and_state();
            snapshot.copy_before_change(step.slot, &state)?;
            self.reset(step)?;
            self.take_in(step, i);
        }
        self.serving.step()?;
        for (i, step) in tile.iter().enumerate() {
            self.answer(step, i, sink);
        }
        Ok(())
    }

    /// Forgets what a step does not go on from.
    fn reset(&mut self, step: &SeriesStep) -> Result<(), Error> {
        if step.fresh {
            self.state_mut().into_tables().for_each(|table| table.reset(step.slot.index()));
        }
        if step.cold {
            self.history.interrupt(step.slot);
            self.forecaster.interrupt(step.slot);
            self.serving.reset(step.slot)?;
        }
        Ok(())
    }

    /// Learns from the values of a step, lets the experts forecast, and prepares what the networks are shown.
    fn take_in(&mut self, step: &SeriesStep, i: usize) {
        let (slot, cell) = (step.slot, step.cell);
        self.violations.check(Invariant::TimeMovesForward, self.history.is_next(slot, cell));
        self.take_counts(step);
        let at = self.history.begin(slot, cell, step.reading.is_some());
        self.forecaster.begin(i, at);
        for target in 0..self.stream.targets.len() {
            self.take_target(step, at.of(target), i);
        }
        self.history.take_covariates(slot, self.intake.values(step));
        if step.reading.is_some() {
            self.forecaster.end(i, slot);
        }
        self.history.show(slot, cell);
        self.forecaster.forecast(i, &self.history);
        let bases = self.forecaster.bases(i, &self.history);
        let (inputs, are_read) = self.serving.add(slot);
        self.history.keep((slot, cell), step.reading.is_some(), bases, inputs, are_read);
    }

    /// Puts rates in the place of counts.
    fn take_counts(&mut self, step: &SeriesStep) {
        let Self { history, intake, .. } = self;
        let mut resets = Vec::new();
        if let Some(values) = intake.values_mut(step) {
            let reset = |target, count, former| resets.push((target, count, former));
            history.take_counts(step.slot, step.cell, values, reset);
        }
        for (target, count, former) in resets {
            intake.doubt(step, target, Doubt::CounterReset, count, former);
        }
    }

    /// Scores the forecasts of a target's value and learns from it, or puts something in its place.
    fn take_target(&mut self, step: &SeriesStep, at: TargetStep, i: usize) {
        let believed = self.forecaster.last_believed(at);
        let held = self.history.hold(at, self.intake.values(step), believed);
        if held.value.is_finite() {
            let actual = self.believe(step, at, held.value);
            let units = self.forecaster.learn(i, at, actual, &self.history);
            self.history.note_arrived(at, actual.believed, units);
            self.history.take(at, actual);
            return;
        }
        let expected = self.forecaster.expected(at);
        let raw = self.intake.values(step).map(|values| values[at.target]);
        if raw.is_some_and(|raw| self.history.is_out_of_range(at.target, raw)) {
            self.doubt(step, at, Doubt::OutOfRange, expected);
        }
        self.history.fill(at, expected, held.previous);
        self.history.note_missing(at);
        self.forecaster.miss(at);
    }

    /// How a target's value is held, and how much of it is believed.
    fn believe(&mut self, step: &SeriesStep, at: TargetStep, value: f32) -> Actual {
        let expected = self.forecaster.expected(at);
        let raw = self.intake.values(step).map_or(f64::NAN, |values| values[at.target]);
        let former = self.history.former(at, raw, expected);
        let steps = self.history.season_steps(at, value - self.forecaster.last_believed(at));
        let belief = self.forecaster.believe(at, value, former, &steps);
        match belief {
            Belief::Accepted => {}
            Belief::Clipped(_) => self.doubt(step, at, Doubt::Outlier, expected),
            Belief::LevelShift | Belief::LevelReturn(_) => self.doubt(step, at, Doubt::LevelShift, expected),
        }
        let settled = self.history.settle(at, raw, [value, expected], former, belief);
        if let Some(by) = settled.shifted_by {
            self.forecaster.shift(at, by);
        }
        settled.actual
    }

    /// Accounts for a target that is not believed as it came.
    fn doubt(&mut self, step: &SeriesStep, at: TargetStep, why: Doubt, expected: f32) {
        let value = self.intake.values(step).map_or(f64::NAN, |values| values[at.target]);
        self.intake.doubt(step, at.target, why, value, self.history.frame(at).to_units(expected));
    }

    /// Completes the forecast of a step, and emits it if an answer is due.
    fn answer(&mut self, step: &SeriesStep, i: usize, sink: &mut impl FnMut(Emitted<'_>)) {
        let (slot, cell) = (step.slot, step.cell);
        let outputs = self.serving.outputs(i);
        let values = self.intake.values(step);
        self.forecaster.complete(i, values, &outputs, &self.history, &mut self.violations);
        let Some(answered) = self.intake.answer(step) else { return };
        self.violations.check(Invariant::AnsweredOnce, !answered.again);
        self.violations.check(Invariant::NothingFromLater, self.history.newest_cell(slot) == cell);
        let origin = self.stream.grid.start_of(cell);
        let (forecast, candidates) = self.forecaster.emit(i, origin, self.serving.degraded());
        sink(Emitted {
            slot,
            series: answered.series,
            key: answered.key,
            offset: answered.offset,
            model: self.serving.version(),
            is_thinned: answered.is_thinned,
            forecast,
            candidates,
        });
    }
}
