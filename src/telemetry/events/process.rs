//! Start, end and failure of the process and of its threads.

use crate::telemetry::words::{AbortCause, TransactionRequest};
use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

/// The daemon asks Kafka for the topics. It is the first thing that it does there.
pub fn connecting(brokers: &str) {
    event!(info, "connecting", { brokers, }, "asking Kafka at {brokers} for the topics");
}

/// The kernels of networks run with an instruction set: one that was asked for, or the fastest of those
/// whose steps were measured.
pub fn instruction_set(set: impl Display, measured: &[(impl Display, Duration)]) {
    let times: Vec<String> = measured.iter().map(|(set, time)| format!("{set} {time:.1?}")).collect();
    let times = if times.is_empty() { "as asked for".to_owned() } else { times.join(", ") };
    event!(info, "instruction_set", { set = %set, measured = times, }, "networks compute with {set} ({times})");
}

/// The daemon serves.
pub fn started(streams: usize, workers: usize, http: SocketAddr) {
    let version = env!("CARGO_PKG_VERSION");
    event!(info, "started", { version, streams, workers, http = %http, }, "tidecast {version} serves http://{http}");
}

/// The process has no name in its group.
pub fn unnamed() {
    event!(
        info,
        "unnamed",
        {},
        "there is no kafka.instance: after a crash nobody reads this process's partitions until its \
        session has ended"
    );
}

/// The daemon begins to stop.
pub fn stopping(cause: &str) {
    event!(info, "stopping", { cause, }, "stopping: {cause}");
}

/// The daemon has stopped.
pub fn stopped(took: Duration) {
    event!(info, "stopped", { seconds = took.as_secs_f64(), }, "stopped");
}

/// A worker's transaction was committed.
pub fn committed(worker: usize, readings: usize, forecasts: usize, took: Duration) {
    let seconds = took.as_secs_f64();
    event!(debug, "committed", { worker, readings, forecasts, seconds, }, "transaction committed");
}

/// A worker's transaction was aborted, the `in_a_row`th since the last commit. The worker drops its shards and recovers
/// them from what is committed. It reads on after `pause`.
pub fn aborted(worker: usize, why: AbortCause, cause: &dyn Display, in_a_row: u32, pause: Duration) {
    let (reason, pause_seconds) = (why.as_str(), pause.as_secs_f64());
    event!(warn, "aborted", { worker, reason, cause = %cause, in_a_row, pause_seconds, },
        "transaction aborted ({in_a_row} in a row, next try after {pause:.1?}): {cause}");
}

/// A worker does not know what these output topics take. It finds a limit by halving what is refused.
pub fn output_limits_unknown(topics: &str, cause: &dyn Display) {
    event!(info, "output_limits_unknown", { topics, cause = %cause, },
        "how large a record {topics} take is not known: {cause}");
}

/// A worker's producer has taken a new epoch, because a request of an earlier transaction was not answered on its
/// connection. It might come late and act on the next transaction.
pub fn new_epoch(worker: usize, unanswered: TransactionRequest, count: u64) {
    let unanswered = unanswered.as_str();
    event!(warn, "new_epoch", { worker, unanswered, count, },
        "the producer took a new epoch: a request was not answered on its connection ({unanswered}, {count} times)");
}

/// Another producer has taken this one's transactional id, so the process ends.
pub fn fenced(worker: usize, cause: &dyn Display) {
    event!(error, "fenced", { worker, cause = %cause, }, "another producer took this worker's place: {cause}");
}

/// A worker ended with an error.
pub fn worker_failed(worker: usize, cause: &dyn Display) {
    event!(error, "worker_failed", { worker, cause = %cause, }, "worker {worker} ended: {cause}");
}

/// An error that librdkafka reports and recovers from by itself.
pub fn kafka_error(client: &str, cause: &dyn Display) {
    kafka_errors(client, cause, 1);
}

/// As [`kafka_error`], with how often it came since it was last logged.
pub fn kafka_errors(client: &str, cause: &dyn Display, count: u64) {
    let times = if count == 1 { String::new() } else { format!(" ({count} times)") };
    event!(warn, "kafka_error", { client, count, cause = %cause, }, "kafka: {cause}{times}");
}

/// Kafka does not answer, or not yet: what needs it waits and asks again. Logged at once and then once a minute.
pub fn kafka_awaited(who: &str, waited: Duration, cause: &dyn Display) {
    let seconds = waited.as_secs_f64();
    event!(warn, "kafka_awaited", { who, seconds, cause = %cause, },
        "{who} has waited for Kafka for {seconds:.0} s, and asks again: {cause}");
}

/// Kafka answers again.
pub fn kafka_answered(who: &str, waited: Duration) {
    let seconds = waited.as_secs_f64();
    event!(info, "kafka_answered", { who, seconds, }, "{who} goes on after {seconds:.1} s without an answer of Kafka");
}

/// The admin server stopped.
pub fn http_failed(cause: &dyn Display) {
    event!(error, "http_failed", { cause = %cause, }, "the admin server stopped: {cause}");
}
