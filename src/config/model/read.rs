//! `[streams.NAME.model]`, which describes one network, or `models`, a list of several. A key that means
//! nothing to the chosen family is unknown.

use super::{
    ActivationKind, Architecture, Base, CellKind, Device, HeadKind, LayerKind, Model, NetworkKind, NormKind,
};
use crate::config::experts::Accuracy;
use crate::config::key::{Key, Preset, Table, Variants};
use crate::config::kinds::{Choice, Flag, List, Sub, Text, Whole, Word, choice, flag, text, whole};
use crate::config::section::Section;
use serde_json::Value;

/// Names that experts and mixtures have, so that no network can.
const TAKEN: [&str; 15] = [
    "last",
    "seasonal",
    "profile",
    "linear_last",
    "linear_seasonal",
    "linear_profile",
    "linear_holt",
    "linear_fast",
    "arma",
    "lms_slow",
    "lms",
    "lms_quick",
    "velocity",
    "experts",
    "mixture",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Family {
    Lstm,
    Gru,
    Rnn,
    Wavenet,
    ConvGru,
    Dense,
    Linear,
}

impl Family {
    fn word(self) -> &'static str {
        FAMILY.kind.word_of(&self).expect("each family is declared").word
    }
}

impl Architecture {
    pub(in crate::config) fn family(&self) -> Family {
        match self {
            Self::Recurrent { layers, .. } => match layers.cell {
                CellKind::Rnn(_) => Family::Rnn,
                CellKind::Lstm => Family::Lstm,
                CellKind::Gru | CellKind::GruBefore => Family::Gru,
            },
            Self::Convolved { .. } => Family::ConvGru,
            Self::Wavenet { .. } => Family::Wavenet,
            Self::Dense { .. } => Family::Dense,
            Self::Linear { .. } => Family::Linear,
        }
    }
}

pub(in crate::config) static MODEL: Key<Sub> = Key {
    name: "model",
    kind: Sub {
        required: false,
        table: Table {
            about: "What the networks correct and where they compute. With a network's key beside them it also \
                describes the stream's only network, which is called `network`; without, the stream has an LSTM and \
                a dense network (with `accuracy = \"compact\"` the LSTM alone).",
            keys: &[&BASE, &DEVICE, &FAMILY],
            variants: Some(FAMILIES),
        },
    },
    effect: "The stream's networks, or its only one.",
};
pub(in crate::config) static MODELS: Key<List> = Key {
    name: "models",
    kind: List(Table {
        about: "A network of the stream: an expert of its own beside the others. At most 8 of them.",
        keys: &[&NAME, &FAMILY],
        variants: Some(FAMILIES),
    }),
    effect: "The stream's networks, at most 8, instead of the two that it has by default. With `[]` it has none: \
             the experts forecast alone, and nothing is kept for networks.",
};
/// Which keys a network has, by its family.
const FAMILIES: Variants = Variants {
    by: &FAMILY,
    of: &[
        ("lstm", &[&HEAD, &HIDDEN, &LAYERS, &NORM, &RESIDUAL]),
        ("gru", &[&HEAD, &GRU_RESET, &HIDDEN, &LAYERS, &NORM, &RESIDUAL]),
        ("rnn", &[&HEAD, &RNN_ACTIVATION, &HIDDEN, &LAYERS, &NORM, &RESIDUAL]),
        ("wavenet", &[&CHANNELS, &WAVENET_LAYERS, &STACKS]),
        ("conv_gru", &[&KERNEL, &STRIDE, &GRU_RESET, &HIDDEN, &LAYERS, &NORM, &RESIDUAL]),
        ("dense", &[&READINGS, &LAYERS, &HIDDEN, &DENSE_ACTIVATION]),
        ("linear", &[&READINGS]),
    ],
};

