//! Forecasts as bytes, in the format that the stream's `output` names. JSON without a choice of leads and columns is
//! written by [`JsonEncoder`] alone; the other formats write from a [`Choice`].

mod influx;
mod prometheus;
mod protobuf;
#[cfg(test)]
mod tests;

use super::choice::Choice;
use super::json::JsonEncoder;
use crate::config::{OutputFormat, Stream};
use crate::domain::Forecast;
use influx::InfluxEncoder;
use prometheus::PrometheusEncoder;
use protobuf::ProtobufEncoder;

/// Writes the forecasts of one stream.
pub struct Encoder {
    choice: Choice,
    json: JsonEncoder,
    form: Form,
}

enum Form {
    Json,
    Influx(InfluxEncoder),
    Prometheus(PrometheusEncoder),
    Protobuf(ProtobufEncoder),
}

impl Encoder {
    /// An encoder of the stream's forecasts.
    pub fn new(stream: &Stream) -> Self {
        let form = match stream.output.format {
            OutputFormat::Json => Form::Json,
            OutputFormat::Influx => Form::Influx(InfluxEncoder::new(stream)),
            OutputFormat::PrometheusJson => Form::Prometheus(PrometheusEncoder::new(stream)),
            OutputFormat::Protobuf => Form::Protobuf(ProtobufEncoder::new(stream)),
        };
        Self { choice: Choice::new(stream), json: JsonEncoder::new(stream), form }
    }

    /// Writes a forecast to `out`, which is cleared first; `model` is the version's name.
    ///
    /// # Panics
    /// When the forecast's targets or levels are not those of the stream.
    pub fn encode(&mut self, series: &str, forecast: &Forecast, model: Option<&str>, out: &mut Vec<u8>) {
        self.encode_leads(series, forecast, model, usize::MAX, out);
    }

    /// As [`Self::encode`], with leads up to `longest` alone.
    ///
    /// # Panics
    /// As [`Self::encode`].
    pub fn encode_leads(
        &mut self,
        series: &str,
        forecast: &Forecast,
        model: Option<&str>,
        longest: usize,
        out: &mut Vec<u8>,
    ) {
        let Self { choice, json, form } = self;
        out.clear();
        match form {
            Form::Json if choice.is_all() => json.encode_leads(series, forecast, model, longest, out),
            Form::Json => json.encode_chosen(series, forecast, model, (choice, longest), out),
            Form::Influx(influx) => influx.encode(series, forecast, model, (choice, longest), out),
            Form::Prometheus(prometheus) => prometheus.encode(series, forecast, (choice, longest), out),
            Form::Protobuf(protobuf) => protobuf.encode(series, forecast, model, (choice, longest), out),
        }
    }

    /// Writes an anomaly as JSON to `out`, which is cleared first.
    pub fn encode_anomaly(&mut self, series: &str, forecast: &Forecast, out: &mut Vec<u8>) {
        self.json.encode_anomaly(series, forecast, out);
    }
}
