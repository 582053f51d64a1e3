use super::Discard;
use crate::domain::{EventTime, Offset, TopicPartition};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// One of the readings that were discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscardedReading {
    pub series: String,
    pub time: EventTime,
    pub shard: TopicPartition,
    pub offset: Offset,
}

/// Discarded readings that the log was not told of yet: the first of a reason is told at once, what comes after it
/// together, and once in a while.
#[derive(Debug, Default)]
pub(super) struct Discards(Mutex<[Untold; Discard::ALL.len()]>);

#[derive(Debug, Default)]
struct Untold {
    count: u64,
    first: Option<DiscardedReading>,
    told: Option<Instant>,
}

/// How long the log waits before it tells of the same reason again. Series that `only` leaves out are left out on
/// purpose.
fn pause(why: Discard) -> Duration {
    if why == Discard::NotSelected { Discards::PAUSE_MAX } else { Duration::from_secs(60) }
}

impl Discards {
    /// The longest time for which the log is told nothing.
    pub const PAUSE_MAX: Duration = Duration::from_secs(3_600);

    /// Keeps `first` when it is the first that is untold.
    pub fn add(&self, why: Discard, count: u64, first: impl FnOnce() -> Option<DiscardedReading>) {
        let mut all = self.0.lock().expect("no holder of this lock panics");
        let untold = &mut all[why as usize];
        untold.count += count;
        if untold.first.is_none() {
            untold.first = first();
        }
    }

    /// What is to be told now, with how many there are since it was told last.
    pub fn take_due(&self, now: Instant) -> Vec<(Discard, u64, DiscardedReading)> {
        let mut all = self.0.lock().expect("no holder of this lock panics");
        let mut due = Vec::new();
        for (why, untold) in Discard::ALL.iter().zip(all.iter_mut()) {
            let rests = untold.told.is_some_and(|told| now.saturating_duration_since(told) < pause(*why));
            if rests {
                continue;
            }
            if let Some(first) = untold.first.take() {
                due.push((*why, std::mem::take(&mut untold.count), first));
                untold.told = Some(now);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Partition;

    #[test]
    fn the_first_is_told_at_once_and_the_others_together_later() {
        let (discards, start) = (Discards::default(), Instant::now());
        let reading = |offset| DiscardedReading {
            series: "m".to_owned(),
            time: EventTime::MIN,
            shard: TopicPartition { topic: "meters".into(), partition: Partition(0) },
            offset: Offset(offset),
        };
        let told = |seconds| -> Vec<(Discard, u64, i64)> {
            let due = discards.take_due(start + Duration::from_secs(seconds));
            due.into_iter().map(|(why, count, first)| (why, count, first.offset.0)).collect()
        };
        let add = |why, count, offset| discards.add(why, count, || Some(reading(offset)));
        assert_eq!(told(0), []);
        add(Discard::Duplicate, 1, 7);
        assert_eq!(told(0), [(Discard::Duplicate, 1, 7)]);
        add(Discard::Duplicate, 200, 8);
        add(Discard::Duplicate, 99, 300);
        add(Discard::Late, 2, 9);
        assert_eq!(told(1), [(Discard::Late, 2, 9)]);
        // All that came since, though none comes any more.
        assert_eq!(told(60), [(Discard::Duplicate, 299, 8)]);
        assert_eq!(told(600), []);
        add(Discard::NotSelected, 5, 1);
        assert_eq!(told(600), [(Discard::NotSelected, 5, 1)]);
        add(Discard::NotSelected, 5, 2);
        assert_eq!(told(3_000), []);
        assert_eq!(told(4_200), [(Discard::NotSelected, 5, 2)]);
    }
}
