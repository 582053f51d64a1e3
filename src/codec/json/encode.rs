use crate::codec::choice::Choice;
use crate::codec::decimal::{Decimals, LEN_MAX};
use crate::codec::time::put_rfc3339;
use crate::config::{Limit, Stream};
use crate::domain::{Forecast, TargetForecast};

/// Writes the forecasts of one stream as JSON.
pub struct JsonEncoder {
    /// `{"stream":"power","series":`
    head: Vec<u8>,
    /// `","interval_s":3600,"model":`
    after_origin: Vec<u8>,
    /// By target: `"kw":{`, with a comma before all but the first.
    targets: Vec<Vec<u8>>,
    /// By level: `"0.05":[`, with a comma before all but the first.
    levels: Vec<Vec<u8>>,
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
            limits: stream.alarms.limits.iter().enumerate().map(limit).collect(),
            values: stream.targets.iter().enumerate().map(value).collect(),
            bounds: stream.levels.iter().enumerate().map(bound).collect(),
            head: format!("{{\"stream\":{},\"series\":", quoted(stream.name.as_str())).into(),
            after_origin: format!("\",\"interval_s\":{interval},\"model\":").into(),
            targets: stream.targets.iter().enumerate().map(target).collect(),
            levels: stream.levels.iter().enumerate().map(level).collect(),
        }
    }

    /// Writes a forecast to `out`, with leads up to `longest`; `model` is the version's name. A value that is not finite
    /// becomes null. The forecast says how many leads are left out.
    ///
    /// # Panics
    /// When the forecast's targets or levels are not those of the stream.
    pub fn encode_leads(
        &self,
        series: &str,
        forecast: &Forecast,
        model: Option<&str>,
        longest: usize,
        out: &mut Vec<u8>,
    ) {
        let left_out = forecast.targets.iter().map(|target| target.yhat.len().saturating_sub(longest)).max();
        self.encode(series, forecast, model, left_out.unwrap_or(0), out, &mut |target, out| {
            self.put_target(target, longest, out);
        });
    }

    /// As [`Self::encode_leads`], with the chosen leads and columns. The forecast says which leads it has, if some are
    /// chosen.
    ///
    /// # Panics
    /// As [`Self::encode_leads`].
    pub fn encode_chosen(
        &self,
        series: &str,
        forecast: &Forecast,
        model: Option<&str>,
        (choice, longest): (&Choice, usize),
        out: &mut Vec<u8>,
    ) {
        let horizon = forecast.targets.first().map_or(0, |target| target.yhat.len());
        let left_out = choice.left_out(horizon, longest);
        self.encode(series, forecast, model, left_out, out, &mut |target, out| {
            self.put_chosen(target, choice, longest, out);
        });
        if choice.has_leads() {
            out.pop();
            out.extend_from_slice(b",\"leads\":[");
            let leads: Vec<f64> = choice.leads(horizon, longest).map(|lead| lead as f64).collect();
            put_numbers(&leads, Decimals::new(0), out);
            out.extend_from_slice(b"]}");
        }
    }

    fn encode(
        &self,
        series: &str,
        forecast: &Forecast,
        model: Option<&str>,
        left_out: usize,
        out: &mut Vec<u8>,
        put_target: &mut dyn FnMut(&TargetForecast, &mut Vec<u8>),
    ) {
        assert_eq!(forecast.targets.len(), self.targets.len(), "targets of a forecast and of its stream");
        out.clear();
        out.extend_from_slice(&self.head);
        put_string(series, out);
        out.extend_from_slice(b",\"origin\":\"");
        put_rfc3339(forecast.origin, out);
        out.extend_from_slice(&self.after_origin);
        match model {
            Some(model) => put_string(model, out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"degraded\":");
        match forecast.degraded {
            Some(degraded) => put_string(degraded.as_str(), out),
            None => out.extend_from_slice(b"null"),
        }
        if left_out > 0 {
            out.extend_from_slice(b",\"leads_left_out\":");
            put_numbers(&[left_out as f64], Decimals::new(0), out);
        }
        out.extend_from_slice(b",\"targets\":{");
        for (head, target) in self.targets.iter().zip(&forecast.targets) {
            out.extend_from_slice(head);
            put_target(target, out);
        }
        out.push(b'}');
        put_score(forecast, out);
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
    pub fn encode_anomaly(&self, series: &str, forecast: &Forecast, out: &mut Vec<u8>) {
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

    fn put_target(&self, target: &TargetForecast, leads: usize, out: &mut Vec<u8>) {
        let horizon = target.yhat.len();
        assert_eq!(target.quantiles.len(), self.levels.len() * horizon, "quantiles of a forecast");
        let leads = leads.min(horizon);
        let decimals = Decimals::new(target.decimals);
        out.extend_from_slice(b"\"last\":");
        put_numbers(&[target.last.unwrap_or(f64::NAN)], decimals, out);
        out.extend_from_slice(b",\"yhat\":[");
        put_numbers(&target.yhat[..leads], decimals, out);
        out.extend_from_slice(b"],\"quantiles\":{");
        for (level, head) in self.levels.iter().enumerate() {
            out.extend_from_slice(head);
            put_numbers(&target.quantiles[level * horizon..][..leads], decimals, out);
            out.push(b']');
        }
        out.extend_from_slice(b"}}");
    }

    fn put_chosen(&self, target: &TargetForecast, choice: &Choice, longest: usize, out: &mut Vec<u8>) {
        let (horizon, decimals) = (target.yhat.len(), Decimals::new(target.decimals));
        let leads = choice.leads(horizon, longest);
        let mut chosen: Vec<f64> = Vec::with_capacity(horizon);
        if choice.last {
            out.extend_from_slice(b"\"last\":");
            put_numbers(&[target.last.unwrap_or(f64::NAN)], decimals, out);
            out.push(b',');
        }
        if choice.yhat {
            chosen.extend(leads.clone().map(|lead| target.yhat[lead - 1]));
            out.extend_from_slice(b"\"yhat\":[");
            put_numbers(&chosen, decimals, out);
            out.extend_from_slice(b"],");
        }
        out.extend_from_slice(b"\"quantiles\":{");
        for (i, level) in choice.levels.iter().enumerate() {
            chosen.clear();
            chosen.extend(leads.clone().map(|lead| target.quantiles[level * horizon + lead - 1]));
            let head = &self.levels[*level];
            // All but the first of the stream's levels begin with a comma.
            match (i, head.strip_prefix(b",")) {
                (0, Some(bare)) => out.extend_from_slice(bare),
                _ => out.extend_from_slice(head),
            }
            put_numbers(&chosen, decimals, out);
            out.push(b']');
        }
        out.extend_from_slice(b"}}");
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

/// Appends numbers with commas between them.
fn put_numbers(numbers: &[f64], decimals: Decimals, out: &mut Vec<u8>) {
    let start = out.len();
    // Room for all at once: the loop writes into a slice and never grows the vector.
    out.resize(start + numbers.len() * (LEN_MAX + 1), 0);
    let mut at = start;
    for (i, number) in numbers.iter().enumerate() {
        if i > 0 {
            out[at] = b',';
            at += 1;
        }
        at += decimals.write(*number, &mut out[at..]);
    }
    out.truncate(at);
}

fn put_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string can be written to memory");
}
