//! `InfluxDB`'s line protocol: <https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>.
//!
//! ```text
//! forecast,stream=power,series=meter-17,target=kw,lead=1 yhat=1.28,q0.05=0.9 1795431600000000000
//! ```

use super::parts::Parts;
use crate::codec::decimal::{Decimals, LEN_MAX};
use crate::config::Stream;
use crate::domain::{EventTime, Forecast, Interval};
use std::fmt::Write as _;

/// Writes a line for each target and lead, at the time that the lead speaks of, and lines at the origin.
pub struct InfluxEncoder {
    parts: Parts,
    /// `,stream=power,series=`
    stream: Vec<u8>,
    /// By target: `,target=kw`
    targets: Vec<Vec<u8>>,
    /// By level that is sent: `q0.05`
    levels: Vec<String>,
    /// By limit: `,target=kw,above=3`
    limits: Vec<Vec<u8>>,
    /// `,stream=power,series=meter-17`
    tags: Vec<u8>,
    /// The fields of a line.
    fields: Vec<u8>,
}

impl InfluxEncoder {
    pub fn new(stream: &Stream) -> Self {
        let parts = Parts::new(stream);
        let tag = |name: &str, value: &str| {
            let mut tag = format!(",{name}=").into_bytes();
            put_tag(value, &mut tag);
            tag
        };
        let targets: Vec<Vec<u8>> = parts.targets.iter().map(|name| tag("target", name)).collect();
        let limit = |limit: &crate::config::Limit| {
            let side = if limit.above { "above" } else { "below" };
            [&targets[limit.target][..], &tag(side, &limit.value.to_string())].concat()
        };
        Self {
            stream: [&tag("stream", &parts.stream)[..], b",series="].concat(),
            levels: parts.levels.iter().map(|level| format!("q{level}")).collect(),
            limits: parts.limits.iter().map(limit).collect(),
            targets,
            parts,
            tags: Vec::new(),
            fields: Vec::new(),
        }
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
        let mut digits = itoa::Buffer::new();
        let Self { parts, stream, targets, levels, limits, tags, fields } = self;
        out.clear();
        tags.clear();
        tags.extend_from_slice(stream);
        put_tag(series, tags);
        for (at, target) in forecast.targets.iter().enumerate() {
            let decimals = Decimals::new(target.decimals);
            for i in 0..leads {
                let lead = parts.thinning.lead(i);
                fields.clear();
                if parts.columns.yhat {
                    put_number("yhat", target.yhat[lead - 1], decimals, fields);
                }
                for (level, name) in levels.iter().enumerate() {
                    put_number(name, parts.quantiles(target, level)[lead - 1], decimals, fields);
                }
                let number = digits.format(lead);
                let more = [&targets[at][..], b",lead=", number.as_bytes()];
                let interval_us = parts.grid.interval().map_or(0, Interval::as_micros);
                let time = forecast.origin.offset_by(interval_us.saturating_mul(lead as i64));
                put_line(b"forecast", (tags, &more), fields, time, out);
            }
            fields.clear();
            if let Some(last) = parts.last(target) {
                put_number("last", last, decimals, fields);
            }
            put_line(b"forecast_origin", (tags, &[&targets[at]]), fields, forecast.origin, out);
        }
        fields.clear();
        if parts.columns.anomaly_score {
            put_number("anomaly_score", f64::from(forecast.anomaly.score), Decimals::new(6), fields);
            if let Some(kind) = forecast.anomaly.kind {
                put_text("anomaly", kind.name(), fields);
            }
        }
        if let Some(model) = model.filter(|_| parts.columns.model) {
            put_text("model", model, fields);
        }
        if let Some(degraded) = forecast.degraded.filter(|_| parts.columns.degraded) {
            put_text("degraded", degraded.as_str(), fields);
        }
        if let Some(interval) = parts.interval_s() {
            put_number("interval_s", interval, Decimals::new(6), fields);
        }
        if left_out > 0 {
            put_number("leads_left_out", left_out as f64, Decimals::new(0), fields);
        }
        put_line(b"forecast_origin", (tags, &[]), fields, forecast.origin, out);
        for (limit, said) in limits.iter().zip(&forecast.limits) {
            fields.clear();
            put_number("probability", f64::from(said.probability), Decimals::new(4), fields);
            let lead = said.first_lead.map_or(f64::NAN, f64::from);
            put_number("first_lead", lead, Decimals::new(0), fields);
            put_line(b"forecast_limit", (tags, &[limit]), fields, forecast.origin, out);
        }
    }
}

/// A line; none without fields, which the protocol does not have.
fn put_line(name: &[u8], tags: (&[u8], &[&[u8]]), fields: &[u8], time: EventTime, out: &mut Vec<u8>) {
    if fields.is_empty() {
        return;
    }
    out.extend_from_slice(name);
    out.extend_from_slice(tags.0);
    tags.1.iter().for_each(|tag| out.extend_from_slice(tag));
    out.push(b' ');
    out.extend_from_slice(fields);
    out.push(b' ');
    let ns = i128::from(time.as_micros()) * 1_000;
    out.extend_from_slice(itoa::Buffer::new().format(ns).as_bytes());
    out.push(b'\n');
}

/// A field with a number; none where it is not finite, which the protocol does not have.
fn put_number(name: &str, value: f64, decimals: Decimals, fields: &mut Vec<u8>) {
    if value.is_finite() {
        put_name(name, fields);
        let mut text = [0; LEN_MAX];
        let length = decimals.write(value, &mut text);
        fields.extend_from_slice(&text[..length]);
    }
}

/// A field with a text.
fn put_text(name: &str, value: &str, fields: &mut Vec<u8>) {
    put_name(name, fields);
    fields.push(b'"');
    for byte in value.bytes() {
        if matches!(byte, b'"' | b'\\') {
            fields.push(b'\\');
        }
        fields.push(byte);
    }
    fields.push(b'"');
}

fn put_name(name: &str, fields: &mut Vec<u8>) {
    if !fields.is_empty() {
        fields.push(b',');
    }
    fields.extend_from_slice(name.as_bytes());
    fields.push(b'=');
}

/// The value of a tag. Readers of the protocol disagree about backslashes, and most take no control characters: these, and
/// the percent sign, are written as in URLs. So two series never have one tag.
fn put_tag(value: &str, out: &mut Vec<u8>) {
    for c in value.chars() {
        match c {
            ',' | '=' | ' ' => out.extend_from_slice(&[b'\\', c as u8]),
            '\\' | '%' | '\0'..='\x1f' | '\x7f' => {
                let mut text = String::new();
                write!(text, "%{:02X}", c as u32).expect("a string takes everything");
                out.extend_from_slice(text.as_bytes());
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}
