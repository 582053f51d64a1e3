//! Forecasts as `InfluxDB`'s line protocol, as Telegraf reads it from Kafka. The measurement is the stream:
//!
//! ```text
//! power,series=meter-17,target=kw,lead=0 last=1.31,anomaly_score=0.04,model="power-000012" 1700000000000000000
//! power,series=meter-17,target=kw,lead=1 yhat=1.28,q0.05=0.9,q0.95=1.7,origin=1700000000000000000i 1700003600000000000
//! ```
//! The line of lead 0 is the reading at the origin. The time of another lead is the time that it forecasts; on an irregular
//! stream, whose leads have no time, it is the origin.

use crate::codec::choice::Choice;
use crate::codec::decimal::{Decimals, LEN_MAX};
use crate::config::Stream;
use crate::domain::{Forecast, Interval, TargetForecast};
use std::io::Write;

pub struct InfluxEncoder {
    /// The measurement and `,series=`.
    head: Vec<u8>,
    /// By target: `,target=kw,lead=`.
    targets: Vec<Vec<u8>>,
    /// By level: `q0.05=`.
    levels: Vec<Vec<u8>>,
    interval_us: i64,
}

impl InfluxEncoder {
    pub fn new(stream: &Stream) -> Self {
        let mut head = Vec::new();
        put_escaped(stream.name.as_str(), b", ", &mut head);
        head.extend_from_slice(b",series=");
        let target = |name: &String| {
            let mut text = b",target=".to_vec();
            put_escaped(name, b",= ", &mut text);
            text.extend_from_slice(b",lead=");
            text
        };
        Self {
            head,
            targets: stream.targets.iter().map(target).collect(),
            levels: stream.levels.iter().map(|level| format!("q{level}=").into()).collect(),
            interval_us: stream.grid.interval().map_or(0, Interval::as_micros),
        }
    }

    pub fn encode(
        &self,
        series: &str,
        forecast: &Forecast,
        model: Option<&str>,
        (choice, longest): (&Choice, usize),
        out: &mut Vec<u8>,
    ) {
        let origin_ns = i128::from(forecast.origin.as_micros()) * 1_000;
        for (head, target) in self.targets.iter().zip(&forecast.targets) {
            let decimals = Decimals::new(target.decimals);
            self.begin(series, head, 0, out);
            let mut fields = Fields { out, any: false };
            if choice.last {
                fields.number("last", target.last.unwrap_or(f64::NAN), decimals);
            }
            fields.number("anomaly_score", f64::from(forecast.anomaly.score), Decimals::new(6));
            if let Some(model) = model {
                fields.text("model", model);
            }
            writeln!(out, " {origin_ns}").expect("memory takes what is written");
            for lead in choice.leads(target.yhat.len(), longest) {
                self.lead(series, head, (target, lead), choice, origin_ns, out);
            }
        }
    }

    fn lead(
        &self,
        series: &str,
        head: &[u8],
        (target, lead): (&TargetForecast, usize),
        choice: &Choice,
        origin_ns: i128,
        out: &mut Vec<u8>,
    ) {
        let (decimals, horizon) = (Decimals::new(target.decimals), target.yhat.len());
        self.begin(series, head, lead, out);
        let mut fields = Fields { out, any: false };
        if choice.yhat {
            fields.number("yhat", target.yhat[lead - 1], decimals);
        }
        for level in &choice.levels {
            let value = target.quantiles[level * horizon + lead - 1];
            fields.begun(&self.levels[*level], value, decimals);
        }
        fields.whole("origin", origin_ns);
        let time_ns = origin_ns + lead as i128 * i128::from(self.interval_us) * 1_000;
        writeln!(out, " {time_ns}").expect("memory takes what is written");
    }

    /// `power,series=meter-17,target=kw,lead=1 `
    fn begin(&self, series: &str, head: &[u8], lead: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        put_escaped(series, b",= ", out);
        out.extend_from_slice(head);
        write!(out, "{lead} ").expect("memory takes what is written");
    }
}

/// The fields of a line. A value that is not finite has none.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
    any: bool,
}

impl Fields<'_> {
    fn number(&mut self, name: &str, value: f64, decimals: Decimals) {
        if value.is_finite() {
            self.name(name.as_bytes());
            self.out.push(b'=');
            self.digits(value, decimals);
        }
    }

    /// As [`Self::number`], by a name that ends in `=`.
    fn begun(&mut self, name: &[u8], value: f64, decimals: Decimals) {
        if value.is_finite() {
            self.name(name);
            self.digits(value, decimals);
        }
    }

    fn digits(&mut self, value: f64, decimals: Decimals) {
        let mut text = [0; LEN_MAX];
        let len = decimals.write(value, &mut text);
        self.out.extend_from_slice(&text[..len]);
    }

    fn whole(&mut self, name: &str, value: i128) {
        self.name(name.as_bytes());
        write!(self.out, "={value}i").expect("memory takes what is written");
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name.as_bytes());
        self.out.extend_from_slice(b"=\"");
        put_escaped(value, b"\"\\", self.out);
        self.out.push(b'"');
    }

    fn name(&mut self, name: &[u8]) {
        if std::mem::replace(&mut self.any, true) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(name);
    }
}

/// Writes a name or a text with a backslash before each of these signs. The line protocol can't hold a line break, and a
/// backslash at the end of a tag would escape what follows: each becomes a space or a slash.
fn put_escaped(text: &str, signs: &[u8], out: &mut Vec<u8>) {
    let in_tag = !signs.contains(&b'"');
    for byte in text.bytes() {
        match byte {
            b'\n' | b'\r' => out.extend_from_slice(if in_tag { b"\\ " } else { b" " }),
            b'\\' if in_tag => out.push(b'/'),
            _ if signs.contains(&byte) => out.extend_from_slice(&[b'\\', byte]),
            _ => out.push(byte),
        }
    }
}
