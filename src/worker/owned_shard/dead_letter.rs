use crate::codec::Record;
use crate::codec::headers::{self, Cause};
use crate::domain::{Offset, Partition, StreamName, TopicPartition};
use crate::kafka::Error;
use crate::telemetry::{StreamMetrics, events};
use crate::worker::ports::{Outgoing, Outlet};
use crate::worker::rare_paths::{RarePath, RarePaths};

/// A record that goes to the dead-letter topic as it came, with the reason in its headers.
struct DeadLetter {
    reason: &'static str,
    field: Option<String>,
    partition: Partition,
    offset: Offset,
    key: Option<Vec<u8>>,
    /// `None` for a tombstone, which stays one.
    payload: Option<Vec<u8>>,
    headers: Vec<(&'static str, Vec<u8>)>,
}

/// The dead letters of one poll. They are sent once the poll is over.
#[derive(Default)]
pub(super) struct DeadLetters(Vec<DeadLetter>);

impl DeadLetters {
    pub fn push(
        &mut self,
        stream: &StreamName,
        record: &Record<'_>,
        reason: &'static str,
        field: Option<String>,
        detail: &str,
    ) {
        let cause = Cause { reason, field: field.as_deref(), detail };
        let mut kept = Vec::with_capacity(8);
        headers::put_dead_letter(stream, cause, record.position(), record.timestamp, &mut |name, value| {
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
        outlet: &mut impl Outlet,
        stream: &StreamName,
        topic: &str,
        source: &TopicPartition,
        metrics: &StreamMetrics,
        rare_paths: &mut RarePaths,
    ) -> Result<(), Error> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let at = TopicPartition { topic: source.topic.clone(), partition: first.partition };
        events::dead_letters(stream, self.0.len(), (&at, first.offset), first.reason, first.field.as_deref());
        rare_paths.mark(RarePath::DeadLetter);
        for letter in self.0.drain(..) {
            let headers: Vec<(&str, &[u8])> =
                letter.headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
            metrics.dead_letters(letter.reason).inc();
            let key = letter.key.as_deref();
            let payload = letter.payload.as_deref();
            let mut sent = outlet.send(Outgoing { topic, key, payload, headers: &headers });
            // The record with its headers, or its key alone, may be too large. Where it came from and why still
            // arrives.
            for key in [key, None] {
                if let Err(Error::TooLarge { .. }) = sent {
                    rare_paths.mark(RarePath::DeadLetterTooLarge);
                    sent = outlet.send(Outgoing { topic, key, payload: Some(b""), headers: &headers });
                }
            }
            sent?;
        }
        Ok(())
    }
}
