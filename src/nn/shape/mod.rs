//! The shape of a network and the table of its parameters. Every other file of this room takes
//! shapes, names and offsets from here.

mod cell;
mod layout;
mod parameters;

pub(super) use cell::NORM_EPSILON;
pub use cell::{Activation, Cell, Norm};
pub(super) use layout::LayerLayout;
pub use parameters::{Parameter, Role};

use super::Error;

/// A stack of recurrent layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recurrent {
    pub cell: Cell,
    pub norm: Norm,
    pub hidden: usize,
    pub layers: usize,
    /// Whether every layer but the first adds its input to its output.
    pub residual: bool,
}

impl Recurrent {
    /// Values that one layer carries for a series: `[h | c]` or `[h]`.
    pub(super) fn state_width(&self) -> usize {
        self.cell.states() * self.hidden
    }
}

/// What a network carries from reading to reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The state of recurrent layers. O(1) work for each reading.
    Recurrent(Recurrent),
    /// Nothing. Every forecast is made from one vector, the reading's features, and from what is
    /// known about its leads. The head must be a decoder, and this is its cell.
    Vector(Recurrent),
    /// The last readings as they are. `layers` dense layers of `hidden` units see them all at once.
    /// Without layers the head sees them, and the network is linear.
    Window { readings: usize, layers: usize, hidden: usize, activation: Activation },
    /// Dilated causal convolutions of width 2 (van den Oord et al. 2016): `stacks` of `layers` with
    /// dilations 1, 2, 4, …, each `tanh ⊙ σ`, with a residual and a skip of as many channels. A
    /// series carries rings of past activations. O(layers) work for each reading.
    Wavenet { channels: usize, layers: usize, stacks: usize },
    /// A causal convolution over the last `kernel` readings, made at every `stride`-th reading and
    /// rectified. Recurrent layers behind it step as often. O(1) work for each reading, amortised.
    Convolved { kernel: usize, stride: usize, stack: Recurrent },
}

/// How a network makes forecasts of what its layers left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// One linear map of `[top | x]` to all outputs.
    Direct,
    /// One linear map of `[γ ⊙ norm(top) + β | x]`, where `norm` is a layer norm. The state itself
    /// is not normalised.
    Normed,
    /// A cell of the stack's kind that starts from the state of the top layer and steps once for
    /// each lead. Its input is `[x | its last output | what is known about the lead]`, and its
    /// output is a linear map of its `h`. The last `leads · known` features of a reading are what
    /// is known about the leads; the stack doesn't see them.
    Decoder { leads: usize, known: usize },
}

/// The shape of a network. Weights, states and bundles that belong together have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blueprint {
    family: Family,
    head: Head,
    inputs: usize,
    outputs: usize,
}

impl Blueprint {
    /// The most hidden units, channels, outputs or readings in a window.
    pub const MAX_WIDTH: usize = 1 << 14;
    /// The most features of a reading.
    pub const MAX_INPUTS: usize = 1 << 16;
    /// The most layers, and stacks of layers.
    pub const MAX_LAYERS: usize = 16;
    /// The most floats that a series may carry.
    pub const MAX_ROW: usize = 1 << 24;

