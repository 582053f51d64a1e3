//! Protobuf: <https://protobuf.dev/programming-guides/encoding/>. The message is `docs/schemas/forecast.proto`.

use super::parts::Parts;
use crate::codec::decimal::Decimals;
use crate::config::Stream;
use crate::domain::{AnomalyKind, Degraded, Forecast, TargetForecast};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// Writes forecasts as protobuf, behind the schema's id where there is one.
pub struct ProtobufEncoder {
    parts: Parts,
    /// The zero byte, the id, and a zero: the first message of the file.
    frame: Vec<u8>,
}

impl ProtobufEncoder {
    pub fn new(stream: &Stream) -> Self {
        let frame = stream.output.schema_id.map(|id| [&[0], &id.to_be_bytes()[..], &[0]].concat());
        Self { parts: Parts::new(stream), frame: frame.unwrap_or_default() }
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
        put_text(1, &self.parts.stream, out);
        put_text(2, series, out);
        put_whole(3, forecast.origin.as_micros(), out);
        put_double(4, self.parts.interval_s(), out);
        if let Some(model) = model.filter(|_| columns.model) {
            put_text(5, model, out);
        }
        if let Some(degraded) = forecast.degraded.filter(|_| columns.degraded).map(Degraded::as_str) {
            put_text(6, degraded, out);
        }
        put_message(7, out, |out| {
            (0..leads).for_each(|at| encode_varint(self.parts.thinning.lead(at) as u64, out));
        });
        if left_out > 0 {
            put_whole(8, left_out as i64, out);
        }
        for (at, target) in forecast.targets.iter().enumerate() {
            put_message(9, out, |out| self.put_target(at, target, leads, out));
        }
        if self.parts.columns.anomaly_score {
            put_double(10, Some(Decimals::new(6).round(f64::from(forecast.anomaly.score))), out);
            if let Some(kind) = forecast.anomaly.kind.map(AnomalyKind::name) {
                put_text(11, kind, out);
            }
        }
        for (limit, said) in self.parts.limits.iter().zip(&forecast.limits) {
            put_message(12, out, |out| {
                put_text(1, &self.parts.targets[limit.target], out);
                put_double(if limit.above { 2 } else { 3 }, Some(limit.value), out);
                put_double(4, Some(Decimals::new(4).round(f64::from(said.probability))), out);
                if let Some(lead) = said.first_lead {
                    put_whole(5, i64::from(lead), out);
                }
            });
        }
    }

    /// An entry of the map of targets.
    fn put_target(&mut self, at: usize, target: &TargetForecast, leads: usize, out: &mut Vec<u8>) {
        put_text(1, &self.parts.targets[at], out);
        put_message(2, out, |out| {
            let decimals = Decimals::new(target.decimals);
            put_double(1, self.parts.last(target), out);
            if self.parts.columns.yhat {
                put_doubles(2, self.parts.thinning.of(&target.yhat, leads), decimals, out);
            }
            for level in 0..self.parts.levels.len() {
                put_message(3, out, |out| {
                    put_double(1, Some(self.parts.levels[level].get()), out);
                    let row = self.parts.quantiles(target, level);
                    put_doubles(2, self.parts.thinning.of(row, leads), decimals, out);
                });
            }
        });
    }
}

fn put_text(tag: u32, text: &str, out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn put_whole(tag: u32, value: i64, out: &mut Vec<u8>) {
    encode_key(tag, WireType::Varint, out);
    encode_varint(value as u64, out);
}

fn put_double(tag: u32, value: Option<f64>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        encode_key(tag, WireType::SixtyFourBit, out);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// A packed list.
fn put_doubles(tag: u32, values: &[f64], decimals: Decimals, out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(8 * values.len() as u64, out);
    values.iter().for_each(|value| out.extend_from_slice(&decimals.round(*value).to_le_bytes()));
}

/// A nested message, or a packed list. Its length stands before it and is known behind it, so it moves by as many bytes
/// as the length takes.
fn put_message(tag: u32, out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    encode_key(tag, WireType::LengthDelimited, out);
    let start = out.len();
    put(out);
    let end = out.len();
    let length = (end - start) as u64;
    let room = encoded_len_varint(length);
    out.resize(end + room, 0);
    out.copy_within(start..end, start + room);
    encode_varint(length, &mut &mut out[start..start + room]);
}
