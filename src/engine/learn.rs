//! What a reading teaches: what of it is believed, what was forecast of it, and what stands in for the targets
//! that it lacks.

use super::accounts::Doubted;
use super::mixture::At;
use super::rounds::{Answer, Observed, Turn};
use super::shard::Shard;
use crate::config::Fill;
use crate::scoring::{Actual, Belief, MaturedForecast};
use crate::series::Slot;
use crate::telemetry::Doubt;

/// Errors are shown in units of the series' deviation once it has this many readings.
const SHOWN_AFTER: u32 = 24;

impl Shard {
    /// Learns from the values that have come, and finds what stands in for those that have not.
    pub(super) fn take_values(&mut self, turn: &Turn, place: At, tile_at: usize) {
        let (slot, targets) = (turn.slot, self.stream.targets.len());
        let each = targets * (1 + self.stream.levels.len());
        self.buffers.expected[tile_at * each..][..each].fill(f32::NAN);
        self.alarms.begin();
        self.outlook.advance(slot.index(), &mut self.buffers.foretold);
        for column in 0..self.stream.width() {
            let recent = self.recent.view(slot);
            let previous =
                (!recent.is_empty()).then(|| match column < targets && recent.observed(0, column) {
                    true => self.mixture.last_believed(slot.index(), column),
                    false => recent.value(0, column),
                });
            let previous = previous.or(self.scaler.stood(slot, column));
            let mut value = turn.observed.as_ref().map_or(f32::NAN, |observed| {
                let values = self.rounds.values(observed);
                match column < targets {
                    true => self.scaler.hold(slot, column, values, previous),
                    false => self.scaler.relative(slot, column, values[column]),
                }
            });
            let is_seen = value.is_finite();
            if column < targets {
                let at = At { target: column, ..place };
                self.buffers.observed[column] = is_seen;
                if is_seen {
                    let actual = self.believe(at, turn, value);
                    self.buffers.believed[column] = actual.believed;
                    self.score(at, actual, tile_at);
                    self.scaler.update(slot, column, actual.believed);
                    value = actual.held;
                } else {
                    self.note_out_of_range(turn, at);
                    let expected = match self.stream.fill {
                        Fill::Forecast => self.mixture.expected(at),
                        Fill::Hold | Fill::Mask => f32::NAN,
                    };
                    value = if expected.is_finite() { expected } else { previous.unwrap_or(0.0) };
                    self.buffers.believed[column] = value;
                    self.alarms.miss(at);
                }
            } else if is_seen {
                self.scaler.update(slot, column, value);
            } else {
                let known = self.stream.known_ahead.iter().position(|k| targets + k == column);
                let foretold = known.map(|k| self.buffers.foretold[k]).filter(|value| value.is_finite());
                value = foretold.or(previous).unwrap_or(0.0);
            }
            self.buffers.values[column] = value;
        }
        if let Some(observed) = &turn.observed {
            self.look_ahead(slot, observed);
        }
        if turn.observed.is_some() {
            self.buffers.scores[tile_at] = self.alarms.end(slot.index(), self.known as usize);
        }
    }

    /// How a target's value is held, and what of it is believed.
    fn believe(&mut self, at: At, turn: &Turn, value: f32) -> Actual {
        let (slot, target, now) = (turn.slot, at.target, at.now);
        let recent = self.recent.view(slot);
        let step = value - self.mixture.last_believed(at.slot, target);
        let stepped_before = |distance: f32| {
            let seasons = self.stream.seasons.iter().filter(|season| recent.observed(**season, target));
            let mut steps = seasons.map(|m| recent.value(m - 1, target) - recent.value(*m, target));
            steps.any(|then| (step - then).abs() <= distance)
        };
        let expected = self.mixture.expected(at);
        let raw = turn.observed.as_ref().map_or(f64::NAN, |o| self.rounds.values(o)[target]);
        let former = self.scaler.former(slot, target, raw, expected);
        let belief = self.mixture.believe(at, value, former, stepped_before);
        if !matches!(belief, Belief::Clipped(_)) {
            self.support.learn(slot, target, raw);
        }
        let (by, actual) = match belief {
            Belief::Accepted => return Actual::accepted(value),
            Belief::Clipped(believed) => {
                self.doubt(turn, at, Doubt::Outlier, expected);
                return Actual { held: value, believed };
            }
            Belief::LevelShift => {
                self.doubt(turn, at, Doubt::LevelShift, expected);
                let by = self.scaler.shift(slot, target, now, raw, [value, expected]);
                (by, Actual::accepted(expected))
            }
            Belief::LevelReturn(believed) => {
                self.doubt(turn, at, Doubt::LevelShift, expected);
                let held = former.map_or(believed, |[held, _]| held);
                (self.scaler.shift_back(slot, target, now), Actual { held, believed })
            }
        };
        self.alarms.shift(at, by);
        actual
    }

