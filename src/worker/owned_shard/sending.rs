//! What a shard emits is encoded and sent.

use super::{OwnedShard, large};
use crate::codec::headers;
use crate::config::WhenTooLarge;
use crate::domain::{AnomalyKind, Offset};
use crate::engine::Emitted;
use crate::kafka;
use crate::series::Slot;
use crate::telemetry::{LargeRecord, TooLarge};
use crate::worker::Error;
use crate::worker::ports::{Outgoing, Outlet, ReadingInterceptor, TimeSource};
use crate::worker::rare_paths::RarePath;

/// What a call of [`OwnedShard::step`] has done.
#[derive(Clone, Copy, Debug)]
pub(in crate::worker) struct Stepped {
    /// Readings that were decoded and not answered before.
    pub readings: usize,
    /// Steps of series.
    pub steps: usize,
}

impl OwnedShard {
    /// Steps all readings that are waiting, sends forecasts, anomalies and dead letters into the open transaction,
    /// and returns what was taken in and stepped since the last call.
    pub fn step<O: Outlet>(
        &mut self,
        outlet: &mut O,
        interceptor: &mut impl ReadingInterceptor,
        time: &impl TimeSource,
        when_too_large: WhenTooLarge,
    ) -> Result<Stepped, Error> {
        if std::mem::take(&mut self.has_taken) {
            self.taken_at = time.now();
        }
        let stream = self.shard.stream().clone();
        let topic = &stream.forecast_topic;
        self.dead_letters.send(
            outlet,
            &stream.name,
            &stream.dead_letter_topic,
            &self.at,
            &self.metrics,
            &mut self.rare_paths,
        )?;
        self.note_missing(interceptor);
        let taken = std::mem::take(&mut self.readings);
        self.metrics.readings.inc_by(taken);
        let before = self.forecasts;
        let mut steps = 0;
        let needs_key = outlet.needs_key(topic);
        let mut failed = Ok(());
        loop {
            let began = time.now();
            let Self {
                shard,
                metrics,
                encoder,
                payload,
                latest,
                model_name,
                at,
                partition_text,
                forecasts,
                rare_paths,
                ..
            } = self;
            let stepped = shard.run_round(&mut |emitted| {
                if failed.is_err() {
                    return;
                }
                if let Some(version) = emitted.model
                    && model_name.as_ref().is_none_or(|(named, _)| *named != version)
                {
                    *model_name = Some((version, version.name(&stream.name)));
                }
                let model = emitted.model.and(model_name.as_ref()).map(|(_, name)| name.as_str());
                let mut digits = itoa::Buffer::new();
                let sent = [
                    (headers::STREAM, stream.name.as_str().as_bytes()),
                    (headers::SOURCE_TOPIC, at.topic.as_bytes()),
                    (headers::SOURCE_PARTITION, partition_text.as_bytes()),
                    (headers::SOURCE_OFFSET, digits.format(emitted.offset).as_bytes()),
                    (headers::MODEL, model.unwrap_or_default().as_bytes()),
                ];
                let sent = if model.is_some() { &sent[..] } else { &sent[..4] };
                // A compacted topic takes no record without a key.
                let key = emitted.key.or_else(|| needs_key.then_some(emitted.series.as_bytes()));
                let of = |topic: &str, bytes, emitted: &Emitted<'_>| LargeRecord {
                    topic: topic.to_owned(),
                    bytes,
                    shard: at.clone(),
                    offset: Offset(emitted.offset),
                };
                if emitted.is_thinned {
                    outlet.withhold(&emitted);
                } else {
                    if O::READS_PAYLOADS {
                        encoder.encode(emitted.series, emitted.forecast, model, payload);
                    }
                    let record = Outgoing { topic, key, payload: Some(payload), headers: sent };
                    match outlet.send_forecast(record, &emitted) {
                        Ok(()) => *forecasts += 1,
                        Err(kafka::Error::TooLarge { .. }) => {
                            rare_paths.mark(RarePath::ForecastTooLarge);
                            let how = (&*stream, when_too_large);
                            match large::send_less(outlet, encoder, how, &emitted, model, record) {
                                Ok(outcome) => {
                                    match outcome {
                                        TooLarge::Shortened => *forecasts += 1,
                                        _ => metrics.dead_letters(large::REASON).inc(),
                                    }
                                    metrics.exceed(outcome, || of(topic, payload.len(), &emitted));
                                }
                                Err(cause) => failed = Err(cause),
                            }
                        }
                        Err(cause) => failed = Err(cause),
                    }
                }
                if let Some(topic) = &stream.alarms.anomaly_topic
                    && emitted.forecast.anomaly.is_above(stream.alarms.anomaly_threshold)
                {
                    if O::READS_PAYLOADS {
                        encoder.encode_anomaly(emitted.series, emitted.forecast, payload);
                    }
                    let kind = emitted.forecast.anomaly.kind.map_or("none", AnomalyKind::name);
                    metrics.anomalies(kind).inc();
                    if failed.is_ok() {
                        let key =
                            key.or_else(|| outlet.needs_key(topic).then_some(emitted.series.as_bytes()));
                        let record = Outgoing { topic, key, payload: Some(payload), headers: sent };
                        failed = match outlet.send(record) {
                            Err(kafka::Error::TooLarge { .. }) => {
                                metrics
                                    .exceed(TooLarge::AnomalyLeftOut, || of(topic, payload.len(), &emitted));
                                Ok(())
                            }
                            sent => sent,
                        };
                    }
                }
                if emitted.slot == Slot(0) {
                    match latest {
                        Some(latest) => latest.clone_from(emitted.forecast),
                        None => *latest = Some(emitted.forecast.clone()),
                    }
                }
            })?;
            let Some(stepped) = stepped else { break };
            steps += stepped;
            self.metrics.batch_size.observe(stepped as f64);
            let took = time.now().saturating_duration_since(began);
            self.metrics.step_seconds.observe(took.as_secs_f64());
        }
        self.account(interceptor);
        self.metrics.forecasts.inc_by((self.forecasts - before) as u64);
        failed?;
        Ok(Stepped { readings: taken as usize, steps })
    }
}
