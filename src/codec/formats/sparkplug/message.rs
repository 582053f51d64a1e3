//! The messages of Eclipse Tahu's `sparkplug_b.proto`, as far as they are read, and the topics of Sparkplug 3.0, chapter 4.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub struct Payload {
    /// Milliseconds.
    #[prost(uint64, optional, tag = "1")]
    pub timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    pub alias: Option<u64>,
    /// Milliseconds.
    #[prost(uint64, optional, tag = "3")]
    pub timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub datatype: Option<u32>,
    #[prost(bool, optional, tag = "5")]
    pub is_historical: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub is_null: Option<bool>,
    #[prost(oneof = "Value", tags = "10, 11, 12, 13, 14, 15")]
    pub value: Option<Value>,
}

/// The values that a reading can have; those of the other tags are skipped.
#[derive(Clone, PartialEq, Oneof)]
pub enum Value {
    #[prost(uint32, tag = "10")]
    Int(u32),
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(float, tag = "12")]
    Float(f32),
    #[prost(double, tag = "13")]
    Double(f64),
    #[prost(bool, tag = "14")]
    Boolean(bool),
    #[prost(string, tag = "15")]
    Text(String),
}

/// The codes of `DataType` that say how a whole number is meant.
pub mod datatype {
    pub const INT8: u32 = 1;
    pub const INT16: u32 = 2;
    pub const INT32: u32 = 3;
    pub const INT64: u32 = 4;
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// NBIRTH: the node begins, with all of its metrics.
    NodeBirth,
    /// DBIRTH: a device of the node begins, with all of its metrics.
    DeviceBirth,
    /// NDATA and DDATA: metrics that have changed.
    Data,
    /// The others: deaths, commands, and the state of a host. They have no readings.
    Other,
}

/// A topic, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic<'a> {
    pub kind: Kind,
    /// `NDATA`, `DDATA` and so on.
    pub word: &'a str,
    pub group: &'a str,
    pub node: &'a str,
    pub device: Option<&'a str>,
}

impl<'a> Topic<'a> {
    /// Takes a topic like `spBv1.0/plant/DDATA/line-1/press` apart; `None` for one that is not Sparkplug's.
    pub fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("spBv1.0/")?;
        let mut parts = rest.split('/');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let group = next()?;
        if group == "STATE" {
            return Some(Self { kind: Kind::Other, word: group, group: "", node: "", device: None });
        }
        let (word, node, device) = (next()?, next()?, next());
        if parts.next().is_some() {
            return None;
        }
        let (kind, is_of_device) = match word {
            "NBIRTH" => (Kind::NodeBirth, false),
            "DBIRTH" => (Kind::DeviceBirth, true),
            "NDATA" => (Kind::Data, false),
            "DDATA" => (Kind::Data, true),
            "NDEATH" | "NCMD" => (Kind::Other, false),
            "DDEATH" | "DCMD" => (Kind::Other, true),
            _ => return None,
        };
        (is_of_device == device.is_some()).then_some(Self { kind, word, group, node, device })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_those_of_sparkplug() {
        let topic = |text| Topic::parse(text).map(|t| (t.kind, t.word, t.group, t.node, t.device));
        assert_eq!(topic("spBv1.0/g/NBIRTH/n"), Some((Kind::NodeBirth, "NBIRTH", "g", "n", None)));
        assert_eq!(topic("spBv1.0/g/DDATA/n/d"), Some((Kind::Data, "DDATA", "g", "n", Some("d"))));
        assert_eq!(topic("spBv1.0/STATE/host"), Some((Kind::Other, "STATE", "", "", None)));
        let wrong = [
            "",
            "spBv1.0/g/NDATA",
            "spBv1.0/g/NDATA/n/d",
            "spBv1.0/g/DDATA/n",
            "spBv1.0/g/X/n",
            "spAv1.0/g/NDATA/n",
        ];
        assert!(wrong.iter().all(|text| Topic::parse(text).is_none()));
        assert_eq!(topic("spBv1.0/g/DDATA/n/d/e"), None);
    }
}
