use crate::codec::Record;
use crate::codec::headers::{self, Cause};
use crate::domain::{Offset, Partition, StreamName, TopicPartition};
use crate::kafka::Error;
use crate::telemetry::{LargeRecord, StreamMetrics, TooLarge, events};
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
            // A compacted topic takes no record without a key.
            let place = (letter.key.is_none() && outlet.needs_key(topic))
                .then(|| format!("{}-{}-{}", source.topic, letter.partition, letter.offset));
            let key = letter.key.as_deref().or(place.as_deref().map(str::as_bytes));
            let payload = letter.payload.as_deref();
            match outlet.send(Outgoing { topic, key, payload, headers: &headers }) {
                Err(Error::TooLarge { .. }) => {
                    rare_paths.mark(RarePath::DeadLetterTooLarge);
                    let bytes = payload.map_or(0, <[u8]>::len);
                    let (shard, offset) = (at.clone(), letter.offset);
                    metrics.exceed(TooLarge::Cut, || LargeRecord {
                        topic: topic.to_owned(),
                        bytes,
                        shard,
                        offset,
                    });
                    send_cut(outlet, Outgoing { topic, key, payload, headers: &headers })?;
                }
                sent => sent?,
            }
        }
        Ok(())
    }
}

/// Sends what fits of a record, with its payload's length in a header. Its key alone may be too large, or what its other
/// headers say of the fault: where it came from and why still arrives.
fn send_cut(outlet: &mut impl Outlet, record: Outgoing<'_>) -> Result<(), Error> {
    let payload = record.payload.unwrap_or_default();
    let mut digits = itoa::Buffer::new();
    let length: (&str, &[u8]) = (headers::LENGTH, digits.format(payload.len()).as_bytes());
    let all = [record.headers, &[length]].concat();
    let is_short = |(name, _): &(&str, &[u8])| ![headers::FIELD, headers::DETAIL].contains(name);
    let few: Vec<(&str, &[u8])> = all.iter().copied().filter(is_short).collect();
    let mut sent = Ok(());
    for (key, headers) in [(record.key, &all), (None, &all), (None, &few)] {
        let rest = Outgoing { topic: record.topic, key, payload: None, headers };
        let room = outlet.payload_room(&rest).unwrap_or(0);
        sent = outlet.send(Outgoing { payload: Some(&payload[..room.min(payload.len())]), ..rest });
        if !matches!(sent, Err(Error::TooLarge { .. })) {
            break;
        }
    }
    sent
}
