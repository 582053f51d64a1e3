//! Recurrent layers and the decoder.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::sigmoid;
use tidecast::nn::{Cell, Family, Head, Norm, Recurrent};

use super::{Data, Oracle, turned};

/// `[h]` or `[h, c]`.
pub type State = Vec<Tensor>;

impl Oracle {
    fn shape(&self) -> Recurrent {
        match self.blueprint.family() {
            Family::Recurrent(s) | Family::Vector(s) | Family::Convolved { stack: s, .. } => s,
            other => panic!("{other:?} has no layers"),
        }
    }

    /// One step of the layer whose parameters have this prefix and suffix.
    fn cell(&self, prefix: &str, suffix: &str, x: &Tensor, state: &State) -> Result<State> {
        let w = |name: &str| self.w(&format!("{prefix}{name}{suffix}"));
        let (cell, n) = (self.shape().cell, self.shape().hidden);
        let layer = self.shape().norm == Norm::Layer;
        let product = |name: &str, v: &Tensor, from: usize, count: usize| -> Result<Tensor> {
            let sum = v.matmul(&w(&format!("weight_{name}")).narrow(0, from * n, count * n)?.t()?)?;
            let sum = if layer {
                let gain = w(&format!("norm_{name}")).narrow(0, from * n, count * n)?;
                normalised(&sum)?.broadcast_mul(&gain)?
            } else {
                sum
            };
            sum.broadcast_add(&w(&format!("bias_{name}")).narrow(0, from * n, count * n)?)
        };
        let gates = cell.gates();
        let x = product("ih", x, 0, gates)?;
        let gate = |t: &Tensor, g: usize| t.narrow(1, g * n, n);
        let old = &state[0];
        if cell == Cell::GruBefore {
            let h = product("hh", old, 0, 2)?;
            let r = sigmoid(&(gate(&x, 0)? + gate(&h, 0)?)?)?;
            let z = sigmoid(&(gate(&x, 1)? + gate(&h, 1)?)?)?;
            let n = (gate(&x, 2)? + product("hh", &(r * old)?, 2, 1)?)?.tanh()?;
            return Ok(vec![((n * (1.0 - &z)?)? + (z * old)?)?]);
        }
        let h = product("hh", old, 0, gates)?;
        match cell {
            Cell::RnnTanh => Ok(vec![(x + h)?.tanh()?]),
            Cell::RnnRelu => Ok(vec![(x + h)?.relu()?]),
            Cell::Lstm => {
                let all = (x + h)?;
                let (i, f) = (sigmoid(&gate(&all, 0)?)?, sigmoid(&gate(&all, 1)?)?);
                let (g, o) = (gate(&all, 2)?.tanh()?, sigmoid(&gate(&all, 3)?)?);
                let c = ((f * &state[1])? + (i * g)?)?;
                let u = if layer {
                    normalised(&c)?.broadcast_mul(w("norm_c"))?.broadcast_add(w("norm_c_bias"))?
                } else {
                    c.clone()
                };
                Ok(vec![(o * u.tanh()?)?, c])
            }
            Cell::Gru | Cell::GruBefore => {
                let r = sigmoid(&(gate(&x, 0)? + gate(&h, 0)?)?)?;
                let z = sigmoid(&(gate(&x, 1)? + gate(&h, 1)?)?)?;
                let n = (gate(&x, 2)? + (r * gate(&h, 2)?)?)?.tanh()?;
                Ok(vec![((n * (1.0 - &z)?)? + (z * old)?)?])
            }
        }
    }

    /// Every layer's state from rows that hold them from `offset` on.
    pub fn states(&self, data: &Data, offset: usize) -> Result<Vec<State>> {
        let (s, width) = (self.shape(), self.blueprint.row_width());
        let rows = match &data.state {
            Some(rows) => Tensor::from_slice(rows, (data.batch, width), &Device::Cpu)?,
            None => Tensor::zeros((data.batch, width), DType::F64, &Device::Cpu)?,
        };
        let part = |at: usize| rows.narrow(1, offset + at * s.hidden, s.hidden)?.contiguous();
        let each = s.cell.states();
        (0..s.layers).map(|l| (0..each).map(|k| part(l * each + k)).collect()).collect()
    }

    /// Layers over a sequence: the top's outputs at every step, the top layer's state after every
    /// step, and every layer's last state.
    pub fn stack(
        &self,
        mut xs: Vec<Tensor>,
        states: &[State],
        learn: bool,
    ) -> Result<(Vec<Tensor>, Vec<State>, Vec<State>)> {
        let (mut last, mut carried) = (Vec::new(), Vec::new());
        for (l, state) in states.iter().enumerate() {
            let suffix = format!("_l{l}");
            let entering = match self.shape().norm {
                Norm::Batch if l > 0 => self.batch_normalised(&suffix, &xs, learn)?,
                _ => xs.clone(),
            };
            let mut state = state.clone();
            carried.clear();
            for x in &entering {
                state = self.cell("", &suffix, x, &state)?;
                carried.push(state.clone());
            }
            let residual = self.shape().residual && l > 0;
            xs = carried
                .iter()
                .zip(&xs)
                .map(|(s, x)| if residual { &s[0] + x } else { Ok(s[0].clone()) })
                .collect::<Result<_>>()?;
            last.push(state);
        }
        Ok((xs, carried, last))
    }