pub(in crate::config) static BASE: Key<Choice<Base>> = choice(
    "base",
    &[
        Word::new("mixture", Base::Mixture, "the mixture of the experts"),
        Word::experimental("linear", Base::Linear, "least squares for every lead"),
        Word::experimental("last", Base::Last, "the last value"),
        Word::experimental("seasonal", Base::Seasonal, "the seasonal naive forecast"),
        Word::experimental("none", Base::None, "the series' mean"),
    ],
    "The forecast that the networks correct.",
);
static DEVICE: Key<Text> = text(
    "device",
    Preset::Is("auto"),
    "`auto`: the first GPU that the program can use, else the CPU; `cpu`; `cuda:N` in a program built for it",
    "Where the stream's networks serve and learn.",
);
static NAME: Key<Text> = text(
    "name",
    Preset::Follows("the family's name", "wide"),
    "letters, digits, `-` and `_`, at most 40",
    "The name of the network's forecasts in metrics, API and reports.",
);
pub(in crate::config) static FAMILY: Key<Choice<Family>> = choice(
    "family",
    &[
        Word::new("lstm", Family::Lstm, "recurrent layers of LSTM cells"),
        Word::new("gru", Family::Gru, "recurrent layers of GRU cells"),
        Word::experimental("rnn", Family::Rnn, "recurrent layers of simple cells"),
        Word::experimental("wavenet", Family::Wavenet, "dilated causal convolutions"),
        Word::experimental("conv_gru", Family::ConvGru, "a causal convolution in front of a GRU"),
        Word::new("dense", Family::Dense, "layers on the newest readings"),
        Word::experimental("linear", Family::Linear, "one linear map of the newest readings"),
    ],
    "The family of the network.",
);
pub(in crate::config) static HEAD: Key<Choice<HeadKind>> = choice(
    "head",
    &[
        Word::new("seq2seq", HeadKind::Seq2seq, "all leads at once, learnt at every reading"),
        Word::experimental(
            "direct",
            HeadKind::Direct,
            "all leads at once, learnt at the last reading of a chunk",
        ),
        Word::experimental(
            "encoder_decoder",
            HeadKind::EncoderDecoder,
            "a second cell unrolls the leads from the carried state",
        ),
        Word::experimental(
            "vector_to_sequence",
            HeadKind::VectorToSequence,
            "a cell unrolls the leads from the reading's features, without a carried state",
        ),
    ],
    "What makes the forecasts.",
);
static HIDDEN: Key<Whole> = whole("hidden", Preset::Is(32), 1..=1_024, "The number of units of a layer.");
static LAYERS: Key<Whole> = whole("layers", Preset::Is(1), 1..=8, "The number of layers.");
pub(in crate::config) static NORM: Key<Choice<NormKind>> = choice(
    "norm",
    &[
        Word::new(
            "output",
            NormKind::Output,
            "layer norm between the top layer and the head; not with a head that unrolls, whose default is `layer`",
        ),
        Word::experimental("layer", NormKind::Layer, "layer norm inside the cells"),
        Word::experimental("none", NormKind::None, "no norm"),
        Word::experimental("batch", NormKind::Batch, "batch norm between layers, of which it needs 2"),
    ],
    "What is normalised.",
);
static RESIDUAL: Key<Flag> =
    flag("residual", false, "Whether a connection goes around every layer above the first; needs 2 layers.");
pub(in crate::config) static GRU_RESET: Key<Choice<CellKind>> = choice(
    "gru_reset",
    &[
        Word::new("after", CellKind::Gru, "after the product with the old state, as in PyTorch"),
        Word::experimental("before", CellKind::GruBefore, "before it, as in most textbooks"),
    ],
    "Where the reset gate of a GRU stands.",
);
static RNN_ACTIVATION: Key<Choice<ActivationKind>> = choice(
    "activation",
    &[
        Word::new("tanh", ActivationKind::Tanh, ""),
        Word::new("relu", ActivationKind::Relu, "units are held below 10⁶"),
    ],
    "The activation of the cells.",
);
static DENSE_ACTIVATION: Key<Choice<ActivationKind>> = choice(
    "activation",
    &[Word::new("relu", ActivationKind::Relu, ""), Word::new("tanh", ActivationKind::Tanh, "")],
    "The activation after each layer.",
);
static KERNEL: Key<Whole> =
    whole("kernel", Preset::Is(6), 1..=1_024, "The number of readings that the convolution covers.");