    /// Recurrent layers under a direct head. `outputs` is targets × horizon.
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
        let stack = Recurrent { cell, norm, hidden, layers, residual: false };
        Self::of(Family::Recurrent(stack), Head::Direct, inputs, outputs)
    }

    /// `inputs` is the number of a reading's features. `outputs` is quantile levels (1 if the loss
    /// has none) × targets × horizon.
    ///
    /// # Errors
    /// [`Error::Blueprint`] when a count is 0 or beyond its limit; [`Error::Shape`] when the parts
    /// don't fit together.
    pub fn of(family: Family, head: Head, inputs: usize, outputs: usize) -> Result<Self, Error> {
        let mut counts = vec![("inputs", inputs, Self::MAX_INPUTS), ("outputs", outputs, Self::MAX_WIDTH)];
        match family {
            Family::Recurrent(s) | Family::Vector(s) | Family::Convolved { stack: s, .. } => {
                counts.push(("hidden units", s.hidden, Self::MAX_WIDTH));
                counts.push(("layers", s.layers, Self::MAX_LAYERS));
            }
            Family::Window { readings, layers, hidden, .. } => {
                counts.push(("readings", readings, Self::MAX_WIDTH));
                counts.push(("layers and one", layers + 1, Self::MAX_LAYERS));
                counts.push(("hidden units", hidden, Self::MAX_WIDTH));
            }
            Family::Wavenet { channels, layers, stacks } => {
                counts.push(("channels", channels, Self::MAX_WIDTH));
                counts.push(("layers", layers, Self::MAX_LAYERS));
                counts.push(("stacks", stacks, Self::MAX_LAYERS));
            }
        }
        if let Family::Convolved { kernel, stride, .. } = family {
            counts.push(("readings in a kernel", kernel, 1 << 10));
            counts.push(("readings in a stride", stride, kernel));
        }
        if let Head::Decoder { leads, .. } = head {
            counts.push(("leads", leads, outputs));
        }
        for (what, got, max) in counts {
            if got == 0 || got > max {
                return Err(Error::Blueprint { what, got, max });
            }
        }
        let this = Self { family, head, inputs, outputs };
        if this.row_width() > Self::MAX_ROW {
            let (what, max) = ("values a series carries", Self::MAX_ROW);
            return Err(Error::Blueprint { what, got: this.row_width(), max });
        }
        this.fits().map_err(Error::Shape)?;
        Ok(this)
    }

    fn fits(&self) -> Result<(), &'static str> {
        match (self.family, self.head) {
            (Family::Recurrent(_) | Family::Vector(_), Head::Decoder { leads, known }) => {
                if !self.outputs.is_multiple_of(leads) {
                    return Err("a decoder's outputs must be the same for every lead");
                }
                if leads.checked_mul(known).is_none_or(|n| n >= self.inputs) {
                    return Err("a reading must bring something beside what is known of its leads");
                }
            }
            (Family::Vector(_), Head::Direct | Head::Normed) => {
                return Err("one vector needs a decoder as its head");
            }
            (_, Head::Decoder { .. }) => return Err("a decoder needs recurrent layers below it"),
            (Family::Window { .. } | Family::Wavenet { .. }, Head::Normed) => {
                return Err("a normed head needs recurrent layers below it");
            }
            _ => {}
        }
        match self.family {
            Family::Vector(s) if s.layers != 1 => Err("a decoder has one layer"),
            Family::Convolved { stack, .. } if !matches!(stack.cell, Cell::Gru | Cell::GruBefore) => {
                Err("the layers behind a convolution must be GRUs")
            }
            _ => Ok(()),
        }
    }

    /// The layers below the head.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The head.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The number of a reading's features.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The number of outputs: quantile levels × targets × horizon.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The recurrent layers below the head, if there are any.
    pub fn stack(&self) -> Option<Recurrent> {
        match self.family {
            Family::Recurrent(stack) | Family::Convolved { stack, .. } => Some(stack),
            Family::Vector(_) | Family::Window { .. } | Family::Wavenet { .. } => None,
        }
    }

    /// Floats that the network carries for a series.
    pub fn row_width(&self) -> usize {
        let stack = self.stack().map_or(0, |s| s.layers * s.state_width());
        match self.family {
            Family::Recurrent(_) => stack,
            // An arena's row is never empty.
            Family::Vector(_) => 1,
            Family::Window { readings, .. } => ((readings - 1) * self.inputs).max(1),
            Family::Wavenet { channels, .. } => 1 + channels * self.dilations().sum::<usize>(),
            Family::Convolved { kernel, .. } => 1 + (kernel - 1) * self.inputs + stack,
        }
    }

    /// How many readings before the newest can influence a forecast; `None` when all can.
    pub fn memory(&self) -> Option<usize> {
        match self.family {
            Family::Recurrent(_) | Family::Convolved { .. } => None,
            Family::Vector(_) => Some(0),
            Family::Window { readings, .. } => Some(readings - 1),
            Family::Wavenet { .. } => Some(self.dilations().sum()),
        }
    }

    /// The dilation of every layer of a [`Family::Wavenet`], the first layer first.
    pub(super) fn dilations(&self) -> impl Iterator<Item = usize> + use<> {
        let (layers, stacks) = match self.family {
            Family::Wavenet { layers, stacks, .. } => (layers, stacks),
            _ => (0, 0),
        };
        (0..layers * stacks).map(move |l| 1 << (l % layers))
    }

    /// The number of features that the layers below the head see: all but what is known about the
    /// leads.
    pub(super) fn features(&self) -> usize {
        match self.head {
            Head::Direct | Head::Normed => self.inputs,
            Head::Decoder { leads, known } => self.inputs - leads * known,
        }
    }

    /// Layers `1..residual` add their input to their output. A decoder starts from the bare `h` of
    /// the top layer.
    pub(super) fn residual_layers(&self) -> usize {
        match (self.stack(), self.head) {
            (Some(Recurrent { residual: true, layers, .. }), Head::Direct | Head::Normed) => layers,
            (Some(Recurrent { residual: true, layers, .. }), Head::Decoder { .. }) => layers - 1,
            _ => 0,
        }
    }

    /// How many values a direct head sees of the layers below, and how many features.
    pub(super) fn head_inputs(&self) -> [usize; 2] {
        match self.family {
            Family::Recurrent(s) | Family::Vector(s) | Family::Convolved { stack: s, .. } => {
                [s.hidden, self.features()]
            }
            Family::Window { readings, layers: 0, .. } => [readings * self.inputs, 0],
            Family::Window { hidden, .. } => [hidden, self.inputs],
            Family::Wavenet { channels, .. } => [channels, self.inputs],
        }
    }
}