    fn batch_normalised(&self, suffix: &str, xs: &[Tensor], learn: bool) -> Result<Vec<Tensor>> {
        if xs.is_empty() {
            return Ok(Vec::new());
        }
        let w = |name: &str| self.w(&format!("batch_norm{suffix}.{name}"));
        let all = Tensor::cat(xs, 0)?;
        let (mean, variance) = if learn {
            let mean = all.mean_keepdim(0)?;
            let variance = all.broadcast_sub(&mean)?.sqr()?.mean_keepdim(0)?;
            (mean, variance)
        } else {
            (w("running_mean").unsqueeze(0)?, w("running_var").unsqueeze(0)?)
        };
        let normed = all.broadcast_sub(&mean)?.broadcast_div(&(variance + 1e-5)?.sqrt()?)?;
        let out = normed.broadcast_mul(w("weight"))?.broadcast_add(w("bias"))?;
        let batch = xs[0].dim(0)?;
        (0..xs.len()).map(|t| out.narrow(0, t * batch, batch)).collect()
    }

    /// The top's outputs at the steps after burn-in, and the top layer's states, `[steps · batch]`.
    pub fn recurrent(&self, data: &Data, x: &Tensor) -> Result<(Tensor, State)> {
        let features = self.features();
        let part = |from: usize, count: usize| -> Result<Vec<Tensor>> {
            (from..from + count).map(|t| x.get(t)?.narrow(1, 0, features)?.contiguous()).collect()
        };
        let mut states = self.states(data, 0)?;
        if data.burn_in > 0 {
            states = detached(&self.stack(part(0, data.burn_in)?, &states, false)?.2);
        }
        let (tops, carried, _) = self.stack(part(data.burn_in, data.steps)?, &states, data.learn)?;
        let each = carried[0].len();
        let state = (0..each)
            .map(|k| Tensor::cat(&carried.iter().map(|s| s[k].clone()).collect::<Vec<_>>(), 0))
            .collect::<Result<_>>()?;
        Ok((Tensor::cat(&tops, 0)?, state))
    }

    fn features(&self) -> usize {
        match self.blueprint.head() {
            Head::Direct | Head::Normed => self.blueprint.inputs(),
            Head::Decoder { leads, known } => self.blueprint.inputs() - leads * known,
        }
    }

    /// All leads from every state, `[steps · batch, outputs]`; `x` is `[steps · batch, inputs]`.
    pub fn decoded(&self, data: &Data, start: Option<State>, x: &Tensor) -> Result<Tensor> {
        let Head::Decoder { leads, known } = self.blueprint.head() else { panic!("no decoder") };
        let (outputs, features, rows) = (self.blueprint.outputs(), self.features(), x.dim(0)?);
        let (each, s) = (outputs / leads, self.shape());
        let zero = |width: usize| Tensor::zeros((rows, width), DType::F64, &Device::Cpu);
        let mut state = match start {
            Some(state) => state,
            None => (0..s.cell.states()).map(|_| zero(s.hidden)).collect::<Result<_>>()?,
        };
        let points = data.targets.len() / rows;
        let size = [data.batch, data.steps, points];
        let targets = turned(&data.targets, size)?.flatten(0, 1)?;
        let mask = turned(&data.mask, size)?.flatten(0, 1)?.gt(0.0)?.to_dtype(DType::F64)?;
        let mut last = zero(each)?;
        let mut ys = Vec::new();
        for lead in 0..leads {
            let known = x.narrow(1, features + lead * known, known)?;
            let entering = Tensor::cat(&[&x.narrow(1, 0, features)?, &last, &known], 1)?;
            state = self.cell("decoder.", "", &entering, &state)?;
            let y = self.map("head", &state[0])?;
            last = y.clone();
            if data.forced {
                let columns: Vec<u32> = (0..each).map(|i| ((i * leads + lead) % points) as u32).collect();
                let columns = Tensor::from_slice(&columns, each, &Device::Cpu)?;
                let (given, arrived) = (targets.index_select(&columns, 1)?, mask.index_select(&columns, 1)?);
                last = ((given * &arrived)? + (last * (1.0 - arrived)?)?)?;
            }
            ys.push(y);
        }
        Tensor::stack(&ys, 2)?.reshape((rows, outputs))
    }
}

pub fn detached(states: &[State]) -> Vec<State> {
    states.iter().map(|s| s.iter().map(Tensor::detach).collect()).collect()
}

pub fn normalised(x: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + 1e-5)?.sqrt()?)
}
