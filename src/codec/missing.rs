use crate::telemetry::{MissingExample, MissingValue};
use std::fmt;

/// Counts of the missing values whose fields were not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissingValues {
    /// By reason.
    counts: [u64; MissingValue::ALL.len()],
    examples: [Option<MissingExample>; MissingValue::ALL.len()],
}

impl MissingValues {
    /// Whether there were no such values.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// The number of values that were missing for this reason.
    pub fn count(&self, why: MissingValue) -> u64 {
        self.counts[why as usize]
    }

    /// The first of them.
    pub fn example(&self, why: MissingValue) -> Option<&MissingExample> {
        self.examples[why as usize].as_ref()
    }

    /// Adds those that were found later.
    pub fn merge(&mut self, later: &Self) {
        for (at, (count, example)) in later.counts.iter().zip(&later.examples).enumerate() {
            self.counts[at] += count;
            if self.examples[at].is_none() {
                self.examples[at].clone_from(example);
            }
        }
    }

    /// Adds the missing values of one reading.
    #[cold]
    pub(super) fn add(&mut self, of: &MissingSlots, mut example: impl FnMut(usize) -> MissingExample) {
        for (at, (count, first)) in of.0.iter().enumerate() {
            self.counts[at] += u64::from(*count);
            if let Some(slot) = first {
                self.examples[at].get_or_insert_with(|| example(*slot));
            }
        }
    }
}

/// `6 marker ("unavailable" at /state of a)`, and so on: the number for each reason, and the first example.
impl fmt::Display for MissingValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let examples = MissingValue::ALL.iter().filter_map(|why| Some((*why, self.example(*why)?)));
        for (i, (why, MissingExample { field, series, text })) in examples.enumerate() {
            let (comma, count) = (if i > 0 { ", " } else { "" }, self.count(why));
            write!(f, "{comma}{count} {} ({text} at {field} of {series})", why.as_str())?;
        }
        Ok(())
    }
}

/// The missing values of one reading, by reason: the number, and the slot of the first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MissingSlots([(u32, Option<usize>); MissingValue::ALL.len()]);

impl MissingSlots {
    pub fn note(&mut self, slot: usize, why: MissingValue) {
        let (count, first) = &mut self.0[why as usize];
        *count += 1;
        first.get_or_insert(slot);
    }

    pub fn any(&self) -> bool {
        self.0.iter().any(|(count, _)| *count > 0)
    }
}
