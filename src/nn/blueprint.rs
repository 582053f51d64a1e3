//! The shape of a network and the table of its parameters. Every other file of the room takes
//! shapes, names and offsets from here and computes none by itself.

use std::ops::Range;

use super::Error;

/// The recurrent cell. Gates are stacked in PyTorch's order, so that weights can be compared with
/// it and imported from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Gates `i, f, g, o`: `c' = σ(f) c + σ(i) tanh(g)`, `h' = σ(o) tanh(c')`.
    Lstm,
    /// Gates `r, z, n`: `n = tanh(x_n + σ(r) h_n)`, `h' = (1 − σ(z)) n + σ(z) h`, where `h_n` is
    /// the finished linear map of `h`, its bias included (PyTorch's and cuDNN's variant).
    Gru,
}

impl Cell {
    /// How many gates are stacked in a weight matrix.
    pub fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }

    /// How many vectors of `hidden` values one layer carries: `[h | c]` or `[h]`.
    pub fn states(self) -> usize {
        match self {
            Self::Lstm => 2,
            Self::Gru => 1,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Lstm => "lstm",
            Self::Gru => "gru",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Lstm, Self::Gru].into_iter().find(|c| c.name() == name)
    }
}

/// Normalisation inside the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    None,
    /// Ba, Kiros and Hinton, "Layer Normalization" (2016), equations 20 to 22: the gates are
    /// `LN(W_ih x) + b_ih + LN(W_hh h) + b_hh`, each norm over the whole stack of gates with a gain
    /// of its own, and an LSTM's output is `σ(o) tanh(LN(c))` while the `c` that is carried is
    /// not normalised. ε = 1e-5.
    ///
    /// The norm of `W_ih x` takes the scale of `x` away: give the network a constant feature
    /// beside a lone input, or its size is lost.
    Layer,
}

impl Norm {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Layer => "layer",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Layer].into_iter().find(|n| n.name() == name)
    }
}

/// ε of every layer norm, as in PyTorch.
pub(super) const NORM_EPSILON: f32 = 1e-5;

/// The shape of a network: what must agree between weights, states and a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blueprint {
    cell: Cell,
    norm: Norm,
    inputs: usize,
    hidden: usize,
    layers: usize,
    outputs: usize,
}

/// What a parameter is, which decides how it starts and whether weight decay shrinks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `[gates · hidden, inputs]`
    Input,
    /// `[gates · hidden, hidden]`
    Recurrent,
    /// `[outputs, hidden + inputs]`
    Head,
    Bias,
    /// The gain of a norm; starts at 1.
    Gain,
}

impl Role {
    /// Weight decay is for matrices, not for biases and gains.
    pub fn decays(self) -> bool {
        matches!(self, Self::Input | Self::Recurrent | Self::Head)
    }
}

/// One named tensor within the flat vector of all parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    pub shape: Vec<usize>,
    pub role: Role,
    /// Where it lies in the flat vector, row-major.
    pub range: Range<usize>,
}

impl Blueprint {
    pub const MAX_WIDTH: usize = 1 << 14;
    pub const MAX_LAYERS: usize = 16;

    /// `outputs` is targets × horizon.
    ///
    /// # Errors
    /// [`Error::Blueprint`] when a count is 0 or beyond its limit.
    pub fn try_new(
        cell: Cell,
        norm: Norm,
        inputs: usize,
        hidden: usize,
        layers: usize,
        outputs: usize,
    ) -> Result<Self, Error> {
        for (what, got, max) in [
            ("inputs", inputs, Self::MAX_WIDTH),
            ("hidden units", hidden, Self::MAX_WIDTH),
            ("layers", layers, Self::MAX_LAYERS),
            ("outputs", outputs, Self::MAX_WIDTH),
        ] {
            if got == 0 || got > max {
                return Err(Error::Blueprint { what, got, max });
            }
        }
        Ok(Self { cell, norm, inputs, hidden, layers, outputs })
    }

    pub fn cell(&self) -> Cell {
        self.cell
    }

