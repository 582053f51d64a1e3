//! Samples of Prometheus as JSON, each as its Kafka adapter writes it
//! (<https://github.com/Telefonica/prometheus-kafka-adapter>), in one array.
//!
//! All have the time of the origin: Prometheus takes no samples from the future. A lead is a label.

use super::parts::Parts;
use crate::codec::decimal::{Decimals, put_numbers};
use crate::codec::json::put_string;
use crate::codec::time::put_rfc3339;
use crate::config::Stream;
use crate::domain::Forecast;

/// Writes a sample for each target, lead and quantile, and some for the origin.
pub struct PrometheusEncoder {
    parts: Parts,
    /// By target: `,"target":"kw"`
    targets: Vec<String>,
    /// By level that is sent: `,"quantile":"0.05"`
    levels: Vec<String>,
    /// By limit: `,"target":"kw","above":"3"`
    limits: Vec<String>,
    /// `","timestamp":"…","value":"`
    time: Vec<u8>,
    /// `,"stream":"power","series":"…"`
    labels: Vec<u8>,
}

impl PrometheusEncoder {
    pub fn new(stream: &Stream) -> Self {
        let parts = Parts::new(stream);
        let label = |name: &str, value: &str| {
            let mut label = format!(",\"{name}\":").into_bytes();
            put_string(value, &mut label);
            String::from_utf8(label).expect("JSON is UTF-8")
        };
        let targets: Vec<String> = parts.targets.iter().map(|name| label("target", name)).collect();
        let limit = |limit: &crate::config::Limit| {
            let side = if limit.above { "above" } else { "below" };
            targets[limit.target].clone() + &label(side, &limit.value.to_string())
        };
        Self {
            levels: parts.levels.iter().map(|level| label("quantile", &level.to_string())).collect(),
            limits: parts.limits.iter().map(limit).collect(),
            targets,
            parts,
            time: Vec::new(),
            labels: Vec::new(),
        }
    }

    pub fn encode(&mut self, series: &str, forecast: &Forecast, most: usize, out: &mut Vec<u8>) {
        let (leads, left_out) = self.parts.leads(forecast, most);
        let Self { parts, targets, levels, limits, time, labels } = self;
        time.clear();
        time.extend_from_slice(b"\",\"timestamp\":\"");
        put_rfc3339(forecast.origin, time);
        time.extend_from_slice(b"\",\"value\":\"");
        labels.clear();
        labels.extend_from_slice(b",\"stream\":");
        put_string(&parts.stream, labels);
        labels.extend_from_slice(b",\"series\":");
        put_string(series, labels);
        out.clear();
        out.push(b'[');
        let mut put = |name: &str, more: [&str; 2], lead: Option<usize>, value: f64, decimals: Decimals| {
            if !value.is_finite() {
                return;
            }
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"labels\":{\"__name__\":\"");
            out.extend_from_slice(name.as_bytes());
            out.push(b'"');
            out.extend_from_slice(labels);
            more.iter().for_each(|label| out.extend_from_slice(label.as_bytes()));
            if let Some(lead) = lead {
                out.extend_from_slice(b",\"lead\":\"");
                out.extend_from_slice(itoa::Buffer::new().format(lead).as_bytes());
                out.push(b'"');
            }
            out.extend_from_slice(b"},\"name\":\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(time);
            put_numbers(&[value], decimals, out);
            out.extend_from_slice(b"\"}");
        };
        for (at, target) in forecast.targets.iter().enumerate() {
            let decimals = Decimals::new(target.decimals);
            let name = targets[at].as_str();
            for i in 0..leads {
                let lead = parts.thinning.lead(i);
                if parts.columns.yhat {
                    put("forecast", [name, ""], Some(lead), target.yhat[lead - 1], decimals);
                }
                for (level, label) in levels.iter().enumerate() {
                    let value = parts.quantiles(target, level)[lead - 1];
                    put("forecast_quantile", [name, label], Some(lead), value, decimals);
                }
            }
            put("forecast_last", [name, ""], None, parts.last(target).unwrap_or(f64::NAN), decimals);
        }
        if parts.columns.anomaly_score {
            let score = f64::from(forecast.anomaly.score);
            put("forecast_anomaly_score", [""; 2], None, score, Decimals::new(6));
        }
        if parts.columns.degraded {
            let is_degraded = f64::from(u8::from(forecast.degraded.is_some()));
            put("forecast_degraded", [""; 2], None, is_degraded, Decimals::new(0));
        }
        if let Some(interval) = parts.interval_s() {
            put("forecast_interval_seconds", [""; 2], None, interval, Decimals::new(6));
        }
        if left_out > 0 {
            put("forecast_leads_left_out", [""; 2], None, left_out as f64, Decimals::new(0));
        }
        for (limit, said) in limits.iter().zip(&forecast.limits) {
            let probability = f64::from(said.probability);
            put("forecast_limit_probability", [limit, ""], None, probability, Decimals::new(4));
            let lead = said.first_lead.map_or(f64::NAN, f64::from);
            put("forecast_limit_first_lead", [limit, ""], None, lead, Decimals::new(0));
        }
        out.push(b']');
    }
}
