//! Where the fields of a stream lie in its records.

use super::path::PathTree;
use crate::codec::time::TimeReader;
use crate::config::{FieldSource, Missing, Stream};
use crate::domain::Position;
use std::sync::Arc;
use std::time::Duration;

/// Where a stream's fields lie.
pub struct Layout {
    /// By slot: the series' parts, the time's, the values, what is known ahead, what is filtered by, then the value's name.
    pub sources: Vec<FieldSource>,
    /// The wanted places of an element.
    pub pointers: PathTree,
    /// The levels above the elements of a batch, from the record down.
    pub levels: Vec<BatchLevel>,
    /// Whether an object at the last level is one element.
    pub last_may_be_one: bool,
    /// The first slot of the time, of the values and of what is known ahead.
    pub time_from: usize,
    pub values: usize,
    pub ahead: usize,
    /// What each place of the filter must have one of.
    pub filter: Vec<Vec<String>>,
    /// The first slot of the filter.
    pub filter_from: usize,
    /// In a long table, the name of each value. The place of the name is the last slot.
    pub value_names: Option<Vec<String>>,
    /// Where a template names the series: the texts before each part and after the last one.
    pub series_template: Option<Vec<String>>,
    /// The member of an object that names no series beside `/name`.
    pub left_out_member: Option<&'static str>,
    /// Whether an element without a time has that of its record.
    pub may_lack_time: bool,
    pub targets: usize,
    pub horizon: usize,
    pub missing: Missing,
    pub position: Option<Position>,
    pub time: TimeReader,
    pub max_ahead: Duration,
    pub max_bytes: usize,
}

impl Layout {
    pub fn new(stream: &Stream) -> Self {
        let fields = &stream.fields;
        let sources: Vec<_> = fields
            .series
            .iter()
            .chain(&fields.time)
            .chain(&fields.values)
            .chain(&fields.ahead)
            .chain(fields.filter.iter().map(|(source, _)| source))
            .chain(fields.name.iter().map(|name| &name.place))
            .cloned()
            .collect();
        let pointers = PathTree::new(sources.iter().enumerate().filter_map(|(slot, source)| match source {
            FieldSource::Pointer(path) | FieldSource::Members(path) => Some((&**path, slot)),
            _ => None,
        }));
        let parts = fields.records.as_ref().map_or(&[][..], |records| &records.parts);
        let levels = parts.iter().enumerate().map(|(depth, part)| {
            let wanted = sources.iter().enumerate().filter_map(|(slot, source)| match source {
                FieldSource::Above(above, path) if parts.len() - above == depth => Some((&**path, slot)),
                _ => None,
            });
            // These slots come after those of the sources.
            let below = sources.len() + depth;
            let way = (!part.is_empty()).then_some((&**part, below));
            BatchLevel { pointers: PathTree::new(wanted.chain(way)), part: part.clone(), below }
        });
        let levels = levels.collect();
        let (time_from, values) = (fields.series.len(), fields.series.len() + fields.time.len());
        Self {
            sources,
            pointers,
            levels,
            last_may_be_one: fields.records.as_ref().is_some_and(|records| !records.ends_in_star),
            time_from,
            values,
            ahead: values + fields.values.len(),
            filter: fields.filter.iter().map(|(_, texts)| texts.clone()).collect(),
            filter_from: values + fields.values.len() + fields.ahead.len(),
            value_names: fields.name.as_ref().map(|name| name.names.clone()),
            series_template: fields.series_template.clone(),
            left_out_member: stream.format.name_label(),
            may_lack_time: stream.format.may_lack_time(),
            targets: stream.targets.len(),
            horizon: stream.horizon,
            missing: fields.missing.clone(),
            position: stream.position,
            time: TimeReader::new(fields.time_format.clone(), fields.time_zone.clone()),
            max_ahead: stream.bounds.max_ahead,
            max_bytes: stream.bounds.max_record_bytes,
        }
    }

    /// The number of slots and, behind them, of paths from level to level.
    pub fn spans(&self) -> usize {
        self.sources.len() + self.levels.len()
    }

    /// The name of a slot; `element` gives the name of a level, counted from the element up.
    pub fn name(&self, slot: usize, element: impl Fn(usize) -> String) -> String {
        match &self.sources[slot] {
            FieldSource::Pointer(path) => put_path(element(0), path),
            FieldSource::Members(path) => put_path(element(0), path) + "/*",
            FieldSource::Above(above, path) => put_path(element(*above), path),
            FieldSource::Name(above) => element(*above) + "#",
            // These belong to the record, whichever element wants them.
            FieldSource::Key => "@key".to_owned(),
            FieldSource::Header(name) => format!("@header:{name}"),
            FieldSource::Timestamp => "@timestamp".to_owned(),
        }
    }
}

/// A level above the elements of a batch.
pub struct BatchLevel {
    /// The wanted places of it, and the path to the next level.
    pub pointers: PathTree,
    /// The path to the next level.
    pub part: Arc<[String]>,
    /// The slot of the place that this path leads to.
    pub below: usize,
}

/// Appends a pointer's keys.
pub fn put_path(name: String, path: &[String]) -> String {
    path.iter().fold(name, |name, key| name + "/" + &key.replace('~', "~0").replace('/', "~1"))
}
