//! What the host keeps of each series: how its values are scaled, its recent readings, and the windows that
//! networks are trained on and warmed over.
//!
//! Turns raw values into the scaled row of a step, and that row into what experts and networks are shown. Knows
//! no forecast but what it is given.

mod lengths;
mod row;
mod shifts;

use super::target_step::TargetStep;
use crate::config::{Fill, Stream};
use crate::domain::{EventTime, Rows, TargetScale};
use crate::experts::Observation;
use crate::scoring::{Actual, Belief};
use crate::series::{
    Counts, Features, KnownAhead, RecentReadings, SaidBases, Scale, Scaler, Slot, Support, WindowCopy,
    WindowView, Windows,
};
use crate::telemetry::MemoryPart;
use row::StepInputs;
pub(crate) use shifts::{SeasonSteps, ValueInFrames};
use std::sync::Arc;

/// What the host keeps of each series.
pub(crate) struct History {
    stream: Arc<Stream>,
    scaler: Scaler,
    support: Support,
    counts: Counts,
    recent: RecentReadings,
    outlook: KnownAhead,
    /// The windows of series that networks are trained on.
    learnt: Windows,
    /// Shorter windows of all other series, to warm a network's state over.
    others: Windows,
    features: Features,
    row: StepInputs,
    /// Steps taken on readings, by all series.
    steps: u64,
}

/// A target's value as it is held, and the value before it. The value is not a number where it is missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldValue {
    pub value: f32,
    pub previous: Option<f32>,
}

/// What a belief about a value means for its series.
pub(crate) struct Settled {
    pub actual: Actual,
    /// By how much higher everything of the target is held from now on, after a level shift.
    pub shifted_by: Option<f32>,
}

impl History {
    pub fn new(stream: &Arc<Stream>) -> Self {
        let (targets, width) = (stream.targets.len(), stream.width());
        let features = Features::new(stream);
        let (timed, own) = (stream.grid.interval().is_none(), features.own());
        let (learnt, others) = lengths::windows(stream);
        Self {
            scaler: Scaler::new(width, |column| {
                column.checked_sub(targets).is_some_and(|c| stream.attributes.contains(&c))
            })
            .with_targets(stream),
            support: Support::new(&stream.ranges, stream.transform),
            counts: Counts::new(&stream.counters),
            recent: RecentReadings::new(lengths::recent(stream, &features), targets, width - targets, timed),
            outlook: KnownAhead::new(stream.known_ahead.len(), stream.horizon),
            learnt: Windows::new(learnt, own, targets, stream.leads().learnt(), timed),
            others: Windows::new(others, own, targets, &[], timed),
            row: StepInputs::new(stream, &features),
            features,
            steps: 0,
            stream: stream.clone(),
        }
    }

    /// What a network is shown of a reading, and the number of its outputs.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Everything that is kept per series and what it is for, in the order of a snapshot.
    pub fn tables(&self) -> [(MemoryPart, &dyn Rows); 7] {
        [
            (MemoryPart::Scales, &self.scaler),
            (MemoryPart::Scales, &self.support),
            (MemoryPart::Recent, &self.recent),
            (MemoryPart::KnownAhead, &self.outlook),
            (MemoryPart::TrainingWindows, &self.learnt),
            (MemoryPart::WarmWindows, &self.others),
            (MemoryPart::Scales, &self.counts),
        ]
    }

    pub fn tables_mut(&mut self) -> [&mut dyn Rows; 7] {
        let Self { scaler, support, recent, outlook, learnt, others, counts, .. } = self;
        [scaler, support, recent, outlook, learnt, others, counts]
    }

    /// Bytes of the training windows of a shard with so many series.
    pub fn training_windows(&self, series: usize) -> usize {
        self.learnt.memory_of(series)
    }

    /// Steps taken on readings, by all series.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Goes on from this number of steps.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// A series goes on after a gap too long to fill.
    pub fn interrupt(&mut self, slot: Slot) {
        self.scaler.interrupt(slot);
        self.counts.reset(slot.index());
        self.recent.clear(slot);
        self.outlook.reset(slot.index());
        self.learnt.clear(slot);
        self.others.clear(slot);
    }

