//! A shard, with what its partition needs on the way in and out: records are decoded and offered to the shard,
//! what the shard emits is encoded and sent.

mod accounts;
mod dead_letter;
mod log_watch;

use super::Error;
use super::backlog::KeptRecord;
use super::loading::{LoadRequest, LoadedShard};
use super::pace::PaceWatch;
use super::ports::{Outgoing, Outlet, ReadingInterceptor, TimeSource};
use super::rare_paths::{RarePath, RarePaths};
use super::serving::Serving;
use crate::checkpoint::SnapshotId;
use crate::codec::{BadRecord, Decoder, Encoder, Record, headers};
use crate::config::Stream;
use crate::domain::{
    AnomalyKind, EventTime, Forecast, LeaderEpoch, ModelVersion, Offset, Reading, TopicId, TopicPartition,
    Values,
};
use crate::engine::{Offered, Shard};
use crate::kafka;
use crate::series::{RecordProgress, ReorderSettings, Slot};
use crate::telemetry::{Discard, Pace, PaceChange, ShardMetrics, ShardState, StreamMetrics, events};
use accounts::note_violations;
use dead_letter::DeadLetters;
pub(super) use log_watch::{LogDoubt, LogWatch};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a silent partition keeps a shard restoring: what is left are transaction markers.
const IDLE: Duration = Duration::from_secs(5);

/// A shard of a partition that this worker owns.
pub(super) struct OwnedShard {
    pub at: TopicPartition,
    pub topic_id: Option<TopicId>,
    pub shard: Shard,
    /// The next offset to read; the shard has seen everything below.
    pub position: Offset,
    /// What the group has committed: nothing below is answered again.
    pub committed: Offset,
    pub metrics: StreamMetrics,
    pub shown: ShardMetrics,
    /// The silent replay that is under way.
    pub replay: Option<Replay>,
    /// The newest forecast of the first series, for the dashboard.
    pub latest: Option<Forecast>,
    /// Forecasts that were sent and not committed.
    pub forecasts: usize,
    /// The shard has found drift since this was last reset.
    pub drifted: bool,
    /// The snapshot that it came from.
    pub restored_from: Option<SnapshotId>,
    /// The newest snapshot that is known to be whole.
    pub newest_snapshot: Option<WholeSnapshot>,
    /// When the last snapshot was begun.
    pub snapshot_begun_at: Instant,
    /// The widest run of offsets without a record since this was last taken: of transaction markers, of
    /// compaction, or of what retention deleted.
    pub passed: Option<Range<Offset>>,
    /// Whether the log is the one that was read.
    pub log: LogWatch,
    /// Whether it keeps pace with its partition.
    pace: PaceWatch,
    /// Rare paths that were taken since this was last emptied.
    pub rare_paths: RarePaths,
    /// How much of the record at the committed offset was answered before the shard was loaded.
    answered: Option<RecordProgress>,
    /// The record before the position, if it has not let everything through yet.
    unfinished: Option<Unfinished>,
    /// How readings are held back from these offsets on, which are still to come.
    holdings: VecDeque<(Offset, ReorderSettings)>,
    /// A record was taken since the last step.
    has_taken: bool,
    /// When the last record was taken.
    taken_at: Instant,
    decoder: Decoder,
    encoder: Encoder,
    dead_letters: DeadLetters,
    model_name: Option<(ModelVersion, String)>,
    partition_text: String,
    payload: Vec<u8>,
    readings: u64,
}

/// A record that lets more readings through than may wait for their rounds at once.
struct Unfinished {
    record: KeptRecord,
    /// Its readings that the shard has not been offered yet.
    readings: VecDeque<KeptReading>,
    /// Why the first of its readings that were refused was.
    refused: Option<Discard>,
    /// Whether it could be decoded to its end.
    decoded: Result<(), BadRecord>,
}

/// A copy of a reading.
struct KeptReading {
    series: String,
    time: EventTime,
    later: Option<EventTime>,
    values: Values,
}

