//! `ThingsBoard`'s telemetry. An element is `{"device": "…", "ts": 1700000000000, "values": {…}}`; where nothing names a
//! device it is the record's key.
//!
//! | payload | elements |
//! | --- | --- |
//! | `{"ts": …, "values": {…}}` | one |
//! | `{"temperature": 21.5, …}` | one without a time |
//! | an array of these | each |
//! | `{"Device A": [{"ts": …, "values": {…}}, …], …}`, of a gateway | each, with the device's name |

use super::text::ObjectText;
use super::{ElementSink, Payload, not_in_format};
use crate::codec::BadRecord;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The members of an object, in its order.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                #[derive(Deserialize)]
                struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.get())
    }
}

pub fn read(
    payload: &Payload<'_>,
    text: &str,
    element: &mut String,
    elements: &mut impl ElementSink,
) -> Result<(), BadRecord> {
    let key = payload.record.key.and_then(|key| std::str::from_utf8(key).ok());
    if text.trim_ascii_start().starts_with('[') {
        for item in serde_json::from_str::<Vec<&RawValue>>(text).map_err(not_in_format)? {
            reading(key, item.get(), element, elements);
        }
        return Ok(());
    }
    let members: Members<'_> = serde_json::from_str(text).map_err(not_in_format)?;
    let is_gateway = !members.0.is_empty() && members.0.iter().all(|(_, value)| value.get().starts_with('['));
    if !is_gateway {
        reading(key, text, element, elements);
        return Ok(());
    }
    for (device, items) in &members.0 {
        for item in serde_json::from_str::<Vec<&RawValue>>(items.get()).map_err(not_in_format)? {
            reading(Some(device), item.get(), element, elements);
        }
    }
    Ok(())
}

/// One object of a time and values, or of values alone.
fn reading(device: Option<&str>, text: &str, element: &mut String, elements: &mut impl ElementSink) {
    let members: Members<'_> = match serde_json::from_str(text) {
        Ok(members) => members,
        Err(e) => return elements.refuse(not_in_format(e)),
    };
    let mut object = ObjectText::begin(element);
    device.into_iter().for_each(|device| object.text("device", device));
    match members.get("values").filter(|values| values.starts_with('{')) {
        Some(values) => {
            members.get("ts").into_iter().for_each(|ts| object.raw("ts", ts));
            object.raw("values", values);
        }
        None => object.raw("values", text),
    }
    elements.element(object.end());
}
