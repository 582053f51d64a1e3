use super::bare;
use super::element::{Element, ElementFault, ValueName};
use super::layout::Layout;
use super::path::{Find, Shape, Span};
use crate::codec::missing::{MissingSlots, MissingValues};
use crate::codec::time::ReadTime;
use crate::codec::{BadRecord, Reason, Record};
use crate::config::Stream;
use crate::domain::{Reading, Values};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads the JSON texts of one stream.
pub struct JsonDecoder {
    layout: Layout,
    buffers: Buffers,
    /// A payload with `null` for words that JSON does not have, such as `NaN`, and the places of these.
    mended: String,
    nulls: Vec<usize>,
}

pub(super) struct Buffers {
    /// The text of each slot that a pointer leads to, in the element at hand.
    pub spans: Vec<Option<Span>>,
    /// The name or the index at each level of a batch below the record.
    pub names: Vec<String>,
    /// Strings less their escapes.
    series: String,
    text: String,
    /// The parts of a time.
    joined: String,
    values: Values,
    missing_slots: MissingSlots,
    missing: MissingValues,
    /// Elements that the filter left out.
    filtered: u64,
}

impl JsonDecoder {
    /// A decoder of texts with the stream's places.
    pub fn new(stream: &Stream) -> Self {
        let layout = Layout::new(stream);
        let buffers = Buffers {
            spans: vec![None; layout.spans()],
            names: vec![String::new(); layout.levels.len()],
            series: String::new(),
            text: String::new(),
            joined: String::new(),
            values: Values::default(),
            missing_slots: MissingSlots::default(),
            missing: MissingValues::default(),
            filtered: 0,
        };
        Self { layout, buffers, mended: String::new(), nulls: Vec::new() }
    }

    /// The values that were missing in the readings since the last call, if any were.
    pub fn take_missing(&mut self) -> Option<MissingValues> {
        let missing = &mut self.buffers.missing;
        (!missing.is_empty()).then(|| std::mem::take(missing))
    }

    /// Counts something that is no reading as what the filter leaves out.
    pub fn leave_out(&mut self) {
        self.buffers.filtered += 1;
    }

    /// The elements that `fields.where` left out since the last call.
    pub fn take_filtered(&mut self) -> u64 {
        std::mem::take(&mut self.buffers.filtered)
    }

    /// The largest payload of a record, in bytes.
    pub fn max_bytes(&self) -> usize {
        self.layout.max_bytes
    }

    /// Gives each good reading of `payload` to `sink`, in its order; `record` is where it comes from. A bad element of
    /// an array does not harm those before and after it. Where the payload stops being JSON, the elements before are
    /// good.
    ///
    /// # Errors
    /// The first [`BadRecord`].
    pub fn decode(
        &mut self,
        record: &Record<'_>,
        payload: &str,
        sink: &mut dyn FnMut(Reading<'_>),
    ) -> Result<(), BadRecord> {
        if !payload.trim_ascii_start().starts_with(['{', '[']) {
            serde_json::from_str::<IgnoredAny>(payload).map_err(not_json)?;
            let fault =
                ElementFault::of_element(Reason::WrongType, "an object or an array of objects was expected");
            return Err(fault.into_bad(&self.layout, |_| String::new()));
        }
        let Self { layout, buffers, mended, nulls } = self;
        let mut elements =
            Elements { layout, buffers, record, payload, nulls: &[], done: 0, sink, first_bad: None };
        let mut outcome = elements.parse();
        if outcome.is_err() && bare::mend(payload, mended, nulls) {
            elements = Elements { payload: mended, nulls, ..elements };
            outcome = elements.parse();
        }
        if let Err(e) = outcome {
            elements.first_bad.get_or_insert_with(|| not_json(e));
        }
        elements.first_bad.map_or(Ok(()), Err)
    }
}

#[cold]
pub fn not_json(e: impl fmt::Display) -> BadRecord {
    BadRecord { reason: Reason::NotJson, field: None, detail: e.to_string() }
}

/// The name of an element of the array that a record is.
pub(super) fn element_name(index: Option<usize>) -> String {
    index.map_or_else(String::new, |index| format!("[{index}]"))
}

/// The elements of one record, as they go by.
pub(super) struct Elements<'r, 'p> {
    pub layout: &'r Layout,
    pub buffers: &'r mut Buffers,
    record: &'r Record<'r>,
    pub payload: &'p str,
    /// The places of nulls that stand for other words of the record, ascending.
    nulls: &'p [usize],
    /// Elements of the array that are read already.
    done: usize,
    sink: &'r mut dyn FnMut(Reading<'_>),
    pub first_bad: Option<BadRecord>,
}

impl Elements<'_, '_> {
    /// Reads all elements but those that are read already.
    fn parse(&mut self) -> serde_json::Result<()> {
        if !self.layout.levels.is_empty() {
            return self.parse_batch();
        }
        let mut json = serde_json::Deserializer::from_str(self.payload);
        let shape = json.deserialize_any(&mut *self)?;
        json.end()?;
        // Only now is it known that nothing follows the object.
        if shape == Shape::Object {
            self.read(None);
        }
        Ok(())
    }

    /// Where the next element's places are noted.
    fn find(&mut self) -> Find<'_, '_> {
        Find {
            node: &self.layout.pointers,
            spans: &mut self.buffers.spans,
            base: self.payload.as_ptr() as usize,
        }
    }

    /// Reads the element whose places have been noted; `index` is its place in an array.
    fn read(&mut self, index: Option<usize>) {
        if let Err(fault) = self.emit() {
            self.note(fault, |_| element_name(index));
        }
    }

    pub(super) fn emit(&mut self) -> Result<(), ElementFault> {
        let Buffers { spans, names, series, joined, text, values, missing_slots, missing, filtered } =
            &mut *self.buffers;
        let Self { layout, record, payload, nulls, .. } = *self;
        let element = Element { layout, record, payload, spans, nulls, names };
        let named = if element.passes(text) { element.value_name(text) } else { ValueName::None };
        if matches!(named, ValueName::None) {
            *filtered += 1;
            return Ok(());
        }
        let series = element.series(series, text)?;
        let ReadTime { time, later } = element.time(joined, text)?;
        *missing_slots = MissingSlots::default();
        element.values(named, text, values, missing_slots)?;
        if missing_slots.any() {
            missing.add(missing_slots, |slot| element.example(slot, series));
        }
        (self.sink)(Reading { series, time, later, values });
        Ok(())
    }

    #[cold]
    pub(super) fn note(&mut self, fault: ElementFault, element: impl Fn(usize) -> String) {
        self.first_bad.get_or_insert_with(|| fault.into_bad(self.layout, element));
    }
}

impl<'de> Visitor<'de> for &mut Elements<'_, '_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Shape, A::Error> {
        self.buffers.spans.fill(None);
        self.find().object(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut index = 0;
        while let Some(shape) = seq.next_element_seed(self.find())? {
            match shape {
                _ if index < self.done => {}
                Shape::Object | Shape::Array => self.read(Some(index)),
                Shape::Scalar => {
                    let fault = ElementFault::of_element(Reason::WrongType, "an object was expected");
                    self.note(fault, |_| element_name(Some(index)));
                }
            }
            index += 1;
            self.done = self.done.max(index);
        }
        Ok(Shape::Array)
    }
}
