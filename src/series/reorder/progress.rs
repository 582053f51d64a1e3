//! How much of a record has been answered, where a commit came before its end.
//!
//! One record may let many readings through: all that it holds, and all that were held back until its time. They are
//! stepped, sent and committed in parts, so that no transaction outlives the broker's limit. A commit between two parts
//! is at the offset of the record itself, and says beside it how many readings were answered. A replay lets the same
//! readings through in the same order, and answers those that come after.

use crate::domain::{Offset, StreamName};
use std::fmt::Write;

/// What stands before the name of the stream in a note. No stream's name has it.
const PREFIX: char = '~';
/// Stands for the number of readings where all were answered.
const ALL: &str = "all";

/// How many readings that a record lets through have been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordProgress {
    /// The record's offset.
    pub offset: Offset,
    /// The first so many readings have been answered.
    pub readings: u64,
}

impl RecordProgress {
    /// Every reading of the record is answered. Another stream of the partition is not that far.
    pub fn all(offset: Offset) -> Self {
        Self { offset, readings: u64::MAX }
    }

    /// The entry of the stream in the note beside the committed offset `committed`, if it is about the record there.
    pub fn of(note: &str, stream: &StreamName, committed: Offset) -> Option<Self> {
        let of_stream = |part: &str| {
            let (name, progress) = part.strip_prefix(PREFIX)?.split_once('=')?;
            if name != stream.as_str() {
                return None;
            }
            let (offset, readings) = progress.split_once(':')?;
            let readings = if readings == ALL { u64::MAX } else { readings.parse().ok()? };
            Some(Self { offset: Offset(offset.parse().ok()?), readings })
        };
        note.split(';').find_map(of_stream).filter(|progress| progress.offset == committed)
    }

    /// Appends the note that [`Self::of`] reads: `~power=4711:350000;`.
    pub fn note(&self, stream: &StreamName, out: &mut String) {
        let Self { offset, readings } = self;
        let _ = match *readings {
            u64::MAX => write!(out, "{PREFIX}{stream}={offset}:{ALL};"),
            readings => write!(out, "{PREFIX}{stream}={offset}:{readings};"),
        };
    }

    /// Whether a note says of any stream how much of the record at this offset is answered.
    pub fn is_noted(note: &str, committed: Offset) -> bool {
        let of_it = |part: &str| {
            let progress = part.strip_prefix(PREFIX).and_then(|part| part.split_once('='));
            let offset = progress.and_then(|(_, progress)| progress.split_once(':'));
            offset.is_some_and(|(offset, _)| offset.parse() == Ok(committed.0))
        };
        note.split(';').any(of_it)
    }

    /// A note without what it says of single records.
    pub fn removed(note: &str) -> String {
        note.split_inclusive(';').filter(|part| !part.starts_with(PREFIX)).collect()
    }

    /// The most bytes that the note of a stream takes.
    pub fn note_bytes_max(stream: &StreamName) -> usize {
        // Prefix, name, `=`, offset, `:`, number, `;`.
        stream.as_str().len() + 4 + 2 * "18446744073709551615".len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{ReorderHistory, ReorderSettings};
    use proptest::prelude::*;
    use std::time::Duration;

    fn power() -> StreamName {
        StreamName::new("power").unwrap()
    }

    fn settings() -> ReorderSettings {
        ReorderSettings { lateness: Duration::from_secs(3_600), max_held: 100 }
    }

    #[test]
    fn it_is_read_at_its_record_alone() {
        let note = "@=pBad5wBFQ7ifSCX1mR2a_A;power=0:1:2;~pow=7:9;~power=4711:350000;~other=4711:all;";
        let at = |offset| RecordProgress::of(note, &power(), Offset(offset));
        assert_eq!(at(4711), Some(RecordProgress { offset: Offset(4711), readings: 350_000 }));
        assert_eq!((at(4710), at(4712)), (None, None));
        let other = StreamName::new("other").unwrap();
        assert_eq!(RecordProgress::of(note, &other, Offset(4711)), Some(RecordProgress::all(Offset(4711))));
    }

    #[test]
    fn a_malformed_one_is_ignored() {
        for note in
            ["~power", "~power=", "~power=7", "~power=7:", "~power=7:x", "~power=7:-1", "power=7:1", "~=7:1"]
        {
            assert_eq!(RecordProgress::of(note, &power(), Offset(7)), None, "{note}");
        }
    }

    proptest! {
        #[test]
        fn it_is_read_as_it_was_written_and_the_settings_beside_it_too(offset in 0i64.., readings in any::<u64>()) {
            let mut note = "@=pBad5wBFQ7ifSCX1mR2a_A;".to_owned();
            let history = ReorderHistory::of("", &power(), Offset(0), settings());
            history.note(&power(), &mut note);
            let before = note.len();
            let progress = RecordProgress { offset: Offset(offset), readings };
            progress.note(&power(), &mut note);
            prop_assert_eq!(RecordProgress::of(&note, &power(), Offset(offset)), Some(progress));
            prop_assert_eq!(ReorderHistory::of(&note, &power(), Offset(i64::MAX), settings()), history);
            prop_assert!(note.len() - before <= RecordProgress::note_bytes_max(&power()));
        }
    }
}
