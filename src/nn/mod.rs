//! The neural networks: each has one set of weights for a stream, one state for each series, and a
//! head that forecasts.
//!
//! Owns cells, kernels, the arena of hidden states, training by truncated back-propagation, the
//! optimiser and the file format of a model. Promises that weights in serving share no storage with
//! weights in training. On the CPU, serving allocates nothing and starts no thread, and a row of a
//! batch does not depend on the others. On another device the networks use the tensor library's
//! operations ([`Device`]). Never reads a clock, a file or a socket, and exposes no type of the
//! tensor library.
//!
//! ```text
//! Blueprint  shape          ┐
//! Weights    numbers        ├─ Network::step(arena, slots, x) → y     serving
//! Arena      states, rows   ┘
//! Weights → Trainer::chunk(x, targets, mask) → loss → Trainer::weights()   training
//! bundle     weights, moments and metadata ↔ bytes
//! ```
//!
//! | folder | what |
//! | --- | --- |
//! | `shape` | families, heads, cells; names, shapes and ranges of all parameters |
//! | `kernel` | the CPU's kernels, over the vectors of `simd` |
//! | `layer` | one recurrent layer: a step, training over a sequence, the device path |
//! | `family`, `head` | the parts of a network, each with `serve`, `train` and `device` |
//! | `serve`, `train` | whole networks, with the kernels and on a device |
//! | `device_network` | a whole network of the tensor library's operations |

#![forbid(unsafe_code)]

mod arena;
pub mod bundle;
mod chunk;
mod device;
mod device_network;
mod dropout;
mod error;
mod family;
mod fold;
mod head;
mod kernel;
mod layer;
mod optimiser;
mod serve;
mod shape;
mod tensor;
mod train;
mod trained;
mod weights;

pub use crate::simd::Isa;
pub use arena::Arena;
pub use chunk::{Chunk, Loss};
pub use device::Device;
pub use dropout::Dropout;
pub use error::Error;
pub use optimiser::OptimiserState;
pub use serve::Network;
pub use shape::{Activation, Blueprint, Cell, Family, Head, Norm, Parameter, Recurrent, Role};
pub use train::{Trainer, TrainerSettings};
pub use trained::{Networks, Trained};
pub use weights::Weights;
