use crate::domain::{EventTime, Offset, Partition, SourcePosition};

/// The headers of a record.
pub trait Headers {
    /// The last value under `name`, as Kafka's own clients choose.
    fn get(&self, name: &str) -> Option<&[u8]>;

    /// Calls `each` with the name and value of every header whose name is text, in their order.
    fn for_each(&self, each: &mut dyn FnMut(&str, &[u8]));
}

/// No headers.
impl Headers for () {
    fn get(&self, _name: &str) -> Option<&[u8]> {
        None
    }

    fn for_each(&self, _each: &mut dyn FnMut(&str, &[u8])) {}
}

impl Headers for &[(&str, &[u8])] {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn for_each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        self.iter().for_each(|(name, value)| each(name, value));
    }
}

impl Headers for Vec<(Box<str>, Box<[u8]>)> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().rev().find(|(key, _)| **key == *name).map(|(_, value)| &**value)
    }

    fn for_each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        self.iter().for_each(|(name, value)| each(name, value));
    }
}

impl Headers for Vec<(String, Vec<u8>)> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().rev().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    fn for_each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        self.iter().for_each(|(name, value)| each(name, value));
    }
}

/// A record as its topic holds it.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// The record's own time; `None` where it has none or one outside the sane range.
    pub timestamp: Option<EventTime>,
    /// Its value; `None` in a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a dyn Headers,
}

impl<'a> Record<'a> {
    /// Where it lies.
    pub fn position(&self) -> SourcePosition<'a> {
        SourcePosition { topic: self.topic, partition: self.partition, offset: self.offset }
    }
}
