//! Forecasts to bytes, in the format of the stream's config.

use super::json::JsonEncoder;
use super::outputs::{AvroEncoder, InfluxEncoder, PrometheusEncoder, ProtobufEncoder};
use crate::config::{OutputFormat, Stream};
use crate::domain::Forecast;

/// Writes the forecasts and anomalies of one stream.
pub struct Encoder {
    /// Anomalies are JSON in any case.
    json: JsonEncoder,
    other: Option<Other>,
}

enum Other {
    Avro(AvroEncoder),
    Protobuf(ProtobufEncoder),
    Influx(InfluxEncoder),
    Prometheus(PrometheusEncoder),
}

impl Encoder {
    /// An encoder of the stream's forecasts.
    pub fn new(stream: &Stream) -> Self {
        let other = match stream.output.format {
            OutputFormat::Json => None,
            OutputFormat::Avro => Some(Other::Avro(AvroEncoder::new(stream))),
            OutputFormat::Protobuf => Some(Other::Protobuf(ProtobufEncoder::new(stream))),
            OutputFormat::Influx => Some(Other::Influx(InfluxEncoder::new(stream))),
            OutputFormat::PrometheusJson => Some(Other::Prometheus(PrometheusEncoder::new(stream))),
        };
        Self { json: JsonEncoder::new(stream), other }
    }

    /// How many leads are sent of a forecast.
    pub fn leads(&self) -> usize {
        self.json.leads()
    }

    /// Writes a forecast to `out`, which is cleared first; `model` is the version's name.
    ///
    /// # Panics
    /// When the forecast's targets or levels are not those of the stream.
    pub fn encode(&mut self, series: &str, forecast: &Forecast, model: Option<&str>, out: &mut Vec<u8>) {
        self.encode_leads(series, forecast, model, usize::MAX, out);
    }

    /// As [`Self::encode`], with at most the first `leads` of those that are sent. The forecast says how many are left
    /// out.
    ///
    /// # Panics
    /// As [`Self::encode`].
    pub fn encode_leads(
        &mut self,
        series: &str,
        forecast: &Forecast,
        model: Option<&str>,
        leads: usize,
        out: &mut Vec<u8>,
    ) {
        match &mut self.other {
            None => self.json.encode_leads(series, forecast, model, leads, out),
            Some(Other::Avro(avro)) => avro.encode(series, forecast, model, leads, out),
            Some(Other::Protobuf(protobuf)) => protobuf.encode(series, forecast, model, leads, out),
            Some(Other::Influx(influx)) => influx.encode(series, forecast, model, leads, out),
            Some(Other::Prometheus(prometheus)) => prometheus.encode(series, forecast, leads, out),
        }
    }

    /// Writes an anomaly as JSON to `out`, which is cleared first: the reading's values, what the forecast before
    /// expected, and the score.
    pub fn encode_anomaly(&mut self, series: &str, forecast: &Forecast, out: &mut Vec<u8>) {
        self.json.encode_anomaly(series, forecast, out);
    }
}
