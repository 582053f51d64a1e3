use crate::config::Kafka;
use crate::console::Failure;
use crate::kafka::{Record, Start, TopicReader};
use std::time::{Duration, Instant};

/// The fewest records with which a guess need not wait for more.
const ENOUGH: usize = 200;
/// The most bytes of payloads that a guess looks at.
const BYTES_MAX: usize = 64 << 20;
/// How long one look waits.
const LOOK: Duration = Duration::from_millis(100);

/// The first records of a topic: at most `max`, and what is there after `patience`.
///
/// # Errors
/// When the topic is not there or can't be read, or holds nothing.
pub(in crate::cli::tap) fn sample(
    kafka: &Kafka,
    topic: &str,
    max: usize,
    patience: Duration,
) -> Result<Vec<Record>, Failure> {
    let mut reader = TopicReader::open(kafka, topic, Start::Beginning).map_err(Failure::new)?;
    let until = Instant::now() + patience;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while records.len() < max && bytes < BYTES_MAX {
        reader
            .poll(max - records.len(), LOOK, &mut |polled| {
                bytes += polled.payload.map_or(0, <[u8]>::len);
                records.push(polled.to_record());
            })
            .map_err(Failure::new)?;
        let is_enough = reader.at_end() && records.len() >= ENOUGH.min(max);
        if is_enough || Instant::now() >= until {
            break;
        }
    }
    if records.is_empty() {
        return Err(Failure::new(format!(
            "{topic} has had no records for {} s: a config can be guessed as soon as a producer writes to it, or with \
             a longer --patience",
            patience.as_secs()
        )));
    }
    Ok(records)
}
