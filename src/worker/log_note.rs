//! What is committed beside a partition's offset: which log the offset belongs to, and how its streams hold readings
//! back (`series/reorder/settings.rs`).

use crate::domain::{LeaderEpoch, TopicId};
use std::fmt;

/// What stands before the topic's id in a note. No stream has this name.
const PREFIX: &str = "@=";
/// What stands before the leader epoch in a note.
const EPOCH_PREFIX: &str = "@e=";

/// What is committed beside an offset.
pub(super) struct LogNote {
    pub topic_id: Option<TopicId>,
    /// The leader epoch of the last record below the offset.
    pub epoch: Option<LeaderEpoch>,
    /// How readings were held back.
    pub rest: String,
    /// How much of the record at the offset is answered, where it is a part of it (`series/reorder/progress.rs`).
    pub progress: String,
}

impl fmt::Display for LogNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.topic_id {
            write!(f, "{PREFIX}{id};")?;
        }
        if let Some(epoch) = self.epoch {
            write!(f, "{EPOCH_PREFIX}{epoch};")?;
        }
        f.write_str(&self.rest)?;
        f.write_str(&self.progress)
    }
}

/// The topic's id in a note.
pub(super) fn noted_id(note: &str) -> Option<TopicId> {
    note.split(';').find_map(|part| part.strip_prefix(PREFIX)).and_then(TopicId::parse)
}

/// The leader epoch in a note.
pub(super) fn noted_epoch(note: &str) -> Option<LeaderEpoch> {
    let epoch = note.split(';').find_map(|part| part.strip_prefix(EPOCH_PREFIX))?;
    epoch.parse().ok().map(LeaderEpoch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Offset, StreamName};
    use crate::series::{ReorderHistory, ReorderSettings};
    use std::time::Duration;

    fn beside(id: Option<TopicId>, epoch: Option<i32>) -> String {
        LogNote {
            topic_id: id,
            epoch: epoch.map(LeaderEpoch),
            rest: "power=0:7200000000:100;".to_owned(),
            progress: "~power=8:5;".to_owned(),
        }
        .to_string()
    }

    #[test]
    fn a_note_bears_the_id_and_the_epoch_and_holdings_pass_them_over() {
        let id = TopicId::new(7);
        assert_eq!(
            (noted_id(&beside(id, Some(12))), noted_epoch(&beside(id, Some(12)))),
            (id, Some(LeaderEpoch(12)))
        );
        assert_eq!((noted_id(&beside(id, None)), noted_epoch(&beside(id, None))), (id, None));
        assert_eq!(
            (noted_id(&beside(None, Some(0))), noted_epoch(&beside(None, Some(0)))),
            (None, Some(LeaderEpoch(0)))
        );
        for other in
            ["", "power=0:0:100;", "@=;", "@=AAAAAAAAAAAAAAAAAAAAAA;", "x@=AAAAAAAAAAAAAAAAAAAABw;", "@e=;"]
        {
            assert_eq!((noted_id(other), noted_epoch(other)), (None, None), "{other}");
        }
        let name = StreamName::new("power").unwrap();
        let now = ReorderSettings { lateness: Duration::ZERO, max_held: 100 };
        let longest = |note: &str| ReorderHistory::of(note, &name, Offset(9), now).longest();
        assert_eq!(longest(&beside(id, Some(12))), Duration::from_secs(7_200));
    }
}
