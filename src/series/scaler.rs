use super::Slot;
use crate::config::Stream;
use crate::domain::{Damaged, Position, Rows, Take, TargetScale, Transform, lengthen, lengthen_by_rows, put};

/// The slowest rate of a scale: a half-life of 200 readings.
const RATE: f32 = 0.003_46;

/// The largest distance from an anchor, so that its square is finite in f32. Accepted values are far
/// nearer.
const LARGEST: f64 = 1e18;
/// A value further than this from its anchor counts as missing.
const BEYOND: f64 = 1e30;

/// Location and spread of one value of one series, exponentially weighted: `μ ← μ + ρ·(y − μ)`, `σ² ← (1
/// − ρ)·(σ² + ρ·(y − μ)²)` with the old μ, and ρ = max(rate, 1/n).
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Scale {
    /// Exponentially weighted mean.
    pub mean: f32,
    /// Exponentially weighted variance.
    variance: f32,
    readings: u32,
}

impl Scale {
    /// Standard deviation; never 0, so that it can divide.
    pub fn deviation(&self) -> f32 {
        let least = 1e-6 * self.mean.abs().max(1e-6);
        self.variance.sqrt().max(least)
    }

    /// Readings seen.
    pub fn readings(&self) -> u32 {
        self.readings
    }

    fn update(&mut self, value: f32) {
        self.readings = self.readings.saturating_add(1);
        let rate = RATE.max(1.0 / self.readings as f32);
        let delta = value - self.mean;
        self.mean += rate * delta;
        self.variance = (1.0 - rate) * (self.variance + rate * delta * delta);
    }
}

/// The last value of a series whose targets are differenced.
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct LastValue {
    /// The value that was accepted last.
    last: f32,
    /// 0, [`KNOWN`] or [`BROKEN`].
    state: u32,
}

/// A distance from an anchor as it is held; NaN where it is too large.
fn held(distance: f64) -> f32 {
    if distance.abs() <= BEYOND { distance.clamp(-LARGEST, LARGEST) as f32 } else { f32::NAN }
}

/// States of [`LastValue`]: there is one, and a break came after it.
const KNOWN: u32 = 1;
const BROKEN: u32 = 2;

/// The anchor that a target had before a step of its series. A step of 0 marks that there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct AnchorMove {
    step: u64,
    anchor: f64,
}

/// The scales and the anchors of a shard's series.
///
/// The anchor of a value is the first finite value of its series. All other state holds values relative
/// to it in f32 ([`TargetScale`]), so that a position or the count of a meter keeps its small differences.
///
/// Where targets are differenced, their scales are those of their steps. After a break a new anchor is
/// chosen so that the series goes on at its last value; other state does not notice the break. A level
/// shift is handled in the same way: the anchor moves instead of the series.
#[derive(Debug)]
pub struct Scaler {
    /// Anchor and scale of a new series. `[width]`
    blank: Vec<(f64, Scale)>,
    width: usize,
    transform: Transform,
    position: Option<Position>,
    /// The number of targets that are differenced.
    differenced: usize,
    anchors: Vec<f64>,
    scales: Vec<Scale>,
    /// The latitude at which a metre of longitude is measured, where there is a position. `[slots]`
    parallels: Vec<f64>,
    /// `[slots, differenced]`
    last_values: Vec<LastValue>,
    targets: usize,
    /// The last two moves of each target's anchor, the newest first. `[slots, targets]`
    anchor_moves: Vec<[AnchorMove; 2]>,
}

impl Scaler {
    /// For series of `width` values: targets, then covariates. Those that are `fixed` are taken as they
    /// are: their anchor is always 0, their scale 1.
    pub fn new(width: usize, fixed: impl Fn(usize) -> bool) -> Self {
        let as_is = Scale { mean: 0.0, variance: 1.0, readings: u32::MAX };
        let blank = |column| if fixed(column) { (0.0, as_is) } else { (f64::NAN, Scale::default()) };
        Self {
            blank: (0..width).map(blank).collect(),
            width,
            transform: Transform::None,
            position: None,
            differenced: 0,
            anchors: Vec::new(),
            scales: Vec::new(),
            parallels: Vec::new(),
            last_values: Vec::new(),
            targets: 0,
            anchor_moves: Vec::new(),
        }
    }