impl KeptReading {
    fn of(reading: &Reading<'_>) -> Self {
        let Reading { series, time, later, values } = *reading;
        Self { series: series.to_owned(), time, later, values: values.clone() }
    }

    fn as_reading(&self) -> Reading<'_> {
        Reading { series: &self.series, time: self.time, later: self.later, values: &self.values }
    }
}

/// What a call of [`OwnedShard::step`] has done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stepped {
    /// Readings that were decoded and not answered before.
    pub readings: usize,
    /// Steps of series.
    pub steps: usize,
}

/// A snapshot that is known to be whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct WholeSnapshot {
    pub offset: Offset,
    pub created: EventTime,
}

/// A silent replay: records that were answered before the shard was loaded are taken in without an answer.
pub(super) struct Replay {
    pub from: Offset,
    /// What was committed when it began. The position may pass it before the end is noticed.
    pub to: Offset,
    since: Instant,
}

impl OwnedShard {
    /// A shard that was loaded; it answers from what is committed on. Its partition was assigned at `since`.
    pub fn new(
        loaded: LoadedShard,
        log: LogWatch,
        metrics: StreamMetrics,
        shown: ShardMetrics,
        since: Instant,
        now: Instant,
    ) -> Self {
        let LoadedShard { request, mut shard, from, snapshot, violations, rare_paths, .. } = loaded;
        let LoadRequest { stream, at, topic_id, committed, holdings, answered, .. } = request;
        note_violations(&stream.name, &at, &metrics, &violations);
        shard.emit_from(committed.0);
        shard.emit_after(answered);
        shard.hold_back(holdings.at(from));
        shown.set_learn_every(stream.learn_every.at_ease());
        Self {
            topic_id,
            shard,
            position: from,
            committed,
            metrics,
            shown,
            replay: Some(Replay { from, to: committed, since }),
            latest: None,
            forecasts: 0,
            drifted: false,
            restored_from: snapshot.map(|used| used.id),
            newest_snapshot: snapshot
                .map(|used| WholeSnapshot { offset: used.id.offset, created: used.created }),
            snapshot_begun_at: now,
            passed: None,
            log,
            pace: PaceWatch::default(),
            rare_paths,
            answered,
            unfinished: None,
            holdings: holdings.after(from).collect(),
            has_taken: false,
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

    /// The worker was busy elsewhere until `now`: that nothing came says nothing.
    pub fn was_kept_waiting(&mut self, now: Instant) {
        self.taken_at = now;
    }

    /// Ends the silent replay once all of it has come; returns it and how long it took.
    pub fn end_replay(&mut self, now: Instant) -> Option<(Replay, Duration)> {
        let is_complete = self.position >= self.committed;
        let is_over = is_complete || now.saturating_duration_since(self.taken_at) >= IDLE;
        let replay = self.replay.take_if(|_| is_over)?;
        self.rare_paths.mark_if(!is_complete, RarePath::ReplayEndedIdle);
        let took = now.saturating_duration_since(replay.since);
        self.metrics.restore_seconds.observe(took.as_secs_f64());
        self.shown.set_state(ShardState::Running);
        Some((replay, took))
    }

    /// Looks at the lag, and changes how often mature series learn when the shard has fallen behind or caught up.
    pub fn look_at_pace(&mut self, now: Instant, lag: u64) {
        let learn_every = self.stream().learn_every;
        let Some(behind) = learn_every.behind(&self.stream().seasons) else { return };
        let Some((pace, seconds)) = self.pace.look(now, self.position, lag) else { return };
        let every = if pace == Pace::Behind { behind } else { learn_every.at_ease() };
        self.shard.learn_every(every);
        self.shown.set_learn_every(every);
        self.metrics.change_pace(pace, PaceChange { shard: self.at.clone(), lag, seconds, every });
    }

    /// Whether the shard has gone on since its last snapshot, and that was begun at least `every` ago.
    pub fn snapshot_is_due(&self, every: Duration, now: Instant) -> bool {
        self.replay.is_none()
            && self.position == self.committed
            && self.newest_snapshot.is_none_or(|whole| whole.offset != self.committed)
            && now.saturating_duration_since(self.snapshot_begun_at) >= every
    }

    /// The stream that the shard serves.
    pub fn stream(&self) -> &Arc<Stream> {
        self.shard.stream()
    }

    /// Whether the record before the position has not let everything through yet. No other can be taken until
    /// [`Self::go_on`] has ended it.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// The offset to commit: a record that is not finished is to be read again.
    pub fn next_to_commit(&self) -> Offset {
        if self.is_unfinished() { Offset(self.position.0 - 1) } else { self.position }
    }

    /// How much of the record at `offset`, which is the last one that was taken, has been answered. To be called when no
    /// reading waits for its round.
    pub fn progress(&self, offset: Offset) -> RecordProgress {
        if !self.is_unfinished() {
            return RecordProgress::all(offset);
        }
        // In a replay the shard may not have come as far yet as before.
        let before = self.answered.filter(|answered| answered.offset == offset);
        let readings = self.shard.let_through().max(before.map_or(0, |answered| answered.readings));
        RecordProgress { offset, readings }
    }

    /// Takes a record in: decodes it and offers its readings to the shard. Nothing is sent yet.
    pub fn take(
        &mut self,
        record: &Record<'_>,
        epoch: Option<LeaderEpoch>,
        interceptor: &mut impl ReadingInterceptor,
    ) {
        if !self.log.admits(record.offset, epoch, self.committed) {
            return;
        }
        // Another stream's shard of this partition may have come back from an older snapshot.
        if record.offset < self.position {
            self.rare_paths.mark(RarePath::RecordAlreadyTaken);
            return;
        }
        let next = self.position.max(self.committed);
        let width = record.offset.0 - next.0;
        if width > self.passed.as_ref().map_or(0, |passed| passed.end.0 - passed.start.0) {
            self.passed = Some(next..record.offset);
        }
        while let Some((_, holding)) = self.holdings.pop_front_if(|(since, _)| *since <= record.offset) {
            self.shard.hold_back(holding);
        }
        self.position = record.offset.next();
        self.has_taken = true;
        let answered = self.has_answered(record.offset);
        let Self { shard, decoder, readings, .. } = self;
        let mut refused = None;
        let mut kept = VecDeque::new();
        let decoded = decoder.decode(record, &mut |reading| {
            *readings += u64::from(!answered);
            if shard.is_full() {
                kept.push_back(KeptReading::of(&reading));
                return;
            }
            let offered = interceptor.offer(shard, &reading, record);
            if let Offered::Discarded(why @ (Discard::Late | Discard::TimeAhead)) = offered {
                refused.get_or_insert(why);
            }
        });
        if answered {
            self.rare_paths.mark(RarePath::ReplayedRecord);
            drop(decoder.take_missing());
        }
        if shard.is_interrupted() || !kept.is_empty() {
            let is_resumed = self.answered.is_some_and(|answered| answered.offset == record.offset);
            self.rare_paths.mark_if(is_resumed, RarePath::ResumedWithinRecord);
            let record = KeptRecord::of(record, epoch);
            self.unfinished = Some(Unfinished { record, readings: kept, refused, decoded });
            return;
        }
        self.finish_record(record, refused, decoded, interceptor);
    }

    /// Whether all that a record lets through was answered before the shard was loaded.
    fn has_answered(&self, offset: Offset) -> bool {
        offset < self.committed || self.answered == Some(RecordProgress::all(offset))
    }

    /// Goes on with the record that is not finished, until as many readings wait for their rounds as may.
    pub fn go_on(&mut self, interceptor: &mut impl ReadingInterceptor) {
        let Some(mut unfinished) = self.unfinished.take() else { return };
        self.has_taken = true;
        let Unfinished { record, readings, refused, .. } = &mut unfinished;
        let mut note = |offered| {
            if let Offered::Discarded(why @ (Discard::Late | Discard::TimeAhead)) = offered {
                refused.get_or_insert(why);
            }
        };
        note(self.shard.go_on());
        let source = record.as_record(&self.at);
        while !self.shard.is_full()
            && let Some(reading) = readings.pop_front()
        {
            note(interceptor.offer(&mut self.shard, &reading.as_reading(), &source));
        }
        if self.shard.is_interrupted() || !readings.is_empty() {
            self.unfinished = Some(unfinished);
            return;
        }
        let Unfinished { record, refused, decoded, .. } = unfinished;
        let at = self.at.clone();
        self.finish_record(&record.as_record(&at), refused, decoded, interceptor);
    }

    /// Sets a record aside for the dead-letter topic if it could not be decoded, or if one of its readings was refused.
    fn finish_record(
        &mut self,
        record: &Record<'_>,
        refused: Option<Discard>,
        decoded: Result<(), BadRecord>,
        interceptor: &mut impl ReadingInterceptor,
    ) {
        if self.has_answered(record.offset) {
            return;
        }
        let name = &self.shard.stream().name;
        match decoded {
            Err(bad) => {
                interceptor.refuse(record, &bad);
                let reason = bad.reason.as_str();
                self.dead_letters.push(name, record, reason, bad.field, &bad.detail);
            }
            Ok(()) => {
                let detail = match refused {
                    Some(Discard::TimeAhead) => "it is ahead of its record's own time and of its partition's",
                    _ => "its series has stepped past its time",
                };
                if let Some(why) = refused {
                    self.dead_letters.push(name, record, why.as_str(), None, detail);
                }
            }
        }
    }

    /// Steps all readings that are waiting, sends forecasts, anomalies and dead letters into the open transaction,
    /// and returns what was taken in and stepped since the last call.
    pub fn step<O: Outlet>(
        &mut self,
        outlet: &mut O,
        interceptor: &mut impl ReadingInterceptor,
        time: &impl TimeSource,
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
                if emitted.is_thinned {
                    outlet.withhold(&emitted);
                } else {
                    if O::READS_PAYLOADS {
                        encoder.encode(emitted.series, emitted.forecast, model, payload);
                    }
                    let record = Outgoing { topic, key: emitted.key, payload: Some(payload), headers: sent };
                    match outlet.send_forecast(record, &emitted) {
                        Ok(()) => *forecasts += 1,
                        // This forecast alone is left out; the stream goes on.
                        Err(cause @ kafka::Error::TooLarge { .. }) => {
                            rare_paths.mark(RarePath::ForecastTooLarge);
                            metrics.dead_letters("forecast_too_large").inc();
                            events::kafka_error("producer", &cause);
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
                        let record =
                            Outgoing { topic, key: emitted.key, payload: Some(payload), headers: sent };
                        failed = match outlet.send(record) {
                            // Its forecast was left out as well, as it has the same key.
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

    /// Brings in the model that serves, when the shard has another one, or lets the experts serve alone. A shard
    /// without readings has nothing to warm from and takes the model at once.
    pub fn follow(&mut self, serving: &Serving) -> Result<(), Error> {
        match serving {
            Serving::Model(model) if self.shard.wants(model.version) => {
                self.rare_paths.mark(RarePath::ModelBrought);
                let is_older = self.shard.model().is_some_and(|version| version > model.version);
                self.rare_paths.mark_if(is_older, RarePath::ModelRolledBack);
                self.shard.bring(model)?;
            }
            Serving::ExpertsAlone => {
                self.rare_paths.mark_if(self.shard.model().is_some(), RarePath::ModelDismissed);
                self.shard.dismiss();
            }
            Serving::Model(_) | Serving::Unknown => {}
        }
        Ok(())
    }
}
