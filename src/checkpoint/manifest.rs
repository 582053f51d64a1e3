//! A snapshot's manifest. It is written last, so a folder without one holds no snapshot.
//!
//! ```text
//! {"format":2,"xxh3":"0123456789abcdef","manifest":{…}}
//! ```
//! The checksum covers the bytes of the inner object as they are written. A later format may change everything
//! except the first key.

use super::part::checksum;
use super::{Damage, Error, SnapshotId};
use crate::domain::{
    EventTime, Generation, ModelVersion, Offset, Partition, StreamName, TopicId, TopicPartition,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The format that is written, and the newest that is read.
const FORMAT: u64 = 2;
/// The oldest format that is read; it lacks the topic's id.
const FORMAT_OLDEST: u64 = 1;
/// The most that is written or read: room for some 200,000 parts.
pub(super) const MANIFEST_BYTES_MAX: u64 = 16 << 20;
pub(super) const NAME: &str = "manifest.json";

/// What the shard's owner states about a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The model that the states belong to; `None` before the first model.
    pub model: Option<ModelVersion>,
    /// The topic that the offset belongs to; `None` where the broker or an older Tidecast did not give an id.
    pub topic_id: Option<TopicId>,
    /// The engine's description of the rows, which is compared on reading. It holds words and whole numbers only,
    /// because fractions may lose their last digit.
    pub shape: serde_json::Value,
    /// How many series the snapshot holds.
    pub series: u64,
    /// When the state was copied.
    pub created: EventTime,
}

/// A snapshot's manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The shard's stream.
    pub stream: StreamName,
    /// The shard's partition.
    pub at: TopicPartition,
    /// Which snapshot of the shard it is.
    pub id: SnapshotId,
    /// What the shard's owner states about it.
    pub facts: Facts,
    /// How many chunks its parts hold.
    pub chunks: u64,
    /// The length of all chunks before compression.
    pub raw_bytes: u64,
    /// The length of all parts.
    pub packed_bytes: u64,
    /// The parts, in their order.
    pub parts: Vec<PartFacts>,
    /// The version of the Tidecast that wrote it.
    pub written_by: String,
}

/// One part's length and xxh3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartFacts {
    /// Its length.
    pub bytes: u64,
    /// Its xxh3.
    pub checksum: u64,
}

impl PartFacts {
    /// The file's name. The checksum in it keeps two writers of one snapshot from overwriting each other's parts.
    pub(super) fn name(self, number: usize) -> String {
        format!("part-{number:05}-{:016x}.zst", self.checksum)
    }
}

#[derive(Deserialize)]
struct Format {
    format: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(rename = "format")]
    _format: u64,
    xxh3: &'a str,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    stream: String,
    topic: String,
    #[serde(default)]
    topic_id: Option<String>,
    partition: i32,
    generation: u32,
    offset: i64,
    model: Option<u64>,
    shape: serde_json::Value,
    series: u64,
    chunks: u64,
    raw_bytes: u64,
    packed_bytes: u64,
    parts: Vec<PartText>,
    /// RFC 3339.
    created: String,
    tidecast: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartText {
    bytes: u64,
    xxh3: String,
}

impl Manifest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let text = Text {
            stream: self.stream.to_string(),
            topic: self.at.topic.to_string(),
            topic_id: self.facts.topic_id.map(|id| id.to_string()),
            partition: self.at.partition.0,
            generation: self.id.generation.0,
            offset: self.id.offset.0,
            model: self.facts.model.map(|version| version.0),
            shape: self.facts.shape.clone(),
            series: self.facts.series,
            chunks: self.chunks,
            raw_bytes: self.raw_bytes,
            packed_bytes: self.packed_bytes,
            parts: self
                .parts
                .iter()
                .map(|p| PartText { bytes: p.bytes, xxh3: format!("{:016x}", p.checksum) })
                .collect(),
            created: self.facts.created.to_string(),
            tidecast: self.written_by.clone(),
        };
        let inner = serde_json::to_string_pretty(&text).expect("numbers and strings are JSON");
        let sum = checksum(inner.as_bytes());
        format!("{{\"format\":{FORMAT},\"xxh3\":\"{sum:016x}\",\"manifest\":{inner}}}").into_bytes()
    }

    /// `path` is where the bytes were found; errors name it.
    pub(super) fn decode(bytes: &[u8], path: &str) -> Result<Self, Error> {
        let damaged = |damage| Error::Damaged { path: path.to_owned(), damage };
        let malformed = |e: serde_json::Error| damaged(Damage::Malformed(e.to_string()));
        let wrong = |what: &str| damaged(Damage::Malformed(what.to_owned()));
        let Format { format } = serde_json::from_slice(bytes).map_err(malformed)?;
        if format > FORMAT {
            return Err(Error::Newer { path: path.to_owned(), found: format, known: FORMAT });
        }
        if !(FORMAT_OLDEST..=FORMAT).contains(&format) {
            return Err(wrong("unknown format"));
        }
        let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(malformed)?;
        let inner = envelope.manifest.get();
        if envelope.xxh3 != format!("{:016x}", checksum(inner.as_bytes())) {
            return Err(damaged(Damage::Checksum));
        }
        let text: Text = serde_json::from_str(inner).map_err(malformed)?;
        let part = |p: &PartText| {
            Some(PartFacts { bytes: p.bytes, checksum: u64::from_str_radix(&p.xxh3, 16).ok()? })
        };
        let topic_id = match &text.topic_id {
            Some(id) => Some(TopicId::parse(id).ok_or_else(|| wrong("topic_id is not an id"))?),
            None => None,
        };
        let created: jiff::Timestamp = text.created.parse().map_err(|_| wrong("created is not a time"))?;
        Ok(Self {
            stream: StreamName::new(&text.stream).ok_or_else(|| wrong("stream is not a name"))?,
            at: TopicPartition { topic: text.topic.into(), partition: Partition(text.partition) },
            id: SnapshotId { offset: Offset(text.offset), generation: Generation(text.generation) },
            facts: Facts {
                model: text.model.map(ModelVersion),
                topic_id,
                shape: text.shape,
                series: text.series,
                created: EventTime::from_micros(created.as_microsecond())
                    .map_err(|e| wrong(&e.to_string()))?,
            },
            chunks: text.chunks,
            raw_bytes: text.raw_bytes,
            packed_bytes: text.packed_bytes,
            parts: text
                .parts
                .iter()
                .map(part)
                .collect::<Option<_>>()
                .ok_or_else(|| wrong("a part's xxh3 is not a number"))?,
            written_by: text.tidecast,
        })
    }

    /// The compression: raw bytes divided by compressed bytes.
    pub fn ratio(&self) -> f64 {
        self.raw_bytes as f64 / self.packed_bytes.max(1) as f64
    }
}
