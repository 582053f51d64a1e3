//! Kafka: the only room that knows rdkafka.
//!
//! Owns the clients and everything that was learnt about driving them: their settings, the loop that
//! commits forecasts and offsets as one, the answers to a rebalance. A worker's thread owns one
//! [`Link`] and does everything through it by itself: poll, send, commit. Promises that what
//! [`Link::commit`] calls committed is in the log exactly once, that what it calls aborted is not,
//! and that it never guesses between the two. Never decides where a shard starts, never logs by
//! itself (librdkafka's own lines go to the `log` target `librdkafka`), never loads anything inside
//! a callback.
//!
//! | file | what |
//! | --- | --- |
//! | `settings` | config → the properties of each client |
//! | `context` | what librdkafka's callbacks leave for the worker |
//! | `record` | a record, borrowed while it is read |
//! | `member` | the consumer: polls, answers rebalances |
//! | `standing` | whether the group still knows it |
//! | `offsets` | its questions about offsets |
//! | `topic_watch` | whether each topic is still the same one |
//! | `topics` | what a broker says of topics |
//! | `outbox` | the producer: sends, commits, aborts |
//! | `consumer`, `producer` | what these two share with `tail` and `feeder` |
//! | `link` | both as one |
//! | `admin` | topics |
//! | `feeder`, `tail`, `embedded` | for the demo, `tap`, benches and tests |

mod admin;
mod consumer;
mod context;
mod embedded;
mod error;
mod feeder;
mod link;
mod member;
mod offsets;
mod outbox;
mod producer;
mod record;
mod settings;
mod standing;
mod statistics;
mod tail;
#[cfg(test)]
mod tests;
mod topic_watch;
mod topics;

pub use admin::{Admin, Creation, TopicSpec};
pub use context::Event;
pub use embedded::EmbeddedBroker;
pub use error::Error;
pub use feeder::Feeder;
pub use link::Link;
pub use offsets::{Ends, Mark};
pub use outbox::Commit;
pub use record::{Headers, Polled, Record};
pub use statistics::LinkStatistics;
pub use tail::{Start, Tail};
pub use topics::{Topic, Topics};
