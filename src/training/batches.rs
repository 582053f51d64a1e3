use crate::config::{Architecture, HeadKind, NetworkKind, Stream};
use crate::nn::Chunk;
use crate::series::{Features, WindowCopy};
use rand::Rng;
use std::ops::Range;

/// Cuts chunks out of windows: features and targets of consecutive readings.
pub(super) struct Batches<'a> {
    samples: &'a [WindowCopy],
    features: Features,
    /// Of a reading.
    inputs: usize,
    /// Newest readings of a window that are kept for judging.
    holdout: usize,
    /// Readings that warm a state before the first gradient.
    warm: usize,
    truncation: usize,
    /// The learnt leads, and what a target counts at each.
    leads: Vec<(usize, f32)>,
    /// Whether a chunk's last reading alone is learnt from.
    last_only: bool,
}

/// A mini-batch's buffers, rows series-major, to be lent to a trainer as a [`Chunk`].
#[derive(Debug, Default)]
pub(super) struct Cut {
    batch: usize,
    warm: usize,
    steps: usize,
    /// `[batch, warm + steps, inputs]`
    x: Vec<f32>,
    /// `[batch, steps, outputs]`
    targets: Vec<f32>,
    /// The weight of its lead where a target has arrived, was observed and may be used; as `targets`.
    mask: Vec<f32>,
}

impl Cut {
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

    /// The mini-batch; every state starts cold.
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

    /// Features of a reading and outputs of a network.
    pub fn widths(&self) -> (usize, usize) {
        (self.inputs, self.features.outputs())
    }

    /// Series, and of each the newest readings that are judged on.
    pub fn held_out(&self) -> (usize, usize) {
        (self.samples.len(), self.holdout)
    }

    /// A random mini-batch to learn from. No target in it is among the held-out readings.
    pub fn learn(&mut self, batch: usize, rng: &mut impl Rng, cut: &mut Cut) {
        cut.reset(batch, self.warm, self.truncation, self.widths());
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
                self.fill(cut, row, sample, last, |age, lead| age == last && learnt(age, lead));
            } else {
                self.fill(cut, row, sample, end, learnt);
            }
        }
    }

    /// The held-out readings of some samples, after readings that warm the state.
    pub fn judge(&mut self, samples: Range<usize>, cut: &mut Cut) {
        cut.reset(samples.len(), self.warm + self.truncation, self.holdout, self.widths());
        for (row, sample) in samples.enumerate() {
            self.fill(cut, row, sample, 0, |_, _| true);
        }
    }

    /// Writes the chunk whose newest reading has age `end`. Readings before the window's first stay
    /// zero and have no targets.
    fn fill(
        &mut self,
        cut: &mut Cut,
        row: usize,
        sample: usize,
        end: usize,
        usable: impl Fn(usize, usize) -> bool,
    ) {
        let window = self.samples[sample].view();
        let (inputs, outputs) = self.widths();
        let own = self.features.own();
        let all = cut.warm + cut.steps;
        for t in 0..all {
            let age = end + all - 1 - t;
            if age >= window.len() {
                continue;
            }
            let x = &mut cut.x[(row * all + t) * inputs..][..inputs];
            window.inputs(age, &mut x[..own]);
            self.features.complete(window.cell(age), x);
            if t >= cut.warm {
                let at = (row * cut.steps + t - cut.warm) * outputs;
                let mask = &mut cut.mask[at..][..outputs];
                let targets = &mut cut.targets[at..][..outputs];
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
