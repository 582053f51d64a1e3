//! The words that stand in labels and events where a set of them is fixed.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
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
        /// Its series is new and the stream's `max_series` was reached.
        SeriesLimit = "series_limit",
        /// Its series is not among the stream's `only`.
        NotSelected = "not_selected",
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
        Failed = "failed",
    }
}
