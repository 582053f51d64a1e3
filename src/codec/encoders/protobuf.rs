//! Forecasts as protobuf. The messages are those of `docs/schemas/forecast.proto`; a test holds them against it.

use crate::codec::choice::Choice;
use crate::config::Stream;
use crate::domain::{Forecast, Interval};
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct ForecastMessage {
    #[prost(string, tag = "1")]
    pub stream: String,
    #[prost(string, tag = "2")]
    pub series: String,
    #[prost(int64, tag = "3")]
    pub origin_us: i64,
    #[prost(int64, tag = "4")]
    pub interval_us: i64,
    #[prost(string, optional, tag = "5")]
    pub model: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub degraded: Option<String>,
    #[prost(uint32, repeated, tag = "7")]
    pub leads: Vec<u32>,
    #[prost(uint32, tag = "8")]
    pub leads_left_out: u32,
    #[prost(message, repeated, tag = "9")]
    pub targets: Vec<TargetMessage>,
    #[prost(float, tag = "10")]
    pub anomaly_score: f32,
    #[prost(string, optional, tag = "11")]
    pub anomaly: Option<String>,
    #[prost(message, repeated, tag = "12")]
    pub limits: Vec<LimitMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TargetMessage {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(double, optional, tag = "2")]
    pub last: Option<f64>,
    #[prost(double, repeated, tag = "3")]
    pub yhat: Vec<f64>,
    #[prost(message, repeated, tag = "4")]
    pub quantiles: Vec<QuantileMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub struct QuantileMessage {
    #[prost(double, tag = "1")]
    pub level: f64,
    #[prost(double, repeated, tag = "2")]
    pub values: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LimitMessage {
    #[prost(string, tag = "1")]
    pub target: String,
    #[prost(double, tag = "2")]
    pub value: f64,
    #[prost(bool, tag = "3")]
    pub above: bool,
    #[prost(float, tag = "4")]
    pub probability: f32,
    #[prost(uint32, optional, tag = "5")]
    pub first_lead: Option<u32>,
}

/// Keeps one message, which is filled again for each forecast.
pub struct ProtobufEncoder {
    message: ForecastMessage,
    levels: Vec<f64>,
}

impl ProtobufEncoder {
    pub fn new(stream: &Stream) -> Self {
        let target = |name: &String| TargetMessage { name: name.clone(), ..TargetMessage::default() };
        let limits = stream.alarms.limits.iter().map(|limit| LimitMessage {
            target: stream.targets[limit.target].clone(),
            value: limit.value,
            above: limit.above,
            ..LimitMessage::default()
        });
        Self {
            message: ForecastMessage {
                stream: stream.name.as_str().to_owned(),
                interval_us: stream.grid.interval().map_or(0, Interval::as_micros),
                targets: stream.targets.iter().map(target).collect(),
                limits: limits.collect(),
                ..ForecastMessage::default()
            },
            levels: stream.levels.iter().map(crate::domain::Level::get).collect(),
        }
    }

    pub fn encode(
        &mut self,
        series: &str,
        forecast: &Forecast,
        model: Option<&str>,
        (choice, longest): (&Choice, usize),
        out: &mut Vec<u8>,
    ) {
        let message = &mut self.message;
        series.clone_into(&mut message.series);
        message.origin_us = forecast.origin.as_micros();
        message.model = model.map(str::to_owned);
        message.degraded = forecast.degraded.map(|degraded| degraded.as_str().to_owned());
        let horizon = forecast.targets.first().map_or(0, |target| target.yhat.len());
        let leads = choice.leads(horizon, longest);
        message.leads.clear();
        if choice.has_leads() {
            message.leads.extend(leads.clone().map(|lead| lead as u32));
        }
        message.leads_left_out = choice.left_out(horizon, longest) as u32;
        message.anomaly_score = forecast.anomaly.score;
        message.anomaly = forecast.anomaly.kind.map(|kind| kind.name().to_owned());
        for (to, said) in message.targets.iter_mut().zip(&forecast.targets) {
            to.last = said.last.filter(|_| choice.last);
            to.yhat.clear();
            if choice.yhat {
                to.yhat.extend(leads.clone().map(|lead| said.yhat[lead - 1]));
            }
            to.quantiles.resize_with(choice.levels.len(), QuantileMessage::default);
            for (to, level) in to.quantiles.iter_mut().zip(&choice.levels) {
                to.level = self.levels[*level];
                to.values.clear();
                to.values.extend(leads.clone().map(|lead| said.quantiles[level * horizon + lead - 1]));
            }
        }
        for (to, said) in message.limits.iter_mut().zip(&forecast.limits) {
            (to.probability, to.first_lead) = (said.probability, said.first_lead.map(u32::from));
        }
        message.encode(out).expect("memory takes what is written");
    }
}
