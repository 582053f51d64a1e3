use crate::config::{Every, Schedule, Stream};
use crate::domain::EventTime;

/// How a round begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From fresh weights: the first round, and another each time that windows have doubled. A network that was
    /// fitted to few readings has overfitted them, and small steps do not mend it.
    Afresh,
    /// From the champion.
    Refresh,
}

/// Why a round begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The schedule asks for it.
    Schedule,
    /// A change that many series share.
    Drift,
    /// An operator asks for it.
    Request,
}

impl Why {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Drift => "drift",
            Self::Request => "request",
        }
    }
}

/// How far a stream's series have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamProgress {
    /// Readings per series.
    pub readings: u64,
    /// The newest event time.
    pub newest: Option<EventTime>,
}

/// When a stream's next round is due.
///
/// | cause | a round is due |
/// | --- | --- |
/// | schedule | after a number of readings per series, or after a span of event time. Spans begin at whole multiples, so a restart needs no memory |
/// | drift | after a quarter of that, at the earliest: lasting drift must not cause rounds without end |
/// | request | at once |
#[derive(Clone, Debug)]
pub struct RoundSchedule {
    first: u64,
    every: Every,
    /// The most readings that a window holds.
    window: u64,
    /// When the last round began.
    last: Option<StreamProgress>,
    hastened: Option<Why>,
}

/// Drift may begin a round when one n-th of the way to the next one has passed.
const LEAST_AFTER: u64 = 4;

impl RoundSchedule {
    /// `trained`: a network serves already, so the first round is a refresh.
    pub fn new(stream: &Stream, trained: bool) -> Self {
        let Schedule { first_after, every } = stream.training.schedule;
        Self {
            first: first_after as u64,
            every,
            window: stream.window as u64,
            last: trained.then(StreamProgress::default),
            hastened: None,
        }
    }

    /// Goes on after a restart. Rounds of the past are not made up for, and no round is put off.
    pub fn resumed(stream: &Stream, trained: bool, clock: StreamProgress) -> Self {
        let mut due = Self::new(stream, trained);
        let readings = match due.every {
            Every::Readings(every) => {
                let passed = |over: u64| due.first + over / every as u64 * every as u64;
                clock.readings.checked_sub(due.first).map_or(0, passed)
            }
            Every::Time(_) => clock.readings,
        };
        due.last = trained.then_some(StreamProgress { readings, ..clock });
        due
    }

    /// Drift or an operator asks for a round. A request replaces drift.
    pub fn hasten(&mut self, why: Why) {
        if self.hastened != Some(Why::Request) {
            self.hastened = Some(why);
        }
    }

    /// The round that is due at this progress, and its cause.
    pub fn is_due(&self, now: StreamProgress) -> Option<(Start, Why)> {
        let Some(last) = self.last else {
            let asked = self.hastened == Some(Why::Request);
            let why = if asked { Why::Request } else { Why::Schedule };
            return (now.readings >= self.first || asked).then_some((Start::Afresh, why));
        };
        let why = match self.hastened {
            _ if self.has_passed(last, now, 1) => Why::Schedule,
            Some(Why::Drift) if !self.has_passed(last, now, LEAST_AFTER) => return None,
            hastened => hastened?,
        };
        let doubled = |fit: u64| last.readings < fit && fit <= now.readings;
        let mut fits = std::iter::successors(Some(2 * self.first), |fit| fit.checked_mul(2))
            .take_while(|fit| *fit < 2 * self.window);
        Some((if fits.any(doubled) { Start::Afresh } else { Start::Refresh }, why))
    }

    /// Whether one n-th of the way between two rounds has passed.
    fn has_passed(&self, last: StreamProgress, now: StreamProgress, n: u64) -> bool {
        match self.every {
            Every::Readings(every) => now.readings >= last.readings + (every as u64).div_ceil(n),
            Every::Time(every) => {
                let step = (every.as_micros() as i64 / n as i64).max(1);
                let turn = |clock: StreamProgress| clock.newest.map(|time| time.as_micros().div_euclid(step));
                // A part of the way is measured from the last round, a whole way by the calendar.
                match (last.newest, now.newest) {
                    (Some(_), Some(_)) if n == 1 => turn(now) > turn(last),
                    (Some(last), Some(now)) => now.as_micros() - last.as_micros() >= step,
                    (None, now) => now.is_some(),
                    (Some(_), None) => false,
                }
            }
        }
    }

