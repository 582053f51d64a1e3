//! The networks again, composed of the tensor library's own operations in double precision: the
//! definition that the fused kernels are held against. It shares no code with them.

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::ops::sigmoid;
use tidecast::nn::{Blueprint, Cell, Norm};

/// All parameters as variables.
pub struct Oracle {
    pub blueprint: Blueprint,
    pub vars: BTreeMap<String, Var>,
}

impl Oracle {
    pub fn new(blueprint: Blueprint, values: &[f64]) -> Self {
        let vars = blueprint
            .parameters()
            .into_iter()
            .map(|p| {
                let t = Tensor::from_slice(&values[p.range], p.shape, &Device::Cpu).unwrap();
                (p.name, Var::from_tensor(&t).unwrap())
            })
            .collect();
        Self { blueprint, vars }
    }

    /// `y [steps, batch, outputs]` and the states after the last step, each layer's `[h, c]` or
    /// `[h]`. `x` is `[steps, batch, inputs]`.
    pub fn forward(&self, x: &Tensor, state: &[Vec<Tensor>]) -> Result<(Tensor, Vec<Vec<Tensor>>)> {
        let (w, b) = (|name: &str| self.vars[name].as_tensor(), &self.blueprint);
        let mut state = state.to_vec();
        let mut ys = Vec::new();
        for t in 0..x.dim(0)? {
            let features = x.get(t)?;
            let mut h = features.clone();
            for (l, state) in state.iter_mut().enumerate() {
                *state = self.cell(l, &h, state)?;
                h = state[0].clone();
            }
            let joined = Tensor::cat(&[&h, &features], 1)?;
            ys.push(joined.matmul(&w("head.weight").t()?)?.broadcast_add(w("head.bias"))?);
        }
        assert_eq!(ys[0].dim(1)?, b.outputs());
        Ok((Tensor::stack(&ys, 0)?, state))
    }

    fn cell(&self, l: usize, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        let w = |name: &str| self.vars[&format!("{name}_l{l}")].as_tensor();
        let layer = self.blueprint.norm() == Norm::Layer;
        let part = |weight: &str, bias: &str, gain: &str, v: &Tensor| -> Result<Tensor> {
            let mut sum = v.matmul(&w(weight).t()?)?;
            if layer {
                sum = normalised(&sum)?.broadcast_mul(w(gain))?;
            }
            sum.broadcast_add(w(bias))
        };
        let x = part("weight_ih", "bias_ih", "norm_ih", x)?;
        let h = part("weight_hh", "bias_hh", "norm_hh", &state[0])?;
        let n = self.blueprint.hidden();
        let gate = |t: &Tensor, g: usize| t.narrow(1, g * n, n);
        match self.blueprint.cell() {
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
            Cell::Gru => {
                let r = sigmoid(&(gate(&x, 0)? + gate(&h, 0)?)?)?;
                let z = sigmoid(&(gate(&x, 1)? + gate(&h, 1)?)?)?;
                let n = (gate(&x, 2)? + (r * gate(&h, 2)?)?)?.tanh()?;
                let keep = (&z * &state[0])?;
                Ok(vec![((n * (1.0 - z)?)? + keep)?])
            }
        }
    }

    /// `[[h, c]]` for each layer from rows as an arena gives them.
    pub fn state(&self, rows: &[f64], batch: usize) -> Vec<Vec<Tensor>> {
        let b = &self.blueprint;
        let rows = Tensor::from_slice(rows, (batch, b.row_width()), &Device::Cpu).unwrap();
        let part = |at: usize| rows.narrow(1, at, b.hidden()).unwrap().contiguous().unwrap();
        (0..b.layers())
            .map(|l| (0..b.cell().states()).map(|s| part(l * b.state_width() + s * b.hidden())).collect())
            .collect()
    }

    /// The masked mean squared error. `x`, `targets` and `mask` are `[batch, steps, …]`.
    pub fn loss(
        &self,
        (batch, steps): (usize, usize),
        [x, targets, mask]: [&[f64]; 3],
        state: &[Vec<Tensor>],
    ) -> Result<Tensor> {
        let b = &self.blueprint;
        let turned = |v: &[f64], width: usize| -> Result<Tensor> {
            Tensor::from_slice(v, (batch, steps, width), &Device::Cpu)?.transpose(0, 1)?.contiguous()
        };
        let (y, _) = self.forward(&turned(x, b.inputs())?, state)?;
        let (targets, mask) = (turned(targets, b.outputs())?, turned(mask, b.outputs())?);
        ((y - targets)?.sqr()? * &mask)?.sum_all()? / mask.sum_all()?.to_scalar::<f64>()?
    }

    /// The gradient of a scalar in the order of the flat vector.
    pub fn gradient(&self, loss: &Tensor) -> Vec<f64> {
        let grads = loss.backward().unwrap();
        let one = |name: &str| {
            let var = &self.vars[name];
            let zero = || Tensor::zeros(var.shape(), DType::F64, &Device::Cpu).unwrap();
            let g = grads.get(var).cloned().unwrap_or_else(zero);
            g.flatten_all().unwrap().to_vec1::<f64>().unwrap()
        };
        self.blueprint.parameters().iter().flat_map(|p| one(&p.name)).collect()
    }
}

fn normalised(x: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + 1e-5)?.sqrt()?)
}
