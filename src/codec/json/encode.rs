use crate::codec::decimal::{Decimals, LEN_MAX, put_numbers};
use crate::codec::thinning::Thinning;
use crate::codec::time::put_rfc3339;
use crate::config::{Columns, Limit, Stream};
use crate::domain::{Degraded, Forecast, TargetForecast};

/// Writes the forecasts of one stream as JSON.
pub struct JsonEncoder {
    /// `{"stream":"power","series":`
    head: Vec<u8>,
    /// `","interval_s":3600`, and the leads where not all are sent.
    after_origin: Vec<u8>,
    /// By target: `"kw":{`, with a comma before all but the first.
    targets: Vec<Vec<u8>>,
    /// By level that is sent: `"0.05":[`, with a comma before all but the first.
    levels: Vec<Vec<u8>>,
    columns: Columns,
    thinning: Thinning,
    /// By limit: `{"target":"kw","above":3,"probability":`, with a comma before all but the first.
    limits: Vec<Vec<u8>>,
    /// By target: `"kw":{"value":`, by level: `"0.05":`, likewise.
    values: Vec<Vec<u8>>,
    bounds: Vec<Vec<u8>>,
}

impl JsonEncoder {
    /// An encoder of the stream's forecasts.
    pub fn new(stream: &Stream) -> Self {
        let quoted = |text: &str| serde_json::to_string(text).expect("a string can be written");
        let comma = |i: usize| if i == 0 { "" } else { "," };
        let interval = stream.grid.interval().map(|interval| {
            let mut text = [0; LEN_MAX];
            let len = Decimals::new(6).write(interval.as_seconds(), &mut text);
            String::from_utf8_lossy(&text[..len]).into_owned()
        });
        let interval = interval.as_deref().unwrap_or("null");
        let mut after_origin = String::from("\"");
        if stream.output.columns.interval {
            after_origin += &format!(",\"interval_s\":{interval}");
        }
        if let Some(leads) = &stream.output.leads {
            after_origin += &format!(",\"leads\":{leads:?}").replace(' ', "");
        }
        let columns = stream.output.columns.clone();
        let target = |(i, name): (usize, &String)| format!("{}{}:{{", comma(i), quoted(name)).into();
        let level = |(i, level)| format!("{}\"{level}\":[", comma(i)).into();
        let limit = |(i, limit): (usize, &Limit)| {
            let (target, side) =
                (quoted(&stream.targets[limit.target]), if limit.above { "above" } else { "below" });
            let value = serde_json::to_string(&limit.value).expect("a number can be written");
            format!("{}{{\"target\":{target},\"{side}\":{value},\"probability\":", comma(i)).into()
        };
        let value = |(i, name): (usize, &String)| format!("{}{}:{{\"value\":", comma(i), quoted(name)).into();
        let bound = |(i, level)| format!("{}\"{level}\":", comma(i)).into();
        Self {
            limits: stream.alarms.limits.iter().filter(|_| columns.limits).enumerate().map(limit).collect(),
            values: stream.targets.iter().enumerate().map(value).collect(),
            bounds: stream.levels.iter().enumerate().map(bound).collect(),
            head: format!("{{\"stream\":{},\"series\":", quoted(stream.name.as_str())).into(),
            after_origin: after_origin.into(),
            targets: stream.targets.iter().enumerate().map(target).collect(),
            levels: {
                let all: Vec<_> = stream.levels.iter().collect();
                columns.levels.iter().map(|at| all[*at]).enumerate().map(level).collect()
            },
            columns,
            thinning: Thinning::new(stream),
        }
    }

    /// How many leads are sent of a forecast.
    pub fn leads(&self) -> usize {
        self.thinning.most()
    }

