use super::catalogue::ClientHandles;
use prometheus::IntCounter;
use std::time::Duration;

/// What a Kafka client reports every few seconds (librdkafka's `statistics.interval.ms`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStatistics {
    /// Since the client's start: `tx_bytes`.
    pub sent_bytes: u64,
    /// Since the client's start: `rx_bytes`.
    pub received_bytes: u64,
    /// `msg_cnt` of a producer, the greatest `fetchq_cnt` of a consumer.
    pub queued_messages: u64,
    /// `msg_size` of a producer, the greatest `fetchq_size` of a consumer.
    pub queued_bytes: u64,
    /// The greatest of the brokers' `rtt.p99`.
    pub round_trip_p99: Duration,
    /// Whether a broker answers; `None` before the first report.
    pub is_connected: Option<bool>,
}

/// The metrics of one Kafka client.
pub struct ClientMetrics(ClientHandles);

impl ClientMetrics {
    pub(super) fn new(handles: ClientHandles) -> Self {
        // librdkafka says zero, too, until a broker has answered.
        handles.round_trip.set(0.0);
        Self(handles)
    }

    /// Shows what the client said last.
    pub fn update(&self, now: &ClientStatistics) {
        raise(&self.0.sent, now.sent_bytes);
        raise(&self.0.received, now.received_bytes);
        self.0.queued.set(i64::try_from(now.queued_messages).unwrap_or(i64::MAX));
        self.0.queued_bytes.set(i64::try_from(now.queued_bytes).unwrap_or(i64::MAX));
        self.0.round_trip.set(now.round_trip_p99.as_secs_f64());
        if let Some(is_connected) = now.is_connected {
            self.0.connected.set(i64::from(is_connected));
        }
    }
}

/// A client that starts again under its old name counts from zero, as a restarted process does.
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
