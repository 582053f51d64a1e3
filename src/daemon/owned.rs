use super::Error;
use super::dead_letter::DeadLetters;
use crate::codec::{self, Decoder, Encoder, headers};
use crate::config::Stream;
use crate::domain::{Forecast, ModelVersion, Offset, TopicPartition};
use crate::engine::{Model, Offered, Shard};
use crate::kafka::{self, Link, Polled};
use crate::series::Slot;
use crate::telemetry::{Discard, ShardMetrics, ShardState, StreamMetrics, events};
use std::sync::Arc;
use std::time::Instant;

/// A shard with what its partition needs on the way in and out.
pub(super) struct Owned {
    pub at: TopicPartition,
    pub shard: Shard,
    /// The next offset to read; all below is in the shard.
    pub position: Offset,
    /// What the group has committed: nothing below is answered again.
    pub committed: Offset,
    pub metrics: StreamMetrics,
    pub shown: ShardMetrics,
    pub restoring: Option<Restoring>,
    /// The newest forecast of the first series, for the dashboard.
    pub latest: Option<Forecast>,
    pub forecasts: usize,
    decoder: Decoder,
    encoder: Encoder,
    dead_letters: DeadLetters,
    model_name: Option<(ModelVersion, String)>,
    partition_text: String,
    payload: Vec<u8>,
    readings: u64,
}

/// A silent replay that is under way.
pub(super) struct Restoring {
    pub from: Offset,
    pub since: Instant,
}

impl codec::Headers for kafka::Headers<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        kafka::Headers::get(self, name)
    }
}

impl Owned {
    /// A shard that reads from `from` and answers from `committed` on.
    pub fn new(
        stream: &Arc<Stream>,
        at: &TopicPartition,
        from: Offset,
        committed: Offset,
        metrics: StreamMetrics,
    ) -> Self {
        let mut shard = Shard::new(stream.clone());
        shard.emit_from(committed.0);
        let shown = metrics.shard(at);
        let restoring = (from < committed).then(|| Restoring { from, since: Instant::now() });
        shown.set_state(if restoring.is_some() { ShardState::Restoring } else { ShardState::Running });
        Self {
            at: at.clone(),
            shard,
            position: from,
            committed,
            metrics,
            shown,
            restoring,
            latest: None,
            forecasts: 0,
            decoder: Decoder::new(stream),
            encoder: Encoder::new(stream),
            dead_letters: DeadLetters::default(),
            model_name: None,
            partition_text: at.partition.to_string(),
            payload: Vec::new(),
            readings: 0,
        }
    }

    pub fn stream(&self) -> &Arc<Stream> {
        self.shard.stream()
    }

    /// Takes a record in: decodes it and offers its readings to the shard. Nothing is sent yet.
    pub fn take(&mut self, polled: &Polled<'_>) {
        self.position = polled.offset.next();
        let record = codec::Record {
            topic: polled.topic,
            partition: polled.partition,
            offset: polled.offset,
            key: polled.key,
            timestamp: polled.time,
            payload: polled.payload,
            headers: &polled.headers,
        };
        let answered = polled.offset < self.committed;
        let Self { shard, metrics, decoder, readings, .. } = self;
        let mut late = false;
        let outcome = decoder.decode(&record, &mut |reading| {
            *readings += u64::from(!answered);
            if let Offered::Discarded(why) = shard.offer(&reading, polled.offset.0, polled.key) {
                late |= why == Discard::Late;
                if !answered {
                    metrics.discarded(why).inc();
                }
            }
        });
        if answered {
            return;
        }
        let stream = self.shard.stream().clone();
        match outcome {
            Err(bad) => {
                let reason = bad.reason.as_str();
                self.dead_letters.push(&stream.name, polled, reason, bad.field, &bad.detail);
            }
            Ok(()) if late => {
                let detail = "its series has stepped past its time";
                self.dead_letters.push(&stream.name, polled, Discard::Late.as_str(), None, detail);
            }
            Ok(()) => {}
        }
    }

    /// Steps all that waits, sends the answers and the dead letters into the open transaction, and says
    /// how many readings were taken in since the last call.
    pub fn step(&mut self, link: &mut Link) -> Result<usize, Error> {
        let stream = self.shard.stream().clone();
        let topic = &stream.forecast_topic;
        self.dead_letters.send(
            link,
            &stream.name,
            &stream.dead_letter_topic,
            &self.at.topic,
            &self.metrics,
        )?;
        let taken = std::mem::take(&mut self.readings);
        self.metrics.readings.inc_by(taken);
        let before = self.forecasts;
        let mut failed = Ok(());
        loop {
            let began = Instant::now();
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
                encoder.encode(emitted.series, emitted.forecast, model, payload);
                let mut digits = itoa::Buffer::new();
                let sent = [
                    (headers::STREAM, stream.name.as_str().as_bytes()),
                    (headers::SOURCE_TOPIC, at.topic.as_bytes()),
                    (headers::SOURCE_PARTITION, partition_text.as_bytes()),
                    (headers::SOURCE_OFFSET, digits.format(emitted.offset).as_bytes()),
                    (headers::MODEL, model.unwrap_or_default().as_bytes()),
                ];
                let sent = if model.is_some() { &sent[..] } else { &sent[..4] };
                match link.send(topic, None, emitted.key, payload, sent) {
                    Ok(()) => *forecasts += 1,
                    // This answer alone can't be had; the stream goes on.
                    Err(cause @ kafka::Error::TooLarge { .. }) => {
                        metrics.dead_letters("forecast_too_large").inc();
                        events::kafka_error("producer", &cause);
                    }
                    Err(cause) => failed = Err(cause),
                }
                if emitted.slot == Slot(0) {
                    match latest {
                        Some(latest) => latest.clone_from(emitted.forecast),
                        None => *latest = Some(emitted.forecast.clone()),
                    }
                }
            })?;
            let Some(stepped) = stepped else { break };
            self.metrics.batch_size.observe(stepped as f64);
            self.metrics.step_seconds.observe(began.elapsed().as_secs_f64());
        }
        let duplicates = self.shard.take_held_duplicates();
        self.metrics.discarded(Discard::Duplicate).inc_by(duplicates);
        self.metrics.forecasts.inc_by((self.forecasts - before) as u64);
        failed?;
        Ok(taken as usize)
    }

    /// Brings in the model that should serve, when it isn't the one that does. A shard without
    /// readings has nothing to warm from and takes it at once.
    pub fn follow(&mut self, model: Option<&Model>) -> Result<(), Error> {
        let Some(model) = model else { return Ok(()) };
        if self.shard.wants(model.version) {
            self.shard.bring(model)?;
        }
        Ok(())
    }
}
