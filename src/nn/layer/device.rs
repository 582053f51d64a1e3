//! One recurrent layer: its parameters as tensors, and one step of it.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::sigmoid;

use crate::nn::shape::{LayerLayout, NORM_EPSILON};
use crate::nn::tensor::activated;
use crate::nn::{Activation, Cell};

/// The state of a layer.
#[derive(Clone)]
pub(in crate::nn) struct State {
    /// `[rows, hidden]`
    pub h: Tensor,
    /// `[rows, hidden]`; only an LSTM has it.
    pub c: Option<Tensor>,
}

/// Mean and mean square of the input of a layer with a batch norm, `[1, inputs]` each.
pub(in crate::nn) struct Moments {
    pub layer: usize,
    pub mean: Tensor,
    pub variance: Tensor,
}

pub(in crate::nn) struct Layer {
    cell: Cell,
    hidden: usize,
    x: Product,
    h: Product,
    /// The product of `r ⊙ h`; only with the reset gate before the product.
    candidate: Option<Product>,
    /// Gain and bias of the norm of `c`.
    c_norm: Option<[Tensor; 2]>,
    /// Gain and bias of the batch norm of the input.
    batch_norm: Option<[Tensor; 2]>,
}

/// `W v + b`; with norms, `W v` is normalised before the bias.
struct Product {
    /// `[in, gates · hidden]`
    weight: Tensor,
    bias: Tensor,
    gain: Option<Tensor>,
}

impl Product {
    fn of(&self, v: &Tensor) -> Result<Tensor> {
        let product = v.matmul(&self.weight)?;
        match &self.gain {
            Some(gain) => normalised(&product)?.broadcast_mul(gain)?.broadcast_add(&self.bias),
            None => product.broadcast_add(&self.bias),
        }
    }
}

impl Layer {
    /// `flat` is the layer's own flat vector.
    pub fn new(layout: &LayerLayout, flat: &Tensor) -> Result<Self> {
        let (cell, hidden, gates) = (layout.cell, layout.hidden, layout.cell.gates());
        let part = |r: &std::ops::Range<usize>| flat.narrow(0, r.start, r.len());
        let [x_gain, h_gain] = match &layout.gains {
            Some((x, h)) => [Some(part(x)?), Some(part(h)?)],
            None => [None, None],
        };
        let (w_hh, b_hh) = (part(&layout.w_hh)?.reshape((gates * hidden, hidden))?, part(&layout.b_hh)?);
        // Gates `from..from + count` of `W_hh`.
        let recurrent = |from: usize, count: usize| -> Result<Product> {
            let (at, len) = (from * hidden, count * hidden);
            Ok(Product {
                weight: w_hh.narrow(0, at, len)?.t()?,
                bias: b_hh.narrow(0, at, len)?,
                gain: h_gain.as_ref().map(|g| g.narrow(0, at, len)).transpose()?,
            })
        };
        let before = cell == Cell::GruBefore;
        let pair = |ranges: Option<[&std::ops::Range<usize>; 2]>| -> Result<Option<[Tensor; 2]>> {
            ranges.map(|[gain, bias]| Ok([part(gain)?, part(bias)?])).transpose()
        };
        Ok(Self {
            cell,
            hidden,
            x: Product {
                weight: part(&layout.w_ih)?.reshape((gates * hidden, layout.inputs))?.t()?,
                bias: part(&layout.b_ih)?,
                gain: x_gain,
            },
            h: recurrent(0, if before { 2 } else { gates })?,
            candidate: before.then(|| recurrent(2, 1)).transpose()?,
            c_norm: pair(layout.c_norm.as_ref().map(|(gain, bias)| [gain, bias]))?,
            batch_norm: pair(layout.batch_norm.as_ref().map(|[gain, bias, ..]| [gain, bias]))?,
        })
    }

    /// Whether the layer has a batch norm on its input.
    pub fn has_batch_norm(&self) -> bool {
        self.batch_norm.is_some()
    }

    /// The rows normalised over all rows, with gain and bias, and their mean and mean square.
    pub fn batch_normalised(&self, rows: &Tensor) -> Result<(Tensor, [Tensor; 2])> {
        let [gain, bias] = self.batch_norm.as_ref().expect("the caller has looked");
        let mean = rows.mean_keepdim(0)?;
        let centred = rows.broadcast_sub(&mean)?;
        let variance = centred.sqr()?.mean_keepdim(0)?;
        let normed = centred.broadcast_div(&deviation(&variance)?)?;
        Ok((normed.broadcast_mul(gain)?.broadcast_add(bias)?, [mean, variance]))
    }

    /// One step. `mask` is the dropout of the input of `W_hh`, `[rows, hidden]`.
    pub fn step(&self, x: &Tensor, state: &State, mask: Option<&Tensor>) -> Result<State> {
        let x = self.x.of(x)?;
        let held = &state.h;
        let used = match mask {
            Some(mask) => held.mul(mask)?,
            None => held.clone(),
        };
        let h = self.h.of(&used)?;
        let gate = |t: &Tensor, g: usize| t.narrow(1, g * self.hidden, self.hidden);
        let both = |g: usize| gate(&x, g)? + gate(&h, g)?;
        match self.cell {
            Cell::RnnTanh => self.simple(Activation::Tanh, &(x + h)?),
            Cell::RnnRelu => self.simple(Activation::Relu, &(x + h)?),
            Cell::Lstm => {
                let (i, f) = (sigmoid(&both(0)?)?, sigmoid(&both(1)?)?);
                let (g, o) = (both(2)?.tanh()?, sigmoid(&both(3)?)?);
                let old = state.c.as_ref().expect("an LSTM carries c");
                let c = ((f * old)? + (i * g)?)?;
                let shown = match &self.c_norm {
                    Some([gain, bias]) => normalised(&c)?.broadcast_mul(gain)?.broadcast_add(bias)?,
                    None => c.clone(),
                };
                Ok(State { h: (o * shown.tanh()?)?, c: Some(c) })
            }
            Cell::Gru | Cell::GruBefore => {
                let (r, z) = (sigmoid(&both(0)?)?, sigmoid(&both(1)?)?);
                let from_h = match &self.candidate {
                    Some(candidate) => candidate.of(&(r * used)?)?,
                    None => (r * gate(&h, 2)?)?,
                };
                let n = (gate(&x, 2)? + from_h)?.tanh()?;
                Ok(State { h: (&n + (z * (held - &n)?)?)?, c: None })
            }
        }
    }

    fn simple(&self, activation: Activation, sum: &Tensor) -> Result<State> {
        Ok(State { h: activated(activation, sum)?, c: None })
    }
}

/// The rows, each normalised to mean 0 and deviation 1.
pub(in crate::nn) fn normalised(x: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&deviation(&variance)?)
}

fn deviation(variance: &Tensor) -> Result<Tensor> {
    (variance + f64::from(NORM_EPSILON))?.sqrt()
}