/// Networks of every cell, norm, family and head, for tests.
#[cfg(test)]
pub(super) fn samples(inputs: usize, hidden: usize, outputs: usize) -> Vec<Blueprint> {
    let mut families = vec![
        Family::Window { readings: 5, layers: 0, hidden, activation: Activation::None },
        Family::Window { readings: 3, layers: 2, hidden, activation: Activation::Relu },
        Family::Wavenet { channels: hidden, layers: 3, stacks: 2 },
    ];
    let stack = |cell, norm| Recurrent { cell, norm, hidden, layers: 2, residual: true };
    for cell in Cell::ALL {
        families.extend([Norm::None, Norm::Layer, Norm::Batch].map(|n| Family::Recurrent(stack(cell, n))));
    }
    for cell in [Cell::Gru, Cell::GruBefore] {
        families.push(Family::Convolved { kernel: 4, stride: 3, stack: stack(cell, Norm::Layer) });
    }
    let normed = [
        Family::Recurrent(stack(Cell::Lstm, Norm::None)),
        Family::Convolved { kernel: 4, stride: 3, stack: stack(Cell::Gru, Norm::None) },
    ];
    let direct = families.into_iter().map(|family| (family, Head::Direct));
    let direct = direct.chain(normed.map(|family| (family, Head::Normed)));
    let decoder = Head::Decoder { leads: outputs, known: 0 };
    let decoders = Cell::ALL.map(|cell| (Family::Recurrent(stack(cell, Norm::Layer)), decoder));
    let alone = Recurrent { layers: 1, ..stack(Cell::Lstm, Norm::None) };
    direct
        .chain(decoders)
        .chain([(Family::Vector(alone), decoder)])
        .map(|(family, head)| Blueprint::of(family, head, inputs, outputs).unwrap())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_empty_and_endless_shapes_and_parts_that_do_not_fit() {
        assert!(Blueprint::try_new(Cell::Lstm, Norm::None, 0, 4, 1, 1).is_err());
        assert!(Blueprint::try_new(Cell::Lstm, Norm::None, 1, 4, 17, 1).is_err());
        let stack = Recurrent { cell: Cell::Lstm, norm: Norm::None, hidden: 4, layers: 1, residual: false };
        let decoder = |leads, known| Head::Decoder { leads, known };
        let of = |family, head| Blueprint::of(family, head, 7, 6).is_ok();
        assert!(of(Family::Recurrent(stack), decoder(3, 2)));
        assert!(!of(Family::Recurrent(stack), decoder(4, 1)));
        assert!(!of(Family::Recurrent(stack), decoder(3, 3)));
        assert!(!of(Family::Vector(stack), Head::Direct));
        assert!(!of(Family::Convolved { kernel: 3, stride: 2, stack }, Head::Direct));
        let stack = Recurrent { cell: Cell::Gru, ..stack };
        assert!(of(Family::Convolved { kernel: 3, stride: 2, stack }, Head::Direct));
        assert!(!of(Family::Convolved { kernel: 3, stride: 4, stack }, Head::Direct));
        assert!(!of(Family::Wavenet { channels: 2, layers: 2, stacks: 1 }, decoder(3, 0)));
        assert!(!of(Family::Wavenet { channels: 1 << 14, layers: 16, stacks: 1 }, Head::Direct));
    }

    #[test]
    fn memory_is_what_the_dilations_reach() {
        let family = Family::Wavenet { channels: 2, layers: 3, stacks: 2 };
        let b = Blueprint::of(family, Head::Direct, 1, 1).unwrap();
        assert_eq!(b.dilations().collect::<Vec<_>>(), [1, 2, 4, 1, 2, 4]);
        assert_eq!((b.memory(), b.row_width()), (Some(14), 29));
    }
}
