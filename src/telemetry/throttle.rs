//! A rate limit for the log, for what can happen to many readings or shards: the first of a reason is logged at once, what
//! follows is logged together, with its count and one example.

use super::events;
use super::examples::{
    DiscardedReading, DoubtedTarget, LargeRecord, MissingExample, PaceChange, ReadingAhead,
};
use super::words::{Ahead, Discard, Doubt, MissingValue, Pace, TooLarge, Word};
use crate::domain::StreamName;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The least time between two log lines for the same reason.
pub(super) const PAUSE: Duration = Duration::from_secs(60);
/// As [`PAUSE`], for series that `only` leaves out: the config asks for it.
const PAUSE_NOT_SELECTED: Duration = Duration::from_secs(3_600);

/// What was not logged yet of a stream, over all of its shards.
pub(super) struct LogThrottle {
    pub discarded: ByReason<Discard, DiscardedReading>,
    pub missing: ByReason<MissingValue, MissingExample>,
    pub doubted: ByReason<Doubt, DoubtedTarget>,
    pub ahead: ByReason<Ahead, ReadingAhead>,
    pub pace: ByReason<Pace, PaceChange>,
    pub too_large: ByReason<TooLarge, LargeRecord>,
}

impl LogThrottle {
    pub fn new() -> Self {
        Self {
            discarded: ByReason::new(|why| match why {
                Discard::NotSelected => PAUSE_NOT_SELECTED,
                _ => PAUSE,
            }),
            missing: ByReason::new(|_| PAUSE),
            doubted: ByReason::new(|_| PAUSE),
            ahead: ByReason::new(|_| PAUSE),
            pace: ByReason::new(|_| PAUSE),
            too_large: ByReason::new(|_| PAUSE),
        }
    }

    /// Whether anything was not logged yet.
    pub fn is_waiting(&self) -> bool {
        let Self { discarded, missing, doubted, ahead, pace, too_large } = self;
        discarded.is_waiting()
            || missing.is_waiting()
            || doubted.is_waiting()
            || ahead.is_waiting()
            || pace.is_waiting()
            || too_large.is_waiting()
    }

    /// Logs what is due at a time; without a time, everything.
    pub fn log(&self, stream: &StreamName, now: Option<Instant>) {
        for (why, count, first) in self.discarded.take(now) {
            events::discarded(stream, why, count, &first);
        }
        for (why, count, first) in self.missing.take(now) {
            events::values_missing(stream, why, count, &first);
        }
        for (why, count, first) in self.doubted.take(now) {
            events::values_doubted(stream, why, count, &first);
        }
        for (outcome, count, first) in self.ahead.take(now) {
            events::time_ahead(stream, outcome, count, &first);
        }
        for (pace, count, first) in self.pace.take(now) {
            events::pace_changed(stream, pace, count, &first);
        }
        for (outcome, count, first) in self.too_large.take(now) {
            events::too_large(stream, outcome, count, &first);
        }
    }
}

/// For each reason the count that was not logged yet, with an example.
pub(super) struct ByReason<W, T> {
    reasons: Mutex<Vec<Pending<W, T>>>,
    /// Whether any reason has an example that was not logged yet. Changed under the lock; a look without it is
    /// cheap enough for each batch.
    is_waiting: AtomicBool,
}

struct Pending<W, T> {
    why: W,
    pause: Duration,
    count: u64,
    /// The first since the last log line.
    first: Option<T>,
    logged: Option<Instant>,
}

impl<W: Word, T> ByReason<W, T> {
    pub fn new(pause: impl Fn(W) -> Duration) -> Self {
        let pending =
            |why: &W| Pending { why: *why, pause: pause(*why), count: 0, first: None, logged: None };
        let reasons = Mutex::new(W::WORDS.iter().map(pending).collect());
        Self { reasons, is_waiting: AtomicBool::new(false) }
    }

    /// Counts; asks for an example only when it would be the first.
    pub fn add(&self, why: W, count: u64, first: impl FnOnce() -> Option<T>) {
        let pending = &mut self.reasons.lock().expect("no holder of this lock panics")[why.index()];
        pending.count += count;
        if pending.first.is_none() {
            pending.first = first();
            self.is_waiting.fetch_or(pending.first.is_some(), Ordering::Release);
        }
    }

