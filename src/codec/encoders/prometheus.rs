//! Forecasts as Prometheus samples, an array of them as JSON:
//!
//! ```json
//! [{"timestamp":"2026-01-01T00:00:00Z","value":"1.28","name":"tidecast_forecast",
//!   "labels":{"stream":"power","series":"meter-17","target":"kw","lead":"1"}}]
//! ```
//! `tidecast_forecast` is the point, `tidecast_forecast_quantile` has the label `quantile`, and `tidecast_reading` and
//! `tidecast_reading_anomaly_score` are of the reading. The time is always the origin, because Prometheus takes no samples
//! of the future.

use crate::codec::choice::Choice;
use crate::codec::decimal::{Decimals, LEN_MAX};
use crate::codec::time::put_rfc3339;
use crate::config::Stream;
use crate::domain::Forecast;

pub struct PrometheusEncoder {
    /// `","labels":{"stream":"power","series":`
    stream: Vec<u8>,
    /// By target: `,"target":"kw"`.
    targets: Vec<Vec<u8>>,
    /// By level: `,"quantile":"0.05"`.
    levels: Vec<Vec<u8>>,
}

/// A sample: its name, its labels beside series and lead, and its value.
struct Sample<'a> {
    name: &'a str,
    labels: [&'a [u8]; 2],
    lead: Option<usize>,
    value: f64,
    decimals: Decimals,
}

impl PrometheusEncoder {
    pub fn new(stream: &Stream) -> Self {
        let quoted = |text: &str| serde_json::to_string(text).expect("a string can be written");
        Self {
            stream: format!("\",\"labels\":{{\"stream\":{},\"series\":", quoted(stream.name.as_str())).into(),
            targets: stream
                .targets
                .iter()
                .map(|name| format!(",\"target\":{}", quoted(name)).into())
                .collect(),
            levels: stream.levels.iter().map(|level| format!(",\"quantile\":\"{level}\"").into()).collect(),
        }
    }

    pub fn encode(
        &self,
        series: &str,
        forecast: &Forecast,
        (choice, longest): (&Choice, usize),
        out: &mut Vec<u8>,
    ) {
        let mut put = |sample: Sample<'_>| self.put(series, forecast, &sample, out);
        for (target, said) in self.targets.iter().zip(&forecast.targets) {
            let (decimals, horizon) = (Decimals::new(said.decimals), said.yhat.len());
            let sample = |name, level: &'static [u8], lead, value| Sample {
                name,
                labels: [target, level],
                lead,
                value,
                decimals,
            };
            if choice.last {
                put(sample("tidecast_reading", b"", None, said.last.unwrap_or(f64::NAN)));
            }
            for lead in choice.leads(horizon, longest) {
                if choice.yhat {
                    put(sample("tidecast_forecast", b"", Some(lead), said.yhat[lead - 1]));
                }
                for level in &choice.levels {
                    let value = said.quantiles[level * horizon + lead - 1];
                    let labels: [&[u8]; 2] = [target, &self.levels[*level]];
                    put(Sample {
                        name: "tidecast_forecast_quantile",
                        labels,
                        lead: Some(lead),
                        value,
                        decimals,
                    });
                }
            }
        }
        let (score, decimals) = (f64::from(forecast.anomaly.score), Decimals::new(6));
        let name = "tidecast_reading_anomaly_score";
        put(Sample { name, labels: [b"", b""], lead: None, value: score, decimals });
        out.push(b']');
    }

    /// Appends a sample; one that is not finite is left out.
    fn put(&self, series: &str, forecast: &Forecast, sample: &Sample<'_>, out: &mut Vec<u8>) {
        if !sample.value.is_finite() {
            return;
        }
        out.push(if out.is_empty() { b'[' } else { b',' });
        out.extend_from_slice(b"{\"timestamp\":\"");
        put_rfc3339(forecast.origin, out);
        out.extend_from_slice(b"\",\"value\":\"");
        let mut digits = [0; LEN_MAX];
        let len = sample.decimals.write(sample.value, &mut digits);
        out.extend_from_slice(&digits[..len]);
        out.extend_from_slice(b"\",\"name\":\"");
        out.extend_from_slice(sample.name.as_bytes());
        out.extend_from_slice(&self.stream);
        serde_json::to_writer(&mut *out, series).expect("a string can be written to memory");
        sample.labels.iter().for_each(|label| out.extend_from_slice(label));
        if let Some(lead) = sample.lead {
            out.extend_from_slice(b",\"lead\":\"");
            out.extend_from_slice(itoa::Buffer::new().format(lead).as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b"}}");
    }
}
