//! Which of the faults that a run means to inject have come to something: each is marked where it bites, and not where
//! the dice are thrown.

/// The enum of all faults, and the list of them.
macro_rules! faults {
    ($($(#[doc = $what:literal])* $fault:ident,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Fault {
            $($(#[doc = $what])* $fault,)+
        }

        impl Fault {
            pub const ALL: &[Self] = &[$(Self::$fault,)+];
        }
    };
}

faults! {
    /// A broker has carried out a request, and its connection broke before the answer came.
    AnswerLostInit,
    AnswerLostAddPartitions,
    AnswerLostProduce,
    AnswerLostAddOffsets,
    AnswerLostCommitOffsets,
    AnswerLostEnd,
    /// A request has come to a broker after its producer had given it up.
    LateInit,
    LateAddPartitions,
    LateProduce,
    LateAddOffsets,
    LateCommitOffsets,
    LateEnd,
    /// A late request has come while a later transaction of its producer was open.
    LateInLaterTransaction,
    /// As before, and it was an `EndTxn`.
    LateEndInLaterTransaction,
    /// A request was repeated on a new connection and came before the first one.
    Overtaken,
    /// A broker has refused a late request because of its epoch.
    LateRefused,
    /// A request never came to a broker.
    RequestLost,
    /// A transaction was aborted before its end was asked for.
    Aborted,
    /// The outcome of a commit was unknown, and it was committed.
    UnknownAndDone,
    /// The outcome of a commit was unknown, and it was not committed.
    UnknownAndNotDone,
    /// A producer was refused because another one has its place.
    Fenced,
    /// A late `InitProducerId` of the process itself has fenced its producer.
    FencedByItself,
    /// A process has died and left a transaction open, and the broker ended it.
    TransactionLeftOpen,
    /// The client had something to log.
    Trouble,
    /// The clock has jumped in a poll.
    LongTurn,
    /// A record of a partition was handed over after its release.
    StaleRecord,
    /// A record was handed over beyond an offset that has none.
    OffsetWithoutRecord,
    /// The group has let a member go that had partitions.
    Evicted,
    /// A member with partitions has heard late that the group had let it go.
    HeardLate,
    /// A member with partitions has joined again as a new one, which holds nothing.
    Expelled,
    /// No broker has answered a question.
    Unanswered,
    /// A process was gone between two turns.
    Died,
    /// A process was gone in the middle of a call of its broker.
    DiedInCall,
    /// A process was gone in the middle of a commit, with its transaction open.
    DiedInCommit,
    /// A process was gone in the middle of the end of a snapshot.
    DiedInSnapshot,
    /// A request to the store has failed.
    StoreFailed,
    /// The store has kept an object and said that it did not.
    StoreKeptAndFailed,
    /// A damaged object was read.
    DamageRead,
    /// A listing did not have an object that was taken away.
    LossListed,
    /// A chunk of a snapshot was not accepted at once.
    ChunkRefused,
    /// The last snapshots were not there in time.
    SnapshotsLate,
    /// A shard was not loaded at once.
    LoaderSlow,
    /// Records were deleted that were not read and committed.
    RetentionAhead,
    /// The topic was deleted.
    TopicDeleted,
    /// The topic was created again.
    TopicCreated,
    /// The log has lost records that were there.
    Truncated,
    /// The group's offset was moved back.
    MovedBack,
    /// The group's offset was moved ahead.
    MovedAhead,
}

const _: () = assert!(Fault::ALL.len() <= u64::BITS as usize, "a bit for each fault");

/// The faults that have bitten.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bites(u64);

impl Bites {
    pub fn mark(&mut self, fault: Fault) {
        self.0 |= 1 << fault as u8;
    }

    pub fn mark_if(&mut self, has_bitten: bool, fault: Fault) {
        self.0 |= u64::from(has_bitten) << fault as u8;
    }

    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub fn contains(&self, fault: Fault) -> bool {
        self.0 >> fault as u8 & 1 == 1
    }
}
