//! Kafka. No other room knows rdkafka.
//!
//! The room owns the clients and everything about driving them: their settings, the commit of forecasts and offsets
//! as one, the answers to a rebalance. A worker's thread owns one [`WorkerClients`] and does everything through it: poll,
//! send, commit.
//!
//! - What [`WorkerClients::commit`] reports as committed is in the log exactly once. What it reports as aborted is not in the
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
//! | `divergence` | where a log is not the one that was read |
//! | `topic_watch` | whether each topic is still the one that was read first |
//! | `topics` | what a broker says about topics |
//! | `output_topics` | what the output topics take |
//! | `transactional_producer` | the producer: sends, commits, aborts |
//! | `requests` | which requests may still be on their way: when a producer takes a new epoch |
//! | `producing_client` | the client of a producer; it watches requests and serves events |
//! | `transaction_error`, `group_metadata` | values of librdkafka's that transactions need |
//! | `topic_handles` | hands records to librdkafka |
//! | `consumer`, `producer` | what these two share with `topic_reader` and `idempotent_producer` |
//! | `worker_clients` | consumer and producer together |
//! | `admin` | creates topics |
//! | `idempotent_producer` | a producer without transactions: announcements, the demo, tests |
//! | `topic_reader` | a consumer without a group |
//! | `partitioner` | the partition that a producer chooses for a key |
//! | `embedded` | a broker inside the process, for the demo and tests |

#![allow(unsafe_code, reason = "librdkafka is a C library")]

mod admin;
mod consumer;
mod context;
mod divergence;
mod embedded;
mod error;
mod group_consumer;
mod group_metadata;
mod idempotent_producer;
mod membership;
mod offsets;
mod output_topics;
mod partitioner;
mod producer;
mod producing_client;
mod record;
mod requests;
mod settings;
mod statistics;
#[cfg(test)]
mod tests;
mod topic_handles;
mod topic_reader;
mod topic_watch;
mod topics;
mod transaction_error;
mod transactional_producer;
mod worker_clients;

pub use admin::{Admin, Creation, TopicLimits, TopicSpec};
pub use context::Event;
pub use divergence::{Comparison, Lineage, LogPosition};
pub use embedded::EmbeddedBroker;
pub use error::Error;
pub use idempotent_producer::IdempotentProducer;
pub use offsets::{CommittedOffset, Watermarks};
pub use output_topics::Refusal;
pub use partitioner::Partitioner;
pub use record::{Headers, Polled, Record};
pub use requests::UnansweredRequests;
pub use statistics::WorkerStatistics;
pub use topic_reader::{Start, TopicReader};
pub use topics::{TopicDescriptions, TopicState};
pub use transactional_producer::Commit;
pub use worker_clients::WorkerClients;