    pub fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Acquire)
    }

    /// Takes the reasons that are due, or all without a time: with their counts since the last log line.
    pub fn take(&self, now: Option<Instant>) -> Vec<(W, u64, T)> {
        let mut taken = Vec::new();
        if !self.is_waiting() {
            return taken;
        }
        let mut reasons = self.reasons.lock().expect("no holder of this lock panics");
        for pending in reasons.iter_mut() {
            let since = now.zip(pending.logged).map(|(now, logged)| now.saturating_duration_since(logged));
            if since.is_some_and(|since| since < pending.pause) {
                continue;
            }
            if let Some(first) = pending.first.take() {
                taken.push((pending.why, std::mem::take(&mut pending.count), first));
                pending.logged = now.or(pending.logged);
            }
        }
        self.is_waiting.store(reasons.iter().any(|pending| pending.first.is_some()), Ordering::Release);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventTime, Offset, Partition, TopicPartition};
    use crate::telemetry::captured::captured;

    const DUPLICATE: Discard = Discard::Duplicate;
    const LATE: Discard = Discard::Late;
    const NOT_SELECTED: Discard = Discard::NotSelected;

    #[test]
    fn the_first_is_logged_at_once_and_the_others_together_later() {
        let start = Instant::now();
        let pause = |why| Duration::from_secs(if why == NOT_SELECTED { 3_600 } else { 60 });
        let throttle = ByReason::new(pause);
        let logged = |seconds| throttle.take(Some(start + Duration::from_secs(seconds)));
        let add = |why, count, example| throttle.add(why, count, || Some(example));
        assert_eq!(logged(0), []);
        add(DUPLICATE, 1, 'a');
        assert_eq!(logged(0), [(DUPLICATE, 1, 'a')]);
        add(DUPLICATE, 200, 'b');
        add(DUPLICATE, 99, 'c');
        add(LATE, 2, 'd');
        assert_eq!(logged(1), [(LATE, 2, 'd')]);
        // All that came since, though none comes any more.
        assert_eq!(logged(60), [(DUPLICATE, 299, 'b')]);
        assert_eq!(logged(600), []);
        add(NOT_SELECTED, 5, 'e');
        assert_eq!(logged(600), [(NOT_SELECTED, 5, 'e')]);
        add(NOT_SELECTED, 5, 'f');
        assert_eq!(logged(3_000), []);
        assert_eq!(logged(4_200), [(NOT_SELECTED, 5, 'f')]);
        // At the end whatever is left, however recently its reason was logged.
        add(NOT_SELECTED, 7, 'g');
        add(DUPLICATE, 1, 'h');
        assert_eq!(throttle.take(None), [(DUPLICATE, 1, 'h'), (NOT_SELECTED, 7, 'g')]);
        assert_eq!(throttle.take(None), []);
    }

    #[test]
    fn every_kind_is_logged_once_and_the_rest_at_the_end() {
        let events = captured(|| {
            let (stream, start, throttle) =
                (StreamName::new("power").unwrap(), Instant::now(), LogThrottle::new());
            for (turn, count) in [1, 2, 40].into_iter().enumerate() {
                add_each(&throttle, count);
                throttle.log(&stream, Some(start + Duration::from_secs(turn as u64)));
            }
            throttle.log(&stream, None);
        });
        let logged: Vec<_> = events
            .iter()
            .map(|event| {
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
                ("pace_changed", "behind"),
            ]
            .map(|(event, reason)| format!("{event} {reason} {count}"))
        };
        assert_eq!(logged, [each(1), each(42)].concat());
    }

    fn add_each(throttle: &LogThrottle, count: u64) {
        let (series, time) = ("m".to_owned(), EventTime::MIN);
        let shard = TopicPartition { topic: "meters".into(), partition: Partition(0) };
        let example = || series.clone();
        throttle.discarded.add(LATE, count, || {
            Some(DiscardedReading { series: example(), time, shard: shard.clone(), offset: Offset(7) })
        });
        throttle.missing.add(MissingValue::Unreadable, count, || {
            Some(MissingExample { field: "/kw".to_owned(), series: example(), text: "much".to_owned() })
        });
        throttle.doubted.add(Doubt::Outlier, count, || {
            Some(DoubtedTarget {
                series: example(),
                target: "kw".to_owned(),
                time,
                value: 9.0,
                expected: 1.0,
            })
        });
        throttle.pace.add(Pace::Behind, count, || {
            Some(PaceChange { shard: shard.clone(), lag: 900, seconds: 30.0, every: 5 })
        });
        for what in [Ahead::Kept, Ahead::Returned] {
            throttle.ahead.add(what, count, || {
                Some(ReadingAhead { series: example(), time, agreed: time, shard: shard.clone() })
            });
        }
    }
}