    /// Takes the transform, the position and the differencing of the targets from the stream.
    pub fn with_targets(self, stream: &Stream) -> Self {
        let differenced = if stream.difference { stream.targets.len() } else { 0 };
        let targets = stream.targets.len();
        Self { transform: stream.transform, position: stream.position, differenced, targets, ..self }
    }

    fn last_value(&self, slot: Slot, target: usize) -> LastValue {
        let last_values =
            (target < self.differenced).then(|| self.last_values[slot.index() * self.differenced + target]);
        last_values.unwrap_or_default()
    }

    /// The last value of a differenced target, which holds until it is seen again.
    pub fn last_held(&self, slot: Slot, target: usize) -> Option<f32> {
        (target < self.differenced).then(|| self.last_value(slot, target).last)
    }

    /// Marks a break that nothing fills.
    pub fn interrupt(&mut self, slot: Slot) {
        let last_values = &mut self.last_values[slot.index() * self.differenced..][..self.differenced];
        last_values
            .iter_mut()
            .filter(|last_value| last_value.state == KNOWN)
            .for_each(|last_value| last_value.state = BROKEN);
        self.anchor_moves[slot.index() * self.targets..][..self.targets].fill_with(Default::default);
    }

    /// Moves a target's anchor at a step of its series, so that `value`, which was held as the first of
    /// `between`, is held as the second. Returns by how much all held values rise.
    pub fn shift(&mut self, slot: Slot, target: usize, step: u64, value: f64, between: [f32; 2]) -> f32 {
        let anchor = self.frame(slot, target).anchor_between(value, between);
        self.move_anchor(slot, target, step, anchor)
    }

    /// How a value would be held if the last move of a target's anchor were taken back, and by how much
    /// higher that is; `None` without a move. `near` as in [`TargetScale::hold`].
    pub fn former(&self, slot: Slot, target: usize, value: f64, near: f32) -> Option<[f32; 2]> {
        let [last, _] = self.anchor_moves[slot.index() * self.targets + target];
        let frame = self.frame(slot, target);
        let former = frame.with_anchor(last.anchor);
        (last.step > 0).then(|| [held(former.hold(value, near)), frame.higher_in(former)])
    }

    /// The step at which a target's anchor was last moved; 0 when it never was.
    pub fn moved_at(&self, slot: Slot, target: usize) -> u64 {
        self.anchor_moves[slot.index() * self.targets + target][0].step
    }

    /// Takes the last move of a target's anchor back at a step of its series. Returns what
    /// [`Self::shift`] does.
    pub fn shift_back(&mut self, slot: Slot, target: usize, step: u64) -> f32 {
        let [last, _] = self.anchor_moves[slot.index() * self.targets + target];
        self.move_anchor(slot, target, step, last.anchor)
    }

    fn move_anchor(&mut self, slot: Slot, target: usize, step: u64, anchor: f64) -> f32 {
        let frame = self.frame(slot, target);
        let by = frame.higher_in(frame.with_anchor(anchor));
        let old = std::mem::replace(&mut self.anchors[slot.index() * self.width + target], anchor);
        let [last, older] = &mut self.anchor_moves[slot.index() * self.targets + target];
        *older = std::mem::replace(last, AnchorMove { step, anchor: old });
        by
    }

    /// The frame of a target at an earlier step of its series, as far back as the last two moves of its
    /// anchor.
    pub fn frame_at(&self, slot: Slot, target: usize, step: u64) -> TargetScale {
        let frame = self.frame(slot, target);
        match self.anchor_moves[slot.index() * self.targets + target] {
            [last, older] if step < last.step && step < older.step => frame.with_anchor(older.anchor),
            [last, _] if step < last.step => frame.with_anchor(last.anchor),
            _ => frame,
        }
    }

    /// Sets the anchor so that a target's value is held as its last value.
    fn settle(&mut self, slot: Slot, target: usize, value: f64) {
        let last_value = self.last_value(slot, target);
        self.anchors[slot.index() * self.width + target] =
            self.frame(slot, target).anchor_of(value, last_value.last);
        // The step over the break is unknown, so it is not learnt from.
        if last_value.state == BROKEN {
            self.last_values[slot.index() * self.differenced + target].state = 0;
        }
    }

    fn is_fixed(&self, column: usize) -> bool {
        !self.blank[column].0.is_nan()
    }

