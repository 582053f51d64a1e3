use super::catalogue::{self as c, Kind, PREFIX, Spec};
use super::stream::StreamFamilies;
use super::{ClientMetrics, StreamMetrics, TransactionOutcome};
use crate::domain::{Levels, StreamName};
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a stream's metrics need to know of it, so that every label is resolved at the start.
#[derive(Clone, Debug)]
pub struct StreamShape {
    pub name: StreamName,
    pub levels: Levels,
    /// The leads that stand for a bucket each, ascending: 1, 2, 4, 8, … horizon.
    pub leads: Vec<usize>,
    /// What forecasts, in the engine's order; the emitted forecast is one of them.
    pub experts: Vec<String>,
}

/// All metrics of the process, in a registry of their own.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    streams: BTreeMap<StreamName, StreamMetrics>,
    transactions: Vec<IntCounter>,
    reload: IntGauge,
    clients: ClientFamilies,
}

/// One family for each metric of a Kafka client.
pub(super) struct ClientFamilies {
    pub sent: IntCounterVec,
    pub received: IntCounterVec,
    pub queued: IntGaugeVec,
    pub queued_bytes: IntGaugeVec,
    pub round_trip: GaugeVec,
}

impl Metrics {
    pub fn new(streams: &[StreamShape]) -> Self {
        let registry = Registry::new();
        let families = Arc::new(StreamFamilies::register(&registry));
        let transactions = counters(&registry, &c::TRANSACTIONS);
        let reload = gauges(&registry, &c::RELOAD).with_label_values::<&str>(&[]);
        reload.set(1);
        gauges(&registry, &c::BUILD)
            .with_label_values(&[
                env!("CARGO_PKG_VERSION"),
                option_env!("TIDECAST_REVISION").unwrap_or("unknown"),
            ])
            .set(1);
        let clients = ClientFamilies {
            sent: counters(&registry, &c::CLIENT_SENT),
            received: counters(&registry, &c::CLIENT_RECEIVED),
            queued: gauges(&registry, &c::CLIENT_QUEUED),
            queued_bytes: gauges(&registry, &c::CLIENT_QUEUED_BYTES),
            round_trip: reals(&registry, &c::CLIENT_RTT),
        };
        #[cfg(target_os = "linux")]
        register(&registry, prometheus::process_collector::ProcessCollector::for_self());
        let streams =
            streams.iter().map(|s| (s.name.clone(), StreamMetrics::new(s, Arc::clone(&families)))).collect();
        let transactions = TransactionOutcome::ALL
            .iter()
            .map(|outcome| transactions.with_label_values(&[outcome.as_str()]))
            .collect();
        Self(Arc::new(Inner { registry, streams, transactions, reload, clients }))
    }

    /// A stream's handles; resolve them once and keep them.
    ///
    /// # Panics
    /// When the stream was not among those given to [`Metrics::new`].
    pub fn stream(&self, name: &StreamName) -> StreamMetrics {
        self.0.streams.get(name).expect("metrics know every stream of the config").clone()
    }

    pub fn transaction(&self, outcome: TransactionOutcome) {
        self.0.transactions[outcome as usize].inc();
    }

    pub fn config_reloaded(&self, successfully: bool) {
        self.0.reload.set(i64::from(successfully));
    }

    /// The handles for one Kafka client, by its `client.id`.
    pub fn kafka_client(&self, name: &str) -> ClientMetrics {
        ClientMetrics::new(&self.0.clients, name)
    }

    /// Everything in Prometheus' text exposition format.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.0.registry.gather())
            .expect("a registry that was filled here encodes as text")
    }
}

fn register(registry: &Registry, collector: impl Collector + 'static) {
    registry.register(Box::new(collector)).expect("each metric of the catalogue is registered once");
}

fn opts(spec: &Spec) -> Opts {
    Opts::new(format!("{PREFIX}{}", spec.name), spec.help)
}

const NAMED: &str = "the catalogue's names and labels are well-formed";

pub(super) fn counters(registry: &Registry, spec: &Spec) -> IntCounterVec {
    let family = IntCounterVec::new(opts(spec), spec.labels).expect(NAMED);
    register(registry, family.clone());
    family
}

pub(super) fn gauges(registry: &Registry, spec: &Spec) -> IntGaugeVec {
    let family = IntGaugeVec::new(opts(spec), spec.labels).expect(NAMED);
    register(registry, family.clone());
    family
}

pub(super) fn reals(registry: &Registry, spec: &Spec) -> GaugeVec {
    let family = GaugeVec::new(opts(spec), spec.labels).expect(NAMED);
    register(registry, family.clone());
    family
}

