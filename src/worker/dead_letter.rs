use crate::codec::headers::{self, Cause};
use crate::domain::{Offset, Partition, StreamName};
use crate::kafka::{Error, Link, Polled};
use crate::telemetry::{StreamMetrics, events};

/// A record that goes to the dead-letter topic as it came, with the reason in its headers.
pub(crate) struct DeadLetter {
    reason: &'static str,
    field: Option<String>,
    partition: Partition,
    offset: Offset,
    key: Option<Vec<u8>>,
    /// `None` for a tombstone, which stays one.
    payload: Option<Vec<u8>>,
    headers: Vec<(&'static str, Vec<u8>)>,
}

/// The dead letters of one poll; sent once the poll is over.
#[derive(Default)]
pub(crate) struct DeadLetters(Vec<DeadLetter>);

impl DeadLetters {
    pub fn push(
        &mut self,
        stream: &StreamName,
        record: &Polled<'_>,
        reason: &'static str,
        field: Option<String>,
        detail: &str,
    ) {
        let cause = Cause { reason, field: field.as_deref(), detail };
        let mut kept = Vec::with_capacity(8);
        headers::put_dead_letter(stream, cause, record.position(), record.time, &mut |name, value| {
            kept.push((name, value.to_vec()));
        });
        self.0.push(DeadLetter {
            reason,
            field,
            partition: record.partition,
            offset: record.offset,
            key: record.key.map(<[u8]>::to_vec),
            payload: record.payload.map(<[u8]>::to_vec),
            headers: kept,
        });
    }

    /// Sends all into the open transaction, counts them and logs the first.
    pub fn send(
        &mut self,
        link: &mut Link,
        stream: &StreamName,
        topic: &str,
        source: &std::sync::Arc<str>,
        metrics: &StreamMetrics,
    ) -> Result<(), Error> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let at = crate::domain::TopicPartition { topic: source.clone(), partition: first.partition };
        events::dead_letters(stream, self.0.len(), (&at, first.offset), first.reason, first.field.as_deref());
        for letter in self.0.drain(..) {
            let headers: Vec<(&str, &[u8])> =
                letter.headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
            metrics.dead_letters(letter.reason).inc();
            let key = letter.key.as_deref();
            // Where it is over the limit with its headers, or its key alone is: where it came from and why
            // still arrives.
            let mut sent = link.forward(topic, key, letter.payload.as_deref(), &headers);
            for key in [key, None] {
                if let Err(Error::TooLarge { .. }) = sent {
                    sent = link.forward(topic, key, Some(b""), &headers);
                }
            }
            sent?;
        }
        Ok(())
    }
}
