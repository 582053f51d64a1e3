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
