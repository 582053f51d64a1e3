//! Batches inside a record: the elements that `fields.records` leads to, level by level.
//!
//! A level is read as a whole before the level below it, because a place above an element may come after it in the
//! text. So the text is read once for each level.

use super::decode::{Elements, element_name};
use super::element::ElementFault;
use super::layout::put_path;
use super::path::{Find, Shape};
use crate::codec::Reason;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

impl<'p> Elements<'_, 'p> {
    /// Reads all elements of a batch. A record that is not JSON as a whole gives none.
    pub(super) fn parse_batch(&mut self) -> serde_json::Result<()> {
        let whole = serde_json::from_str::<&'p RawValue>(self.payload)?.get();
        if whole.starts_with('[') {
            let mut json = serde_json::Deserializer::from_str(whole);
            json.deserialize_seq(Members { elements: self, depth: None, root: None })?;
        } else {
            self.level(0, None, whole);
        }
        Ok(())
    }

    /// Reads a level of a batch; `root` is the index of the record's element in its array.
    fn level(&mut self, depth: usize, root: Option<usize>, text: &'p str) {
        let layout = self.layout;
        let level = layout.levels.get(depth);
        let node = level.map_or(&layout.pointers, |level| &level.pointers);
        let base = self.payload.as_ptr() as usize;
        let found = Find { node, spans: &mut self.buffers.spans, base }
            .deserialize(&mut serde_json::Deserializer::from_str(text));
        let Ok(Shape::Object | Shape::Array) = found else {
            return self.note_at(
                depth,
                root,
                ElementFault::of_element(Reason::WrongType, "an object was expected"),
            );
        };
        let Some(level) = level else {
            if let Err(fault) = self.emit() {
                self.note_at(depth, root, fault);
            }
            return;
        };
        let below = match level.part.is_empty() {
            true => Some(text),
            false => self.buffers.spans[level.below].map(|(start, end)| &self.payload[start..end]),
        };
        let is_last = depth + 1 == layout.levels.len();
        let below = match below {
            Some(text) if is_last && layout.last_may_be_one && text.starts_with('{') => {
                self.buffers.names[depth].clear();
                return self.level(depth + 1, root, text);
            }
            Some(text) if text.starts_with(['[', '{']) => text,
            _ => {
                let fault =
                    ElementFault::of_element(Reason::MissingRecords, "an array or an object was expected");
                let place = put_path(self.place(depth, root), &level.part);
                return self.note(fault, |_| place.clone());
            }
        };
        let members = Members { elements: self, depth: Some(depth), root };
        let _ = serde_json::Deserializer::from_str(below).deserialize_any(members);
    }

    #[cold]
    fn note_at(&mut self, depth: usize, root: Option<usize>, fault: ElementFault) {
        if self.first_bad.is_some() {
            return;
        }
        let places: Vec<String> = (0..=depth).rev().map(|depth| self.place(depth, root)).collect();
        self.note(fault, |above| places[above].clone());
    }

    /// The name of a level's value: `[2]/metrics/0`.
    fn place(&self, depth: usize, root: Option<usize>) -> String {
        let levels = self.layout.levels.iter().zip(&self.buffers.names).take(depth);
        levels.fold(element_name(root), |place, (level, name)| {
            let place = put_path(place, &level.part);
            if name.is_empty() { place } else { put_path(place, std::slice::from_ref(name)) }
        })
    }
}

/// The members of an array or an object, which are the level below it.
struct Members<'e, 'r, 'p> {
    elements: &'e mut Elements<'r, 'p>,
    /// The level of the array or object; `None` for the array that a record is.
    depth: Option<usize>,
    root: Option<usize>,
}

impl<'p> Visitor<'p> for Members<'_, '_, 'p> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'p>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(member) = seq.next_element::<&'p RawValue>()? {
            match self.depth {
                None => self.elements.level(0, Some(index), member.get()),
                Some(depth) => {
                    let name = &mut self.elements.buffers.names[depth];
                    name.clear();
                    name.push_str(itoa::Buffer::new().format(index));
                    self.elements.level(depth + 1, self.root, member.get());
                }
            }
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<(), A::Error> {
        let depth = self.depth.ok_or_else(|| A::Error::custom("an array was expected"))?;
        while map.next_key_seed(NameInto(&mut self.elements.buffers.names[depth]))?.is_some() {
            let member = map.next_value::<&'p RawValue>()?;
            self.elements.level(depth + 1, self.root, member.get());
        }
        Ok(())
    }
}

/// Takes a name into a buffer.
struct NameInto<'n>(&'n mut String);

impl<'de> DeserializeSeed<'de> for NameInto<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameInto<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        self.0.clear();
        self.0.push_str(name);
        Ok(())
    }
}
