//! The definition of the networks in double precision, made of the tensor library's operations. The
//! kernels are compared with it; it shares no code with them.

#![allow(dead_code, reason = "not every test needs all of it")]

mod recurrent;
mod whole;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use tidecast::nn::{Blueprint, Family, Head, Loss};

/// All parameters as variables.
pub struct Oracle {
    pub blueprint: Blueprint,
    pub vars: BTreeMap<String, Var>,
}

/// A chunk in double precision, and the mode of its pass.
#[derive(Clone)]
pub struct Data {
    pub batch: usize,
    pub burn_in: usize,
    pub steps: usize,
    pub x: Vec<f64>,
    pub targets: Vec<f64>,
    pub mask: Vec<f64>,
    /// Rows as an arena gives them; cold when there are none.
    pub state: Option<Vec<f64>>,
    /// Whether batch norms take the statistics of the chunk.
    pub learn: bool,
    /// Whether a decoder gets the targets.
    pub forced: bool,
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

    pub fn w(&self, name: &str) -> &Tensor {
        self.vars.get(name).unwrap_or_else(|| panic!("no parameter {name}")).as_tensor()
    }

    /// `x W' + b` of a map or of one tap of a convolution.
    pub fn map(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let weight = self.w(&format!("{name}.weight"));
        x.matmul(&weight.flatten_from(1)?.t()?)?.broadcast_add(self.w(&format!("{name}.bias")))
    }

    /// The forecasts at the steps after burn-in, `[steps, batch, outputs]`.
    pub fn forward(&self, data: &Data) -> Result<Tensor> {
        let (b, burn_in) = (&self.blueprint, data.burn_in);
        let x = turned(&data.x, [data.batch, burn_in + data.steps, b.inputs()])?;
        let late = x.narrow(0, burn_in, data.steps)?.flatten(0, 1)?;
        let y = match (b.family(), b.head()) {
            (Family::Recurrent(_) | Family::Vector(_), Head::Decoder { .. }) => {
                let start = match b.family() {
                    Family::Recurrent(_) => Some(self.recurrent(data, &x)?.1),
                    _ => None,
                };
                self.decoded(data, start, &late)?
            }
            (family, _) => {
                let top = match family {
                    Family::Recurrent(_) => self.recurrent(data, &x)?.0,
                    Family::Window { .. } => self.window(data, &x)?,
                    Family::Wavenet { .. } => self.wavenet(data, &x)?,
                    Family::Convolved { .. } => self.convolved(data, &x)?,
                    Family::Vector(_) => unreachable!("it needs a decoder"),
                };
                let top = match b.head() {
                    Head::Normed => {
                        let scaled =
                            recurrent::normalised(&top)?.broadcast_mul(self.w("head_norm.weight"))?;
                        scaled.broadcast_add(self.w("head_norm.bias"))?
                    }
                    _ => top,
                };
                let seen = match family {
                    Family::Window { layers: 0, .. } => top,
                    _ => Tensor::cat(&[&top, &late], 1)?,
                };
                self.map("head", &seen)?
            }
        };
        y.reshape((data.steps, data.batch, b.outputs()))
    }

    /// The weighted mean loss.
    pub fn loss(&self, data: &Data, loss: &Loss) -> Result<Tensor> {
        let outputs = self.blueprint.outputs();
        let points = outputs / loss.levels();
        let size = [data.batch, data.steps, points];
        let y = self.forward(data)?;
        let (targets, mask) = (turned(&data.targets, size)?, turned(&data.mask, size)?);
        let mut sum = Tensor::zeros((), DType::F64, &Device::Cpu)?;
        for level in 0..loss.levels() {
            let e = (y.narrow(2, level * points, points)? - &targets)?;
            let each = match loss {
                Loss::Squared => e.sqr()?,
                Loss::Huber(delta) => {
                    let inner = e.abs()?.minimum(f64::from(*delta))?;
                    ((&inner * e.abs()?)? - (inner.sqr()? * 0.5)?)?
                }
                Loss::Pinball(levels) => {
                    let level = f64::from(levels[level]);
                    (&e * -level)?.maximum(&(&e * (1.0 - level))?)?
                }
            };
            sum = (sum + (each * &mask)?.sum_all()?)?;
        }
        sum / (mask.sum_all()?.to_scalar::<f64>()? * loss.levels() as f64)
    }

    /// The gradient of a scalar in the order of the flat vector; parameters without a gradient have
    /// 0.
    pub fn gradient(&self, loss: &Tensor) -> Vec<f64> {
        let grads = loss.backward().unwrap();
        let one = |name: &str, learns: bool| {
            let var = &self.vars[name];
            let zero = || Tensor::zeros(var.shape(), DType::F64, &Device::Cpu).unwrap();
            let g = grads.get(var).cloned().filter(|_| learns).unwrap_or_else(zero);
            g.flatten_all().unwrap().to_vec1::<f64>().unwrap()
        };
        self.blueprint.parameters().iter().flat_map(|p| one(&p.name, p.role.learns())).collect()
    }
}

/// From `[batch, steps, width]` to `[steps, batch, width]`.
pub fn turned(values: &[f64], size: [usize; 3]) -> Result<Tensor> {
    Tensor::from_slice(values, &size[..], &Device::Cpu)?.transpose(0, 1)?.contiguous()
}