    pub fn norm(&self) -> Norm {
        self.norm
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn hidden(&self) -> usize {
        self.hidden
    }

    pub fn layers(&self) -> usize {
        self.layers
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Values that one layer carries for a series: `[h | c]` or `[h]`.
    pub fn state_width(&self) -> usize {
        self.cell.states() * self.hidden
    }

    /// Values that the network carries for a series, layer after layer.
    pub fn row_width(&self) -> usize {
        self.layers * self.state_width()
    }

    /// How many parameters there are in all.
    pub fn parameter_count(&self) -> usize {
        self.parameters().last().map_or(0, |p| p.range.end)
    }

    /// The table of parameters, in the order of the flat vector: layer after layer, then the head.
    /// Names are PyTorch's where it has them.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut table: Vec<Parameter> = Vec::new();
        let mut add = |name: String, shape: &[usize], role: Role| {
            let start = table.last().map_or(0, |p: &Parameter| p.range.end);
            let range = start..start + shape.iter().product::<usize>();
            table.push(Parameter { name, shape: shape.to_vec(), role, range });
        };
        let stack = self.cell.gates() * self.hidden;
        for l in 0..self.layers {
            add(format!("weight_ih_l{l}"), &[stack, self.layer_inputs(l)], Role::Input);
            add(format!("weight_hh_l{l}"), &[stack, self.hidden], Role::Recurrent);
            add(format!("bias_ih_l{l}"), &[stack], Role::Bias);
            add(format!("bias_hh_l{l}"), &[stack], Role::Bias);
            if self.norm == Norm::Layer {
                add(format!("norm_ih_l{l}"), &[stack], Role::Gain);
                add(format!("norm_hh_l{l}"), &[stack], Role::Gain);
                if self.cell == Cell::Lstm {
                    add(format!("norm_c_l{l}"), &[self.hidden], Role::Gain);
                    add(format!("norm_c_bias_l{l}"), &[self.hidden], Role::Bias);
                }
            }
        }
        add("head.weight".into(), &[self.outputs, self.hidden + self.inputs], Role::Head);
        add("head.bias".into(), &[self.outputs], Role::Bias);
        table
    }

    /// What enters layer `l`: the features, or the `h` of the layer below.
    pub(super) fn layer_inputs(&self, l: usize) -> usize {
        if l == 0 { self.inputs } else { self.hidden }
    }

    /// How the parameters of layer `l` lie within the layer's own flat vector.
    pub(super) fn layer_layout(&self, l: usize) -> LayerLayout {
        let (inputs, hidden, stack) = (self.layer_inputs(l), self.hidden, self.cell.gates() * self.hidden);
        let mut end = 0;
        let mut take = |n: usize| {
            let start = end;
            end += n;
            start..end
        };
        let (w_ih, w_hh) = (take(stack * inputs), take(stack * hidden));
        let (b_ih, b_hh) = (take(stack), take(stack));
        let layer = self.norm == Norm::Layer;
        let gains = layer.then(|| (take(stack), take(stack)));
        let c_norm = (layer && self.cell == Cell::Lstm).then(|| (take(hidden), take(hidden)));
        LayerLayout { cell: self.cell, inputs, hidden, w_ih, w_hh, b_ih, b_hh, gains, c_norm, len: end }
    }

    /// Where layer `l` lies in the flat vector of all parameters; `l = layers` is the head.
    pub(super) fn block(&self, l: usize) -> Range<usize> {
        let start: usize = (0..l).map(|k| self.layer_layout(k).len).sum();
        let len = if l < self.layers {
            self.layer_layout(l).len
        } else {
            self.outputs * (self.hidden + self.inputs + 1)
        };
        start..start + len
    }
}

/// Ranges of one layer's tensors within the layer's own flat vector.
#[derive(Clone, Debug)]
pub(super) struct LayerLayout {
    pub cell: Cell,
    pub inputs: usize,
    pub hidden: usize,
    /// `[gates · hidden, inputs]`
    pub w_ih: Range<usize>,
    /// `[gates · hidden, hidden]`
    pub w_hh: Range<usize>,
    /// `[gates · hidden]`
    pub b_ih: Range<usize>,
    /// `[gates · hidden]`
    pub b_hh: Range<usize>,
    /// Gains of the norms of `W_ih x` and of `W_hh h`, `[gates · hidden]` each.
    pub gains: Option<(Range<usize>, Range<usize>)>,
    /// Gain and bias of the norm of `c`, `[hidden]` each.
    pub c_norm: Option<(Range<usize>, Range<usize>)>,
    pub len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_empty_and_endless_shapes() {
        assert!(Blueprint::try_new(Cell::Lstm, Norm::None, 0, 4, 1, 1).is_err());
        assert!(Blueprint::try_new(Cell::Lstm, Norm::None, 1, 4, 17, 1).is_err());
    }

    #[test]
    fn layer_layout_agrees_with_the_table() {
        for cell in [Cell::Lstm, Cell::Gru] {
            for norm in [Norm::None, Norm::Layer] {
                let b = Blueprint::try_new(cell, norm, 3, 5, 2, 4).unwrap();
                let table = b.parameters();
                let find = |name: &str| table.iter().find(|p| p.name == name).unwrap().range.clone();
                for l in 0..2 {
                    let (layout, block) = (b.layer_layout(l), b.block(l));
                    let at = |r: &Range<usize>| block.start + r.start..block.start + r.end;
                    assert_eq!(at(&layout.w_ih), find(&format!("weight_ih_l{l}")));
                    assert_eq!(at(&layout.b_hh), find(&format!("bias_hh_l{l}")));
                    if let Some((_, gain)) = &layout.gains {
                        assert_eq!(at(gain), find(&format!("norm_hh_l{l}")));
                    }
                    if let Some((_, bias)) = &layout.c_norm {
                        assert_eq!(at(bias), find(&format!("norm_c_bias_l{l}")));
                    }
                }
                assert_eq!(b.block(2).start, find("head.weight").start);
                assert_eq!(b.block(2).end, b.parameter_count());
            }
        }
    }
}
