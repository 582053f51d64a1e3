use super::fields::{Element, Fault, Layout};
use super::path::{Find, Shape, Span};
use crate::codec::{BadRecord, Reason, Record};
use crate::config::Stream;
use crate::domain::{Reading, Values};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads the JSON records of one stream.
pub struct JsonDecoder {
    layout: Layout,
    buffers: Buffers,
}

struct Buffers {
    /// The text of each slot that a pointer leads to, in the element at hand.
    spans: Vec<Option<Span>>,
    /// Strings less their escapes.
    series: String,
    text: String,
    values: Values,
}

impl JsonDecoder {
    pub fn new(stream: &Stream) -> Self {
        let layout = Layout::new(stream);
        let buffers = Buffers {
            spans: vec![None; layout.slots()],
            series: String::new(),
            text: String::new(),
            values: Values::default(),
        };
        Self { layout, buffers }
    }

    /// Hands each good reading of `record` to `sink`, in the record's order. In an array, those before
    /// and after a bad element are good; so are those before the place where it stops being JSON.
    ///
    /// # Errors
    /// The first [`BadRecord`].
    pub fn decode(
        &mut self,
        record: &Record<'_>,
        sink: &mut dyn FnMut(Reading<'_>),
    ) -> Result<(), BadRecord> {
        let payload = record.payload.unwrap_or_default();
        if payload.len() > self.layout.max_bytes {
            let detail = format!("{} bytes are more than max_record_bytes", payload.len());
            return Err(Fault::of_element(Reason::TooLarge, &detail).into_bad(&self.layout, None));
        }
        let Some(first) = payload.trim_ascii_start().first() else {
            return Err(Fault::of_element(Reason::Empty, "there is no payload").into_bad(&self.layout, None));
        };
        let payload = std::str::from_utf8(payload).map_err(not_json)?;
        if !matches!(first, b'{' | b'[') {
            serde_json::from_str::<IgnoredAny>(payload).map_err(not_json)?;
            let fault = Fault::of_element(Reason::WrongType, "an object or an array of objects was expected");
            return Err(fault.into_bad(&self.layout, None));
        }
        let (layout, buffers) = (&self.layout, &mut self.buffers);
        let mut elements = Elements { layout, buffers, record, payload, sink, first_bad: None };
        let mut json = serde_json::Deserializer::from_str(payload);
        let shape = json.deserialize_any(&mut elements).and_then(|shape| json.end().map(|()| shape));
        match shape {
            // Only now is it known that nothing follows the object.
            Ok(Shape::Object) => elements.read(None),
            Ok(_) => {}
            Err(e) => drop(elements.first_bad.get_or_insert_with(|| not_json(e))),
        }
        elements.first_bad.map_or(Ok(()), Err)
    }
}

#[cold]
fn not_json(e: impl fmt::Display) -> BadRecord {
    BadRecord { reason: Reason::NotJson, field: None, detail: e.to_string() }
}

/// The elements of one record, as they go by.
struct Elements<'r, 'p> {
    layout: &'r Layout,
    buffers: &'r mut Buffers,
    record: &'r Record<'r>,
    payload: &'p str,
    sink: &'r mut dyn FnMut(Reading<'_>),
    first_bad: Option<BadRecord>,
}

impl Elements<'_, '_> {
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
            self.note(index, fault);
        }
    }

    fn emit(&mut self) -> Result<(), Fault> {
        let Buffers { spans, series, text, values } = &mut *self.buffers;
        let element = Element { layout: self.layout, record: self.record, payload: self.payload, spans };
        let series = element.series(series)?;
        let time = element.time(text)?;
        element.values(text, values)?;
        (self.sink)(Reading { series, time, values });
        Ok(())
    }

    #[cold]
    fn note(&mut self, index: Option<usize>, fault: Fault) {
        self.first_bad.get_or_insert_with(|| fault.into_bad(self.layout, index));
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
                Shape::Object | Shape::Array => self.read(Some(index)),
                Shape::Scalar => {
                    self.note(Some(index), Fault::of_element(Reason::WrongType, "an object was expected"));
                }
            }
            index += 1;
        }
        Ok(Shape::Array)
    }
}
