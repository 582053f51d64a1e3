use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::sync::Arc;

/// The name of a stream in the config: letters, digits, `-`, `_` and `.`, as in a topic's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// `None` for a name that Kafka rejects inside a topic's name.
    pub fn new(name: &str) -> Option<Self> {
        let ok = !name.is_empty()
            && name.len() <= 100
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        ok.then(|| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A partition's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub i32);

/// The position of a record in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

impl Offset {
    /// The offset after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a topic. A topic that is deleted and recreated under its name has a new id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(u128);

impl TopicId {
    /// `None` for 0, which Kafka sends where there is no id.
    pub fn new(bits: u128) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    /// Parses the output of [`Display`](fmt::Display); `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Self::new(u128::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// Prints it as Kafka's own tools do.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.to_be_bytes()))
    }
}

/// The number of rebalances of a consumer group; the first assignment is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the leaders that a partition has had. Within one epoch a log only grows. So the epoch and the offset of a
/// record together identify everything before it (KIP-101).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderEpoch(pub i32);

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: Partition,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// The origin of a record in Kafka; its forecast carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePosition<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition's number.
    pub partition: Partition,
    /// The record's offset.
    pub offset: Offset,
}

/// The number of a trained model of a stream; 1 is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelVersion(pub u64);

impl ModelVersion {
    /// The version after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The name in forecasts, in the store and in metrics, such as `power-000012`.
    pub fn name(self, stream: &StreamName) -> String {
        format!("{stream}-{:06}", self.0)
    }

    /// The version of that name; of nothing else.
    pub fn named(name: &str, stream: &StreamName) -> Option<Self> {
        let number = name.strip_prefix(stream.as_str())?.strip_prefix('-')?;
        let version = Self(number.parse().ok()?);
        (version.name(stream) == name).then_some(version)
    }

    /// What people write: the number or the name.
    pub fn parse(text: &str, stream: &StreamName) -> Option<Self> {
        text.parse().ok().map(Self).or_else(|| Self::named(text, stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_id_is_written_as_kafka_writes_it() {
        // The one of Kafka's own documentation.
        let text = "MkU3OEVBNTcwNTJENDM2Qg";
        let id = TopicId::parse(text).unwrap();
        assert_eq!(id, TopicId::new(u128::from_be_bytes(*b"2E78EA57052D436B")).unwrap());
        assert_eq!(id.to_string(), text);
        for other in ["", "AAAAAAAAAAAAAAAAAAAAAA", "MkU3OEVBNTcwNTJENDM2Qg==", "MkU3", "no id; at all"] {
            assert_eq!(TopicId::parse(other), None, "{other}");
        }
    }
}
