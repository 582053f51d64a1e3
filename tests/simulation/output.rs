//! What was committed, as the judge sees it.

use crate::plan::{DEAD_LETTERS, FORECASTS, log_of};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::str::from_utf8;
use tidecast::domain::EventTime;
use tidecast::engine::Emitted;
use tidecast::worker::ports::Outgoing;

/// An output, and the record that it answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub stream: String,
    pub partition: usize,
    pub offset: i64,
    /// Counts the logs that were written under these offsets.
    pub log: i64,
    pub answer: Answer,
}

#[derive(Clone, PartialEq)]
pub enum Answer {
    DeadLetter,
    Forecast {
        series: String,
        origin: EventTime,
        model: Option<String>,
        /// What each forecaster said, lead by lead, in the engine's order; and the quantiles.
        said: Vec<Vec<f64>>,
    },
}

/// What each forecaster said of the first target.
pub fn said(emitted: &Emitted<'_>, judged: usize) -> Vec<Vec<f64>> {
    let target = &emitted.forecast.targets[0];
    let leads = 1..=target.yhat.len();
    let of = |judged: usize| leads.clone().map(|lead| emitted.said(judged, 0, lead)).collect();
    (0..judged).map(of).chain([target.yhat.clone(), target.quantiles.clone()]).collect()
}

impl Output {
    /// From the bytes that were sent; a forecast's are held against what they were encoded from.
    pub fn of(record: Outgoing<'_>, emitted: Option<(&Emitted<'_>, &BTreeMap<String, usize>)>) -> Self {
        let header = |name: &str| {
            let found = record.headers.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| from_utf8(value).unwrap().to_owned())
        };
        let number = |name: &str| header(name).unwrap().parse::<i64>().unwrap();
        let payload = from_utf8(record.payload.unwrap_or_default()).unwrap();
        let (log, answer) = match record.topic.split('-').next().unwrap() {
            DEAD_LETTERS => {
                assert!(header("tidecast-reason").is_some(), "{payload}");
                let log = match payload.strip_prefix("bad ") {
                    Some(log) => log.parse().unwrap(),
                    // One that was too large has no payload.
                    None if payload.is_empty() => 0,
                    None => {
                        let json: Value = serde_json::from_str(payload).unwrap();
                        log_of(EventTime::from_micros(json["at"].as_i64().unwrap()).unwrap())
                    }
                };
                (log, Answer::DeadLetter)
            }
            FORECASTS => {
                let (emitted, judged) = emitted.expect("a forecast is sent as one");
                let json: Value = serde_json::from_str(payload).unwrap();
                assert_eq!(json["series"], emitted.series);
                assert_eq!(json["origin"], emitted.forecast.origin.to_string());
                assert_eq!(json["model"].as_str(), header("tidecast-model").as_deref());
                let target = &emitted.forecast.targets[0];
                let yhat = json["targets"]["kw"]["yhat"].as_array().unwrap();
                assert_eq!(yhat.len(), target.yhat.len());
                for (text, value) in yhat.iter().zip(&target.yhat) {
                    let close = |text: f64| (text - value).abs() <= 1e-3 * value.abs().max(1.0);
                    assert!(text.as_f64().map_or(value.is_nan(), close), "{payload}");
                }
                let judged = judged[&header("tidecast-stream").unwrap()];
                let (series, origin) = (emitted.series.to_owned(), emitted.forecast.origin);
                let model = json["model"].as_str().map(str::to_owned);
                (log_of(origin), Answer::Forecast { series, origin, model, said: said(emitted, judged) })
            }
            other => panic!("nothing is sent to {other}"),
        };
        Self {
            stream: header("tidecast-stream").unwrap(),
            partition: number("tidecast-source-partition") as usize,
            offset: number("tidecast-source-offset"),
            log,
            answer,
        }
    }
}

/// Without the numbers: there are too many.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeadLetter => f.write_str("dead letter"),
            Self::Forecast { series, origin, model, .. } => {
                write!(f, "forecast of {series} at {origin} by {model:?}")
            }
        }
    }
}
