//! Sparkplug B, of machines and their gateways, as a bridge passes it on from MQTT: the payload as it is, the topic in the
//! key or a header. A metric becomes
//! `{"name": "temperature", "source": {"group": "plant", "node": "line-1", "device": "press"}, "message": "DDATA",
//! "historical": false, "timestamp": 1700000000000, "value": 21.5}`; `device` is absent for a metric of the node itself.
//!
//! Source: the Eclipse Sparkplug specification 3.0.0, chapters 4 and 6.

mod births;
mod message;
#[cfg(test)]
mod tests;

use super::text::ObjectText;
use super::{ElementSink, Payload, not_in_format};
use crate::codec::{BadRecord, Reason};
pub use births::Births;
use births::{BYTES_MAX, Born};
use message::{Kind, Metric, Topic, Value, datatype};
use prost::Message as _;

/// Reads a message. `place` is where its topic lies, for people.
pub fn read(
    payload: &Payload<'_>,
    (topic, place): (Option<&[u8]>, &str),
    births: &mut Births,
    element: &mut String,
    elements: &mut impl ElementSink,
) -> Result<(), BadRecord> {
    let text = topic.and_then(|topic| std::str::from_utf8(topic).ok());
    let Some(topic) = text.and_then(Topic::parse) else { return Err(no_topic(text, place)) };
    if topic.kind == Kind::Other {
        elements.leave_out();
        return Ok(());
    }
    let message = message::Payload::decode(payload.bytes).map_err(not_in_format)?;
    let has_room = topic.kind == Kind::Data || births.note(&topic, &message.metrics);
    let born = births.of(&topic);
    for metric in &message.metrics {
        match write(metric, message.timestamp, &topic, born, element) {
            Ok(Some(json)) => elements.element(json),
            Ok(None) => elements.leave_out(),
            Err(bad) => elements.refuse(bad),
        }
    }
    if has_room {
        return Ok(());
    }
    let detail = format!(
        "its values are read, but not its aliases: at most {} MiB of births are kept of a partition",
        BYTES_MAX >> 20
    );
    Err(BadRecord { reason: Reason::TooLarge, field: None, detail })
}

#[cold]
fn no_topic(text: Option<&str>, place: &str) -> BadRecord {
    let found = text.map_or_else(|| "no text".to_owned(), crate::codec::bad::quote);
    let detail = format!("a topic like spBv1.0/GROUP/DDATA/NODE/DEVICE was expected, not {found}");
    BadRecord { reason: Reason::NotInFormat, field: Some(place.to_owned()), detail }
}

#[cold]
fn unknown_alias(alias: Option<u64>) -> BadRecord {
    let detail = match alias {
        Some(alias) => format!("no BIRTH before it has named the alias {alias}"),
        None => "a metric has neither a name nor an alias".to_owned(),
    };
    BadRecord { reason: Reason::UnknownAlias, field: None, detail }
}

/// The element of a metric; `None` for a value that no reading can have: a data set, a template, bytes or an array.
fn write<'e>(
    metric: &Metric,
    sent: Option<u64>,
    topic: &Topic<'_>,
    born: Option<Born<'_>>,
    element: &'e mut String,
) -> Result<Option<&'e str>, BadRecord> {
    let named = metric.name.as_deref().filter(|name| !name.is_empty());
    let known = || born.zip(metric.alias).and_then(|(born, alias)| born.name(alias));
    let Some(name) = named.or_else(known) else { return Err(unknown_alias(metric.alias)) };
    let is_null = metric.is_null == Some(true);
    if metric.value.is_none() && !is_null {
        return Ok(None);
    }
    let datatype = metric.datatype.filter(|datatype| *datatype != 0);
    let datatype = datatype.or_else(|| born.and_then(|born| born.datatype(name)));
    let mut object = ObjectText::begin(element);
    object.text("name", name);
    object.object("source", |to| {
        to.text("group", topic.group);
        to.text("node", topic.node);
        topic.device.into_iter().for_each(|device| to.text("device", device));
    });
    object.text("message", topic.word);
    object.flag("historical", metric.is_historical == Some(true));
    if let Some(timestamp) = metric.timestamp.or(sent) {
        object.whole("timestamp", timestamp);
    }
    match &metric.value {
        None => object.raw("value", "null"),
        Some(_) if is_null => object.raw("value", "null"),
        Some(Value::Int(bits)) => object.whole("value", whole(u64::from(*bits), 32, datatype, name)?),
        Some(Value::Long(bits)) => object.whole("value", whole(*bits, 64, datatype, name)?),
        Some(Value::Float(value)) => match value.is_finite() {
            // As it was written: 0.1 and not 0.10000000149011612.
            true => object.raw("value", &format!("{value:?}")),
            false => object.number("value", f64::from(*value)),
        },
        Some(Value::Double(value)) => object.number("value", *value),
        Some(Value::Boolean(value)) => object.flag("value", *value),
        Some(Value::Text(value)) => object.text("value", value),
    }
    Ok(Some(object.end()))
}

/// A whole number, which is sent as its two's complement. One that could be negative needs its type.
fn whole(bits: u64, width: u32, datatype: Option<u32>, name: &str) -> Result<i128, BadRecord> {
    let signed = match datatype {
        Some(datatype::INT8) => i128::from(bits as u8 as i8),
        Some(datatype::INT16) => i128::from(bits as u16 as i16),
        Some(datatype::INT32) => i128::from(bits as u32 as i32),
        Some(datatype::INT64) => i128::from(bits as i64),
        Some(_) => i128::from(bits),
        None => return Err(no_type(bits, width, name)),
    };
    Ok(signed)
}

#[cold]
fn no_type(bits: u64, width: u32, name: &str) -> BadRecord {
    let name = crate::codec::bad::quote(name);
    let detail = format!(
        "neither the metric {name} nor a BIRTH before it says which type its {width} bits {bits:#x} have"
    );
    BadRecord { reason: Reason::UnknownAlias, field: None, detail }
}
