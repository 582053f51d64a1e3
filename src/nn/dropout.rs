//! Variational dropout (Gal and Ghahramani 2016): one mask a sequence, the same at every step.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::nn::{Blueprint, Error};

/// The shares that are dropped, each in `0..1`. Serving and evaluation drop nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The share of the features at the input of the first layer; the head sees all of them.
    pub input: f32,
    /// The share of `h` at the input of the next step's gates.
    pub recurrent: f32,
    /// The share of `h` at the input of the layer above.
    pub between: f32,
}

/// Dropout of one layer over one sequence: 0 or `1 / (1 − p)`, the same at every step.
#[derive(Clone, Default)]
pub(in crate::nn) struct Masks {
    /// `[B, inputs]`
    pub x: Option<Vec<f32>>,
    /// `[B, hidden]`
    pub h: Option<Vec<f32>>,
}

impl Dropout {
    /// Drops nothing.
    pub const NONE: Self = Self { input: 0.0, recurrent: 0.0, between: 0.0 };

    pub(in crate::nn) fn check(&self) -> Result<(), Error> {
        for (name, share) in [
            ("dropout.input", self.input),
            ("dropout.recurrent", self.recurrent),
            ("dropout.between", self.between),
        ] {
            if !(0.0..1.0).contains(&share) {
                return Err(Error::Setting {
                    name,
                    got: f64::from(share),
                    allowed: "at least 0 and below 1",
                });
            }
        }
        Ok(())
    }

    /// Draws the masks for one mini-batch: for every recurrent layer, or one for the input. With a
    /// convolution in front, the first layer's input mask applies to the convolution's input.
    pub(in crate::nn) fn masks(&self, b: &Blueprint, batch: usize, rng: &mut ChaCha8Rng) -> Vec<Masks> {
        let mut draw = |share: f32, width: usize| {
            (share > 0.0).then(|| {
                let keep = 1.0 / (1.0 - share);
                (0..batch * width).map(|_| if rng.random::<f32>() < share { 0.0 } else { keep }).collect()
            })
        };
        match b.stack() {
            None => vec![Masks { x: draw(self.input, b.inputs()), h: None }],
            Some(stack) => (0..stack.layers)
                .map(|l| Masks {
                    x: if l == 0 { draw(self.input, b.features()) } else { draw(self.between, stack.hidden) },
                    h: draw(self.recurrent, stack.hidden),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::nn::{Cell, Norm};

    #[test]
    fn drops_the_share_and_keeps_the_mean() {
        let b = Blueprint::try_new(Cell::Gru, Norm::None, 50, 40, 2, 1).unwrap();
        let dropout = Dropout { input: 0.25, recurrent: 0.5, between: 0.0 };
        let mut masks = dropout.masks(&b, 100, &mut ChaCha8Rng::seed_from_u64(1));
        let x = masks[0].x.take().unwrap();
        assert_eq!(x.len(), 100 * 50);
        assert!((x.iter().sum::<f32>() / 5000.0 - 1.0).abs() < 0.05);
        assert!(x.iter().all(|m| *m == 0.0 || (m - 4.0 / 3.0).abs() < 1e-6));
        assert_eq!(masks[0].h.as_ref().unwrap().len(), 100 * 40);
        assert!(masks[1].x.is_none());
        assert!(Dropout { input: 1.0, ..Dropout::NONE }.check().is_err());
    }
}
