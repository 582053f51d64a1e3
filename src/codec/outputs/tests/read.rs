//! Forecasts as others' readers see them, by the same names.

use crate::codec::output_schema;
use crate::config::OutputFormat;
use crate::schemas::ProtobufSchema;
use apache_avro::types::Value as Avro;
use influxdb_line_protocol::{FieldValue, parse_lines};
use prost_reflect::{DynamicMessage, Value as Proto};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a forecast says: texts, and the bits of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub texts: BTreeMap<String, String>,
    pub numbers: BTreeMap<String, u64>,
}

impl Said {
    fn text(&mut self, place: &str, text: Option<&str>) {
        self.texts.extend(text.map(|text| (place.to_owned(), text.to_owned())));
    }

    fn number(&mut self, place: impl Into<String>, number: Option<f64>) {
        let number = number.filter(|number| number.is_finite());
        if let Some(number) = number {
            let before = self.numbers.insert(place.into(), number.to_bits());
            assert_eq!(before, None, "said twice");
        }
    }

    /// A row with a value for each lead.
    fn row(&mut self, place: &str, leads: &[f64], row: impl IntoIterator<Item = Option<f64>>) {
        let mut count = 0;
        for (at, value) in row.into_iter().enumerate() {
            self.number(format!("{place}/{}", leads[at]), value);
            count += 1;
        }
        assert!(count == 0 || count == leads.len(), "{place}: {count} values for {leads:?}");
    }
}

pub fn json(bytes: &[u8]) -> Said {
    let object: Value = serde_json::from_slice(bytes).unwrap();
    let mut said = Said::default();
    for name in ["stream", "series", "model", "degraded", "anomaly"] {
        said.text(name, object[name].as_str());
    }
    for name in ["interval_s", "leads_left_out", "anomaly_score"] {
        said.number(name, object[name].as_f64());
    }
    let leads = object["leads"].as_array().map(|leads| leads.iter().filter_map(Value::as_f64).collect());
    let leads: Vec<f64> = leads.unwrap_or_else(|| vec![1.0, 2.0, 3.0, 4.0]);
    let row = |said: &mut Said, place: String, row: &Value| {
        let row = row.as_array().unwrap();
        said.row(&place, &leads[..row.len()], row.iter().map(Value::as_f64));
    };
    for (name, target) in object["targets"].as_object().unwrap() {
        said.number(format!("{name}/last"), target["last"].as_f64());
        if target["yhat"].is_array() {
            row(&mut said, format!("{name}/yhat"), &target["yhat"]);
        }
        for (level, values) in target["quantiles"].as_object().into_iter().flatten() {
            row(&mut said, format!("{name}/{level}"), values);
        }
    }
    for limit in object["limits"].as_array().into_iter().flatten() {
        let side = if limit["above"].is_null() { "below" } else { "above" };
        let place = format!("{}/{side}/{}", limit["target"].as_str().unwrap(), limit[side].as_f64().unwrap());
        said.number(format!("{place}/probability"), limit["probability"].as_f64());
        said.number(format!("{place}/first_lead"), limit["first_lead"].as_f64());
    }
    said
}

/// As [`json`], of an object with `leads` in any case and quantiles by level.
fn object(mut object: Value) -> Said {
    if object["leads_left_out"] == 0 {
        object.as_object_mut().unwrap().remove("leads_left_out");
    }
    json(object.to_string().as_bytes())
}

pub fn avro(bytes: &[u8]) -> Said {
    let text = output_schema(OutputFormat::Avro).unwrap().text;
    let schema = apache_avro::Schema::parse_str(&text).unwrap();
    let mut rest = bytes;
    let value = apache_avro::from_avro_datum(&schema, &mut rest, None).unwrap();
    assert!(rest.is_empty(), "all is read");
    object(avro_json(value))
}

fn avro_json(value: Avro) -> Value {
    match value {
        Avro::Record(fields) => fields.into_iter().map(|(name, value)| (name, avro_json(value))).collect(),
        Avro::Map(members) => members.into_iter().map(|(name, value)| (name, avro_json(value))).collect(),
        Avro::Array(items) => items.into_iter().map(avro_json).collect(),
        Avro::Union(_, value) => avro_json(*value),
        Avro::String(text) => text.into(),
        Avro::Double(number) => number.into(),
        Avro::Int(number) => number.into(),
        Avro::Long(number) | Avro::TimestampMicros(number) => number.into(),
        Avro::Null => Value::Null,
        other => panic!("{other:?} is not in the schema"),
    }
}

