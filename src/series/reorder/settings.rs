//! The settings by which readings are held back, and the records from which they applied.
//!
//! What a record releases depends on the settings in force when it was read, so a replay has to know
//! them. They are kept beside the committed offset. Thus a change of `lateness` or `max_held` while
//! readings are held back neither loses a reading nor answers one twice.

use crate::config::Stream;
use crate::domain::{Offset, StreamName};
use std::fmt::Write;
use std::time::Duration;

/// The most changes that are kept. For older records the oldest of them applies.
const CHANGES_MAX: usize = 8;

/// The settings that decide when a held reading is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReorderSettings {
    pub lateness: Duration,
    pub max_held: usize,
}

impl ReorderSettings {
    /// The settings of the config.
    pub fn of(stream: &Stream) -> Self {
        Self { lateness: stream.lateness, max_held: stream.bounds.max_held }
    }
}

/// The settings that were in force, by the first record to which each applied, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReorderHistory(Vec<(Offset, ReorderSettings)>);

impl ReorderHistory {
    /// The history after `now` came into force at record `from`. Before it, the entry of the stream in
    /// `note` applies, if there is one.
    pub fn of(note: &str, stream: &StreamName, from: Offset, now: ReorderSettings) -> Self {
        let of_stream = |part: &str| {
            let (name, changes) = part.split_once('=')?;
            (name == stream.as_str()).then(|| changes.split(',').map(read).collect::<Option<Vec<_>>>())?
        };
        let mut all: Vec<(Offset, ReorderSettings)> = note.split(';').find_map(of_stream).unwrap_or_default();
        let is_sorted = all.is_sorted_by(|a, b| a.0 < b.0);
        all.retain(|(since, _)| is_sorted && *since < from);
        if all.last().is_none_or(|(_, last)| *last != now) {
            all.push((from, now));
        }
        all.drain(..all.len().saturating_sub(CHANGES_MAX));
        Self(all)
    }

    /// The settings in force when this record was read.
    pub fn at(&self, offset: Offset) -> ReorderSettings {
        let before = self.0.iter().rev().find(|(since, _)| *since <= offset);
        before.unwrap_or(&self.0[0]).1
    }

    /// The changes after this record, in order.
    pub fn after(&self, offset: Offset) -> impl Iterator<Item = (Offset, ReorderSettings)> {
        self.0.iter().filter(move |(since, _)| *since > offset).copied()
    }

    /// The longest lateness.
    pub fn longest(&self) -> Duration {
        self.0.iter().map(|(_, settings)| settings.lateness).max().unwrap_or_default()
    }

    /// Appends the note that [`Self::of`] reads: `power=0:7200000000:1000000,4711:0:1000000;`.
    pub fn note(&self, stream: &StreamName, out: &mut String) {
        let mut separator = '=';
        out.push_str(stream.as_str());
        for (since, ReorderSettings { lateness, max_held }) in &self.0 {
            let _ = write!(out, "{separator}{since}:{}:{max_held}", lateness.as_micros());
            separator = ',';
        }
        out.push(';');
    }
}

fn read(change: &str) -> Option<(Offset, ReorderSettings)> {
    let mut fields = change.split(':');
    let since = Offset(fields.next()?.parse().ok()?);
    let lateness = Duration::from_micros(fields.next()?.parse().ok()?);
    let max_held = fields.next()?.parse().ok()?;
    fields.next().is_none().then_some((since, ReorderSettings { lateness, max_held }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hours(lateness: u64) -> ReorderSettings {
        ReorderSettings { lateness: Duration::from_secs(3_600 * lateness), max_held: 100 }
    }

    fn power() -> StreamName {
        StreamName::new("power").unwrap()
    }

    #[test]
    fn a_change_holds_from_where_it_was_made() {
        let mut note = String::new();
        ReorderHistory::of("", &power(), Offset(0), hours(4)).note(&power(), &mut note);
        assert_eq!(note, "power=0:14400000000:100;");
        let same = ReorderHistory::of(&note, &power(), Offset(70), hours(4));
        assert_eq!(same.after(Offset(0)).next(), None);
        let less = ReorderHistory::of(&note, &power(), Offset(70), hours(0));
        assert_eq!([69, 70].map(|offset| less.at(Offset(offset))), [hours(4), hours(0)]);
        assert_eq!(less.after(Offset(69)).collect::<Vec<_>>(), [(Offset(70), hours(0))]);
        assert_eq!((less.after(Offset(70)).next(), less.longest()), (None, hours(4).lateness));
        let mut note = "other=0:1:2;".to_owned();
        less.note(&power(), &mut note);
        assert_eq!(note, "other=0:1:2;power=0:14400000000:100,70:0:100;");
        // Set back to a record before the change: it is still to come.
        let back = ReorderHistory::of(&note, &power(), Offset(60), hours(4));
        assert_eq!((back.at(Offset(80)), back.after(Offset(0)).next()), (hours(4), None));
    }

    #[test]
    fn a_malformed_note_is_ignored() {
        let alone = ReorderHistory::of("", &power(), Offset(9), hours(1));
        for note in [
            "x",
            "power",
            "power=",
            "power=1:2",
            "power=1:2:3:4;",
            "power=a:2:3;",
            "pow=1:2:3;",
            "power=5:1:1,4:2:2",
        ] {
            assert_eq!(ReorderHistory::of(note, &power(), Offset(9), hours(1)), alone, "{note}");
        }
    }

    proptest! {
        #[test]
        fn a_note_is_read_as_it_was_written(changes in proptest::collection::vec((1i64..50, 0u64..4), 1..30)) {
            let (mut note, mut from) = (String::new(), 0);
            let mut made: Vec<(i64, ReorderSettings)> = Vec::new();
            for (step, lateness) in changes {
                let holdings = ReorderHistory::of(&note, &power(), Offset(from), hours(lateness));
                if made.last().is_none_or(|(_, last)| *last != hours(lateness)) {
                    made.push((from, hours(lateness)));
                }
                note.clear();
                holdings.note(&power(), &mut note);
                let newest = &made[made.len().saturating_sub(CHANGES_MAX)..];
                for (since, settings) in newest {
                    prop_assert_eq!(holdings.at(Offset(*since)), *settings);
                }
                prop_assert_eq!(holdings.after(Offset(newest[0].0)).count(), newest.len() - 1);
                from += step;
            }
        }

        #[test]
        fn any_note_is_survived(note in "[a-z=;:,0-9-]{0,60}", from in any::<i64>()) {
            let holdings = ReorderHistory::of(&note, &power(), Offset(from), hours(1));
            prop_assert_eq!(holdings.at(Offset(i64::MAX)), hours(1));
        }
    }
}
