//! A shard: all state of one partition of one stream, as a deterministic, synchronous machine.
//!
//! Readings go in with [`Shard::offer`], rounds of one reading per series go through [`Shard::run_round`], and
//! forecasts come out. The same readings give the same forecasts, in whatever batches they come.
//! [`BetweenRounds::begin_cut`] takes the shard out as bytes while it goes on, and [`Restore`] brings it back. Each
//! reading is accounted for once, and violations of invariants are counted. A shard knows no clock, no Kafka, no
//! store and no thread.
//!
//! A shard is made of five parts. The fields of each are private to it:
//!
//! | part | owns | reads |
//! | --- | --- | --- |
//! | `intake` | which series there are, their order in time, held readings, the account of every reading | |
//! | `history` | what the host keeps of each series: scale, recent readings, windows | |
//! | `serving` | the networks with their states, and the model that takes over next | `history` |
//! | `forecaster` | experts, their combination with the networks, intervals, errors, alarms | `history`, `serving` |
//! | `snapshot` | the shard as bytes | all of them |
//!
//! `shard` composes the five, and takes each reading of a round through them.

#![forbid(unsafe_code)]

mod emitted;
mod forecaster;
mod history;
mod intake;
mod serving;
mod shard;
mod snapshot;
mod target_step;

pub use emitted::Emitted;
pub use forecaster::{EMITTED, EXPERTS, check};
pub use intake::{Accounts, Discarded, Doubted, Offered, RanAhead};
pub use serving::Model;
pub use shard::{BetweenRounds, MemoryPlan, Restore, RestoreError, Shard};
