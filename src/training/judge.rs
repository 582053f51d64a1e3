use super::batches::{Batches, MiniBatch};
use super::shape::loss;
use crate::config::Stream;
use crate::nn::{Error, Trainer};
use crate::scoring::{PromotionTest, Verdict};

/// The most series that networks are judged on.
const JUDGES: usize = 256;
/// Series judged in one mini-batch.
const JUDGED_AT_ONCE: usize = 32;
/// The most blocks that the held-out readings are cut into. More blocks cost the test power.
const BLOCKS_MAX: usize = 28;

/// The losses of a network on the held-out readings, step by step.
#[derive(Clone, Debug)]
pub(super) struct Losses {
    /// The weighted sum of the losses of a step's targets, and the sum of their weights. `[series, steps]`
    steps: Vec<[f64; 2]>,
    /// Steps of a series.
    holdout: usize,
    horizon: usize,
}

impl Losses {
    /// The losses of a network; without one, those of its base alone.
    pub fn of(
        stream: &Stream,
        batches: &mut Batches<'_>,
        network: Option<&Trainer>,
        batch: &mut MiniBatch,
    ) -> Result<Self, Error> {
        let (series, holdout) = batches.held_out();
        let (judges, loss) = (series.min(JUDGES), loss(stream));
        let mut steps = Vec::with_capacity(judges * holdout);
        for from in (0..judges).step_by(JUDGED_AT_ONCE) {
            batches.judge(from..judges.min(from + JUDGED_AT_ONCE), batch);
            let chunk = batch.chunk();
            match network {
                Some(network) => steps.extend(network.losses(&chunk)?),
                None => steps.extend(loss.of_nothing(&chunk)),
            }
        }
        Ok(Self { steps, holdout, horizon: stream.horizon })
    }

    /// The losses of several networks together: their mean.
    pub fn together(each: &[&Self]) -> Self {
        let mut all = each[0].clone();
        for (i, step) in all.steps.iter_mut().enumerate() {
            *step = each.iter().fold([0.0; 2], |[a, b], losses| {
                let [sum, n] = losses.steps[i];
                [a + sum, b + n]
            });
        }
        all
    }

    /// The mean over all targets; infinite without any.
    pub fn mean(&self) -> f64 {
        let [sum, n] = self.steps.iter().fold([0.0, 0.0], |[a, b], [sum, n]| [a + sum, b + n]);
        if n > 0.0 { sum / n } else { f64::INFINITY }
    }

    /// Tests whether these losses are lower than others on the same readings. Neighbouring steps share targets,
    /// so a block is no shorter than the horizon.
    pub fn against(&self, other: &Self) -> Verdict {
        let series = self.steps.len() / self.holdout.max(1);
        let blocks = (self.holdout / self.horizon.max(1)).clamp(1, BLOCKS_MAX);
        let mut test = PromotionTest::new(series, blocks);
        for (at, (own, theirs)) in self.steps.iter().zip(&other.steps).enumerate() {
            let (series, step) = (at / self.holdout, at % self.holdout);
            let mean = |[sum, n]: &[f64; 2]| sum / n;
            test.add(series, step * blocks / self.holdout, mean(theirs), mean(own));
        }
        test.verdict()
    }
}
