//! A producing client of librdkafka, with a thread that serves its events.
//!
//! rdkafka's own producer can't be used: it makes the client by itself, and requests can be watched only by an
//! interceptor that is there before the client is.

use super::context::ProducingContext;
use super::group_metadata::GroupMetadata;
use super::requests::UnansweredRequests;
use super::transaction_error::TransactionError;
use crate::telemetry::TransactionRequest;
use rdkafka::bindings::{
    RD_KAFKA_EVENT_DR, RD_KAFKA_EVENT_ERROR, RD_KAFKA_EVENT_LOG, RD_KAFKA_EVENT_STATS,
    RD_KAFKA_PURGE_F_INFLIGHT, RD_KAFKA_PURGE_F_QUEUE, rd_kafka_abort_transaction,
    rd_kafka_begin_transaction, rd_kafka_commit_transaction, rd_kafka_conf_interceptor_add_on_new,
    rd_kafka_conf_set_events, rd_kafka_conf_t, rd_kafka_event_destroy, rd_kafka_event_error,
    rd_kafka_event_error_string, rd_kafka_event_log, rd_kafka_event_message_next, rd_kafka_event_stats,
    rd_kafka_event_t, rd_kafka_event_type, rd_kafka_flush, rd_kafka_init_transactions,
    rd_kafka_interceptor_add_on_request_sent, rd_kafka_interceptor_add_on_response_received, rd_kafka_purge,
    rd_kafka_queue_destroy, rd_kafka_queue_get_main, rd_kafka_queue_poll, rd_kafka_queue_yield,
    rd_kafka_send_offsets_to_transaction, rd_kafka_topic_name,
};
use rdkafka::client::Client as RawClient;
use rdkafka::config::RDKafkaLogLevel as LogLevel;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafka, RDKafkaErrorCode as Code, RDKafkaRespErr, RDKafkaType};
use rdkafka::{ClientConfig, ClientContext, TopicPartitionList};
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the thread waits for an event before it looks whether it is to end.
const EVENT_WAIT_MS: c_int = 100;
/// How much longer than it may take a call is waited for.
const GRACE: Duration = Duration::from_secs(1);
/// The longest wait for the records that are given up when a client is dropped.
const FAREWELL: Duration = Duration::from_millis(500);

/// A producing client. Its thread serves delivery reports: `abort_transaction` waits for them, so it would wait for
/// ever in the only thread that serves them.
pub(super) struct Client {
    // Dropped by the last of its holders, which is never the thread: it is joined before.
    raw: Arc<RawClient<ProducingContext>>,
    should_end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    // The interceptors point to them, so they live longer than the client.
    requests: Arc<UnansweredRequests>,
}