pub(super) fn histograms(registry: &Registry, spec: &Spec) -> HistogramVec {
    let Kind::Histogram(buckets) = spec.kind else { panic!("{} is no histogram", spec.name) };
    let options = HistogramOpts::from(opts(spec)).buckets(buckets.to_vec());
    let family = HistogramVec::new(options, spec.labels).expect(NAMED);
    register(registry, family.clone());
    family
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Level, ModelVersion, Partition, TopicPartition};
    use crate::telemetry::{Accuracy, ClientStatistics, Discard, ShardState};

    fn metrics() -> (Metrics, StreamMetrics) {
        let name = StreamName::new("power").unwrap();
        let shape = StreamShape {
            name: name.clone(),
            levels: Levels::new(vec![Level::try_new(0.05).unwrap(), Level::try_new(0.95).unwrap()]),
            leads: vec![1, 2, 4],
            experts: vec!["last".into(), "mixture".into()],
        };
        let metrics = Metrics::new(&[shape]);
        let stream = metrics.stream(&name);
        (metrics, stream)
    }

    fn shard() -> TopicPartition {
        TopicPartition { topic: "meters".into(), partition: Partition(3) }
    }

    #[test]
    fn all_that_is_declared_is_rendered_and_nothing_else() {
        let (metrics, stream) = metrics();
        let shard = stream.shard(&shard());
        shard.set_state(ShardState::Running);
        stream.set_model(Some(ModelVersion(12)));
        stream.dead_letters("not_json").inc();
        stream.anomalies("spike").inc();
        stream.drifts("residual").inc();
        stream.hastened("drift").inc();
        stream.set_promotion_loss("champion", Some(0.5));
        metrics.kafka_client("worker-0").update(&ClientStatistics::default());
        let text = metrics.render();
        let mut shown: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split_once(' '))
            .filter(|(name, _)| !name.starts_with("process_"))
            .collect();
        let mut declared: Vec<(String, &str)> =
            c::ALL.iter().map(|s| (format!("{PREFIX}{}", s.name), s.kind.as_str())).collect();
        shown.sort_unstable();
        declared.sort_unstable();
        assert_eq!(shown, declared.iter().map(|(n, k)| (n.as_str(), *k)).collect::<Vec<_>>());
        assert!(text.contains("tidecast_model_info{stream=\"power\",version=\"power-000012\"} 1"), "{text}");
        #[cfg(target_os = "linux")]
        assert!(text.contains("process_resident_memory_bytes"));
    }

    #[test]
    fn a_dropped_shard_takes_its_series_along() {
        let (metrics, stream) = metrics();
        let first = stream.shard(&shard());
        first.set_state(ShardState::Restoring);
        first.set_lag(10);
        first.set_series(5, 500);
        first.set_snapshot(4, 1_000);
        first.set_snapshot_age(Some(std::time::Duration::from_millis(1_500)));
        let text = metrics.render();
        assert!(text.contains("partition=\"3\",state=\"restoring\",stream=\"power\",topic=\"meters\"} 1"));
        assert!(text.contains("tidecast_series{stream=\"power\"} 5"));
        assert!(text.contains("tidecast_series_snapshot_bytes{stream=\"power\"} 250"));
        let age = "tidecast_snapshot_age_seconds{partition=\"3\",stream=\"power\",topic=\"meters\"} 1.5";
        assert!(text.contains(age), "{text}");
        // The partition comes back before its old shard is dropped: the new one's series stay.
        let second = stream.shard(&shard());
        second.set_lag(4);
        second.set_series(2, 200);
        second.set_snapshot(2, 300);
        drop(first);
        let text = metrics.render();
        assert!(
            text.contains(
                "tidecast_consumer_lag_readings{partition=\"3\",stream=\"power\",topic=\"meters\"} 4"
            )
        );
        assert!(text.contains("tidecast_series{stream=\"power\"} 2"));
        assert!(text.contains("tidecast_series_memory_bytes{stream=\"power\"} 200"));
        assert!(text.contains("tidecast_snapshot_bytes{stream=\"power\"} 300"));
        assert!(text.contains("tidecast_series_snapshot_bytes{stream=\"power\"} 150"));
        drop(second);
        let text = metrics.render();
        assert!(text.contains("tidecast_series_snapshot_bytes{stream=\"power\"} NaN"));
        assert!(!text.contains("partition=") && text.contains("tidecast_series{stream=\"power\"} 0"));
    }

    #[test]
    fn handles_reach_their_labels() {
        let (metrics, stream) = metrics();
        stream.discarded(Discard::Late).inc_by(3);
        stream.set_accuracy(1, 2, Accuracy { error: 0.5, skill: Some(0.25) });
        stream.set_coverage(1, 0, 0.94);
        stream.set_model(Some(ModelVersion(1)));
        stream.set_model(Some(ModelVersion(2)));
        metrics.transaction(TransactionOutcome::Fenced);
        metrics.config_reloaded(false);
        let text = metrics.render();
        for line in [
            "tidecast_readings_discarded_total{reason=\"late\",stream=\"power\"} 3",
            "tidecast_forecast_error{expert=\"mixture\",lead=\"4\",stream=\"power\"} 0.5",
            "tidecast_skill{expert=\"mixture\",lead=\"4\",stream=\"power\"} 0.25",
            "tidecast_coverage{lead=\"1\",level=\"0.95\",stream=\"power\"} 0.94",
            "tidecast_transactions_total{outcome=\"fenced\"} 1",
            "tidecast_config_last_reload_successful 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert_eq!(text.matches("tidecast_model_info{").count(), 1, "only the model that serves");
    }
}
