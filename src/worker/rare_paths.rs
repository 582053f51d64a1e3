//! Marks on the paths that a worker takes only when something goes wrong or comes at a bad moment.
//!
//! A simulation that injects a fault proves something only if the fault reaches the code that handles it. So
//! that code marks its path, and the simulation fails when a path is never reached.

/// The enum of all paths, and the list of them.
macro_rules! rare_paths {
    ($($(#[doc = $what:literal])+ $path:ident,)+) => {
        /// A path that is taken rarely.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum RarePath {
            $($(#[doc = $what])+ $path,)+
        }

        impl RarePath {
            /// All of them, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$path,)+];
        }
    };
}

rare_paths! {
    /// A record was fetched before a rebalance and belongs to no shard of this worker.
    RecordWithoutShard,
    /// A record lay below the shard's position, because another shard of its partition came back from an older
    /// snapshot.
    RecordAlreadyTaken,
    /// A record had an offset that had come before.
    OffsetWentBack,
    /// A record below the committed offset was taken in without an answer.
    ReplayedRecord,
    /// A replay ended because nothing came, though its last record had not been seen.
    ReplayEndedIdle,
    /// A record was sent to the dead-letter topic.
    DeadLetter,
    /// A dead letter was too large and was sent without its payload.
    DeadLetterTooLarge,
    /// A forecast was too large and was left out.
    ForecastTooLarge,
    /// Kafka did not answer, or not yet, and the worker waited for it.
    KafkaAwaited,
    /// A commit came in the middle of what a record lets through.
    CommittedWithinRecord,
    /// A record went on in the middle, because a part of it was answered before a restart.
    ResumedWithinRecord,
    /// Records that were polled waited because a turn steps no more.
    Backlogged,
    /// A partition was paused because too many of its records waited.
    BacklogPaused,
    /// A commit was aborted.
    CommitAborted,
    /// A worker paused because transactions were aborted one after the other.
    AbortsPaused,
    /// A commit ended without an answer.
    CommitUnknown,
    /// Another process took this worker's place.
    CommitFenced,
    /// The producer took a new epoch, because a request might have come late.
    NewEpoch,
    /// A partition was revoked with records that were not committed, and these were committed before the release.
    RevokedUncommitted,
    /// The commit before a release failed.
    RevokeCommitFailed,
    /// A partition was lost without a chance to commit.
    Lost,
    /// A member was fenced by its own ghost, and joined again.
    Expelled,
    /// A partition was lost or revoked while its shards were being loaded.
    RevokedWhileLoading,
    /// A shard was loaded that nobody waits for any longer.
    LoadedForNobody,
    /// A shard came back from a snapshot.
    RestoredFromSnapshot,
    /// A shard came back from a snapshot that retention has overtaken.
    SnapshotBelowRetention,
    /// A shard started cold although something of its partition was committed.
    ColdStart,
    /// The store did not answer, and was asked again.
    StoreAskedAgain,
    /// The store did not answer in time, and a shard started without its snapshot.
    StoreGivenUp,
    /// A snapshot was finished.
    SnapshotTaken,
    /// A snapshot failed.
    SnapshotFailed,
    /// A snapshot was given up before its end.
    SnapshotGivenUp,
    /// A chunk of a snapshot had to wait for the store.
    SnapshotWaited,
    /// A snapshot was taken for the next owner of a revoked partition.
    HandedOver,
    /// The time for the snapshots of a hand-over or of a stop was over before they were taken.
    HandOverCutShort,
    /// A topic was found deleted.
    TopicGone,
    /// A topic was found deleted and created again, by the note beside the committed offset or by its id.
    TopicRecreated,
    /// As [`Self::TopicRecreated`], but only the snapshots knew the former topic.
    TopicRecreatedBySnapshot,
    /// The log was looked at a second time before its reset was believed.
    SecondLook,
    /// A record of a new leader came, and the log was compared with what was read of it.
    LeaderChanged,
    /// The log was seen to end before what was read, before a record came.
    LogEndsBefore,
    /// The log had lost its end.
    LogTruncated,
    /// Another program had moved the group's offset.
    OffsetMoved,
    /// Retention had deleted records before their partition was assigned.
    RetentionAtStart,
    /// Retention deleted records while their partition was read.
    RetentionWhileRunning,
    /// The log of a partition was in doubt, and the partition was started again.
    LogInDoubt,
    /// A model was brought into a shard that serves.
    ModelBrought,
    /// An older model took the place of a newer one.
    ModelRolledBack,
    /// The experts serve alone again.
    ModelDismissed,
    /// Another model was announced while a shard was replaying with the model of its snapshot.
    ModelChangedInReplay,
    /// A training round was handed in.
    RoundHandedIn,
    /// A training round was due while one of its stream was running.
    RoundRefused,
    /// A training round was asked for before the schedule said so.
    RoundHastened,
    /// The worker was busy for so long that silence of a partition says nothing.
    LongTurn,
    /// The broker client reported a transient error.
    Trouble,
}

const _: () = assert!(RarePath::ALL.len() <= u64::BITS as usize, "a bit for each path");

/// The rare paths that were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RarePaths(u64);

impl RarePaths {
    /// Marks a path as taken.
    pub fn mark(&mut self, path: RarePath) {
        self.0 |= 1 << path as u8;
    }

    /// Marks a path as taken where `taken`.
    pub fn mark_if(&mut self, taken: bool, path: RarePath) {
        self.0 |= u64::from(taken) << path as u8;
    }

    /// Marks all paths of `other`, and empties it.
    pub fn take_from(&mut self, other: &mut Self) {
        self.0 |= std::mem::take(&mut other.0);
    }

    /// Whether a path was taken.
    pub fn contains(&self, path: RarePath) -> bool {
        self.0 >> path as u8 & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_marked_by_itself() {
        let mut paths = RarePaths::default();
        paths.mark(RarePath::Trouble);
        paths.mark_if(false, RarePath::Lost);
        let marked = RarePath::ALL.iter().filter(|path| paths.contains(**path));
        assert_eq!(marked.collect::<Vec<_>>(), [&RarePath::Trouble]);
    }
}