    /// A round begins. The schedule goes on from here.
    pub fn begun(&mut self, now: StreamProgress) {
        self.last = Some(now);
        self.hastened = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Start::{Afresh, Refresh};
    use std::time::Duration;

    const HOUR: i64 = 3_600_000_000;

    fn at(readings: u64) -> StreamProgress {
        StreamProgress { readings, newest: Some(EventTime::from_micros(readings as i64 * HOUR).unwrap()) }
    }

    fn due(every: Every) -> RoundSchedule {
        RoundSchedule { first: 100, every, window: 300, last: None, hastened: None }
    }

    fn stream(every: &str) -> Stream {
        let text = format!(
            "[kafka]\nbrokers = \"b\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1h\"\n\
             targets = [\"kw\"]\ntraining = {{ first_after = 100, every = {every} }}"
        );
        Stream::clone(&crate::config::from_toml(&text, &[]).unwrap().streams[0])
    }

    #[test]
    fn rounds_begin_afresh_while_windows_double() {
        let mut due = due(Every::Readings(30));
        let mut rounds = Vec::new();
        for n in 0..800 {
            if let Some((start, why)) = due.is_due(at(n)) {
                assert_eq!(why, Why::Schedule);
                due.begun(at(n));
                rounds.push((n, start));
            }
        }
        let afresh: Vec<u64> = rounds.iter().filter(|(_, s)| *s == Afresh).map(|(n, _)| *n).collect();
        assert_eq!(afresh, [100, 220, 400], "from 300 readings on a window is full");
        assert!(rounds.windows(2).all(|pair| pair[1].0 - pair[0].0 == 30));
    }

    #[test]
    fn rounds_by_event_time_follow_the_clock_and_not_the_count() {
        let mut due = due(Every::Time(Duration::from_secs(86_400)));
        let mut rounds = Vec::new();
        // Three readings in four are missing.
        for n in 0..160 {
            let now = StreamProgress { readings: n, ..at(4 * n) };
            if due.is_due(now).is_some() {
                due.begun(now);
                rounds.push(4 * n);
            }
        }
        assert_eq!(rounds[0], 400, "the first one is by readings");
        assert_eq!(&rounds[1..], [408, 432, 456, 480, 504, 528, 552, 576, 600, 624]);
        // A restart in between needs to know nothing.
        let stream = stream("\"1d\"");
        let resumed = RoundSchedule::resumed(&stream, true, StreamProgress { readings: 150, ..at(590) });
        let asked = |hour| resumed.is_due(StreamProgress { readings: 151, ..at(hour) });
        assert!(asked(599).is_none() && asked(600) == Some((Refresh, Why::Schedule)));
    }

    #[test]
    fn a_restart_puts_no_round_off_and_makes_none_up() {
        let stream = stream("10");
        let resumed = RoundSchedule::resumed(&stream, true, at(137));
        assert!(resumed.is_due(at(139)).is_none());
        assert_eq!(resumed.is_due(at(140)), Some((Refresh, Why::Schedule)));
        let refresh = RoundSchedule::new(&stream, true);
        assert!(refresh.is_due(at(9)).is_none() && refresh.is_due(at(10)).is_some());
        assert_eq!(
            RoundSchedule::resumed(&stream, false, at(137)).is_due(at(137)),
            Some((Afresh, Why::Schedule))
        );
    }

    #[test]
    fn drift_hastens_a_round_and_a_request_does_not_wait() {
        for every in [Every::Readings(40), Every::Time(Duration::from_secs(40 * 3_600))] {
            let mut due = due(every);
            due.hasten(Why::Drift);
            assert_eq!(due.is_due(at(99)), None, "nothing can be learnt yet");
            due.begun(at(120));
            assert_eq!(due.is_due(at(131)), None);
            due.hasten(Why::Drift);
            assert_eq!(due.is_due(at(129)), None, "no round soon after another");
            assert_eq!(due.is_due(at(130)), Some((Refresh, Why::Drift)));
            due.hasten(Why::Request);
            due.hasten(Why::Drift);
            assert_eq!(due.is_due(at(121)), Some((Refresh, Why::Request)));
            due.begun(at(121));
            assert_eq!(due.is_due(at(159)), None, "what was asked for is done");
            assert_eq!(due.is_due(at(161)), Some((Refresh, Why::Schedule)));
        }
        let mut first = due(Every::Readings(40));
        first.hasten(Why::Request);
        assert_eq!(first.is_due(at(50)), Some((Afresh, Why::Request)));
    }
}