    /// A target of a reading as it is held; NaN where it is missing or too far away. The first value sets
    /// the anchor, and the first position sets both of its anchors. `previous`: the held value before it,
    /// where there is one.
    pub fn hold(&mut self, slot: Slot, target: usize, values: &[f64], previous: Option<f32>) -> f32 {
        let value = self.position.map_or(values[target], |position| position.of(values, target));
        let at = slot.index() * self.width;
        let is_settled = !self.anchors[at + target].is_nan() && self.last_value(slot, target).state != BROKEN;
        if !is_settled && self.transform.apply(value).is_finite() {
            match self.position.filter(|position| position.coordinate(target).is_some()) {
                // A metre of longitude needs a latitude, so both anchors are set together.
                Some(Position { latitude, longitude }) => {
                    self.parallels[slot.index()] = values[latitude];
                    self.settle(slot, latitude, values[latitude]);
                    self.settle(slot, longitude, values[longitude]);
                }
                None => self.settle(slot, target, value),
            }
        }
        let near = previous.unwrap_or(self.scales[at + target].mean);
        held(self.frame(slot, target).hold(value, near))
    }

    /// The frame in which a target of a series is held.
    pub fn frame(&self, slot: Slot, target: usize) -> TargetScale {
        let anchor = self.anchor(slot, target);
        let position = self.position.and_then(|position| position.coordinate(target));
        match position {
            Some(coordinate) => TargetScale::of_position(coordinate, anchor, self.parallels[slot.index()]),
            None => TargetScale::new(self.transform, anchor),
        }
    }

    /// A covariate relative to its anchor, which the first finite value sets. NaN stays NaN.
    pub fn relative(&mut self, slot: Slot, column: usize, raw: f64) -> f32 {
        let anchor = &mut self.anchors[slot.index() * self.width + column];
        if anchor.is_nan() && raw.is_finite() {
            *anchor = raw;
        }
        (raw - *anchor).clamp(-LARGEST, LARGEST) as f32
    }

    /// The anchor; 0 before the first value.
    fn anchor(&self, slot: Slot, column: usize) -> f64 {
        let anchor = self.anchors[slot.index() * self.width + column];
        if anchor.is_nan() { 0.0 } else { anchor }
    }

    /// Learns from an observed value, relative to its anchor.
    pub fn update(&mut self, slot: Slot, column: usize, value: f32) {
        let is_fixed = self.is_fixed(column);
        let scale = &mut self.scales[slot.index() * self.width + column];
        if column < self.differenced {
            let last_value = &mut self.last_values[slot.index() * self.differenced + column];
            if last_value.state == KNOWN {
                scale.update(value - last_value.last);
            }
            *last_value = LastValue { last: value, state: KNOWN };
        } else if !is_fixed {
            scale.update(value);
        }
    }

    /// The value of a target, or its step where it is differenced, in deviations from the mean. Call it
    /// before the value is learnt from.
    pub fn standardised(&self, slot: Slot, target: usize, value: f32) -> f32 {
        let scale = self.scales(slot)[target];
        (value - self.last_value(slot, target).last - scale.mean) / scale.deviation()
    }

    /// The scales of a series. `[width]`
    pub fn scales(&self, slot: Slot) -> &[Scale] {
        &self.scales[slot.index() * self.width..][..self.width]
    }
}

impl Rows for Scaler {
    fn grow(&mut self, slots: usize) {
        let (anchors, scales): (Vec<f64>, Vec<Scale>) = self.blank.iter().copied().unzip();
        lengthen_by_rows(&mut self.anchors, slots, &anchors);
        lengthen_by_rows(&mut self.scales, slots, &scales);
        lengthen(&mut self.last_values, slots * self.differenced, LastValue::default());
        lengthen(&mut self.parallels, if self.position.is_some() { slots } else { 0 }, 0.0);
        lengthen(&mut self.anchor_moves, slots * self.targets, Default::default());
    }

