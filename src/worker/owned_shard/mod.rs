//! A shard, with what its partition needs on the way in and out: records are decoded and offered to the shard,
//! what the shard emits is encoded and sent.

mod accounts;
mod dead_letter;
mod large;
mod log_watch;
mod sending;
mod taking;

use super::Error;
use super::loading::{LoadRequest, LoadedShard};
use super::pace::PaceWatch;
use super::rare_paths::{RarePath, RarePaths};
use super::serving::Serving;
use crate::checkpoint::SnapshotId;
use crate::codec::{Decoder, Encoder, Record};
use crate::config::Stream;
use crate::domain::{EventTime, Forecast, ModelVersion, Offset, TopicId, TopicPartition};
use crate::engine::Shard;
use crate::schemas::SchemaSource;
use crate::series::{RecordProgress, ReorderSettings};
use crate::telemetry::{Pace, PaceChange, ShardMetrics, ShardState, StreamMetrics};
use accounts::note_violations;
use dead_letter::DeadLetters;
pub(super) use log_watch::{LogDoubt, LogWatch};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use taking::Unfinished;

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
        schemas: Option<Arc<dyn SchemaSource>>,
        since: Instant,
        now: Instant,
    ) -> Self {
        let LoadedShard { request, mut shard, from, snapshot, violations, rare_paths, .. } = loaded;
        let LoadRequest { stream, at, topic_id, committed, holdings, answered, .. } = request;
        note_violations(&stream.name, &at, &metrics, &violations);
        shard.emit_from(committed.0);
        shard.emit_after(answered);
        shard.hold_back(holdings.at(from));
        let mut decoder = Decoder::with_schemas(&stream, schemas);
        decoder.remember(shard.births());
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
            decoder,
            encoder: Encoder::new(&stream),
            dead_letters: DeadLetters::default(),
            model_name: None,
            partition_text: at.partition.to_string(),
            at,
            payload: Vec::new(),
            readings: 0,
        }
    }

    /// Hands the shard what the records so far have said of those to come, for a snapshot of both.
    pub fn keep_births(&mut self) {
        self.shard.keep_births(self.decoder.births());
    }

    /// Whether a record can't be decoded yet, because its schema is not known.
    pub fn awaits_schema(&mut self, record: &Record<'_>) -> bool {
        self.decoder.awaits_schema(record)
    }

    /// The worker was busy elsewhere, or the shard's records were held back, until `now`: that nothing came says nothing.
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
            && !self.is_unfinished()
            && self.position == self.committed
            && self.newest_snapshot.is_none_or(|whole| whole.offset != self.committed)
            && now.saturating_duration_since(self.snapshot_begun_at) >= every
    }

    /// The stream that the shard serves.
    pub fn stream(&self) -> &Arc<Stream> {
        self.shard.stream()
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
