//! The networks: of each family one set of weights a stream, a state a series, and a head that forecasts.
//!
//! Owns cells, kernels, the arena of hidden states, training by truncated back-propagation, the
//! optimiser and the file format of a model. Promises that weights that serve share no storage with
//! weights that train; and of the CPU's kernels that serving allocates nothing and starts no thread,
//! and that a row of a batch does not depend on the others. On another device the same networks are
//! composed of the tensor library's operations ([`Device`]). Never reads a clock, a file or a socket,
//! and never lets a type of the tensor library out.
//!
//! ```text
//! Blueprint  shape          ┐
//! Weights    numbers        ├─ Network::step(arena, slots, x) → y     serving
//! Arena      states, rows   ┘
//! Weights → Trainer::chunk(x, targets, mask) → loss → Trainer::weights()   training
//! bundle     weights, moments and metadata ↔ bytes
//! ```

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
