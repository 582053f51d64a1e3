//! What [`GroupConsumer`](super::group_consumer::GroupConsumer) and [`TopicReader`](super::TopicReader) share.

use super::error::Error;
use super::record::Polled;
use crate::domain::TopicPartition;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use std::time::Duration;

/// The longest wait for an answer about offsets. Who asks has other work, and asks again.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The most errors that are handled at once.
const ERRORS_MAX: usize = 1_000;

/// Waits for the first record, then takes those that were fetched already.
pub(super) fn drain<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    max: usize,
    wait: Duration,
    sink: &mut dyn FnMut(Polled<'_>),
    mut on_error: impl FnMut(KafkaError) -> Result<(), Error>,
) -> Result<usize, Error> {
    let (mut taken, mut errors) = (0, 0);
    // While brokers are away errors come faster than turns of the loop. Behind them wait the statistics.
    while taken < max && errors < ERRORS_MAX {
        let patience = if taken + errors == 0 { wait } else { Duration::ZERO };
        match consumer.poll(patience) {
            // Also after a rebalance, whose event the worker handles next.
            None => break,
            Some(Ok(message)) => {
                sink(Polled::of(&message));
                taken += 1;
            }
            Some(Err(error)) => {
                on_error(error)?;
                errors += 1;
            }
        }
    }
    Ok(taken)
}

/// Whether an element of a list is this partition.
pub(super) fn is(
    element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>,
    tp: &TopicPartition,
) -> bool {
    element.partition() == tp.partition.0 && element.topic() == &*tp.topic
}
