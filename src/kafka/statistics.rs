use crate::domain::{Partition, TopicPartition};
use crate::telemetry::ClientStatistics;
use rdkafka::Statistics;
use rdkafka::statistics::Broker;
use std::collections::BTreeSet;
use std::time::Duration;

/// A broker that leaves a request without an answer for so long does not answer. A request of ours is answered within
/// `fetch.wait.max.ms`, or as soon as replicas have the records.
const SILENCE: Duration = Duration::from_secs(10);

/// What both clients of a worker reported last.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkerStatistics {
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
        is_connected: Some(s.brokers.values().any(answers)),
    }
}

/// The partitions of a consumer of which no broker says where they end.
pub(super) fn unheard(s: &Statistics) -> BTreeSet<TopicPartition> {
    let heard: BTreeSet<i32> = s.brokers.values().filter(|b| answers(b)).map(|b| b.nodeid).collect();
    let partitions = s.topics.iter().flat_map(|(topic, t)| t.partitions.values().map(move |p| (topic, p)));
    let unheard = partitions.filter(|(_, p)| p.desired && !heard.contains(&p.broker));
    unheard
        .map(|(topic, p)| TopicPartition { topic: topic.as_str().into(), partition: Partition(p.partition) })
        .collect()
}

/// Whether a broker is connected and leaves no request without an answer.
fn answers(broker: &Broker) -> bool {
    let is_silent = broker.waitresp_cnt > 0 && broker.rxidle > SILENCE.as_micros() as i64;
    matches!(broker.state.as_str(), "UP" | "UPDATE") && !is_silent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(state: &str, waiting: i64, idle: i64) -> Broker {
        Broker { state: state.to_owned(), waitresp_cnt: waiting, rxidle: idle, ..Broker::default() }
    }

    #[test]
    fn a_broker_answers_unless_it_is_away_or_leaves_a_request_waiting() {
        let long = SILENCE.as_micros() as i64 + 1;
        assert!(answers(&broker("UP", 1, 100)));
        assert!(answers(&broker("UP", 0, long)), "nothing was asked");
        assert!(!answers(&broker("UP", 1, long)));
        assert!(!answers(&broker("CONNECT", 0, 100)));
    }
}
