//! The table of parameters. Names and orders are PyTorch's where it has them: a layer's are those of
//! `torch.nn.LSTM`, `GRU` and `RNN`, the decoder's those of their cells, a convolution's
//! `[out, in, kernel]` as in `torch.nn.Conv1d`, a batch norm's those of `torch.nn.BatchNorm1d`.

use std::ops::Range;

use super::layout::LayerLayout;
use super::{Blueprint, Family, Head};

/// The role of a parameter: how it starts and whether it learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Multiplies the input. Holds this many stacked matrices of one shape.
    Input {
        stacked: usize,
    },
    /// `[gates · hidden, hidden]`
    Recurrent,
    /// The last linear map's matrix; starts at 0, so that an untrained network corrects nothing.
    Head,
    Bias,
    /// The biases of gates of `hidden` units. The second gate keeps the state, and its bias starts
    /// at 1.
    KeepingBias {
        hidden: usize,
    },
    /// The gain of a norm; starts at 1.
    Gain,
    /// The running mean of a batch norm, which has no gradient; starts at 0.
    RunningMean,
    /// The running variance of a batch norm, which has no gradient; starts at 1.
    RunningVariance,
}

impl Role {
    /// Whether it has a gradient and weight decay. Biases and gains decay too, so that every part
    /// of a correction stays small.
    pub fn learns(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVariance)
    }
}

/// One named tensor within the flat vector of all parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    pub shape: Vec<usize>,
    pub role: Role,
    /// Its range in the flat vector, row-major.
    pub range: Range<usize>,
}

#[derive(Default)]
struct Table(Vec<Parameter>);

impl Table {
    fn add(&mut self, name: String, shape: &[usize], role: Role) {
        let start = self.0.last().map_or(0, |p| p.range.end);
        let range = start..start + shape.iter().product::<usize>();
        self.0.push(Parameter { name, shape: shape.to_vec(), role, range });
    }

    /// A matrix or convolution `name.weight` with its `name.bias`.
    fn map(&mut self, name: &str, shape: &[usize], role: Role) {
        self.add(format!("{name}.weight"), shape, role);
        self.add(format!("{name}.bias"), &shape[..1], Role::Bias);
    }

    /// In the order of [`LayerLayout`].
    fn layer(&mut self, layout: &LayerLayout, prefix: &str, suffix: &str) {
        let (gates, hidden) = (layout.cell.gates(), layout.hidden);
        let name = |stem: &str| format!("{prefix}{stem}{suffix}");
        let rows = gates * hidden;
        self.add(name("weight_ih"), &[rows, layout.inputs], Role::Input { stacked: gates });
        self.add(name("weight_hh"), &[rows, hidden], Role::Recurrent);
        let first = if gates > 1 { Role::KeepingBias { hidden } } else { Role::Bias };
        self.add(name("bias_ih"), &[rows], first);
        self.add(name("bias_hh"), &[rows], Role::Bias);
        if layout.gains.is_some() {
            self.add(name("norm_ih"), &[rows], Role::Gain);
            self.add(name("norm_hh"), &[rows], Role::Gain);
        }
        if layout.c_norm.is_some() {
            self.add(name("norm_c"), &[hidden], Role::Gain);
            self.add(name("norm_c_bias"), &[hidden], Role::Bias);
        }
        if layout.batch_norm.is_some() {
            for (stem, role) in [
                ("weight", Role::Gain),
                ("bias", Role::Bias),
                ("running_mean", Role::RunningMean),
                ("running_var", Role::RunningVariance),
            ] {
                self.add(format!("{prefix}batch_norm{suffix}.{stem}"), &[layout.inputs], role);
            }
        }
    }
}

impl Blueprint {
    /// The number of all parameters.
    pub fn parameter_count(&self) -> usize {
        self.parameters().last().map_or(0, |p| p.range.end)
    }

    /// The table of parameters, in the order of the flat vector: from the first layer to the head.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut table = Table::default();
        let one = Role::Input { stacked: 1 };
        match self.family {
            Family::Window { readings, layers, hidden, .. } => {
                for l in 0..layers {
                    let width = if l == 0 { readings * self.inputs } else { hidden };
                    table.map(&format!("dense.{l}"), &[hidden, width], one);
                }
            }
            Family::Wavenet { channels: c, layers, stacks } => {
                table.map("input", &[c, self.inputs, 1], one);
                let last = layers * stacks - 1;
                for l in 0..=last {
                    let name = |stem: &str| format!("layers.{l}.{stem}");
                    table.map(&name("dilated"), &[2 * c, c, 2], Role::Input { stacked: 2 });
                    // The last layer has a skip but no residual.
                    if l < last {
                        table.map(&name("residual"), &[c, c, 1], one);
                    }
                    table.map(&name("skip"), &[c, c, 1], one);
                }
                table.map("output", &[c, c, 1], one);
            }
            Family::Convolved { kernel, stack, .. } => {
                table.map("conv", &[stack.hidden, self.inputs, kernel], one);
            }
            Family::Recurrent(_) | Family::Vector(_) => {}
        }
        for l in 0..self.stack().map_or(0, |s| s.layers) {
            table.layer(&self.layer_layout(l), "", &format!("_l{l}"));
        }
        match (self.head, self.decoder_layout()) {
            (Head::Decoder { leads, .. }, Some(layout)) => {
                table.layer(&layout, "decoder.", "");
                table.map("head", &[self.outputs / leads, layout.hidden], Role::Head);
            }
            _ => {
                let [top, x] = self.head_inputs();
                if self.head == Head::Normed {
                    table.add("head_norm.weight".to_owned(), &[top], Role::Gain);
                    table.add("head_norm.bias".to_owned(), &[top], Role::Bias);
                }
                table.map("head", &[self.outputs, top + x], Role::Head);
            }
        }
        table.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cell, Norm, Recurrent};
    use super::*;

    #[test]
    fn layer_layout_agrees_with_the_table() {
        for cell in Cell::ALL {
            for norm in [Norm::None, Norm::Layer, Norm::Batch] {
                let stack = Recurrent { cell, norm, hidden: 5, layers: 2, residual: true };
                let decoder = Head::Decoder { leads: 2, known: 1 };
                for (family, head) in
                    [(Family::Recurrent(stack), Head::Direct), (Family::Recurrent(stack), decoder)]
                {
                    let b = Blueprint::of(family, head, 3, 4).unwrap();
                    for l in 0..2 {
                        let (layout, block) = (b.layer_layout(l), b.block(l));
                        let at = |r: &Range<usize>| block.start + r.start..block.start + r.end;
                        assert_eq!(at(&layout.w_ih), b.range(&format!("weight_ih_l{l}")));
                        assert_eq!(at(&layout.b_hh), b.range(&format!("bias_hh_l{l}")));
                        if let Some((_, gain)) = &layout.gains {
                            assert_eq!(at(gain), b.range(&format!("norm_hh_l{l}")));
                        }
                        if let Some((_, bias)) = &layout.c_norm {
                            assert_eq!(at(bias), b.range(&format!("norm_c_bias_l{l}")));
                        }
                        if let Some([.., variance]) = &layout.batch_norm {
                            assert_eq!(at(variance), b.range(&format!("batch_norm_l{l}.running_var")));
                            assert_eq!(at(variance).end, block.end);
                        }
                    }
                    if let (Some(layout), Some(block)) = (b.decoder_layout(), b.decoder_block()) {
                        assert_eq!(block.len(), layout.len);
                    }
                    assert_eq!(b.head_block().end, b.parameter_count());
                }
            }
        }
    }
}
