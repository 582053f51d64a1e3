//! The process's metrics: their declarations ([`catalogue`]), the handles that threads count in, and the text
//! of `GET /metrics`.

mod catalogue;
mod client;
#[cfg_attr(not(test), expect(dead_code, reason = "only docs/metrics.md shows units and label values"))]
mod declaration;
mod handle;
#[cfg(test)]
mod page;
mod shard;
mod stream;
#[cfg(test)]
mod tests;

pub use client::{ClientMetrics, ClientStatistics};
pub use handle::StreamShape;
pub use shard::ShardMetrics;
pub use stream::{Accuracy, StreamMetrics};

use super::events;
use super::throttle::{ByReason, PAUSE};
use super::words::{AbortCause, RegistryOutcome, TransactionOutcome, TransactionRequest};
use crate::domain::StreamName;
use catalogue::{Client, ClientFamilies, ProcessFamilies, ProcessHandles, ShardFamilies, StreamFamilies};
use handle::Process;
use prometheus::{Registry, TextEncoder};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// The declared values of a metric's label.
#[cfg(test)]
pub(crate) fn label_words(metric: &str, label: &str) -> &'static [&'static str] {
    let spec = catalogue::declarations().find(|spec| spec.name == metric).expect("a declared metric");
    spec.labels.iter().find(|found| found.name == label).expect("one of its labels").words
}

/// All metrics of the process, in a registry of their own.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    streams: BTreeMap<StreamName, StreamMetrics>,
    process: ProcessHandles,
    clients: ClientFamilies,
    /// With the number of a worker.
    new_epochs: ByReason<TransactionRequest, usize>,
}

impl Metrics {
    /// Registers every metric, and resolves the labels of these streams.
    pub fn new(streams: &[StreamShape]) -> Self {
        let registry = Registry::new();
        let of_streams = StreamFamilies::register(&registry);
        let of_shards = Arc::new(ShardFamilies::register(&registry));
        let process = ProcessFamilies::register(&registry).resolve(&Process);
        let clients = ClientFamilies::register(&registry);
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("the process's own metrics have names of their own");
        let revision = option_env!("TIDECAST_REVISION").unwrap_or("unknown");
        process.build.of(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        let streams = streams
            .iter()
            .map(|shape| {
                let handles = of_streams.resolve(shape);
                (shape.name.clone(), StreamMetrics::new(shape.name.clone(), handles, Arc::clone(&of_shards)))
            })
            .collect();
        let new_epochs = ByReason::new(|_| PAUSE);
        Self(Arc::new(Inner { registry, streams, process, clients, new_epochs }))
    }

    /// A stream's handles. Resolve them once and keep them.
    ///
    /// # Panics
    /// When the stream was not among those given to [`Metrics::new`].
    pub fn stream(&self, name: &StreamName) -> StreamMetrics {
        self.0.streams.get(name).expect("metrics know every stream of the config").clone()
    }

    /// Counts a finished transaction.
    pub fn transaction(&self, outcome: TransactionOutcome) {
        self.0.process.transactions.of(outcome).inc();
    }

    /// Counts a transaction that was aborted.
    pub fn aborted(&self, cause: AbortCause) {
        self.0.process.aborts.of(cause).inc();
    }

    /// Counts a question to the schema registry.
    pub fn schema_asked(&self, outcome: RegistryOutcome) {
        self.0.process.schemas_asked.of(outcome).inc();
    }

    /// Shows how many schemas the registry was asked for that are not known yet.
    pub fn schemas_pending(&self, count: usize) {
        self.0.process.schemas_pending.set(count as i64);
    }

    /// Counts a new epoch of a worker's producer.
    pub fn new_epoch(&self, worker: usize, unanswered: TransactionRequest) {
        self.0.process.new_epochs.of(unanswered).inc();
        self.0.new_epochs.add(unanswered, 1, || Some(worker));
    }

    /// Logs the new epochs that are due at a time; without a time, all that were not logged.
    pub fn log_new_epochs(&self, now: Option<Instant>) {
        if self.0.new_epochs.is_waiting() {
            for (unanswered, count, worker) in self.0.new_epochs.take(now) {
                events::new_epoch(worker, unanswered, count);
            }
        }
    }

    /// The handles for one Kafka client, by its `client.id`.
    pub fn kafka_client(&self, name: &str) -> ClientMetrics {
        ClientMetrics::new(self.0.clients.resolve(&Client(name.to_owned())))
    }

    /// Everything in Prometheus' text exposition format.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.0.registry.gather())
            .expect("a registry that was filled here encodes as text")
    }
}
