//! What the registry shows of what is counted.

use super::catalogue::declarations;
use super::declaration::{Kind, PREFIX, Unit};
use super::*;
use crate::domain::{Level, Levels, ModelVersion, Partition, TopicPartition};
use crate::telemetry::captured::captured;
use crate::telemetry::{Discard, MemoryByPart, MemoryPart, ShardState};
use serde_json::json;
use std::time::Duration;

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

/// So many bytes, a quarter of them spare.
fn held(bytes: usize) -> MemoryByPart {
    let mut memory = MemoryByPart::default();
    memory.add(MemoryPart::Ledger, bytes - bytes / 4);
    memory.add(MemoryPart::Spare, bytes / 4);
    assert_eq!((memory.total(), memory.of(MemoryPart::Spare)), (bytes, bytes / 4));
    memory
}

#[test]
fn all_that_is_declared_is_rendered_and_nothing_else() {
    let (metrics, stream) = metrics();
    let shard = stream.shard(&shard());
    shard.set_state(ShardState::Running);
    shard.set_lag(Some(0));
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
        declarations().map(|s| (format!("{PREFIX}{}", s.name), s.kind.as_str())).collect();
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
    first.set_lag(Some(10));
    first.set_series(5, &held(500));
    first.set_snapshot(4, 1_000);
    first.set_snapshot_age(Some(Duration::from_millis(1_500)));
    let text = metrics.render();
    assert!(text.contains("partition=\"3\",state=\"restoring\",stream=\"power\",topic=\"meters\"} 1"));
    assert!(text.contains("tidecast_series{stream=\"power\"} 5"));
    assert!(text.contains("tidecast_series_snapshot_bytes{stream=\"power\"} 250"));
    let age = "tidecast_snapshot_age_seconds{partition=\"3\",stream=\"power\",topic=\"meters\"} 1.5";
    assert!(text.contains(age), "{text}");
    // The partition comes back before its old shard is dropped: the new one's series stay.
    let second = stream.shard(&shard());
    second.set_lag(Some(4));
    second.set_series(2, &held(200));
    second.set_snapshot(2, 300);
    drop(first);
    let text = metrics.render();
    assert!(
        text.contains("tidecast_consumer_lag_readings{partition=\"3\",stream=\"power\",topic=\"meters\"} 4")
    );
    assert!(text.contains("tidecast_series{stream=\"power\"} 2"));
    assert!(text.contains("tidecast_series_memory_bytes{part=\"ledger\",stream=\"power\"} 150"));
    assert!(text.contains("tidecast_series_memory_bytes{part=\"spare\",stream=\"power\"} 50"));
    assert!(text.contains("tidecast_series_memory_bytes{part=\"alarms\",stream=\"power\"} 0"));
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
    metrics.new_epoch(0, TransactionRequest::End);
    let text = metrics.render();
    for line in [
        "tidecast_readings_discarded_total{reason=\"late\",stream=\"power\"} 3",
        "tidecast_forecast_error{expert=\"mixture\",lead=\"4\",stream=\"power\"} 0.5",
        "tidecast_skill{expert=\"mixture\",lead=\"4\",stream=\"power\"} 0.25",
        "tidecast_coverage{lead=\"1\",level=\"0.95\",stream=\"power\"} 0.94",
        "tidecast_transactions_total{outcome=\"fenced\"} 1",
        "tidecast_producer_epochs_total{unanswered=\"end\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(text.matches("tidecast_model_info{").count(), 1, "only the model that serves");
}

#[test]
fn new_epochs_are_counted_each_and_logged_once_a_minute() {
    let logged = captured(|| {
        let (metrics, start) = (metrics().0, Instant::now());
        for second in 0..90 {
            metrics.new_epoch(3, TransactionRequest::End);
            metrics.log_new_epochs(Some(start + Duration::from_secs(second)));
        }
        metrics.log_new_epochs(None);
    });
    let counts: Vec<_> = logged.iter().map(|event| event["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [1, 60, 29]);
    assert_eq!(logged[0]["event"], "new_epoch");
    assert_eq!((&logged[0]["worker"], &logged[0]["unanswered"]), (&json!(3), &json!("end")));
}

#[test]
fn names_follow_the_conventions() {
    for spec in declarations() {
        let name = spec.name;
        assert_eq!(spec.kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert_eq!(spec.unit == Unit::Seconds, name.ends_with("_seconds"), "{name}");
        assert_eq!(spec.unit == Unit::Bytes, name.trim_end_matches("_total").ends_with("_bytes"), "{name}");
        assert_eq!(spec.kind == Kind::Histogram, !spec.buckets.is_empty(), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit()), "{name}");
        assert!(spec.labels.iter().all(|label| label.name != "series"), "{name}: never a label per series");
        assert!(spec.help.ends_with('.'), "{name}: {}", spec.help);
        assert_eq!(declarations().filter(|s| s.name == name).count(), 1, "{name} twice");
    }
}
