mod accounts;

use super::Error;
use super::dead_letter::DeadLetters;
use super::loader::{Loaded, Wanted};
use crate::checkpoint::SnapshotId;
use crate::codec::{Decoder, Encoder, headers};
use crate::config::Stream;
use crate::domain::{AnomalyKind, EventTime, Forecast, ModelVersion, Offset, TopicId, TopicPartition};
use crate::engine::{Offered, Shard};
use crate::kafka::{self, Link, Polled};
use crate::models::Standing;
use crate::series::{ReorderSettings, Slot};
use crate::telemetry::{Discard, ShardMetrics, ShardState, StreamMetrics, events};
use accounts::note_violations;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A shard with what its partition needs on the way in and out.
pub(crate) struct Owned {
    pub at: TopicPartition,
    pub topic_id: Option<TopicId>,
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
    /// What its series have in common has changed since this was last taken.
    pub drifted: bool,
    /// The snapshot that it came back from.
    pub snapshot: Option<SnapshotId>,
    /// The newest snapshot that is known to be whole.
    pub kept: Option<Kept>,
    /// When the last snapshot was begun.
    pub kept_at: Instant,
    /// The widest run of offsets without a record that was passed since this was last taken: of a
    /// transaction's marker, of compaction, or of what retention took.
    pub passed: Option<Range<Offset>>,
    /// A record has come with an offset that had come before: the log is not what it was.
    pub went_back: bool,
    /// The end of what has come; within one log offsets only grow.
    reached: Offset,
    /// How readings are held back from records on that are still to come.
    holdings: VecDeque<(Offset, ReorderSettings)>,
    taken_at: Instant,
    decoder: Decoder,
    encoder: Encoder,
    dead_letters: DeadLetters,
    model_name: Option<(ModelVersion, String)>,
    partition_text: String,
    payload: Vec<u8>,
    readings: u64,
}

/// A snapshot of the shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub offset: Offset,
    pub created: EventTime,
}

/// A silent replay that is under way.
pub(crate) struct Restoring {
    pub from: Offset,
    /// What was committed when it began: it may be passed before it is seen that it is over.
    pub to: Offset,
    since: Instant,
}

/// How long a silent partition keeps a shard restoring: what is left are transaction markers.
const IDLE: Duration = Duration::from_secs(5);

impl Owned {
    /// A shard that has come back; it answers from what is committed on. `since` is when its partition
    /// was assigned.
    pub fn new(loaded: Loaded, metrics: StreamMetrics, shown: ShardMetrics, since: Instant) -> Self {
        let Loaded { wanted, mut shard, from, snapshot, violations, .. } = loaded;
        let Wanted { stream, at, topic_id, committed, holdings, .. } = wanted;
        note_violations(&stream.name, &at, &metrics, &violations);
        shard.emit_from(committed.0);
        shard.hold_back(holdings.at(from));
        let now = Instant::now();
        Self {
            topic_id,
            shard,
            position: from,
            committed,
            metrics,
            shown,
            restoring: Some(Restoring { from, to: committed, since }),
            latest: None,
            forecasts: 0,
            drifted: false,
            snapshot: snapshot.map(|found| found.id),
            kept: snapshot.map(|found| Kept { offset: found.id.offset, created: found.created }),
            kept_at: now,
            passed: None,
            went_back: false,
            reached: Offset(0),
            holdings: holdings.after(from).collect(),
            taken_at: now,
            decoder: Decoder::new(&stream),
            encoder: Encoder::new(&stream),
            dead_letters: DeadLetters::default(),
            model_name: None,
            partition_text: at.partition.to_string(),
            at,
            payload: Vec::new(),
            readings: 0,
        }
    }

    /// The worker was busy elsewhere: that nothing came says nothing.
    pub fn was_kept_waiting(&mut self) {
        self.taken_at = Instant::now();
    }

    /// Ends the silent replay once all of it has come; gives what it was and how long it took.
    pub fn end_restoring(&mut self) -> Option<(Restoring, Duration)> {
        let is_over = self.position >= self.committed || self.taken_at.elapsed() >= IDLE;
        let restoring = self.restoring.take_if(|_| is_over)?;
        let took = restoring.since.elapsed();
        self.metrics.restore_seconds.observe(took.as_secs_f64());
        self.shown.set_state(ShardState::Running);
        Some((restoring, took))
    }

    /// Whether the shard has gone on since its last snapshot, and that is `every` ago.
    pub fn snapshot_is_due(&self, every: Duration) -> bool {
        self.restoring.is_none()
            && self.position == self.committed
            && self.kept.is_none_or(|kept| kept.offset != self.committed)
            && self.kept_at.elapsed() >= every
    }

