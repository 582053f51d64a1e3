//! The networks of a stream, checked.

mod read;

pub(super) use read::{BASE, FAMILY, GRU_RESET, HEAD, MODEL, MODELS, NORM, model};

/// The networks that serve a stream together, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// At least one.
    pub networks: Vec<NetworkKind>,
    /// What each of them corrects.
    pub base: Base,
    /// Where they serve and learn.
    pub device: Device,
}

/// One network of a stream, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkKind {
    /// The name of its forecasts among the experts'.
    pub name: String,
    /// Its family, with what the family needs.
    pub architecture: Architecture,
}

/// Where the network serves and learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The first GPU that this program can use, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
}

/// A family of networks, and the shape of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// `rnn`, `lstm`, `gru`
    Recurrent {
        /// The stack.
        layers: LayerKind,
        /// What makes the forecasts.
        head: HeadKind,
    },
    /// `conv_gru`
    Convolved {
        /// Readings that the convolution covers.
        kernel: usize,
        /// The convolution and the cells step at every `stride`-th reading.
        stride: usize,
        /// The stack above the convolution.
        layers: LayerKind,
    },
    /// `wavenet`: dilations 1, 2, 4, … to 2^(layers − 1) in each stack.
    Wavenet {
        /// Channels of each layer.
        channels: usize,
        /// Layers of a stack.
        layers: usize,
        /// Stacks.
        stacks: usize,
    },
    /// `dense`
    Dense {
        /// The newest readings that it sees.
        readings: usize,
        /// Layers below the head.
        layers: usize,
        /// Units of a layer.
        hidden: usize,
        /// What follows each layer.
        activation: ActivationKind,
    },
    /// `linear`
    Linear {
        /// The newest readings that it sees.
        readings: usize,
    },
}

/// Recurrent layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerKind {
    /// The cell of every layer.
    pub cell: CellKind,
    /// What is normalised.
    pub norm: NormKind,
    /// Units of a layer.
    pub hidden: usize,
    /// Layers of the stack.
    pub layers: usize,
    /// Whether a connection goes around every layer above the first.
    pub residual: bool,
}

/// A recurrent cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// A simple cell, with its activation.
    Rnn(ActivationKind),
    /// Long short-term memory.
    Lstm,
    /// A gated recurrent unit whose reset gate comes after the product with the old state, as in PyTorch.
    Gru,
    /// A gated recurrent unit whose reset gate comes before that product, as in most textbooks.
    GruBefore,
}

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivationKind {
    /// The hyperbolic tangent.
    Tanh,
    /// The rectifier, max(0, x).
    Relu,
}

/// What is normalised in a recurrent stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Layer norm between the top layer and the head.
    Output,
    /// Layer norm inside the cells, after the linear maps.
    Layer,
    /// Nothing.
    None,
    /// Batch norm between layers.
    Batch,
}

/// What makes the forecasts of a recurrent family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// All leads at once, learnt at every reading of a chunk.
    Seq2seq,
    /// All leads at once, learnt at a chunk's last reading alone. In serving it equals `seq2seq`.
    Direct,
    /// A decoder cell unrolls the leads from the carried state.
    EncoderDecoder,
    /// The same from the reading's own features alone: no state is carried.
    VectorToSequence,
}

/// What the network corrects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The mixture of the experts.
    Mixture,
    /// Least squares for every lead, in the richest variant that the stream has.
    Linear,
    /// The last value.
    Last,
    /// The seasonal naive forecast.
    Seasonal,
    /// The series' mean: the network is on its own.
    None,
}

impl Model {
    /// The most networks of a stream.
    pub const NETWORKS_MAX: usize = 8;

    /// The networks' names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.networks.iter().map(|network| network.name.as_str())
    }

    /// Whether any network unrolls its leads.
    pub fn unrolls(&self) -> bool {
        self.networks.iter().any(|network| network.architecture.unrolls())
    }

    /// The most readings before the newest that a network looks at.
    pub fn memory(&self) -> usize {
        self.networks.iter().map(|network| network.architecture.memory()).max().unwrap_or(0)
    }
}

impl NetworkKind {
    /// The name of the network that `[streams.NAME.model]` describes.
    pub const ALONE: &str = "network";
}

impl Architecture {
    /// Whether forecasts are unrolled lead by lead, each with what is known of that lead.
    pub fn unrolls(&self) -> bool {
        matches!(self, Self::Recurrent { head: HeadKind::EncoderDecoder | HeadKind::VectorToSequence, .. })
    }

    /// How many readings before the newest the network looks at; 0 for one that carries a state instead.
    pub fn memory(&self) -> usize {
        match *self {
            Self::Recurrent { .. } | Self::Convolved { .. } => 0,
            Self::Wavenet { layers, stacks, .. } => stacks * ((1 << layers) - 1),
            Self::Dense { readings, .. } | Self::Linear { readings } => readings - 1,
        }
    }
}
