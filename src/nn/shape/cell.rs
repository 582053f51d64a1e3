//! The recurrent cells, their norms and the activations.

/// The recurrent cell. Gates are stacked in PyTorch's order, so that weights can be exchanged with
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// `h' = tanh(x + h)`, where `x` and `h` stand for their finished linear maps here and below.
    RnnTanh,
    /// `h' = max(x + h, 0)`, held below [`Activation::RELU_MAX`].
    RnnRelu,
    /// Gates `i, f, g, o`: `c' = σ(f) c + σ(i) tanh(g)`, `h' = σ(o) tanh(c')`.
    Lstm,
    /// Gates `r, z, n`: `n = tanh(x_n + σ(r) h_n)`, `h' = (1 − σ(z)) n + σ(z) h`, where `h_n` is
    /// the finished linear map of `h`, its bias included: the reset gate comes after the product
    /// (PyTorch's and cuDNN's variant).
    Gru,
    /// The same with `h_n` the linear map of `σ(r) ⊙ h`: the reset gate comes before the product
    /// (Cho et al. 2014, and most textbooks).
    GruBefore,
}

impl Cell {
    /// Every cell.
    pub const ALL: [Self; 5] = [Self::RnnTanh, Self::RnnRelu, Self::Lstm, Self::Gru, Self::GruBefore];

    /// The number of gates that are stacked in a weight matrix.
    pub fn gates(self) -> usize {
        match self {
            Self::RnnTanh | Self::RnnRelu => 1,
            Self::Lstm => 4,
            Self::Gru | Self::GruBefore => 3,
        }
    }

    /// The number of a unit's sums before its activations: one for each gate, and one more where
    /// the two halves of a gate's sum stay apart.
    pub(in crate::nn) fn sums(self) -> usize {
        match self {
            Self::Gru => 4,
            _ => self.gates(),
        }
    }

    /// The first of a unit's sums that `W_hh` enters; `W_ih` enters from the first on.
    pub(in crate::nn) fn h_first(self) -> usize {
        self.sums() - self.gates()
    }

    /// The number of vectors of `hidden` floats that one layer carries: `[h | c]` or `[h]`.
    pub fn states(self) -> usize {
        if self == Self::Lstm { 2 } else { 1 }
    }

    /// Its name in the config and in bundles.
    pub fn name(self) -> &'static str {
        match self {
            Self::RnnTanh => "rnn_tanh",
            Self::RnnRelu => "rnn_relu",
            Self::Lstm => "lstm",
            Self::Gru => "gru",
            Self::GruBefore => "gru_before",
        }
    }

    pub(in crate::nn) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }
}

/// Normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    None,
    /// Ba, Kiros and Hinton, "Layer Normalization" (2016), equations 20 to 22: the gates are
    /// `LN(W_ih x) + b_ih + LN(W_hh h) + b_hh`, each norm over the whole stack of gates with a gain
    /// of its own, and an LSTM's output is `σ(o) tanh(LN(c))` while the state `c` itself is not
    /// normalised. Where the reset gate comes before the product, `W_hh h` is two products with a
    /// norm each: `r, z`, and `n`. ε = 1e-5.
    ///
    /// The norm of `W_ih x` removes the scale of `x`. A network with a single input needs a
    /// constant feature beside it, or the size of the input is lost.
    ///
    /// This is the default, because each row is normalised by itself: a series' forecast depends on
    /// no other series, training and serving compute the same, and a small mini-batch is as good as
    /// a large one.
    Layer,
    /// Ioffe and Szegedy (2015) on the input of every layer but the first, over time and batch
    /// (Laurent et al. 2015); never between the steps of a layer. It serves with the running mean
    /// and variance, which are folded into `W_ih` and cost nothing.
    ///
    /// It exists for comparison. In training a row depends on its neighbours in the mini-batch,
    /// chunks of one stream are far from independent draws, and the running statistics lag behind a
    /// stream that drifts, so serving differs from training.
    Batch,
}

impl Norm {
    /// Its name in the config and in bundles.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Layer => "layer",
            Self::Batch => "batch",
        }
    }

    pub(in crate::nn) fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Layer, Self::Batch].into_iter().find(|n| n.name() == name)
    }
}

/// ε of every norm, as in PyTorch.
pub(in crate::nn) const NORM_EPSILON: f32 = 1e-5;

/// The activation of a unit's sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    None,
    Tanh,
    /// `max(x, 0)`, held below [`Activation::RELU_MAX`], so that no state can become infinite.
    Relu,
    Sigmoid,
}

impl Activation {
    /// The largest result of a rectifier.
    pub const RELU_MAX: f32 = 1e6;

    /// Its name in the config and in bundles.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
        }
    }

    pub(in crate::nn) fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Tanh, Self::Relu, Self::Sigmoid].into_iter().find(|a| a.name() == name)
    }
}