    /// Writes a forecast, with at most the first `leads` of those that are sent, to `out`, which is cleared first;
    /// `model` is the version's name. A value that is not finite becomes null.
    ///
    /// # Panics
    /// When the forecast's targets or levels are not those of the stream.
    pub fn encode_leads(
        &mut self,
        series: &str,
        forecast: &Forecast,
        model: Option<&str>,
        leads: usize,
        out: &mut Vec<u8>,
    ) {
        assert_eq!(forecast.targets.len(), self.targets.len(), "targets of a forecast and of its stream");
        out.clear();
        out.extend_from_slice(&self.head);
        put_string(series, out);
        out.extend_from_slice(b",\"origin\":\"");
        put_rfc3339(forecast.origin, out);
        out.extend_from_slice(&self.after_origin);
        if self.columns.model {
            out.extend_from_slice(b",\"model\":");
            put_text_or_null(model, out);
        }
        if self.columns.degraded {
            out.extend_from_slice(b",\"degraded\":");
            put_text_or_null(forecast.degraded.map(Degraded::as_str), out);
        }
        let left_out = forecast
            .targets
            .iter()
            .map(|target| self.thinning.count(target.yhat.len()).saturating_sub(leads))
            .max();
        if let Some(left_out) = left_out.filter(|left_out| *left_out > 0) {
            out.extend_from_slice(b",\"leads_left_out\":");
            put_numbers(&[left_out as f64], Decimals::new(0), out);
        }
        out.extend_from_slice(b",\"targets\":{");
        for (at, target) in forecast.targets.iter().enumerate() {
            out.extend_from_slice(&self.targets[at]);
            self.put_target(target, leads, out);
        }
        out.push(b'}');
        if self.columns.anomaly_score {
            put_score(forecast, out);
        }
        if !self.limits.is_empty() {
            assert_eq!(forecast.limits.len(), self.limits.len(), "limits of a forecast and of its stream");
            out.extend_from_slice(b",\"limits\":[");
            for (head, said) in self.limits.iter().zip(&forecast.limits) {
                out.extend_from_slice(head);
                put_numbers(&[f64::from(said.probability)], Decimals::new(4), out);
                out.extend_from_slice(b",\"first_lead\":");
                let lead = said.first_lead.map_or(f64::NAN, f64::from);
                put_numbers(&[lead], Decimals::new(0), out);
                out.push(b'}');
            }
            out.push(b']');
        }
        out.push(b'}');
    }

    /// Writes an anomaly to `out`, which is cleared first: the reading's values, what the forecast before expected, and
    /// the score.
    pub fn encode_anomaly(&mut self, series: &str, forecast: &Forecast, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.head);
        put_string(series, out);
        out.extend_from_slice(b",\"time\":\"");
        put_rfc3339(forecast.origin, out);
        out.push(b'"');
        put_score(forecast, out);
        out.extend_from_slice(b",\"targets\":{");
        for (head, target) in self.values.iter().zip(&forecast.targets) {
            let decimals = Decimals::new(target.decimals);
            out.extend_from_slice(head);
            put_numbers(&[target.last.unwrap_or(f64::NAN)], decimals, out);
            out.extend_from_slice(b",\"expected\":");
            let said = |i: usize| [target.expected.get(i).copied().unwrap_or(f64::NAN)];
            put_numbers(&said(0), decimals, out);
            out.extend_from_slice(b",\"quantiles\":{");
            for (level, head) in self.bounds.iter().enumerate() {
                out.extend_from_slice(head);
                put_numbers(&said(1 + level), decimals, out);
            }
            out.extend_from_slice(b"}}");
        }
        out.extend_from_slice(b"}}");
    }

    fn put_target(&mut self, target: &TargetForecast, leads: usize, out: &mut Vec<u8>) {
        let horizon = target.yhat.len();
        let all = self.bounds.len();
        assert_eq!(target.quantiles.len(), all * horizon, "quantiles of a forecast");
        let leads = self.thinning.count(horizon).min(leads);
        let decimals = Decimals::new(target.decimals);
        let mut before: &[u8] = b"\"";
        if self.columns.last {
            out.extend_from_slice(b"\"last\":");
            put_numbers(&[target.last.unwrap_or(f64::NAN)], decimals, out);
            before = b",\"";
        }
        if self.columns.yhat {
            out.extend_from_slice(before);
            out.extend_from_slice(b"yhat\":[");
            put_numbers(self.thinning.of(&target.yhat, leads), decimals, out);
            out.push(b']');
            before = b",\"";
        }
        if !self.levels.is_empty() {
            out.extend_from_slice(before);
            out.extend_from_slice(b"quantiles\":{");
            for (level, head) in self.columns.levels.iter().zip(&self.levels) {
                out.extend_from_slice(head);
                let row = &target.quantiles[level * horizon..][..horizon];
                put_numbers(self.thinning.of(row, leads), decimals, out);
                out.push(b']');
            }
            out.push(b'}');
        }
        out.push(b'}');
    }
}

/// `,"anomaly_score":0.9993,"anomaly":"spike"`; without a kind where the anomaly has no kind.
fn put_score(forecast: &Forecast, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"anomaly_score\":");
    put_numbers(&[f64::from(forecast.anomaly.score)], Decimals::new(6), out);
    if let Some(kind) = forecast.anomaly.kind {
        out.extend_from_slice(b",\"anomaly\":");
        put_string(kind.name(), out);
    }
}

fn put_text_or_null(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => put_string(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a text in quotes, escaped.
pub fn put_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string can be written to memory");
}
