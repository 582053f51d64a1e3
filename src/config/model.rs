//! `[streams.NAME.model]`: the network; or `models`, a list of several. Keys that mean nothing to the
//! chosen family are unknown.

use super::experts::Accuracy;
use super::section::Section;
use serde_json::Value;

/// The networks that serve a stream together, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// At least one.
    pub networks: Vec<NetworkKind>,
    /// What each of them corrects.
    pub base: Base,
    pub device: Device,
}

/// One network of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkKind {
    /// Under which it is judged among the experts.
    pub name: String,
    pub architecture: Architecture,
}

/// Under which experts and mixtures are judged.
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

/// Where the network serves and learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The first GPU where there is one that this program can use, else the CPU.
    Auto,
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// `rnn`, `lstm`, `gru`
    Recurrent { layers: LayerKind, head: HeadKind },
    /// `conv_gru`
    Convolved { kernel: usize, stride: usize, layers: LayerKind },
    /// `wavenet`: dilations 1, 2, 4, … to 2^(layers − 1) in each stack.
    Wavenet { channels: usize, layers: usize, stacks: usize },
    /// `dense`
    Dense { readings: usize, layers: usize, hidden: usize, activation: ActivationKind },
    /// `linear`
    Linear { readings: usize },
}

/// Recurrent layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerKind {
    pub cell: CellKind,
    pub norm: NormKind,
    pub hidden: usize,
    pub layers: usize,
    pub residual: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    Rnn(ActivationKind),
    Lstm,
    /// The reset gate comes after the product with the old state, as in PyTorch.
    Gru,
    /// It comes before it, as in most textbooks.
    GruBefore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivationKind {
    Tanh,
    Relu,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Layer norm of what the top layer gives, on its way to the head.
    Output,
    /// Layer norm inside the cells, after the linear maps.
    Layer,
    None,
    /// Batch norm between layers.
    Batch,
}

/// What makes the forecasts of a recurrent family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// All leads at once, learnt at every reading of a chunk.
    Seq2seq,
    /// All leads at once, learnt at a chunk's last reading alone. It serves as `seq2seq` does.
    Direct,
    /// A decoder cell unrolls the leads from the carried state.
    EncoderDecoder,
    /// The same from nothing but the reading's own features: no state is carried.
    VectorToSequence,
}

/// What the network corrects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The mixture of the experts.
    Mixture,
    /// Least squares for every lead, or what is richest of it.
    Linear,
    Last,
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
    /// The name of the network that `model` describes.
    pub const ALONE: &str = "network";
}

impl Architecture {
    /// Whether forecasts are unrolled lead by lead, so that what is known of a lead has a place.
    pub fn unrolls(&self) -> bool {
        matches!(self, Self::Recurrent { head: HeadKind::EncoderDecoder | HeadKind::VectorToSequence, .. })
    }

