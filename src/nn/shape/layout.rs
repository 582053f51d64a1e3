//! The layout of a recurrent layer's tensors.

use std::ops::Range;

use super::{Blueprint, Cell, Family, Head, Norm, Recurrent};

/// Ranges of one layer's tensors within the layer's own flat vector.
#[derive(Clone, Debug)]
pub(in crate::nn) struct LayerLayout {
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
    /// Gain, bias, running mean and running variance of the batch norm of the layer's input,
    /// `[inputs]` each.
    pub batch_norm: Option<[Range<usize>; 4]>,
    pub len: usize,
}

impl LayerLayout {
    pub(super) fn new(stack: Recurrent, inputs: usize, batch_norm: bool) -> Self {
        let (cell, hidden) = (stack.cell, stack.hidden);
        let rows = cell.gates() * hidden;
        let mut end = 0;
        let mut take = |n: usize| {
            let start = end;
            end += n;
            start..end
        };
        let (w_ih, w_hh) = (take(rows * inputs), take(rows * hidden));
        let (b_ih, b_hh) = (take(rows), take(rows));
        let layer = stack.norm == Norm::Layer;
        let gains = layer.then(|| (take(rows), take(rows)));
        let c_norm = (layer && cell == Cell::Lstm).then(|| (take(hidden), take(hidden)));
        let batch_norm = batch_norm.then(|| [(); 4].map(|()| take(inputs)));
        Self { cell, inputs, hidden, w_ih, w_hh, b_ih, b_hh, gains, c_norm, batch_norm, len: end }
    }

    /// Floats of state that the layer carries for a series.
    pub fn state_width(&self) -> usize {
        self.cell.states() * self.hidden
    }
}

impl Blueprint {
    /// The width of the input of layer `l` of the stack.
    fn layer_inputs(&self, l: usize) -> usize {
        match (l, self.family) {
            (0, Family::Recurrent(_)) => self.features(),
            (_, Family::Recurrent(s) | Family::Convolved { stack: s, .. }) => s.hidden,
            _ => panic!("only recurrent families have layers in a stack"),
        }
    }

    /// The layout of layer `l` of the stack within the layer's own flat vector.
    pub(in crate::nn) fn layer_layout(&self, l: usize) -> LayerLayout {
        let stack = self.stack().expect("only recurrent families have layers in a stack");
        LayerLayout::new(stack, self.layer_inputs(l), stack.norm == Norm::Batch && l > 0)
    }

    /// The layout of the decoder's cell, if there is one.
    pub(in crate::nn) fn decoder_layout(&self) -> Option<LayerLayout> {
        let (Family::Recurrent(cell) | Family::Vector(cell), Head::Decoder { leads, known }) =
            (self.family, self.head)
        else {
            return None;
        };
        Some(LayerLayout::new(cell, self.features() + self.outputs / leads + known, false))
    }

    /// The range of a tensor, by its name, in the flat vector of all parameters.
    pub(in crate::nn) fn range(&self, name: &str) -> Range<usize> {
        let found = self.parameters().into_iter().find(|p| p.name == name);
        found.unwrap_or_else(|| panic!("{self:?} has no {name}")).range
    }

    /// The range of layer `l` of the stack in the flat vector of all parameters.
    pub(in crate::nn) fn block(&self, l: usize) -> Range<usize> {
        let start = self.range(&format!("weight_ih_l{l}")).start;
        start..start + self.layer_layout(l).len
    }

    /// The range of the decoder's cell.
    pub(in crate::nn) fn decoder_block(&self) -> Option<Range<usize>> {
        let start = self.decoder_layout().map(|_| self.range("decoder.weight_ih").start)?;
        Some(start..self.head_block().start)
    }

    /// The ranges of the head's norm, gain and bias, if it has one.
    pub(in crate::nn) fn head_norm(&self) -> Option<[Range<usize>; 2]> {
        let norm = || [self.range("head_norm.weight"), self.range("head_norm.bias")];
        (self.head == Head::Normed).then(norm)
    }

    /// The range of the last linear map, matrix and bias.
    pub(in crate::nn) fn head_block(&self) -> Range<usize> {
        self.range("head.weight").start..self.range("head.bias").end
    }
}