    /// Accounts for a target that has a value and can't be held.
    fn note_out_of_range(&mut self, turn: &Turn, at: At) {
        let Some(observed) = turn.observed.as_ref() else { return };
        let value = self.rounds.values(observed)[at.target];
        let coordinate = self.stream.position.and_then(|position| position.coordinate(at.target));
        if value.is_finite() && coordinate.is_none_or(|coordinate| !coordinate.has(value)) {
            let expected = self.mixture.expected(at);
            self.doubt(turn, at, Doubt::OutOfRange, expected);
        }
    }

    /// Accounts for a target that is not taken as it came.
    fn doubt(&mut self, turn: &Turn, at: At, why: Doubt, expected: f32) {
        let Some(observed) = turn.observed.as_ref().filter(|o| o.answer != Answer::Silent) else { return };
        let (rounds, grid, scaler) = (&self.rounds, &self.stream.grid, &self.scaler);
        self.accounts.doubt(why, || Doubted {
            series: rounds.name(observed).to_owned(),
            target: at.target,
            time: grid.start_of(turn.cell),
            value: rounds.values(observed)[at.target],
            expected: scaler.frame(turn.slot, at.target).tell(expected),
        });
    }

    /// Takes in what a reading says of its leads.
    fn look_ahead(&mut self, slot: Slot, observed: &Observed) {
        let (targets, width, h) = (self.stream.targets.len(), self.stream.width(), self.stream.horizon);
        let told = &self.rounds.values(observed)[width..];
        for (known, (at, leads)) in self.stream.known_ahead.iter().zip(told.chunks_exact(h)).enumerate() {
            for (lead, raw) in leads.iter().enumerate() {
                let value = self.scaler.relative(slot, targets + at, *raw);
                self.outlook.set(slot.index(), known, lead, value);
            }
        }
    }

    /// Scores the forecasts that speak of a value against it: predict, score, learn.
    fn score(&mut self, at: At, actual: Actual, tile_at: usize) {
        let scale = self.scaler.scales(Slot(at.slot as u32))[at.target];
        let per_deviation = if scale.readings() < SHOWN_AFTER { f32::NAN } else { 1.0 / scale.deviation() };
        let (summary, alarms, buckets) = (&mut self.summary, &mut self.alarms, &self.buffers.buckets);
        let each = 1 + self.stream.levels.len();
        let expected =
            &mut self.buffers.expected[(tile_at * self.stream.targets.len() + at.target) * each..][..each];
        let lanes = self.mixture.lanes;
        let deviation = self.mixture.deviation(at.slot, at.target);
        // A forecast that was made before the level shifted was told without the shift.
        let (scaler, slot) = (&self.scaler, Slot(at.slot as u32));
        let moved_at = scaler.moved_at(slot, at.target);
        let told = |steps: u64| match at.now.saturating_sub(steps) {
            made if made < moved_at => {
                let frame = scaler.frame(slot, at.target);
                actual.held + frame.higher_in(scaler.frame_at(slot, at.target, made))
            }
            _ => actual.held,
        };
        alarms.begin_target();
        let errors = self.mixture.learn(at, actual, &scale, |matured, lead, bounds, error_scale| {
            let point = matured.said(lanes.point(), lead);
            if lead == 0 {
                expected[0] = point;
                expected[1..].copy_from_slice(bounds);
            }
            // What follows a shift is no surprise, and still crosses limits.
            let told = told(matured.steps(lead));
            let value = if lead == 0 { actual.held } else { told };
            alarms.said(at, lead, MaturedForecast { value, point, deviation, bounds }, error_scale);
            let Some(bucket) = buckets[lead] else { return };
            for (judged, lane) in lanes.judged().enumerate() {
                let error = (matured.said(lane, lead) - told).abs();
                summary.add_error(judged, bucket, error * per_deviation);
            }
            summary.add_coverage(bucket, told, bounds);
        });
        self.alarms
            .end_target(at, self.scaler.standardised(Slot(at.slot as u32), at.target, actual.believed));
        if self.learnt.holds(Slot(at.slot as u32)) {
            self.learnt.arrive(Slot(at.slot as u32), at.target, errors);
        }
    }
}
