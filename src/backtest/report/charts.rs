//! The data of a report's charts.

use crate::backtest::auditor::Auditor;
use crate::backtest::forecasts::due;
use crate::chart::{FanChart, WeightChart, fan, weights_over_time};
use crate::config::Stream;
use crate::domain::{EventTime, Forecast, Leads, Level};
use crate::engine::{EMITTED, EXPERTS, Emitted, Shard};
use crate::telemetry::ShownForecast;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many series a report shows when none is named.
const SHOWN_SERIES: usize = 4;
/// The most series whose weights are averaged.
const WEIGHED_SERIES: usize = 32;
/// A fan chart shows this many horizons of readings before its forecast, within these limits.
const HORIZONS: usize = 6;
const SHOWN_READINGS: std::ops::RangeInclusive<usize> = 40..=160;

/// The last readings and forecasts of some series, and the experts' weights over time.
pub(in super::super) struct ReportCharts {
    stream: Arc<Stream>,
    /// The series that were asked for; empty for the first few.
    wanted: Vec<String>,
    series: Vec<(String, VecDeque<Forecast>)>,
    moments: Vec<EventTime>,
    /// The weights at each moment. `[targets, experts + 1, learnt leads]`
    weights: Vec<Vec<f32>>,
}

impl ReportCharts {
    pub fn new(stream: &Arc<Stream>, wanted: &[String]) -> Self {
        Self {
            stream: stream.clone(),
            wanted: wanted.to_vec(),
            series: Vec::new(),
            moments: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// How many readings a chart shows before its forecast.
    fn readings(&self) -> usize {
        (HORIZONS * self.stream.horizon).clamp(*SHOWN_READINGS.start(), *SHOWN_READINGS.end())
    }

    pub fn keep(&mut self, emitted: &Emitted<'_>) {
        let at = match self.series.iter().position(|(name, _)| name == emitted.series) {
            Some(at) => at,
            None => {
                let is_wanted = if self.wanted.is_empty() {
                    self.series.len() < SHOWN_SERIES
                } else {
                    self.wanted.iter().any(|name| name == emitted.series)
                };
                if !is_wanted {
                    return;
                }
                self.series.push((emitted.series.to_owned(), VecDeque::new()));
                self.series.len() - 1
            }
        };
        let most = self.readings() + self.stream.horizon;
        let forecasts = &mut self.series[at].1;
        if forecasts.len() > most {
            forecasts.pop_front();
        }
        forecasts.push_back(emitted.forecast.clone());
    }

    /// Records the experts' mean weights in the forecasts of the first series.
    pub fn note_weights(&mut self, shard: &mut Shard, auditor: &Auditor) {
        let Some(now) = shard.agreed_time() else { return };
        if self.moments.last().is_some_and(|last| *last >= now) {
            return;
        }
        let slots: Vec<_> =
            auditor.series().take(WEIGHED_SERIES).filter_map(|(name, _)| shard.find(name)).collect();
        let mut sums: Vec<f32> = Vec::new();
        for slot in &slots {
            let all: Vec<f32> =
                (0..self.stream.targets.len()).flat_map(|t| shard.weights(*slot, t)).collect();
            sums.resize(all.len(), 0.0);
            sums.iter_mut().zip(all).for_each(|(sum, weight)| *sum += weight / slots.len() as f32);
        }
        if !sums.is_empty() {
            self.moments.push(now);
            self.weights.push(sums);
        }
    }

    /// The series that were asked for and never came.
    pub fn missing(&self) -> Vec<&str> {
        let came = |name: &str| self.series.iter().any(|(series, _)| series == name);
        self.wanted.iter().map(String::as_str).filter(|name| !came(name)).collect()
    }

    /// Two charts for each series and target: of a forecast whose targets have all come, and of the last one.
    pub fn fans(&self) -> Vec<String> {
        let (zone, horizon) = (&self.stream.time_zone, self.stream.horizon);
        let mut charts = Vec::new();
        for (series, forecasts) in &self.series {
            for (t, target) in self.stream.targets.iter().enumerate() {
                let readings: Vec<(EventTime, f64)> =
                    forecasts.iter().map(|f| (f.origin, f.targets[t].last.unwrap_or(f64::NAN))).collect();
                for (back, what) in [(horizon, "and what came"), (0, "the last one")] {
                    let Some(at) = forecasts.len().checked_sub(back + 1) else { continue };
                    let forecast = &forecasts[at];
                    let shown = ShownForecast {
                        origin: forecast.origin,
                        times: due(&self.stream, forecast.origin),
                        yhat: forecast.targets[t].yhat.clone(),
                        levels: self.stream.levels.iter().map(Level::get).collect(),
                        quantiles: forecast.targets[t].quantiles.clone(),
                    };
                    let first = (at + 1).saturating_sub(self.readings());
                    charts.push(fan(&FanChart {
                        title: &format!("{target} of {series}: a forecast, {what}"),
                        readings: &readings[first..],
                        forecast: Some(&shown),
                        zone,
                    }));
                }
            }
        }
        charts
    }

    /// The experts' weights for each target, at lead 1 and at the horizon.
    pub fn weights(&self, auditor: &Auditor) -> Vec<String> {
        let leads: Leads = self.stream.leads();
        let (learnt, names) = (leads.learnt(), &auditor.axes.names);
        // All that are judged have a weight, except the two mixtures.
        let experts: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| !matches!(*name, EXPERTS | EMITTED)).collect();
        let mut ends = vec![0, learnt.len() - 1];
        ends.dedup();
        let mut charts = Vec::new();
        for (t, target) in self.stream.targets.iter().enumerate() {
            for end in &ends {
                let weight = |expert: usize| {
                    let at = (t * experts.len() + expert) * learnt.len() + end;
                    self.weights.iter().map(move |all| f64::from(all[at])).collect()
                };
                let bands: Vec<(String, Vec<f64>)> =
                    experts.iter().enumerate().map(|(e, name)| ((*name).to_owned(), weight(e))).collect();
                let many = auditor.series().len();
                let of = if many > 1 {
                    format!(", mean of {} series", many.min(WEIGHED_SERIES))
                } else {
                    String::new()
                };
                charts.push(weights_over_time(&WeightChart {
                    title: &format!("{target}: weights at lead {}", learnt[*end]),
                    note: &format!("share of each expert in what is emitted{of}; names show the last"),
                    times: &self.moments,
                    experts: &bands,
                    zone: &self.stream.time_zone,
                }));
            }
        }
        charts
    }
}