static STRIDE: Key<Whole> = whole(
    "stride",
    Preset::Follows("3, or the kernel where that is smaller", 3),
    1..=1_024,
    "The convolution and the GRU step at every so many readings; at most the kernel.",
);
static CHANNELS: Key<Whole> =
    whole("hidden", Preset::Is(32), 1..=1_024, "The number of channels of a layer.");
static WAVENET_LAYERS: Key<Whole> = whole(
    "layers",
    Preset::Is(7),
    1..=14,
    "The number of layers of a stack, with dilations 1, 2, 4, …; `stacks * (2^layers - 1)` readings are seen.",
);
static STACKS: Key<Whole> = whole("stacks", Preset::Is(1), 1..=8, "The number of stacks.");
static READINGS: Key<Whole> =
    whole("readings", Preset::Is(24), 1..=4_096, "The number of newest readings that the network sees.");

/// The networks of `models`, the one that `model` describes, or the default ones.
pub(in crate::config) fn model(
    stream: &mut Section<'_>,
    accuracy: Accuracy,
    seasonal: bool,
    linear: bool,
) -> Model {
    let mut s = stream.section(&MODEL);
    let base = base(&mut s, seasonal, linear);
    let device = device(&mut s);
    let of_a_network = s.unread();
    let networks = if stream.value(&MODELS).is_some() {
        for key in of_a_network {
            s.pass(&key);
            s.fault(&key, "is not a known key beside `models`: say it of a network there");
        }
        several(stream)
    } else if of_a_network.is_empty() {
        by_default(accuracy)
            .iter()
            .map(|family| NetworkKind {
                name: family.word().to_owned(),
                architecture: architecture(&mut s, *family),
            })
            .collect()
    } else {
        let family = s.choice(&FAMILY);
        vec![NetworkKind { name: NetworkKind::ALONE.to_owned(), architecture: architecture(&mut s, family) }]
    };
    s.finish();
    Model { networks, base, device }
}

/// `full` adds a network that errs in other ways than a recurrent one (docs/accuracy.md).
fn by_default(accuracy: Accuracy) -> &'static [Family] {
    match accuracy {
        Accuracy::Full => &[Family::Lstm, Family::Dense],
        Accuracy::Compact => &[Family::Lstm],
    }
}

/// Each under a name of its own, by default its family's.
fn several(stream: &mut Section<'_>) -> Vec<NetworkKind> {
    let sections = stream.sections(&MODELS);
    let mut networks: Vec<NetworkKind> = Vec::with_capacity(sections.len());
    for mut s in sections {
        let family = s.choice(&FAMILY);
        let architecture = architecture(&mut s, family);
        // A wrong family is fault enough.
        let is_known =
            s.value(&FAMILY).and_then(Value::as_str).is_none_or(|said| said.trim() == family.word());
        let name = s.text_or(&NAME, family.word());
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(plain) {
            s.fault("name", format!("is \"{name}\"; letters, digits, \"-\" and \"_\", at most 40"));
        } else if TAKEN.contains(&name.as_str()) {
            s.fault("name", format!("is \"{name}\", under which something else is judged: say another one"));
        } else if is_known && networks.iter().any(|other| other.name == name) {
            s.fault("name", format!("is \"{name}\", which another network of the stream has: say for example name = \"{name}_2\""));
        }
        s.finish();
        if is_known {
            networks.push(NetworkKind { name, architecture });
        }
    }
    if networks.len() > Model::NETWORKS_MAX {
        stream.fault("models", format!("are {}; at most {}", networks.len(), Model::NETWORKS_MAX));
    }
    networks
}

