//! What the BIRTH messages of a partition have said. A message of data may name its metrics by alias alone, and leave out
//! their types. So this is part of the state of a shard: its snapshots have it, and a replay comes to the same.

use super::message::{Kind, Metric, Topic};
use crate::domain::{Damaged, Take, put, put_bytes};
use std::collections::BTreeMap;

/// The most bytes that are known at once, over all nodes of a partition.
pub const BYTES_MAX: usize = 64 << 20;
/// What an entry takes beside its texts.
const ENTRY: usize = 64;

/// What the BIRTH messages of the records so far have said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Births {
    /// By group and node, with a `/` between, which neither has; then by device. The node's own are under an empty name.
    nodes: BTreeMap<String, BTreeMap<String, Known>>,
    bytes: usize,
}

/// The metrics of a node or device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    names: BTreeMap<u64, String>,
    types: BTreeMap<String, u32>,
    bytes: usize,
}

impl Known {
    fn of(node: &str, device: &str) -> Self {
        Self { bytes: 2 * ENTRY + node.len() + device.len(), ..Self::default() }
    }

    fn add_name(&mut self, alias: u64, name: &str) {
        self.bytes += ENTRY + name.len();
        let former = self.names.insert(alias, name.to_owned());
        self.bytes -= former.map_or(0, |former| ENTRY + former.len());
    }

    fn add_type(&mut self, name: &str, datatype: u32) {
        let is_new = self.types.insert(name.to_owned(), datatype).is_none();
        self.bytes += if is_new { ENTRY + name.len() } else { 0 };
    }
}

fn node_of(topic: &Topic<'_>) -> String {
    format!("{}/{}", topic.group, topic.node)
}

impl Births {
    /// Takes note of a BIRTH, which replaces what was known of the node with its devices, or of the device. Returns
    /// whether there was room for it.
    pub(super) fn note(&mut self, topic: &Topic<'_>, metrics: &[Metric]) -> bool {
        let (node, device) = (node_of(topic), topic.device.unwrap_or_default());
        let replaced = match topic.kind {
            Kind::NodeBirth => {
                self.nodes.remove(&node).map_or(0, |devices| devices.values().map(|known| known.bytes).sum())
            }
            _ => {
                let former = self.nodes.get_mut(&node).and_then(|devices| devices.remove(device));
                former.map_or(0, |known| known.bytes)
            }
        };
        self.bytes -= replaced;
        let mut known = Known::of(&node, device);
        for metric in metrics {
            let Some(name) = &metric.name else { continue };
            metric.alias.into_iter().for_each(|alias| known.add_name(alias, name));
            metric
                .datatype
                .filter(|t| *t != 0)
                .into_iter()
                .for_each(|datatype| known.add_type(name, datatype));
        }
        let has_room = self.bytes + known.bytes <= BYTES_MAX;
        if has_room {
            self.bytes += known.bytes;
            self.nodes.entry(node).or_default().insert(device.to_owned(), known);
        } else if self.nodes.get(&node).is_some_and(BTreeMap::is_empty) {
            self.nodes.remove(&node);
        }
        has_room
    }

    /// What was said of the node or device of this topic.
    pub(super) fn of(&self, topic: &Topic<'_>) -> Option<Born<'_>> {
        self.nodes.get(&node_of(topic))?.get(topic.device.unwrap_or_default()).map(Born)
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.nodes.values().all(BTreeMap::is_empty)
    }

    /// Appends everything.
    pub fn save(&self, out: &mut Vec<u8>) {
        put(out, &[self.nodes.values().map(BTreeMap::len).sum::<usize>() as u32]);
        for (node, devices) in &self.nodes {
            for (device, known) in devices {
                put_bytes(out, node.as_bytes());
                put_bytes(out, device.as_bytes());
                put(out, &[known.names.len() as u32, known.types.len() as u32]);
                for (alias, name) in &known.names {
                    put(out, &[*alias]);
                    put_bytes(out, name.as_bytes());
                }
                for (name, datatype) in &known.types {
                    put_bytes(out, name.as_bytes());
                    put(out, &[*datatype]);
                }
            }
        }
    }

    /// What [`Self::save`] has appended.
    ///
    /// # Errors
    /// [`Damaged`] for anything else.
    pub fn load(from: &mut Take<'_>) -> Result<Self, Damaged> {
        let mut births = Self::default();
        let sources: u32 = from.one()?;
        for _ in 0..sources {
            let (node, device) = (from.text()?, from.text()?);
            let [names, types]: [u32; 2] = from.one()?;
            let mut known = Known::of(node, device);
            for _ in 0..names {
                let alias = from.one()?;
                known.add_name(alias, from.text()?);
            }
            for _ in 0..types {
                let name = from.text()?;
                known.add_type(name, from.one()?);
            }
            births.bytes += known.bytes;
            if births.nodes.entry(node.to_owned()).or_default().insert(device.to_owned(), known).is_some() {
                return Err(Damaged("two births of one device"));
            }
        }
        Ok(births)
    }
}

/// The metrics that a node or device has said that it has.
#[derive(Clone, Copy)]
pub(super) struct Born<'a>(&'a Known);

impl<'a> Born<'a> {
    pub fn name(self, alias: u64) -> Option<&'a str> {
        self.0.names.get(&alias).map(String::as_str)
    }

    pub fn datatype(self, name: &str) -> Option<u32> {
        self.0.types.get(name).copied()
    }
}