    pub fn stream(&self) -> &Arc<Stream> {
        self.shard.stream()
    }

    /// Takes a record in: decodes it and offers its readings to the shard. Nothing is sent yet.
    pub fn take(&mut self, polled: &Polled<'_>) {
        self.went_back |= polled.offset < self.reached;
        self.reached = polled.offset.next();
        // Another stream's shard of this partition may have come back from an older snapshot.
        if polled.offset < self.position {
            return;
        }
        let next = self.position.max(self.committed);
        let width = polled.offset.0 - next.0;
        if width > self.passed.as_ref().map_or(0, |passed| passed.end.0 - passed.start.0) {
            self.passed = Some(next..polled.offset);
        }
        while let Some((_, holding)) = self.holdings.pop_front_if(|(since, _)| *since <= polled.offset) {
            self.shard.hold_back(holding);
        }
        self.position = polled.offset.next();
        self.taken_at = Instant::now();
        let answered = polled.offset < self.committed;
        let Self { shard, decoder, readings, .. } = self;
        let mut refused = None;
        let outcome = decoder.decode(&polled.as_source(), &mut |reading| {
            *readings += u64::from(!answered);
            if let Offered::Discarded(why @ (Discard::Late | Discard::TimeAhead)) =
                shard.offer_of(&reading, polled.offset.0, polled.key, polled.time)
            {
                refused.get_or_insert(why);
            }
        });
        if answered {
            drop(decoder.take_missing());
            return;
        }
        let stream = self.shard.stream().clone();
        match outcome {
            Err(bad) => {
                let reason = bad.reason.as_str();
                self.dead_letters.push(&stream.name, polled, reason, bad.field, &bad.detail);
            }
            Ok(()) => {
                let detail = match refused {
                    Some(Discard::TimeAhead) => "it is ahead of its record's own time and of its partition's",
                    _ => "its series has stepped past its time",
                };
                if let Some(why) = refused {
                    self.dead_letters.push(&stream.name, polled, why.as_str(), None, detail);
                }
            }
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
        self.note_missing();
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
                let mut digits = itoa::Buffer::new();
                let sent = [
                    (headers::STREAM, stream.name.as_str().as_bytes()),
                    (headers::SOURCE_TOPIC, at.topic.as_bytes()),
                    (headers::SOURCE_PARTITION, partition_text.as_bytes()),
                    (headers::SOURCE_OFFSET, digits.format(emitted.offset).as_bytes()),
                    (headers::MODEL, model.unwrap_or_default().as_bytes()),
                ];
                let sent = if model.is_some() { &sent[..] } else { &sent[..4] };
                if !emitted.is_thinned {
                    encoder.encode(emitted.series, emitted.forecast, model, payload);
                    match link.send(topic, None, emitted.key, payload, sent) {
                        Ok(()) => *forecasts += 1,
                        // This answer alone can't be had; the stream goes on.
                        Err(cause @ kafka::Error::TooLarge { .. }) => {
                            metrics.dead_letters("forecast_too_large").inc();
                            events::kafka_error("producer", &cause);
                        }
                        Err(cause) => failed = Err(cause),
                    }
                }
                if let Some(topic) = &stream.alarms.anomaly_topic
                    && emitted.forecast.anomaly.is_above(stream.alarms.anomaly_threshold)
                {
                    encoder.encode_anomaly(emitted.series, emitted.forecast, payload);
                    let kind = emitted.forecast.anomaly.kind.map_or("none", AnomalyKind::name);
                    metrics.anomalies(kind).inc();
                    if failed.is_ok() {
                        failed = match link.send(topic, None, emitted.key, payload, sent) {
                            // As its forecast, which has the same key.
                            Err(cause @ kafka::Error::TooLarge { .. }) => {
                                events::kafka_error("producer", &cause);
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
            self.metrics.batch_size.observe(stepped as f64);
            self.metrics.step_seconds.observe(began.elapsed().as_secs_f64());
        }
        self.account();
        self.metrics.forecasts.inc_by((self.forecasts - before) as u64);
        failed?;
        Ok(taken as usize)
    }

    /// Brings in the model that should serve, when it isn't the one that does, or lets the experts serve
    /// alone. A shard without readings has nothing to warm from and takes it at once.
    pub fn follow(&mut self, standing: &Standing) -> Result<(), Error> {
        match &standing.model {
            Some(model) if self.shard.wants(model.version) => self.shard.bring(model)?,
            None if standing.dismissed => self.shard.dismiss(),
            _ => {}
        }
        Ok(())
    }
}