impl Client {
    /// A client. No broker has been contacted yet.
    pub fn create(settings: &ClientConfig) -> KafkaResult<Self> {
        let native = settings.create_native_config()?;
        let requests = Arc::new(UnansweredRequests::default());
        let events = RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_STATS | RD_KAFKA_EVENT_ERROR;
        let counts = Arc::as_ptr(&requests).cast_mut().cast::<c_void>();
        // SAFETY: the config lives, the name is copied, and the requests live longer than the client.
        let added = unsafe {
            rd_kafka_conf_set_events(native.ptr(), events);
            rd_kafka_conf_interceptor_add_on_new(native.ptr(), INTERCEPTOR.as_ptr(), Some(on_new), counts)
        };
        if added != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::ClientCreation(format!("watching requests: {}", Code::from(added))));
        }
        let context = ProducingContext::default();
        let raw = Arc::new(RawClient::new(settings, native, RDKafkaType::RD_KAFKA_PRODUCER, context)?);
        let should_end = Arc::new(AtomicBool::new(false));
        let served = (Arc::clone(&raw), Arc::clone(&should_end));
        let thread = std::thread::Builder::new()
            .name("producer-events".to_owned())
            .spawn(move || serve(&served.0, &served.1))
            .map_err(|e| KafkaError::ClientCreation(e.to_string()))?;
        Ok(Self { raw, should_end, thread: Some(thread), requests })
    }

    pub fn client(&self) -> &RawClient<ProducingContext> {
        &self.raw
    }

    pub fn context(&self) -> &ProducingContext {
        self.raw.context()
    }

    /// The requests that were sent and not answered. An answer is counted before librdkafka acts on it.
    pub fn requests(&self) -> &UnansweredRequests {
        &self.requests
    }

    fn ptr(&self) -> *mut RDKafka {
        self.raw.native_ptr()
    }

    pub fn init_transactions(&self, within: Duration) -> Result<(), TransactionError> {
        // SAFETY: the client lives, and the error is this call's own.
        unsafe { TransactionError::check(rd_kafka_init_transactions(self.ptr(), millis(within))) }
    }

    pub fn begin_transaction(&self) -> Result<(), TransactionError> {
        // SAFETY: as for `init_transactions`.
        unsafe { TransactionError::check(rd_kafka_begin_transaction(self.ptr())) }
    }

    /// librdkafka 2.12 notes how long this may take and never looks at it (`creq_ts_timeout` in `rdkafka_coord.c`): it waits
    /// for as long as no broker says who coordinates the group. So a thread of its own waits, and is left behind with the
    /// client where that takes too long. What it still sends is of an epoch that the next producer ends.
    pub fn send_offsets_to_transaction(
        &self,
        offsets: TopicPartitionList,
        group: GroupMetadata,
        within: Duration,
    ) -> Result<(), TransactionError> {
        const CALL: &str = "sending offsets to a transaction";
        let (outcome, is_over) = channel();
        let (raw, requests) = (Arc::clone(&self.raw), Arc::clone(&self.requests));
        let send = move || {
            // SAFETY: as for `init_transactions`, and list and group live.
            let sent = unsafe {
                let (list, group) = (offsets.ptr(), group.ptr());
                let client = raw.native_ptr();
                TransactionError::check(rd_kafka_send_offsets_to_transaction(
                    client,
                    list,
                    group,
                    millis(within),
                ))
            };
            // The interceptors of the client point to the requests.
            drop(raw);
            drop(requests);
            // Nobody waits any longer.
            let _ = outcome.send(sent);
        };
        let thread = std::thread::Builder::new().name("producer-offsets".to_owned()).spawn(send);
        match thread.map(|_| is_over.recv_timeout(within + GRACE)) {
            Ok(Ok(sent)) => sent,
            _ => Err(TransactionError::unanswered(CALL, within)),
        }
    }

    pub fn commit_transaction(&self, within: Duration) -> Result<(), TransactionError> {
        // SAFETY: as for `init_transactions`.
        unsafe { TransactionError::check(rd_kafka_commit_transaction(self.ptr(), millis(within))) }
    }

    pub fn abort_transaction(&self, within: Duration) -> Result<(), TransactionError> {
        // SAFETY: as for `init_transactions`.
        unsafe { TransactionError::check(rd_kafka_abort_transaction(self.ptr(), millis(within))) }
    }

    /// Gives up the records that were not sent yet.
    pub fn purge_queued(&self) {
        self.purge(RD_KAFKA_PURGE_F_QUEUE);
    }

    fn purge(&self, what: c_int) {
        // SAFETY: the client lives. The call fails only for a consumer.
        unsafe { rd_kafka_purge(self.ptr(), what) };
    }

    /// Waits until nothing is in flight, and returns whether that was reached. librdkafka sends lingering records at
    /// once and wakes at the last acknowledgement.
    pub fn flush(&self, within: Duration) -> bool {
        // SAFETY: the client lives, and the call may be made from any thread.
        let answer = unsafe { rd_kafka_flush(self.ptr(), millis(within)) };
        answer == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.purge(RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        self.flush(FAREWELL);
        self.should_end.store(true, Ordering::Release);
        // SAFETY: the client lives, and the queue is given back at once. The thread need not wait for its next event.
        unsafe {
            let queue = rd_kafka_queue_get_main(self.ptr());
            rd_kafka_queue_yield(queue);
            rd_kafka_queue_destroy(queue);
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed by itself.
            let _ = thread.join();
        }
    }
}

fn millis(time: Duration) -> c_int {
    c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX)
}

/// Serves events until the client ends.
fn serve(client: &RawClient<ProducingContext>, should_end: &AtomicBool) {
    // SAFETY: the client lives longer than this call, and with it the queue, which is given back at the end. Each
    // event is this thread's own until it is destroyed.
    unsafe {
        let queue = rd_kafka_queue_get_main(client.native_ptr());
        while !should_end.load(Ordering::Acquire) {
            let event = rd_kafka_queue_poll(queue, EVENT_WAIT_MS);
            if !event.is_null() {
                note(client.context(), event);
                rd_kafka_event_destroy(event);
            }
        }
        rd_kafka_queue_destroy(queue);
    }
}

