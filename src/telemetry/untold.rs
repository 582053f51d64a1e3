//! What the log is told of once in a while: the first of a reason at once, what comes after it together, with
//! one of them as an example.

use super::{Ahead, Discard, Doubt, MissingValue, events};
use crate::domain::{EventTime, Offset, StreamName, TopicPartition};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long the log waits before it tells of the same reason again.
const PAUSE: Duration = Duration::from_secs(60);
/// As [`PAUSE`], for series that `only` leaves out: they are left out on purpose.
const PAUSE_ON_PURPOSE: Duration = Duration::from_secs(3_600);

/// One of the readings that were discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscardedReading {
    pub series: String,
    pub time: EventTime,
    pub shard: TopicPartition,
    pub offset: Offset,
}

/// One of the values that are missing though something stands in their fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingExample {
    /// Its place in the record, as the config names it.
    pub field: String,
    pub series: String,
    /// What stands there, in quotes and cut to a length that fits into a line.
    pub text: String,
}

/// One of the targets that were not taken as they came.
#[derive(Clone, Debug, PartialEq)]
pub struct DoubtedTarget {
    pub series: String,
    pub target: String,
    pub time: EventTime,
    pub value: f64,
    /// What was forecast of it.
    pub expected: f64,
}

/// One of the readings whose time was ahead of that of their partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingAhead {
    pub series: String,
    pub time: EventTime,
    /// What the partition's series agreed on.
    pub agreed: EventTime,
    pub shard: TopicPartition,
}

/// What the log was not told of yet of a stream, whichever of its shards had it.
pub(super) struct Untold {
    pub discarded: ByReason<DiscardedReading>,
    pub missing: ByReason<MissingExample>,
    pub doubted: ByReason<DoubtedTarget>,
    pub ahead: ByReason<ReadingAhead>,
}

impl Untold {
    pub fn new() -> Self {
        let on_purpose = |why: &Discard| *why == Discard::NotSelected;
        let pauses =
            Discard::ALL.iter().map(|why| if on_purpose(why) { PAUSE_ON_PURPOSE } else { PAUSE }).collect();
        Self {
            discarded: ByReason::new(pauses),
            missing: ByReason::new(vec![PAUSE; MissingValue::ALL.len()]),
            doubted: ByReason::new(vec![PAUSE; Doubt::ALL.len()]),
            ahead: ByReason::new(vec![PAUSE; Ahead::ALL.len()]),
        }
    }

    /// Tells of what is due at a time; of all when there is none.
    pub fn tell(&self, stream: &StreamName, now: Option<Instant>) {
        for (why, count, first) in self.discarded.take(now) {
            events::discarded(stream, Discard::ALL[why], count, &first);
        }
        for (why, count, first) in self.missing.take(now) {
            events::values_missing(stream, MissingValue::ALL[why], count, &first);
        }
        for (why, count, first) in self.doubted.take(now) {
            events::values_doubted(stream, Doubt::ALL[why], count, &first);
        }
        for (what, count, ReadingAhead { series, time, agreed, shard }) in self.ahead.take(now) {
            events::time_ahead(stream, &shard, count, Ahead::ALL[what], &series, (time, agreed));
        }
    }
}

/// How many there are of each reason that the log was not told of, and the first of them.
pub(super) struct ByReason<T>(Mutex<Vec<Reason<T>>>);

struct Reason<T> {
    pause: Duration,
    count: u64,
    first: Option<T>,
    told: Option<Instant>,
}

impl<T> ByReason<T> {
    /// With the pause after each reason.
    fn new(pauses: Vec<Duration>) -> Self {
        let reasons = pauses.into_iter().map(|pause| Reason { pause, count: 0, first: None, told: None });
        Self(Mutex::new(reasons.collect()))
    }

    /// Asks for an example only when it would be the first that is untold.
    pub fn add(&self, why: usize, count: u64, first: impl FnOnce() -> Option<T>) {
        let reason = &mut self.0.lock().expect("no holder of this lock panics")[why];
        reason.count += count;
        if reason.first.is_none() {
            reason.first = first();
        }
    }

