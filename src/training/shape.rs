use crate::config::{
    self, ActivationKind, Architecture, CellKind, HeadKind, LayerKind, LossKind, NetworkKind, NormKind,
    Stream,
};
use crate::nn::{
    Activation, Blueprint, Cell, Device, Error, Family, Head, Loss, Networks, Norm, Recurrent, Trained,
    Weights,
};
use crate::series::Features;
use std::sync::Arc;

/// Where a stream's networks serve and learn.
///
/// # Errors
/// When the config names a GPU that is not there.
pub fn device(stream: &Stream) -> Result<Device, Error> {
    match stream.model.device {
        config::Device::Auto => Ok(Device::auto()),
        config::Device::Cpu => Ok(Device::cpu()),
        config::Device::Cuda(number) => Device::cuda(number),
    }
}

/// The networks that a stream's config asks for: their names and shapes, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Shapes(Vec<(String, Blueprint)>);

impl Shapes {
    /// # Errors
    /// When a network would be too large.
    pub fn of(stream: &Stream) -> Result<Self, Error> {
        let shape = |kind: &NetworkKind| Ok((kind.name.clone(), blueprint(stream, kind)?));
        stream.model.networks.iter().map(shape).collect::<Result<_, _>>().map(Self)
    }

    /// The networks among these that the config still asks for. There may be none.
    pub fn fitting(&self, networks: &Networks) -> Networks {
        let found = |(name, shape): &(String, Blueprint)| {
            let trained = networks.get(name).filter(|trained| trained.weights.blueprint() == shape)?;
            Some((name.clone(), trained.clone()))
        };
        self.0.iter().filter_map(found).collect()
    }

    /// The weights of each network, in the config's order; `None` for an absent one.
    pub fn weights(&self, networks: &Networks) -> Vec<Option<Arc<Weights>>> {
        let of = |name: &str| networks.get(name).map(|trained| trained.weights.clone());
        self.0.iter().map(|(name, _)| of(name)).collect()
    }

    /// The inverse of [`Self::weights`]. Optimisers are lost.
    pub fn networks(&self, weights: &[Option<Arc<Weights>>]) -> Networks {
        let trained = |weights: &Arc<Weights>| Trained { weights: weights.clone(), optimiser: None };
        let named = |((name, _), weights): (&(String, Blueprint), &Option<Arc<Weights>>)| {
            Some((name.clone(), trained(weights.as_ref()?)))
        };
        self.0.iter().zip(weights).filter_map(named).collect()
    }
}

/// The shape of one of a stream's networks.
///
/// # Errors
/// When the network would be too large.
pub fn blueprint(stream: &Stream, kind: &NetworkKind) -> Result<Blueprint, Error> {
    let features = Features::new(stream);
    let outputs = loss(stream).levels() * features.outputs();
    let decoder = Head::Decoder { leads: stream.leads().len(), known: features.known() };
    let (family, head) = match kind.architecture {
        Architecture::Recurrent { layers, head } => match head {
            HeadKind::Seq2seq | HeadKind::Direct => (Family::Recurrent(stack(layers)), direct(layers)),
            HeadKind::EncoderDecoder => (Family::Recurrent(stack(layers)), decoder),
            HeadKind::VectorToSequence => (Family::Vector(stack(layers)), decoder),
        },
        Architecture::Convolved { kernel, stride, layers } => {
            (Family::Convolved { kernel, stride, stack: stack(layers) }, direct(layers))
        }
        Architecture::Wavenet { channels, layers, stacks } => {
            (Family::Wavenet { channels, layers, stacks }, Head::Direct)
        }
        Architecture::Dense { readings, layers, hidden, activation } => {
            let activation = match activation {
                ActivationKind::Tanh => Activation::Tanh,
                ActivationKind::Relu => Activation::Relu,
            };
            (Family::Window { readings, layers, hidden, activation }, Head::Direct)
        }
        Architecture::Linear { readings } => {
            let (layers, hidden, activation) = (0, 1, Activation::None);
            (Family::Window { readings, layers, hidden, activation }, Head::Direct)
        }
    };
    Blueprint::of(family, head, features.inputs_of(kind), outputs)
}

/// The head of layers that forecast all leads at once.
fn direct(kind: LayerKind) -> Head {
    if kind.norm == NormKind::Output { Head::Normed } else { Head::Direct }
}

fn stack(kind: LayerKind) -> Recurrent {
    let cell = match kind.cell {
        CellKind::Rnn(ActivationKind::Tanh) => Cell::RnnTanh,
        CellKind::Rnn(ActivationKind::Relu) => Cell::RnnRelu,
        CellKind::Lstm => Cell::Lstm,
        CellKind::Gru => Cell::Gru,
        CellKind::GruBefore => Cell::GruBefore,
    };
    let norm = match kind.norm {
        NormKind::Layer => Norm::Layer,
        NormKind::Output | NormKind::None => Norm::None,
        NormKind::Batch => Norm::Batch,
    };
    Recurrent { cell, norm, hidden: kind.hidden, layers: kind.layers, residual: kind.residual }
}

/// A stream's loss. The first quantile level is the median: it is the network's point forecast.
pub(super) fn loss(stream: &Stream) -> Loss {
    match stream.training.loss {
        LossKind::Huber(delta) => Loss::Huber(delta as f32),
        LossKind::Squared => Loss::Squared,
        LossKind::Pinball => {
            let others = stream.levels.iter().map(|level| level.get() as f32).filter(|level| *level != 0.5);
            Loss::Pinball([0.5].into_iter().chain(others).collect())
        }
    }
}
