//! Forecasts in formats beside JSON. `docs/outputs.md` has the shape of each.

mod avro;
mod influx;
mod parts;
mod prometheus;
mod protobuf;
#[cfg(test)]
mod tests;

pub use avro::AvroEncoder;
pub use influx::InfluxEncoder;
pub use prometheus::PrometheusEncoder;
pub use protobuf::ProtobufEncoder;

use crate::config::OutputFormat;
use crate::schemas::{SchemaKind, SchemaText};

/// The schema of a format's records, where it has one.
pub fn output_schema(format: OutputFormat) -> Option<SchemaText> {
    let (kind, text) = match format {
        OutputFormat::Avro => (SchemaKind::Avro, include_str!("../../../docs/schemas/forecast.avsc")),
        OutputFormat::Protobuf => {
            (SchemaKind::Protobuf, include_str!("../../../docs/schemas/forecast.proto"))
        }
        _ => return None,
    };
    Some(SchemaText { kind, text: text.to_owned(), references: Vec::new() })
}