    /// How many readings before the newest a network looks at that looks at so many and no more.
    pub fn memory(&self) -> usize {
        match *self {
            Self::Recurrent { .. } | Self::Convolved { .. } => 0,
            Self::Wavenet { layers, stacks, .. } => stacks * ((1 << layers) - 1),
            Self::Dense { readings, .. } | Self::Linear { readings } => readings - 1,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Lstm,
    Gru,
    Rnn,
    Wavenet,
    ConvGru,
    Dense,
    Linear,
}

const FAMILIES: [(&str, Family); 7] = [
    ("lstm", Family::Lstm),
    ("gru", Family::Gru),
    ("rnn", Family::Rnn),
    ("wavenet", Family::Wavenet),
    ("conv_gru", Family::ConvGru),
    ("dense", Family::Dense),
    ("linear", Family::Linear),
];

impl Family {
    fn name(self) -> &'static str {
        FAMILIES.iter().find(|(_, family)| *family == self).expect("each has a name").0
    }
}

/// The networks of `models`, the one that `model` describes, or the default ones.
pub(super) fn model(stream: &mut Section<'_>, accuracy: Accuracy, seasonal: bool, linear: bool) -> Model {
    let mut s = stream.section("model");
    let base = base(&mut s, seasonal, linear);
    let device = device(&mut s);
    let of_a_network = s.unasked();
    let networks = if stream.value("models").is_some() {
        for key in of_a_network {
            s.value(&key);
            s.fault(&key, "is not a known key beside `models`: say it of a network there");
        }
        several(stream)
    } else if of_a_network.is_empty() {
        by_default(accuracy)
            .iter()
            .map(|family| NetworkKind {
                name: family.name().to_owned(),
                architecture: architecture(&mut s, *family),
            })
            .collect()
    } else {
        let family = s.choice("family", &FAMILIES);
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
    let sections = stream.sections("models");
    let mut networks: Vec<NetworkKind> = Vec::with_capacity(sections.len());
    for mut s in sections {
        let family = s.choice("family", &FAMILIES);
        let architecture = architecture(&mut s, family);
        // Nothing more is wrong with one whose family is.
        let is_known =
            s.value("family").and_then(Value::as_str).is_none_or(|said| said.trim() == family.name());
        let name = s.text("name", family.name());
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
    if stream.value("models").is_some_and(|models| models.as_array().is_some_and(Vec::is_empty)) {
        stream.fault("models", "names no network: leave it out for the default ones");
    }
    if networks.len() > Model::NETWORKS_MAX {
        stream.fault("models", format!("are {}; at most {}", networks.len(), Model::NETWORKS_MAX));
    }
    networks
}

fn architecture(s: &mut Section<'_>, family: Family) -> Architecture {
    match family {
        Family::Lstm | Family::Gru | Family::Rnn => {
            let head = s.choice(
                "head",
                &[
                    ("seq2seq", HeadKind::Seq2seq),
                    ("direct", HeadKind::Direct),
                    ("encoder_decoder", HeadKind::EncoderDecoder),
                    ("vector_to_sequence", HeadKind::VectorToSequence),
                ],
            );
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
            let kernel = s.count("kernel", 6, 1..=1_024);
            let stride = s.count("stride", 3.min(kernel), 1..=1_024);
            if stride > kernel {
                s.fault(
                    "stride",
                    format!("is {stride}; at most the kernel of {kernel}, or readings are lost"),
                );
            }
            Architecture::Convolved { kernel, stride: stride.min(kernel), layers: layers(s, family, false) }
        }
        Family::Wavenet => {
            let channels = s.count("hidden", 32, 1..=1_024);
            let (layers, stacks) = (s.count("layers", 7, 1..=14), s.count("stacks", 1, 1..=8));
            let carried = channels * stacks * ((1 << layers) - 1);
            if carried > 1 << 20 {
                s.fault("layers", format!("make every series carry {carried} values; at most {}", 1 << 20));
            }
            Architecture::Wavenet { channels, layers, stacks }
        }
        Family::Dense => Architecture::Dense {
            readings: s.count("readings", 24, 1..=4_096),
            layers: s.count("layers", 1, 1..=8),
            hidden: s.count("hidden", 32, 1..=1_024),
            activation: s
                .choice("activation", &[("relu", ActivationKind::Relu), ("tanh", ActivationKind::Tanh)]),
        },
        Family::Linear => Architecture::Linear { readings: s.count("readings", 24, 1..=4_096) },
    }
}

fn base(s: &mut Section<'_>, seasonal: bool, linear: bool) -> Base {
    let base = s.choice(
        "base",
        &[
            ("mixture", Base::Mixture),
            ("linear", Base::Linear),
            ("last", Base::Last),
            ("seasonal", Base::Seasonal),
            ("none", Base::None),
        ],
    );
    if base == Base::Seasonal && !seasonal {
        s.fault("base", "is \"seasonal\", but the stream has no season");
    }
    if base == Base::Linear && !linear {
        s.fault("base", "is \"linear\", which is not among the stream's experts");
    }
    base
}

fn device(s: &mut Section<'_>) -> Device {
    let text = s.text("device", "auto");
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
        Family::Rnn => CellKind::Rnn(
            s.choice("activation", &[("tanh", ActivationKind::Tanh), ("relu", ActivationKind::Relu)]),
        ),
        Family::Gru | Family::ConvGru => {
            s.choice("gru_reset", &[("after", CellKind::Gru), ("before", CellKind::GruBefore)])
        }
        _ => CellKind::Lstm,
    };
    let (hidden, layers) = (s.count("hidden", 32, 1..=1_024), s.count("layers", 1, 1..=8));
    let norms = [
        ("output", NormKind::Output),
        ("layer", NormKind::Layer),
        ("none", NormKind::None),
        ("batch", NormKind::Batch),
    ];
    // A decoder goes on from the bare state.
    let norm = s.choice("norm", if unrolls { &norms[1..] } else { &norms });
    let residual = s.flag("residual", false);
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
