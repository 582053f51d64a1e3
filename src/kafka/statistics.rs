use crate::telemetry::ClientStatistics;
use rdkafka::Statistics;
use std::time::Duration;

/// What both clients of a worker reported last.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkStatistics {
    /// The consumer's statistics.
    pub consumer: ClientStatistics,
    /// The producer's statistics.
    pub producer: ClientStatistics,
}

/// The part of librdkafka's statistics that telemetry shows.
pub(super) fn of(s: &Statistics) -> ClientStatistics {
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let partitions = || s.topics.values().flat_map(|t| t.partitions.values());
    // All partitions share one queue, and each reports the whole queue.
    let fetched = partitions().map(|p| count(p.fetchq_cnt)).max();
    let fetched_bytes = partitions().map(|p| p.fetchq_size).max();
    let slowest = s.brokers.values().filter_map(|b| b.rtt.as_ref()).map(|w| w.p99).max();
    ClientStatistics {
        sent_bytes: count(s.tx_bytes),
        received_bytes: count(s.rx_bytes),
        queued_messages: s.msg_cnt + fetched.unwrap_or(0),
        queued_bytes: s.msg_size + fetched_bytes.unwrap_or(0),
        round_trip_p99: Duration::from_micros(slowest.map_or(0, count)),
    }
}
