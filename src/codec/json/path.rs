//! Finds the wanted places of a JSON text in one pass. A tree of the wanted paths goes down with serde: a wanted
//! place is noted as a span of the text, everything else is skipped.
//!
//! Recursion follows wanted paths only, and serde_json bounds it. Skipping is serde_json's loop, so that no nesting
//! overflows the stack.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// A wanted place's text: start and end in the payload.
pub type Span = (usize, usize);

/// The wanted paths below one place.
#[derive(Default)]
pub struct PathTree {
    /// The slots that want this very place. Where there are any, the value is taken whole, and read once more
    /// for the wanted paths below it, if there are any.
    slots: Vec<usize>,
    /// Ascending.
    keys: Vec<(String, PathTree)>,
    /// The keys that can be an array's index, ascending, with their place in `keys`.
    indices: Vec<(usize, usize)>,
}

impl PathTree {
    /// The tree of these pointers, each with the slot that its place is noted in.
    pub fn new<'a>(pointers: impl IntoIterator<Item = (&'a [String], usize)>) -> Self {
        let mut root = Self::default();
        for (path, slot) in pointers {
            root.add(path, slot);
        }
        root.index();
        root
    }

    fn add(&mut self, path: &[String], slot: usize) {
        let Some((first, rest)) = path.split_first() else {
            self.slots.push(slot);
            return;
        };
        let at = match self.keys.binary_search_by(|(key, _)| key.as_str().cmp(first)) {
            Ok(at) => at,
            Err(at) => {
                self.keys.insert(at, (first.clone(), Self::default()));
                at
            }
        };
        self.keys[at].1.add(rest, slot);
    }

    fn index(&mut self) {
        let indexed = |(at, (key, _)): (usize, &(String, Self))| {
            let index: usize = key.parse().ok()?;
            // RFC 6901: no leading zeros, no sign.
            (index.to_string() == *key).then_some((index, at))
        };
        self.indices = self.keys.iter().enumerate().filter_map(indexed).collect();
        self.indices.sort_unstable();
        self.keys.iter_mut().for_each(|(_, child)| child.index());
    }

    fn get(&self, key: &str) -> Option<&Self> {
        let at = self.keys.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(&self.keys[at].1)
    }

    fn forget(&self, spans: &mut [Option<Span>]) {
        self.slots.iter().for_each(|slot| spans[*slot] = None);
        self.keys.iter().for_each(|(_, child)| child.forget(spans));
    }
}

/// What kind of value a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Object,
    Array,
    Scalar,
}

/// Notes the wanted places of one value. A place that it does not have is `None`.
pub struct Find<'t, 's> {
    pub node: &'t PathTree,
    pub spans: &'s mut [Option<Span>],
    /// Where the payload starts, as an address: spans count from there.
    pub base: usize,
}

impl<'t> Find<'t, '_> {
    fn below(&mut self, node: &'t PathTree) -> Find<'t, '_> {
        Find { node, spans: self.spans, base: self.base }
    }

    pub fn object<'de, A: MapAccess<'de>>(mut self, mut map: A) -> Result<Shape, A::Error> {
        while let Some(wanted) = map.next_key_seed(KeyOf(self.node))? {
            match wanted {
                Some(node) => map.next_value_seed(self.below(node)).map(drop)?,
                None => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(Shape::Object)
    }
}

impl<'de> DeserializeSeed<'de> for Find<'_, '_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        if self.node.slots.is_empty() || !self.node.keys.is_empty() {
            // A key that comes twice: the last one wins, with all that lies below.
            self.node.forget(self.spans);
        }
        if self.node.slots.is_empty() {
            return deserializer.deserialize_any(self);
        }
        let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        let start = raw.as_ptr() as usize - self.base;
        for slot in &self.node.slots {
            self.spans[*slot] = Some((start, start + raw.len()));
        }
        // A scalar has nothing inside, and may be a number or a string that only its reader can judge.
        if !self.node.keys.is_empty() && raw.starts_with(['{', '[']) {
            serde_json::Deserializer::from_str(raw).deserialize_any(self).map_err(Error::custom)?;
        }
        Ok(Shape::Scalar)
    }
}

impl<'de> Visitor<'de> for Find<'_, '_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Shape, A::Error> {
        self.object(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Shape, A::Error> {
        let node = self.node;
        let mut next = 0;
        for (index, at) in &node.indices {
            while next < *index {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(Shape::Array);
                }
                next += 1;
            }
            if seq.next_element_seed(self.below(&node.keys[*at].1))?.is_none() {
                return Ok(Shape::Array);
            }
            next += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Shape::Array)
    }

    fn visit_unit<E: Error>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }
}

/// The wanted node under a key.
struct KeyOf<'t>(&'t PathTree);

impl<'de, 't> DeserializeSeed<'de> for KeyOf<'t> {
    type Value = Option<&'t PathTree>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'_> for KeyOf<'t> {
    type Value = Option<&'t PathTree>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.get(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    const POINTERS: [&str; 8] = ["/a/0", "/a/1/b", "/a/1", "/a/b", "/a/00", "/b/2", "/b", "/0"];

    fn json() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,3}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(("[ab]|0|1|00", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Two values under one key make one text: the last must hide all of the first.
        #[test]
        fn places_are_those_that_serde_json_finds(first in json(), last in json()) {
            let text = format!("{{\"a\": {first:#}, \"b\": {first}, \"\\u0061\": {last:#}, \"0\":1}}");
            let whole: Value = serde_json::from_str(&text).unwrap();
            let paths = POINTERS.map(|p| p.split('/').skip(1).map(str::to_owned).collect::<Vec<_>>());
            let tree = PathTree::new(paths.iter().map(Vec::as_slice).zip(0..));
            let mut spans = vec![Some((0, 1)); POINTERS.len()];
            let find = Find { node: &tree, spans: &mut spans, base: text.as_ptr() as usize };
            find.deserialize(&mut serde_json::Deserializer::from_str(&text)).unwrap();
            for (pointer, span) in POINTERS.iter().zip(spans) {
                let found = span.map(|(start, end)| serde_json::from_str(&text[start..end]).unwrap());
                prop_assert_eq!(found.as_ref(), whole.pointer(pointer), "{} in {}", pointer, text);
            }
        }
    }
}
