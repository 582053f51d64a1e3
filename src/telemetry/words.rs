//! The words that stand in labels and events where a set of them is fixed.

/// One of a fixed set of words.
pub trait Word: Copy + 'static {
    /// All of the set, in order.
    const WORDS: &'static [Self];

    /// Its place in [`Self::WORDS`].
    fn index(self) -> usize;
    /// The word itself.
    fn text(self) -> &'static str;
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The words of [`Self::ALL`].
            pub const TEXTS: &'static [&'static str] = &[$($word),+];

            /// Its word in labels and events.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl Word for $name {
            const WORDS: &'static [Self] = Self::ALL;

            fn index(self) -> usize {
                self as usize
            }

            fn text(self) -> &'static str {
                self.as_str()
            }
        }
    };
}

words! {
    /// Why a decoded reading was not stepped.
    Discard {
        /// Its cell of the grid had its reading already.
        Duplicate = "duplicate",
        /// It came after its place in the order had been passed.
        Late = "late",
        /// It was ahead of its partition and of its own record, which its series never was before.
        TimeAhead = "time_ahead",
        /// Its series is not among the stream's `only`.
        NotSelected = "not_selected",
        /// Kafka had deleted its record before it could be read. Counted in offsets.
        Retention = "retention",
        /// It was read, and its topic was deleted before its answer was committed. Counted in offsets.
        TopicDeleted = "topic_deleted",
    }
}

words! {
    /// Why a partition is not read on where the group had left it.
    LogReset {
        /// Its topic was deleted and made anew under its name: all of the new one is answered.
        Recreated = "recreated",
        /// Its log ends before what was read: it is read on at its end.
        Truncated = "truncated",
        /// Another tool has set the group's offset: it is read on there.
        Moved = "moved",
    }
}

impl Discard {
    /// The reason in words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Duplicate => {
                "its series had a reading for this time, or for this cell of the grid, already"
            }
            Self::Late => "its series had stepped past its time already",
            Self::TimeAhead => {
                "its time was ahead of its record's own and of what its partition's series agree on"
            }
            Self::NotSelected => "its series is not among those of `only`",
            Self::TopicDeleted => "its topic was deleted before its answer was committed",
            Self::Retention => "its record was deleted before it could be read",
        }
    }
}

words! {
    /// Why a target of a reading was not taken as it came.
    Doubt {
        /// It lay further from its forecast than the interval is wide, alone: no more than that width of it
        /// counts.
        Outlier = "outlier",
        /// It confirmed that the series has moved to another level: its states go on from there.
        LevelShift = "level_shift",
        /// It can't be held: it lies beyond 1e30 of where its series began, has no logarithm, or is no place on
        /// earth. It counts as missing.
        OutOfRange = "out_of_range",
    }
}

words! {
    /// What became of a reading whose time was ahead of that of its partition.
    Ahead {
        /// Its record's own time speaks against it, too: it is a dead letter.
        Discarded = "discarded",
        /// Nothing says that it is wrong: its series goes ahead alone, or it waits for its time.
        Kept = "kept",
        /// Its series had gone ahead, and goes back with it, cold.
        Returned = "returned",
    }
}

words! {
    /// Why a value of a reading is missing though something stands in its field.
    MissingValue {
        /// A text or a number that stands for no value, as `"unavailable"`; or a position that stands for none.
        Marker = "marker",
        /// NaN, an infinity, or a number too large for a double.
        NotFinite = "not_finite",
        /// Neither a number, nor a text that spells one, nor a marker.
        Unreadable = "unreadable",
    }
}

words! {
    /// Why a series was dropped from memory.
    Eviction {
        /// The stream's `max_series` was reached and this one was seen the longest ago.
        Capacity = "capacity",
        /// It was silent for longer than its `idle_ttl`.
        Idle = "idle",
    }
}

words! {
    /// What must never be otherwise. The simulation panics where one does not hold; in production it
    /// counts, and an alert watches the count.
    Invariant {
        /// A shard is offered records in the order of their offsets.
        OffsetsGrow = "offsets_grow",
        /// Every reading that was taken in is answered, thinned out, stepped silently in a replay, held back
        /// for order, or discarded for a counted reason: one of them, once.
        ReadingsAccounted = "readings_accounted",
        /// Nothing that was committed is answered again.
        AnsweredOnce = "answered_once",
        /// A series steps only forward in time, but for one that goes back from where it had run ahead alone.
        TimeMovesForward = "time_moves_forward",
        /// A forecast uses no reading newer than its origin.
        NothingFromLater = "nothing_from_later",
        /// A forecast's quantiles are finite and ascend with their levels.
        QuantilesAscend = "quantiles_ascend",
        /// A hidden state is stepped by the model that it belongs to.
        StateMatchesModel = "state_matches_model",
        /// A snapshot's offset lies at or below its group's when it is used.
        SnapshotIsCommitted = "snapshot_is_committed",
    }
}

words! {
    /// How a transaction ended.
    TransactionOutcome {
        Committed = "committed",
        Aborted = "aborted",
        /// Another process has taken this worker's place.
        Fenced = "fenced",
        /// The broker did not say; whoever recovers finds out.
        Unknown = "unknown",
    }
}

words! {
    /// What a shard does.
    ShardState {
        /// It loads and replays; it emits nothing yet.
        Restoring = "restoring",
        Running = "running",
    }
}

words! {
    /// How a training round ended.
    RoundOutcome {
        Promoted = "promoted",
        /// The challenger was not better than the champion and the baselines.
        Rejected = "rejected",
        /// It was better, and has to be so once more.
        Shadowed = "shadowed",
        /// The champion was worse than what had served before it.
        RolledBack = "rolled_back",
        Failed = "failed",
    }
}
