//! The fixed words of labels and events, each set an enum.

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
        /// Its cell of the grid had a reading already.
        Duplicate = "duplicate",
        /// Its series had stepped past its time already.
        Late = "late",
        /// Its time was ahead of its partition and of its own record, and its series was never ahead before.
        TimeAhead = "time_ahead",
        /// Its series is not among the stream's `only`.
        NotSelected = "not_selected",
        /// Kafka had deleted its record before it could be read. Counted in offsets.
        Retention = "retention",
        /// The stream's `fields.where` leaves it out. Counted in elements of records.
        Filtered = "filtered",
        /// Its topic was deleted after it was read and before its forecast was committed. Counted in offsets.
        TopicDeleted = "topic_deleted",
    }
}

words! {
    /// Why a transaction was aborted.
    AbortCause {
        /// A topic takes no batch of this size (`max.message.bytes`).
        TooLarge = "too_large",
        /// The principal may not write to a topic.
        NotAuthorized = "not_authorized",
        /// A topic does not take the record; one that is compacted takes none without a key.
        InvalidRecord = "invalid_record",
        /// The time of the record is too far from the broker's (`message.timestamp.before.max.ms` and `after.max.ms`).
        InvalidTimestamp = "invalid_timestamp",
        /// A broker refuses what was sent for another reason.
        Refused = "refused",
        /// Nothing that was sent: a rebalance, a broker that went away, a topic that was created again.
        Other = "other",
    }
}

words! {
    /// What became of a record that is too large for its topic.
    TooLarge {
        /// A forecast was sent with fewer leads.
        Shortened = "shortened",
        /// A forecast was sent to the dead-letter topic, without its values.
        DeadLetter = "dead_letter",
        /// The payload of a dead letter was cut to what fits.
        Cut = "cut",
        /// An anomaly was left out. Its forecast has its score, too.
        AnomalyLeftOut = "anomaly_left_out",
    }
}

words! {
    /// Why a partition is not read on from the group's offset.
    LogReset {
        /// Its topic was deleted and created again. The new one is read from its first record.
        Recreated = "recreated",
        /// Its log has lost records that were read. It is read on from where it was cut.
        Truncated = "truncated",
        /// Another tool has set the group's offset. It is read on from there.
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
                "its time was ahead of its record's time and of what its partition's series agree on"
            }
            Self::NotSelected => "its series is not among those of `only`",
            Self::Filtered => "fields.where leaves it out",
            Self::TopicDeleted => "its topic was deleted before its forecast was committed",
            Self::Retention => "its record was deleted before it could be read",
        }
    }
}

words! {
    /// Why a reading's target value was not learned as it came.
    Doubt {
        /// It alone lay further from its forecast than the width of the interval. It counts as if it lay that width
        /// away.
        Outlier = "outlier",
        /// It confirmed that the series has moved to another level. The series' states go on from there.
        LevelShift = "level_shift",
        /// It can't be represented: it lies beyond 1e30 of where its series began, has no logarithm, or is not a
        /// position on earth. It counts as missing.
        OutOfRange = "out_of_range",
        /// It is the first count after a counter began again. It counts as missing.
        CounterReset = "counter_reset",
    }
}

words! {
    /// Whether a shard keeps pace with its partition.
    Pace {
        /// What waits in the partition is more than it can work off soon. Its mature series learn less often.
        Behind = "behind",
        /// It has worked off what waited. Its series learn from every reading again.
        CaughtUp = "caught_up",
    }
}

words! {
    /// What happened to a reading whose time was ahead of that of its partition.
    Ahead {
        /// Its record's own time contradicts it, too. It is a dead letter.
        Discarded = "discarded",
        /// Nothing contradicts it. Its series goes ahead alone, or it waits for its time.
        Kept = "kept",
        /// Its series had gone ahead and goes back with it, cold.
        Returned = "returned",
    }
}

words! {
    /// Why a value counts as missing although its field holds something.
    MissingValue {
        /// A text, a number or a position that stands for no value, such as `"unavailable"`.
        Marker = "marker",
        /// NaN, an infinity, or a number too large for a double.
        NotFinite = "not_finite",
        /// Neither a number, nor a text that can be read as one, nor a marker.
        Unreadable = "unreadable",
    }
}