    /// The reasons of which it is time to tell, or all where there is no time, with how many there are since it
    /// was told last.
    fn take(&self, now: Option<Instant>) -> Vec<(usize, u64, T)> {
        let mut reasons = self.0.lock().expect("no holder of this lock panics");
        let mut taken = Vec::new();
        for (why, reason) in reasons.iter_mut().enumerate() {
            let since = now.zip(reason.told).map(|(now, told)| now.saturating_duration_since(told));
            if since.is_some_and(|since| since < reason.pause) {
                continue;
            }
            if let Some(first) = reason.first.take() {
                taken.push((why, std::mem::take(&mut reason.count), first));
                reason.told = now.or(reason.told);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Partition;
    use std::sync::Arc;

    const DUPLICATE: usize = Discard::Duplicate as usize;
    const LATE: usize = Discard::Late as usize;
    const NOT_SELECTED: usize = Discard::NotSelected as usize;

    #[test]
    fn the_first_is_told_at_once_and_the_others_together_later() {
        let start = Instant::now();
        let pauses = Discard::ALL.iter().map(|why| if *why == Discard::NotSelected { 3_600 } else { 60 });
        let untold = ByReason::new(pauses.map(Duration::from_secs).collect());
        let told = |seconds| untold.take(Some(start + Duration::from_secs(seconds)));
        let add = |why, count, example| untold.add(why, count, || Some(example));
        assert_eq!(told(0), []);
        add(DUPLICATE, 1, 'a');
        assert_eq!(told(0), [(DUPLICATE, 1, 'a')]);
        add(DUPLICATE, 200, 'b');
        add(DUPLICATE, 99, 'c');
        add(LATE, 2, 'd');
        assert_eq!(told(1), [(LATE, 2, 'd')]);
        // All that came since, though none comes any more.
        assert_eq!(told(60), [(DUPLICATE, 299, 'b')]);
        assert_eq!(told(600), []);
        add(NOT_SELECTED, 5, 'e');
        assert_eq!(told(600), [(NOT_SELECTED, 5, 'e')]);
        add(NOT_SELECTED, 5, 'f');
        assert_eq!(told(3_000), []);
        assert_eq!(told(4_200), [(NOT_SELECTED, 5, 'f')]);
        // At the end whatever is left, however short ago its reason was told.
        add(NOT_SELECTED, 7, 'g');
        add(DUPLICATE, 1, 'h');
        assert_eq!(untold.take(None), [(DUPLICATE, 1, 'h'), (NOT_SELECTED, 7, 'g')]);
        assert_eq!(untold.take(None), []);
    }

    #[test]
    fn every_kind_is_told_once_and_the_rest_at_the_end() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer(Arc::clone(&lines));
        let log = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone());
        tracing::subscriber::with_default(log.finish(), || {
            let (stream, start, untold) = (StreamName::new("power").unwrap(), Instant::now(), Untold::new());
            for (turn, count) in [1, 2, 40].into_iter().enumerate() {
                add_each(&untold, count);
                untold.tell(&stream, Some(start + Duration::from_secs(turn as u64)));
            }
            untold.tell(&stream, None);
        });
        let text = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        let told: Vec<_> = text
            .lines()
            .map(|line| {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                let reason = event.get("reason").or(event.get("outcome")).unwrap();
                format!(
                    "{} {} {}",
                    event["event"].as_str().unwrap(),
                    reason.as_str().unwrap(),
                    event["count"]
                )
            })
            .collect();
        let each = |count| {
            [
                ("readings_discarded", "late"),
                ("values_missing", "unreadable"),
                ("values_doubted", "outlier"),
                ("time_ahead", "kept"),
                ("time_ahead", "returned"),
            ]
            .map(|(event, reason)| format!("{event} {reason} {count}"))
        };
        assert_eq!(told, [each(1), each(42)].concat());
    }

    fn add_each(untold: &Untold, count: u64) {
        let (series, time) = ("m".to_owned(), EventTime::MIN);
        let shard = TopicPartition { topic: "meters".into(), partition: Partition(0) };
        let example = || series.clone();
        untold.discarded.add(LATE, count, || {
            Some(DiscardedReading { series: example(), time, shard: shard.clone(), offset: Offset(7) })
        });
        untold.missing.add(MissingValue::Unreadable as usize, count, || {
            Some(MissingExample { field: "/kw".to_owned(), series: example(), text: "much".to_owned() })
        });
        untold.doubted.add(Doubt::Outlier as usize, count, || {
            Some(DoubtedTarget {
                series: example(),
                target: "kw".to_owned(),
                time,
                value: 9.0,
                expected: 1.0,
            })
        });
        for what in [Ahead::Kept, Ahead::Returned] {
            untold.ahead.add(what as usize, count, || {
                Some(ReadingAhead { series: example(), time, agreed: time, shard: shard.clone() })
            });
        }
    }

    #[derive(Clone)]
    struct Writer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