/// Notes an event for the worker.
///
/// # Safety
/// The event lives.
unsafe fn note(context: &ProducingContext, event: *mut rd_kafka_event_t) {
    // SAFETY: texts and messages belong to the event, and are not used after this call.
    unsafe {
        let text = |text: *const c_char| CStr::from_ptr(text).to_string_lossy();
        match rd_kafka_event_type(event) {
            RD_KAFKA_EVENT_DR => {
                while let Some(message) = rd_kafka_event_message_next(event).as_ref() {
                    if message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                        let topic = text(rd_kafka_topic_name(message.rkt));
                        context.note_failure(&topic, Code::from(message.err));
                    }
                }
            }
            RD_KAFKA_EVENT_STATS => context.stats_raw(text(rd_kafka_event_stats(event)).as_bytes()),
            RD_KAFKA_EVENT_ERROR => {
                let error = KafkaError::Global(rd_kafka_event_error(event).into());
                context.error(error, text(rd_kafka_event_error_string(event)).trim());
            }
            RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut line, mut level) = (std::ptr::null(), std::ptr::null(), 0);
                if rd_kafka_event_log(event, &raw mut facility, &raw mut line, &raw mut level) == 0 {
                    context.log(log_level(level), text(facility).trim(), text(line).trim());
                }
            }
            _ => {}
        }
    }
}

fn log_level(level: c_int) -> LogLevel {
    match level {
        0 => LogLevel::Emerg,
        1 => LogLevel::Alert,
        2 => LogLevel::Critical,
        3 => LogLevel::Error,
        4 => LogLevel::Warning,
        5 => LogLevel::Notice,
        6 => LogLevel::Info,
        _ => LogLevel::Debug,
    }
}

const INTERCEPTOR: &CStr = c"tidecast";

thread_local! {
    /// Whether this is a broker's thread of librdkafka. An answer is shown twice where another thread acts on it:
    /// first to the thread of its broker, then to the other one. Only the first counts.
    static SENDS: Cell<bool> = const { Cell::new(false) };
}

/// Adds the interceptors to a client before its threads start.
unsafe extern "C" fn on_new(
    client: *mut RDKafka,
    _: *const rd_kafka_conf_t,
    requests: *mut c_void,
    _: *mut c_char,
    _: usize,
) -> RDKafkaRespErr {
    let name = INTERCEPTOR.as_ptr();
    // SAFETY: the client is being made, and the requests live longer than it does.
    unsafe {
        let added = rd_kafka_interceptor_add_on_request_sent(client, name, Some(on_request_sent), requests);
        if added != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return added;
        }
        rd_kafka_interceptor_add_on_response_received(client, name, Some(on_response_received), requests)
    }
}

unsafe extern "C" fn on_request_sent(
    _: *mut RDKafka,
    _: c_int,
    _: *const c_char,
    _: i32,
    api_key: i16,
    _: i16,
    _: i32,
    _: usize,
    requests: *mut c_void,
) -> RDKafkaRespErr {
    SENDS.set(true);
    if let Some(request) = by_api_key(api_key) {
        // SAFETY: the requests live longer than the client.
        unsafe { &*requests.cast::<UnansweredRequests>() }.sent(request);
    }
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Also called for a request whose connection broke or that timed out, with an error, and for one that was never
/// sent.
unsafe extern "C" fn on_response_received(
    _: *mut RDKafka,
    _: c_int,
    _: *const c_char,
    _: i32,
    api_key: i16,
    _: i16,
    _: i32,
    _: usize,
    _: i64,
    error: RDKafkaRespErr,
    requests: *mut c_void,
) -> RDKafkaRespErr {
    if let Some(request) = by_api_key(api_key).filter(|_| SENDS.get()) {
        // SAFETY: the requests live longer than the client.
        let requests = unsafe { &*requests.cast::<UnansweredRequests>() };
        if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            requests.answered(request);
        } else {
            requests.given_up(request);
        }
    }
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// The request of this number in Kafka's protocol.
fn by_api_key(api_key: i16) -> Option<TransactionRequest> {
    Some(match api_key {
        0 => TransactionRequest::Produce,
        22 => TransactionRequest::InitProducerId,
        24 => TransactionRequest::AddPartitions,
        25 => TransactionRequest::AddOffsets,
        26 => TransactionRequest::End,
        28 => TransactionRequest::CommitOffsets,
        _ => return None,
    })
}