words! {
    /// Why a series was dropped from memory.
    Eviction {
        /// The stream's `max_series` was reached, and this series was silent for longest.
        Capacity = "capacity",
        /// It was silent for longer than its `idle_ttl`.
        Idle = "idle",
    }
}

words! {
    /// What a part of the memory of series is for.
    MemoryPart {
        /// What the experts have learnt, and the readings that they look back on.
        Experts = "experts",
        /// The weights of experts and networks.
        Mixers = "mixers",
        /// Forecasts that wait for the readings they are scored on.
        Ledger = "ledger",
        /// The scales and multipliers of the intervals.
        Intervals = "intervals",
        /// Recent readings: what features and gaps look back on, and what is shown.
        Recent = "recent",
        /// The windows that networks are trained on; only the first series have one.
        TrainingWindows = "training_windows",
        /// The windows of all other series, to warm a network's state over.
        WarmWindows = "warm_windows",
        /// Scales, ranges, and how much of a value is believed.
        Scales = "scales",
        /// Covariates at the leads.
        KnownAhead = "known_ahead",
        /// Anomalies, limits and drift.
        Alarms = "alarms",
        /// The names of the series.
        Names = "names",
        /// Where each series is in time, and the readings that are held back.
        Order = "order",
        /// The networks' states, on their device.
        Networks = "networks",
        /// Room in the tables for series to come.
        Spare = "spare",
    }
}

words! {
    /// A rule that always holds unless the program has a fault. The simulation panics when one is violated. In
    /// production violations are counted, and an alert watches the count.
    Invariant {
        /// A shard is offered records in the order of their offsets.
        OffsetsGrow = "offsets_grow",
        /// Exactly one thing happens to a reading: it is answered, thinned out, stepped silently in a replay, held
        /// back for order, or discarded for a counted reason.
        ReadingsAccounted = "readings_accounted",
        /// A reading whose forecast was committed is not answered again.
        AnsweredOnce = "answered_once",
        /// A series steps only forward in time, except when it comes back from where it had run ahead alone.
        TimeMovesForward = "time_moves_forward",
        /// A forecast uses no reading newer than its origin.
        NothingFromLater = "nothing_from_later",
        /// A forecast's quantiles are finite and ascend with their levels.
        QuantilesAscend = "quantiles_ascend",
        /// A hidden state is stepped by the model that it belongs to.
        StateMatchesModel = "state_matches_model",
        /// A snapshot that is used lies at or below the group's committed offset.
        SnapshotIsCommitted = "snapshot_is_committed",
    }
}

words! {
    /// How a transaction ended.
    TransactionOutcome {
        /// It is in the log.
        Committed = "committed",
        /// Nothing of it is in the log.
        Aborted = "aborted",
        /// Another producer has taken over the transactional id.
        Fenced = "fenced",
        /// The broker did not answer. The recovery finds out.
        Unknown = "unknown",
    }
}

words! {
    /// A request of a producer that has to do with transactions.
    TransactionRequest {
        /// Records for a partition.
        Produce = "produce",
        /// A new epoch.
        InitProducerId = "init_producer_id",
        /// The partitions that the transaction writes to.
        AddPartitions = "add_partitions",
        /// The group whose offsets the transaction commits.
        AddOffsets = "add_offsets",
        /// The offsets themselves.
        CommitOffsets = "commit_offsets",
        /// A commit or an abort.
        End = "end",
    }
}

words! {
    /// What a shard does.
    ShardState {
        /// It loads and replays. It emits nothing yet.
        Restoring = "restoring",
        /// It makes forecasts.
        Running = "running",
    }
}

words! {
    /// How a training round ended.
    RoundOutcome {
        /// The challenger is the new champion.
        Promoted = "promoted",
        /// The challenger was not better than the champion and the baselines.
        Rejected = "rejected",
        /// The challenger was better, and must be better once more before it serves.
        Shadowed = "shadowed",
        /// The champion was worse than its predecessor.
        RolledBack = "rolled_back",
        /// It ended with an error.
        Failed = "failed",
    }
}

words! {
    /// What a schema registry said of a schema.
    RegistryOutcome {
        /// It has the schema.
        Found = "found",
        /// It has no such schema.
        Unknown = "unknown",
        /// Its schema can't be used.
        Unusable = "unusable",
        /// It did not answer; it is asked again.
        Away = "away",
    }
}