fn architecture(s: &mut Section<'_>, family: Family) -> Architecture {
    match family {
        Family::Lstm | Family::Gru | Family::Rnn => {
            let head = s.choice(&HEAD);
            let unrolls = matches!(head, HeadKind::EncoderDecoder | HeadKind::VectorToSequence);
            let layers = layers(s, family, unrolls);
            if head == HeadKind::VectorToSequence && layers.layers > 1 {
                s.fault(
                    "layers",
                    "must be 1 with head = \"vector_to_sequence\": the decoder is all there is",
                );
            }
            Architecture::Recurrent { layers, head }
        }
        Family::ConvGru => {
            let kernel = s.count(&KERNEL);
            let stride = s.count_or(&STRIDE, 3.min(kernel));
            if stride > kernel {
                s.fault(
                    "stride",
                    format!("is {stride}; at most the kernel of {kernel}, or readings are lost"),
                );
            }
            Architecture::Convolved { kernel, stride: stride.min(kernel), layers: layers(s, family, false) }
        }
        Family::Wavenet => {
            let channels = s.count(&CHANNELS);
            let (layers, stacks) = (s.count(&WAVENET_LAYERS), s.count(&STACKS));
            let carried = channels * stacks * ((1 << layers) - 1);
            if carried > 1 << 20 {
                s.fault("layers", format!("make every series carry {carried} values; at most {}", 1 << 20));
            }
            Architecture::Wavenet { channels, layers, stacks }
        }
        Family::Dense => Architecture::Dense {
            readings: s.count(&READINGS),
            layers: s.count(&LAYERS),
            hidden: s.count(&HIDDEN),
            activation: s.choice(&DENSE_ACTIVATION),
        },
        Family::Linear => Architecture::Linear { readings: s.count(&READINGS) },
    }
}

fn base(s: &mut Section<'_>, seasonal: bool, linear: bool) -> Base {
    let base = s.choice(&BASE);
    if base == Base::Seasonal && !seasonal {
        s.fault("base", "is \"seasonal\", but the stream has no season");
    }
    if base == Base::Linear && !linear {
        s.fault("base", "is \"linear\", which is not among the stream's experts");
    }
    base
}

fn device(s: &mut Section<'_>) -> Device {
    let text = s.text(&DEVICE);
    let gpu = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
    match (text.as_str(), gpu) {
        ("auto", _) => Device::Auto,
        ("cpu", _) => Device::Cpu,
        (_, Some(number)) if cfg!(feature = "cuda") => Device::Cuda(number),
        (_, Some(_)) => {
            s.fault(
                "device",
                format!(
                    "is \"{text}\", but this program was built without CUDA: build it with \
                     `cargo build --release --features cuda`, or say \"auto\" or \"cpu\""
                ),
            );
            Device::Cpu
        }
        _ => {
            s.fault("device", format!("is \"{text}\"; allowed are \"auto\", \"cpu\", \"cuda:N\""));
            Device::Cpu
        }
    }
}

fn layers(s: &mut Section<'_>, family: Family, unrolls: bool) -> LayerKind {
    let cell = match family {
        Family::Rnn => CellKind::Rnn(s.choice(&RNN_ACTIVATION)),
        Family::Gru | Family::ConvGru => s.choice(&GRU_RESET),
        _ => CellKind::Lstm,
    };
    let (hidden, layers) = (s.count(&HIDDEN), s.count(&LAYERS));
    // A decoder goes on from the bare state, so that `output`, the first of the norms, is not for it.
    let norm = s.choice_among(&NORM, if unrolls { &NORM.kind.0[1..] } else { NORM.kind.0 });
    let residual = s.flag(&RESIDUAL);
    if layers == 1 && norm == NormKind::Batch {
        s.fault("norm", "is \"batch\", which stands between layers: say layers = 2 or more");
    }
    if layers == 1 && residual {
        s.fault(
            "residual",
            "is true, but residuals go around layers above the first: say layers = 2 or more",
        );
    }
    LayerKind { cell, norm, hidden, layers, residual }
}