    fn reset(&mut self, slot: usize) {
        for (column, (anchor, scale)) in self.blank.iter().enumerate() {
            self.anchors[slot * self.width + column] = *anchor;
            self.scales[slot * self.width + column] = *scale;
        }
        self.last_values[slot * self.differenced..][..self.differenced].fill(LastValue::default());
        self.parallels.get_mut(slot).into_iter().for_each(|parallel| *parallel = 0.0);
        self.anchor_moves[slot * self.targets..][..self.targets].fill_with(Default::default);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        put(out, &self.anchors[slot * self.width..][..self.width]);
        put(out, &self.scales[slot * self.width..][..self.width]);
        put(out, &self.last_values[slot * self.differenced..][..self.differenced]);
        self.parallels.get(slot).into_iter().for_each(|parallel| put(out, &[*parallel]));
        put(out, &self.anchor_moves[slot * self.targets..][..self.targets]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        row.fill(&mut self.anchors[slot * self.width..][..self.width])?;
        row.fill(&mut self.scales[slot * self.width..][..self.width])?;
        row.fill(&mut self.last_values[slot * self.differenced..][..self.differenced])?;
        if let Some(parallel) = self.parallels.get_mut(slot) {
            *parallel = row.one()?;
        }
        row.fill(&mut self.anchor_moves[slot * self.targets..][..self.targets])
    }

    fn memory(&self) -> usize {
        self.anchors.capacity() * size_of::<f64>()
            + self.scales.capacity() * size_of::<Scale>()
            + self.parallels.capacity() * size_of::<f64>()
            + self.last_values.capacity() * size_of::<LastValue>()
            + self.anchor_moves.capacity() * size_of::<[AnchorMove; 2]>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_of_the_first_readings_are_those_of_the_sample() {
        let values = [1.0f32, 2.0, 4.0, 7.0];
        let mut scale = Scale::default();
        values.into_iter().for_each(|v| scale.update(v));
        assert!((scale.mean - 3.5).abs() < 1e-6);
        assert!((scale.deviation() - 5.25f32.sqrt()).abs() < 1e-5, "{}", scale.deviation());
    }

    #[test]
    fn small_differences_of_large_values_survive() {
        let mut scaler = Scaler::new(1, |_| false);
        scaler.grow(1);
        assert_eq!(scaler.relative(Slot(0), 0, 48.856_614_123), 0.0);
        let anchor_moves = scaler.relative(Slot(0), 0, 48.856_614_223);
        assert!((f64::from(anchor_moves) - 1e-7).abs() < 1e-12);
        assert!(scaler.relative(Slot(0), 0, f64::NAN).is_nan());
    }

    /// From the north over the equator to the south, a long silence, and seen again in the tropics.
    #[test]
    fn a_metre_of_longitude_is_that_of_a_place_on_earth_after_a_break_too() {
        let text = "[kafka]\nbrokers = \"b\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1h\"\n\
            targets = [\"lat\", \"lon\"]\nposition = { latitude = \"lat\", longitude = \"lon\" }\ndifference = true";
        let stream = crate::config::from_toml(text, &[]).unwrap().streams[0].clone();
        let mut scaler = Scaler::new(2, |_| false).with_targets(&stream);
        scaler.grow(1);
        let mut previous = [None; 2];
        let mut see = |scaler: &mut Scaler, place: [f64; 2]| {
            for (target, previous) in previous.iter_mut().enumerate() {
                let held = scaler.hold(Slot(0), target, &place, *previous);
                scaler.update(Slot(0), target, held);
                *previous = Some(held);
            }
            let frame = scaler.frame(Slot(0), 1);
            (frame.to_units(previous[1].unwrap()), 1.0 / frame.slope(0.0))
        };
        let degree = |latitude: f64| 111_195.08 * latitude.to_radians().cos();
        for latitude in [53.0, 10.0, -34.0] {
            let (longitude, per_degree) = see(&mut scaler, [latitude, 8.0]);
            assert!((longitude - 8.0).abs() < 1e-6 && (per_degree / degree(53.0) - 1.0).abs() < 1e-6);
        }
        let deviations = [0, 1].map(|target| scaler.scales(Slot(0))[target]);
        scaler.interrupt(Slot(0));
        let (longitude, per_degree) = see(&mut scaler, [10.0, -40.0]);
        assert!((longitude + 40.0).abs() < 1e-6 && (per_degree / degree(10.0) - 1.0).abs() < 1e-6);
        assert_eq!([0, 1].map(|target| scaler.scales(Slot(0))[target]), deviations, "a break is no step");
        let mut row = Vec::new();
        scaler.save(0, &mut row);
        let mut other = Scaler::new(2, |_| false).with_targets(&stream);
        other.grow(1);
        other.load(0, &mut Take::new(&row)).unwrap();
        assert_eq!(other.frame(Slot(0), 1).slope(0.0), scaler.frame(Slot(0), 1).slope(0.0));
    }
}