pub fn protobuf(bytes: &[u8]) -> Said {
    let text = output_schema(OutputFormat::Protobuf).unwrap().text;
    let message = ProtobufSchema::compile(&text, &[]).unwrap().message_at(&[0]).unwrap();
    let mut said = proto_json(&DynamicMessage::decode(message, bytes).unwrap());
    for target in said["targets"].as_object_mut().unwrap().values_mut() {
        let quantiles = target["quantiles"].as_array().into_iter().flatten();
        target["quantiles"] = quantiles.map(|q| (q["level"].to_string(), q["values"].clone())).collect();
    }
    object(said)
}

/// The fields that are set: NaN as null, which the canonical JSON of protobuf is not.
fn proto_json(message: &DynamicMessage) -> Value {
    assert_eq!(message.unknown_fields().count(), 0, "all fields are in the schema");
    message.fields().map(|(field, value)| (field.name().to_owned(), proto_value(value))).collect()
}

fn proto_value(value: &Proto) -> Value {
    match value {
        Proto::Message(message) => proto_json(message),
        Proto::List(items) => items.iter().map(proto_value).collect(),
        Proto::Map(members) => members
            .iter()
            .map(|(name, value)| (name.as_str().unwrap().to_owned(), proto_value(value)))
            .collect(),
        Proto::String(text) => text.as_str().into(),
        Proto::F64(number) => (*number).into(),
        Proto::I32(number) => (*number).into(),
        Proto::I64(number) => (*number).into(),
        other => panic!("{other:?} is not in the schema"),
    }
}

pub fn influx(bytes: &[u8]) -> Said {
    let mut said = Said::default();
    for line in parse_lines(std::str::from_utf8(bytes).unwrap()) {
        let line = line.unwrap();
        let tags: BTreeMap<String, String> = line
            .series
            .tag_set
            .iter()
            .flatten()
            .map(|(name, value)| (name.to_string(), from_url(value.as_str())))
            .collect();
        said.text("stream", Some(&tags["stream"]));
        said.text("series", Some(&tags["series"]));
        let lead = tags.get("lead").map(|lead| lead.parse::<i64>().unwrap());
        let origin_ns = 1_795_428_000_000_000_000;
        assert_eq!(line.timestamp, Some(origin_ns + lead.unwrap_or(0) * 3_600_000_000_000));
        let target = tags.get("target").map(|target| format!("{target}/")).unwrap_or_default();
        for (name, value) in &line.field_set {
            let name = name.as_str();
            let place = match (line.series.measurement.as_str(), lead) {
                ("forecast", Some(lead)) => format!("{target}{}/{lead}", name.trim_start_matches('q')),
                ("forecast_limit", None) => {
                    let side = if tags.contains_key("above") { "above" } else { "below" };
                    format!("{target}{side}/{}/{name}", tags[side])
                }
                ("forecast_origin", None) => format!("{target}{name}"),
                other => panic!("{other:?}"),
            };
            match value {
                FieldValue::F64(number) => said.number(place, Some(*number)),
                FieldValue::String(text) => said.text(&place, Some(text.as_str())),
                other => panic!("{place} is {other:?}"),
            }
        }
    }
    said
}

fn from_url(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out += &rest[..at];
        out.push(char::from(u8::from_str_radix(&rest[at + 1..at + 3], 16).unwrap()));
        rest = &rest[at + 3..];
    }
    out + rest
}

pub fn prometheus(bytes: &[u8]) -> Said {
    let samples: Vec<Value> = serde_json::from_slice(bytes).unwrap();
    let mut said = Said::default();
    for sample in samples {
        let label = |name: &str| sample["labels"][name].as_str();
        said.text("stream", label("stream"));
        said.text("series", label("series"));
        assert_eq!(label("__name__"), sample["name"].as_str());
        assert_eq!(sample["timestamp"], "2026-11-23T10:00:00Z");
        let target = label("target").map(|target| format!("{target}/")).unwrap_or_default();
        let limit = ["above", "below"].into_iter().find_map(|side| Some(format!("{side}/{}/", label(side)?)));
        let what = match sample["name"].as_str().unwrap() {
            "forecast" => "yhat",
            "forecast_quantile" => label("quantile").unwrap(),
            "forecast_interval_seconds" => "interval_s",
            name => name.trim_start_matches("forecast_").trim_start_matches("limit_"),
        };
        let lead = label("lead").map(|lead| format!("/{lead}")).unwrap_or_default();
        let value = sample["value"].as_str().unwrap().parse().unwrap();
        said.number(format!("{target}{}{what}{lead}", limit.unwrap_or_default()), Some(value));
    }
    said
}
