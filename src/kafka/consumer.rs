//! What [`GroupConsumer`](super::group_consumer::GroupConsumer) and [`Tail`](super::Tail) share.

use super::error::Error;
use super::record::Polled;
use crate::domain::TopicPartition;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use std::time::Duration;

/// Waits for the first record, then takes those that were fetched already.
pub(super) fn drain<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    max: usize,
    wait: Duration,
    sink: &mut dyn FnMut(Polled<'_>),
    mut on_error: impl FnMut(KafkaError) -> Result<(), Error>,
) -> Result<usize, Error> {
    let mut taken = 0;
    while taken < max {
        let patience = if taken == 0 { wait } else { Duration::ZERO };
        match consumer.poll(patience) {
            // Also after a rebalance, whose event the worker handles next.
            None => break,
            Some(Ok(message)) => {
                sink(Polled::of(&message));
                taken += 1;
            }
            Some(Err(error)) => {
                on_error(error)?;
                break;
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
