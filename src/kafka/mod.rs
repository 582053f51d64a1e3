//! Kafka. No other room knows rdkafka.
//!
//! The room owns the clients and everything about driving them: their settings, the commit of forecasts and offsets
//! as one, the answers to a rebalance. A worker's thread owns one [`Link`] and does everything through it: poll,
//! send, commit.
//!
//! - What [`Link::commit`] reports as committed is in the log exactly once. What it reports as aborted is not in the
//!   log. When the broker does not answer, the outcome is reported as unknown.
//! - The room does not decide where a shard starts to read.
//! - It writes no log events. librdkafka's own lines go to the `log` target `librdkafka`.
//! - Its callbacks only note what happened, and load nothing.
//!
//! | file | content |
//! | --- | --- |
//! | `settings` | the properties of each client |
//! | `context` | what librdkafka's callbacks note for the worker |
//! | `record` | a record, borrowed while it is read |
//! | `group_consumer` | the consumer: polls, answers rebalances |
//! | `membership` | whether the group still knows the consumer |
//! | `offsets` | the consumer's questions about offsets |
//! | `topic_watch` | whether each topic is still the one that was read first |
//! | `topics` | what a broker says about topics |
//! | `transactional_producer` | the producer: sends, commits, aborts |
//! | `consumer`, `producer` | what these two share with `tail` and `feeder` |
//! | `link` | consumer and producer together |
//! | `admin` | creates topics |
//! | `feeder`, `tail`, `embedded` | for the demo, `tap`, benches and tests |

mod admin;
mod consumer;
mod context;
mod embedded;
mod error;
mod feeder;
mod group_consumer;
mod link;
mod membership;
mod offsets;
mod producer;
mod record;
mod settings;
mod statistics;
mod tail;
#[cfg(test)]
mod tests;
mod topic_watch;
mod topics;
mod transactional_producer;

pub use admin::{Admin, Creation, TopicSpec};
pub use context::Event;
pub use embedded::EmbeddedBroker;
pub use error::Error;
pub use feeder::Feeder;
pub use link::Link;
pub use offsets::{Ends, Mark};
pub use record::{Headers, Polled, Record};
pub use statistics::LinkStatistics;
pub use tail::{Start, Tail};
pub use topics::{Topic, Topics};
pub use transactional_producer::Commit;
