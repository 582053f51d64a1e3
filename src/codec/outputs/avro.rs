//! Avro 1.11, binary: <https://avro.apache.org/docs/1.11.1/specification/#binary-encoding>. The schema is
//! `docs/schemas/forecast.avsc`.

use super::parts::Parts;
use crate::codec::decimal::Decimals;
use crate::config::Stream;
use crate::domain::{AnomalyKind, Degraded, Forecast, TargetForecast};

/// Writes forecasts as Avro, behind the schema's id where there is one.
pub struct AvroEncoder {
    parts: Parts,
    /// The zero byte and the id.
    frame: Vec<u8>,
    levels: Vec<String>,
}

impl AvroEncoder {
    pub fn new(stream: &Stream) -> Self {
        let parts = Parts::new(stream);
        let frame = stream.output.schema_id.map(|id| [&[0], &id.to_be_bytes()[..]].concat());
        let levels = parts.levels.iter().map(ToString::to_string).collect();
        Self { parts, frame: frame.unwrap_or_default(), levels }
    }

    pub fn encode(
        &mut self,
        series: &str,
        forecast: &Forecast,
        model: Option<&str>,
        most: usize,
        out: &mut Vec<u8>,
    ) {
        let (leads, left_out) = self.parts.leads(forecast, most);
        let columns = &self.parts.columns;
        out.clear();
        out.extend_from_slice(&self.frame);
        put_text(&self.parts.stream, out);
        put_text(series, out);
        put_long(forecast.origin.as_micros(), out);
        put_union(self.parts.interval_s(), out, put_double);
        put_union(model.filter(|_| columns.model), out, put_text);
        put_union(forecast.degraded.filter(|_| columns.degraded).map(Degraded::as_str), out, put_text);
        put_items(leads, out, |at, out| put_long(self.parts.thinning.lead(at) as i64, out));
        put_long(left_out as i64, out);
        put_count(forecast.targets.len(), out);
        for (at, target) in forecast.targets.iter().enumerate() {
            put_text(&self.parts.targets[at], out);
            self.put_target(target, leads, out);
        }
        put_end(forecast.targets.len(), out);
        let columns = &self.parts.columns;
        let score = Decimals::new(6).round(f64::from(forecast.anomaly.score));
        put_union(Some(score).filter(|_| columns.anomaly_score), out, put_double);
        let kind = forecast.anomaly.kind.filter(|_| columns.anomaly_score);
        put_union(kind.map(AnomalyKind::name), out, put_text);
        put_items(self.parts.limits.len(), out, |at, out| {
            let (limit, said) = (self.parts.limits[at], forecast.limits[at]);
            put_text(&self.parts.targets[limit.target], out);
            put_union(Some(limit.value).filter(|_| limit.above), out, put_double);
            put_union(Some(limit.value).filter(|_| !limit.above), out, put_double);
            put_double(Decimals::new(4).round(f64::from(said.probability)), out);
            put_union(said.first_lead.map(i64::from), out, put_long);
        });
    }

    fn put_target(&mut self, target: &TargetForecast, leads: usize, out: &mut Vec<u8>) {
        let decimals = Decimals::new(target.decimals);
        put_union(self.parts.last(target), out, put_double);
        let sent = if self.parts.columns.yhat { leads } else { 0 };
        let row = self.parts.thinning.of(&target.yhat, sent);
        put_items(sent, out, |at, out| put_double(decimals.round(row[at]), out));
        put_count(self.levels.len(), out);
        for (level, name) in self.levels.iter().enumerate() {
            put_text(name, out);
            let row = self.parts.quantiles(target, level);
            let row = self.parts.thinning.of(row, leads);
            put_items(leads, out, |at, out| put_double(decimals.round(row[at]), out));
        }
        put_end(self.levels.len(), out);
    }
}

/// A zigzag number of variable length.
fn put_long(value: i64, out: &mut Vec<u8>) {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    prost::encoding::encode_varint(zigzag, out);
}

fn put_double(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_long(text.len() as i64, out);
    out.extend_from_slice(text.as_bytes());
}

/// A union of null and a type.
fn put_union<T>(value: Option<T>, out: &mut Vec<u8>, put: impl FnOnce(T, &mut Vec<u8>)) {
    put_long(i64::from(value.is_some()), out);
    if let Some(value) = value {
        put(value, out);
    }
}

/// The head of the only block of an array or map; an empty one has none.
fn put_count(count: usize, out: &mut Vec<u8>) {
    put_long(count as i64, out);
}

/// The end of an array or map. The head of an empty one is its end.
fn put_end(count: usize, out: &mut Vec<u8>) {
    if count > 0 {
        out.push(0);
    }
}

fn put_items(count: usize, out: &mut Vec<u8>, mut put: impl FnMut(usize, &mut Vec<u8>)) {
    put_count(count, out);
    (0..count).for_each(|at| put(at, out));
    put_end(count, out);
}
