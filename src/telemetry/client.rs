use super::metrics::ClientFamilies;
use prometheus::{Gauge, IntCounter, IntGauge};
use std::time::Duration;

/// What a Kafka client says of itself every few seconds (librdkafka's `statistics.interval.ms`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStatistics {
    /// Since the client's start: `tx_bytes`.
    pub sent_bytes: u64,
    /// Since the client's start: `rx_bytes`.
    pub received_bytes: u64,
    /// `msg_cnt` of a producer, the sum of `fetchq_cnt` of a consumer.
    pub queued_messages: u64,
    pub queued_bytes: u64,
    /// The greatest of the brokers' `rtt.p99`.
    pub round_trip_p99: Duration,
}

/// The metrics of one Kafka client.
pub struct ClientMetrics {
    sent: IntCounter,
    received: IntCounter,
    queued: IntGauge,
    queued_bytes: IntGauge,
    round_trip: Gauge,
}

impl ClientMetrics {
    pub(super) fn new(families: &ClientFamilies, client: &str) -> Self {
        Self {
            sent: families.sent.with_label_values(&[client]),
            received: families.received.with_label_values(&[client]),
            queued: families.queued.with_label_values(&[client]),
            queued_bytes: families.queued_bytes.with_label_values(&[client]),
            round_trip: families.round_trip.with_label_values(&[client]),
        }
    }

    pub fn update(&self, now: &ClientStatistics) {
        raise(&self.sent, now.sent_bytes);
        raise(&self.received, now.received_bytes);
        self.queued.set(i64::try_from(now.queued_messages).unwrap_or(i64::MAX));
        self.queued_bytes.set(i64::try_from(now.queued_bytes).unwrap_or(i64::MAX));
        self.round_trip.set(now.round_trip_p99.as_secs_f64());
    }
}

/// A client that starts anew under its old name counts from zero, as a restarted process would.
fn raise(counter: &IntCounter, total: u64) {
    let shown = counter.get();
    if total < shown {
        counter.reset();
        counter.inc_by(total);
    } else {
        counter.inc_by(total - shown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_client_resets_its_counter() {
        let counter = IntCounter::new("x_total", "x").unwrap();
        for total in [10, 25, 3, 4] {
            raise(&counter, total);
            assert_eq!(counter.get(), total);
        }
    }
}