    /// Steps that a series has taken.
    pub fn total(&self, slot: Slot) -> u64 {
        self.recent.total(slot)
    }

    /// Whether a cell comes after the last one of its series.
    pub fn is_next(&self, slot: Slot, cell: i64) -> bool {
        let recent = self.recent.view(slot);
        recent.is_empty() || recent.cell(0) < cell
    }

    /// The cell of a series' last step.
    pub fn newest_cell(&self, slot: Slot) -> i64 {
        self.recent.view(slot).cell(0)
    }

    /// Puts the rates of counters in the place of a reading's counts; a rate that is not known is missing. Calls `reset`
    /// with each target whose count has become lower, that count, and the one before.
    pub fn take_counts(
        &mut self,
        slot: Slot,
        cell: i64,
        values: &mut [f64],
        reset: impl FnMut(usize, f64, f64),
    ) {
        if self.counts.any() {
            self.counts.take(slot, self.stream.grid.start_of(cell).as_micros(), values, reset);
        }
    }

    /// Begins a step of a series, on a reading or on a cell of a gap.
    pub fn begin(&mut self, slot: Slot, cell: i64, has_reading: bool) -> TargetStep {
        self.steps += u64::from(has_reading);
        let now = self.recent.total(slot);
        // The cells of an irregular stream have no phase: its seasons are counts of readings.
        let on_grid = self.stream.grid.interval().is_some();
        let clock = if on_grid { self.features.clock(cell) } else { now as i64 };
        self.outlook.advance(slot.index(), &mut self.row.foretold);
        TargetStep { slot, target: 0, now, clock }
    }

    /// Scales a target's value. `values` is the whole reading; `believed` is the value that was believed last.
    pub fn hold(&mut self, at: TargetStep, values: Option<&[f64]>, believed: f32) -> HeldValue {
        let TargetStep { slot, target, .. } = at;
        let recent = self.recent.view(slot);
        let previous = (!recent.is_empty()).then(|| match recent.observed(0, target) {
            true => believed,
            false => recent.believed(0, target),
        });
        let previous = previous.or(self.scaler.last_held(slot, target));
        let value = values.map_or(f32::NAN, |values| self.scaler.hold(slot, target, values, previous));
        self.row.observed[target] = value.is_finite();
        HeldValue { value, previous }
    }

    /// How a raw value would be held if the last level shift were taken back, and how much higher that is.
    pub fn former(&self, at: TargetStep, raw: f64, expected: f32) -> Option<[f32; 2]> {
        self.scaler.former(at.slot, at.target, raw, expected)
    }

