use crate::config::{Architecture, HeadKind, NetworkKind, Stream};
use crate::nn::Chunk;
use crate::series::{Features, WindowCopy};
use rand::Rng;
use std::ops::Range;

/// Cuts chunks out of windows: features and targets of consecutive readings.
pub(super) struct Batches<'a> {
    samples: &'a [WindowCopy],
    features: Features,
    /// The features of a reading.
    inputs: usize,
    /// The newest readings of a window: they are kept for judging.
    holdout: usize,
    /// Readings that warm a state before the first gradient.
    warm: usize,
    truncation: usize,
    /// The learnt leads, and the weight of a target at each.
    leads: Vec<(usize, f32)>,
    /// Whether only a chunk's last reading is learnt from.
    last_only: bool,
}

/// The buffers of a mini-batch, rows series-major. A trainer borrows them as a [`Chunk`].
#[derive(Debug, Default)]
pub(super) struct MiniBatch {
    batch: usize,
    warm: usize,
    steps: usize,
    /// `[batch, warm + steps, inputs]`
    x: Vec<f32>,
    /// `[batch, steps, outputs]`
    targets: Vec<f32>,
    /// The weight of a target's lead; 0 where the target has not arrived, was not observed or may not be used.
    /// Shaped as `targets`.
    mask: Vec<f32>,
}

impl MiniBatch {
    fn reset(&mut self, batch: usize, warm: usize, steps: usize, (inputs, outputs): (usize, usize)) {
        (self.batch, self.warm, self.steps) = (batch, warm, steps);
        let outputs = batch * steps * outputs;
        for (buffer, len) in [
            (&mut self.x, batch * (warm + steps) * inputs),
            (&mut self.targets, outputs),
            (&mut self.mask, outputs),
        ] {
            buffer.clear();
            buffer.resize(len, 0.0);
        }
    }

    /// The mini-batch. Every state starts cold.
    pub fn chunk(&self) -> Chunk<'_> {
        let Self { batch, warm, steps, x, targets, mask } = self;
        Chunk { batch: *batch, burn_in: *warm, steps: *steps, x, targets, mask, state: None }
    }
}

impl<'a> Batches<'a> {
    /// `None` when no window is long enough to learn from and be judged on.
    pub fn new(stream: &'a Stream, network: &NetworkKind, samples: &'a [WindowCopy]) -> Option<Self> {
        let longest = samples.iter().map(|s| s.view().len()).max()?;
        let holdout = stream.training.holdout.min(longest / 4);
        let learnt = longest.checked_sub(holdout + stream.horizon)?;
        let truncation = stream.training.truncation.min(learnt);
        let warm = stream.training.burn_in.max(network.architecture.memory()).min(learnt - truncation);
        let last_only =
            matches!(network.architecture, Architecture::Recurrent { head: HeadKind::Direct, .. });
        let features = Features::new(stream);
        (holdout > stream.horizon && truncation >= 2).then(|| Self {
            samples,
            inputs: features.inputs_of(network),
            features,
            holdout,
            warm,
            truncation,
            leads: stream
                .leads()
                .learnt()
                .iter()
                .map(|lead| (*lead, stream.training.lead_weights[lead - 1]))
                .collect(),
            last_only,
        })
    }

    /// The number of a reading's features, and of a network's outputs.
    pub fn widths(&self) -> (usize, usize) {
        (self.inputs, self.features.outputs())
    }

    /// The number of series, and of the newest readings of each that are judged on.
    pub fn held_out(&self) -> (usize, usize) {
        (self.samples.len(), self.holdout)
    }

    /// Draws a random mini-batch to learn from. None of its targets is among the held-out readings.
    pub fn learn(&mut self, batch: usize, rng: &mut impl Rng, to: &mut MiniBatch) {
        to.reset(batch, self.warm, self.truncation, self.widths());
        let (holdout, last_only) = (self.holdout, self.last_only);
        for row in 0..batch {
            let sample = rng.random_range(0..self.samples.len());
            let len = self.samples[sample].view().len();
            let newest = holdout + 1;
            let oldest = len.saturating_sub(self.warm + self.truncation).max(newest);
            let end = rng.random_range(newest..=oldest);
            let learnt = |age, lead| age >= holdout + lead;
            if last_only {
                // The last reading all of whose targets may be learnt from.
                let last = end.max(holdout + self.leads.last().map_or(0, |(lead, _)| *lead));
                self.fill(to, row, sample, last, |age, lead| age == last && learnt(age, lead));
            } else {
                self.fill(to, row, sample, end, learnt);
            }
        }
    }

    /// Takes the held-out readings of some samples, after readings that warm the state.
    pub fn judge(&mut self, samples: Range<usize>, to: &mut MiniBatch) {
        to.reset(samples.len(), self.warm + self.truncation, self.holdout, self.widths());
        for (row, sample) in samples.enumerate() {
            self.fill(to, row, sample, 0, |_, _| true);
        }
    }

    /// Writes the chunk whose newest reading has age `end`. Readings before the window's first one stay zero and
    /// have no targets. `usable` says of an age and a lead whether the target may be used.
    fn fill(
        &mut self,
        to: &mut MiniBatch,
        row: usize,
        sample: usize,
        end: usize,
        usable: impl Fn(usize, usize) -> bool,
    ) {
        let window = self.samples[sample].view();
        let (inputs, outputs) = self.widths();
        let own = self.features.own();
        let all = to.warm + to.steps;
        for t in 0..all {
            let age = end + all - 1 - t;
            if age >= window.len() {
                continue;
            }
            let x = &mut to.x[(row * all + t) * inputs..][..inputs];
            window.inputs(age, &mut x[..own]);
            self.features.complete(window.cell(age), x);
            if t >= to.warm {
                let at = (row * to.steps + t - to.warm) * outputs;
                let mask = &mut to.mask[at..][..outputs];
                let targets = &mut to.targets[at..][..outputs];
                window.errors(age, targets);
                for (i, (target, mask)) in targets.iter_mut().zip(mask).enumerate() {
                    let (lead, weight) = self.leads[i % self.leads.len()];
                    if target.is_finite() {
                        *mask = if usable(age, lead) { weight } else { 0.0 };
                    } else {
                        *target = 0.0;
                    }
                }
            }
        }
    }
}