    /// The steps that a target made from one reading to the next a season ago, to compare `step` with.
    pub fn season_steps(&self, at: TargetStep, step: f32) -> SeasonSteps<'_> {
        SeasonSteps::new(self.recent.view(at.slot), &self.stream.seasons, at.target, step)
    }

    /// Carries out what is believed of a value, and shifts the target's level if that is what it means.
    /// `former` is that of [`Self::former`].
    pub fn settle(
        &mut self,
        at: TargetStep,
        raw: f64,
        [value, expected]: [f32; 2],
        former: Option<[f32; 2]>,
        belief: Belief,
    ) -> Settled {
        let TargetStep { slot, target, now, .. } = at;
        if !matches!(belief, Belief::Clipped(_)) {
            self.support.learn(slot, target, raw);
        }
        let (actual, shifted_by) = match belief {
            Belief::Accepted => (Actual::accepted(value), None),
            Belief::Clipped(believed) => (Actual { held: value, believed }, None),
            Belief::LevelShift => {
                let by = self.scaler.shift(slot, target, now, raw, [value, expected]);
                (Actual::accepted(expected), Some(by))
            }
            Belief::LevelReturn(believed) => {
                let held = former.map_or(believed, |[held, _]| held);
                let by = self.scaler.shift_back(slot, target, now);
                (Actual { held, believed }, Some(by))
            }
        };
        Settled { actual, shifted_by }
    }

    /// A target's new value, as it is held in the frames that were in force at earlier steps.
    pub fn in_frames(&self, at: TargetStep, held: f32) -> ValueInFrames<'_> {
        ValueInFrames::new(&self.scaler, at, held)
    }

    /// Takes a target's new value into its scale and into the row.
    pub fn take(&mut self, at: TargetStep, actual: Actual) {
        self.scaler.update(at.slot, at.target, actual.believed);
        self.row.believed[at.target] = actual.believed;
        self.row.values[at.target] = actual.held;
    }

    /// Notes by how much the networks' bases were wrong about a target's new value. `units`: those in which networks
    /// correct them. `[scored leads]`
    pub fn note_arrived(&mut self, at: TargetStep, value: f32, units: &[f32]) {
        if self.learnt.holds(at.slot) {
            self.learnt.arrive(at.slot, at.target, value, units);
        }
    }

    /// Notes that nothing will be known of what the networks' bases said of a target.
    pub fn note_missing(&mut self, at: TargetStep) {
        if self.learnt.holds(at.slot) {
            self.learnt.miss(at.slot, at.target);
        }
    }

    /// Puts something in place of a target that is missing: its forecast or its previous value, as the stream
    /// has it.
    pub fn fill(&mut self, at: TargetStep, expected: f32, previous: Option<f32>) {
        let expected = match self.stream.fill {
            Fill::Forecast => expected,
            Fill::Hold | Fill::Mask => f32::NAN,
        };
        let value = if expected.is_finite() { expected } else { previous.unwrap_or(0.0) };
        self.row.believed[at.target] = value;
        self.row.values[at.target] = value;
    }

    /// Whether a value that can't be held is out of range, and not just missing.
    pub fn is_out_of_range(&self, target: usize, value: f64) -> bool {
        let coordinate = self.stream.position.and_then(|position| position.coordinate(target));
        value.is_finite() && coordinate.is_none_or(|coordinate| !coordinate.has(value))
    }

    /// Takes in the covariates of a step, and what its reading says of its leads.
    pub fn take_covariates(&mut self, slot: Slot, values: Option<&[f64]>) {
        let targets = self.stream.targets.len();
        for column in targets..self.stream.width() {
            let value = values.map_or(f32::NAN, |values| self.scaler.relative(slot, column, values[column]));
            self.row.values[column] = if value.is_finite() {
                self.scaler.update(slot, column, value);
                value
            } else {
                let known = self.stream.known_ahead.iter().position(|k| targets + k == column);
                let foretold = known.map(|k| self.row.foretold[k]).filter(|value| value.is_finite());
                foretold.or_else(|| self.previous(slot, column)).unwrap_or(0.0)
            };
        }
        if let Some(values) = values {
            self.look_ahead(slot, values);
        }
    }

    fn previous(&self, slot: Slot, column: usize) -> Option<f32> {
        let recent = self.recent.view(slot);
        let previous = (!recent.is_empty()).then(|| recent.covariate(column - self.stream.targets.len()));
        previous.or(self.scaler.last_held(slot, column))
    }

    fn look_ahead(&mut self, slot: Slot, values: &[f64]) {
        let (targets, width, h) = (self.stream.targets.len(), self.stream.width(), self.stream.horizon);
        let ahead = values[width..].chunks_exact(h);
        for (known, (at, leads)) in self.stream.known_ahead.iter().zip(ahead).enumerate() {
            for (lead, raw) in leads.iter().enumerate() {
                let value = self.scaler.relative(slot, targets + at, *raw);
                self.outlook.set(slot.index(), known, lead, value);
            }
        }
    }

    /// Prepares what the experts are shown of the row.
    pub fn show(&mut self, slot: Slot, cell: i64) {
        let (row, scales) = (&mut self.row, self.scaler.scales(slot));
        self.features.fill_ahead(&row.values, self.outlook.row(slot.index()), scales, &mut row.ahead);
        self.features.fill_extras(cell, &row.values, scales, &row.ahead, &mut row.extras);
        self.features.fill_timed(cell - self.stream.horizon as i64, &mut row.then);
    }

    /// What an expert is shown of a target.
    pub fn observation(&self, at: TargetStep) -> Observation<'_> {
        Observation {
            value: self.row.believed[at.target],
            observed: self.row.observed[at.target],
            clock: at.clock,
            extras: &self.row.extras,
            then: &self.row.then,
            past: self.recent.view(at.slot).past(at.target),
        }
    }

    /// Keeps the row of a step, and writes what networks are shown of it to `inputs`: all of it if `is_complete`,
    /// else only the part that windows keep. `bases` are what networks correct; they are learnt from if the step
    /// has a reading. `[targets, scored leads]`. A stream without networks writes nothing.
    pub fn keep(
        &mut self,
        (slot, cell): (Slot, i64),
        has_reading: bool,
        bases: &[f32],
        inputs: &mut [f32],
        is_complete: bool,
    ) {
        let row = &self.row;
        self.recent.push(slot, cell, &row.values, &row.believed, &row.observed);
        if self.stream.model.networks.is_empty() {
            return;
        }
        let own = self.features.own();
        let (recent, scales) = (self.recent.view(slot), self.scaler.scales(slot));
        self.features.fill_own(&recent, scales, bases, &row.ahead, &mut inputs[..own]);
        let windows = if self.learnt.holds(slot) { &mut self.learnt } else { &mut self.others };
        let said = SaidBases { bases, values: &row.believed, scales };
        windows.push(slot, cell, &inputs[..own], has_reading.then_some(said));
        if is_complete {
            self.features.complete(cell, inputs);
        }
    }

    /// The scale of each column of a series.
    pub fn scales(&self, slot: Slot) -> &[Scale] {
        self.scaler.scales(slot)
    }

    /// A value of a target in standard units.
    pub fn standardised(&self, at: TargetStep, value: f32) -> f32 {
        self.scaler.standardised(at.slot, at.target, value)
    }

    /// How a target is held now.
    pub fn frame(&self, at: TargetStep) -> TargetScale {
        self.scaler.frame(at.slot, at.target)
    }

    /// How a target was held at a step.
    pub fn frame_at(&self, at: TargetStep, step: u64) -> TargetScale {
        self.scaler.frame_at(at.slot, at.target, step)
    }

    /// The lowest and the highest value that a target may be forecast to have.
    pub fn support(&self, at: TargetStep) -> [f64; 2] {
        self.support.of(at.slot, at.target)
    }

    /// Whether a target was there at the last step of its series.
    pub fn is_seen(&self, at: TargetStep) -> bool {
        self.recent.view(at.slot).observed(0, at.target)
    }

    /// Over how many readings of a window a network's state is warmed, at least.
    pub fn warm_steps(&self) -> usize {
        lengths::warm_steps(&self.stream)
    }

    /// Writes what networks were shown of a series `age` readings ago. Returns whether its window reaches back
    /// so far.
    pub fn past_inputs(&mut self, slot: Slot, age: usize, inputs: &mut [f32]) -> bool {
        let windows = if self.learnt.holds(slot) { &self.learnt } else { &self.others };
        let window = windows.view(slot);
        if age >= window.len() {
            return false;
        }
        window.inputs(age, &mut inputs[..self.features.own()]);
        self.features.complete(window.cell(age), inputs);
        true
    }

    /// Copies of the windows of at most `most` of these series, spread evenly over all that networks are
    /// trained on.
    pub fn samples(&self, live: impl Iterator<Item = Slot>, most: usize) -> Vec<WindowCopy> {
        let window = |slot: Slot| self.learnt.holds(slot).then(|| self.learnt.view(slot));
        let all: Vec<WindowView<'_>> = live.filter_map(window).filter(|window| !window.is_empty()).collect();
        let taken = most.min(all.len());
        (0..taken).map(|i| all[i * all.len() / taken].copy()).collect()
    }

    /// The recent readings of a target in its own units, oldest first, at most `most`; `None` where it was
    /// missing.
    pub fn recent(&self, slot: Slot, target: usize, most: usize) -> Vec<(EventTime, Option<f64>)> {
        let window = self.recent.view(slot);
        let newest = self.recent.total(slot).saturating_sub(1);
        (0..window.len().min(most))
            .rev()
            .map(|age| {
                let frame = self.scaler.frame_at(slot, target, newest.saturating_sub(age as u64));
                let value = frame.to_units(window.value(age, target));
                (self.stream.grid.start_of(window.cell(age)), window.observed(age, target).then_some(value))
            })
            .collect()
    }
}
