//! The time of a partition, which its series agree on: the clock of one device does not move it.

use crate::domain::{Damaged, EventTime, Take, put};
use xxhash_rust::xxh3::xxh3_64;

/// The number of series that are counted: those that sent last.
const SERIES_COUNTED: usize = 32;
/// One in this many series may run ahead. With two or three series one may, too.
const SHARE: usize = 4;
/// A series has fallen silent when another one has sent more than this many times its usual number of
/// readings since.
const PATIENCE: u8 = 4;
/// Pauses are kept in this many parts of a reading. At each reading one in this many parts of a pause is
/// forgotten.
const PARTS: u8 = 16;
/// The pause that is assumed until it is known: how often another series sends between two readings of
/// one. In parts.
const PAUSE_AT_FIRST: u8 = 4 * PARTS;
/// The longest pause that is assumed, in readings. A slower series counts as silent during a part of its
/// pauses. Otherwise the fast series of a partition would wait for it.
const PAUSE_MOST: u8 = 12;
/// A time that was not agreed on again is dropped when each series has had this many readings.
const ROUNDS: u64 = 8;

/// No time.
const NONE: i64 = i64::MIN;

/// A reading's time compared with that of its own record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// The record has no time of its own, or the reading is ahead of it.
    Unconfirmed,
    /// The time of the record confirms it.
    Confirmed,
    /// Far behind: the clock has stopped, or the reading is an old one.
    FarBehind,
}

/// The time of a partition, from the last readings of its series.
///
/// A time is agreed on when enough series have reached it:
///
/// | series | have reached it |
/// | --- | --- |
/// | 1 | 1 |
/// | 2 or 3 | 2 |
/// | 4 or more | more than a quarter |
///
/// Only series that sent lately count. A series that has fallen silent does not, so the last one that
/// still sends moves the time alone. A series that lies far behind its records does not count either,
/// while there is one whose record confirms its time.
///
/// The time moves forward, with two exceptions. A time gives way to one that more series agree on, and a
/// time that was not agreed on for long is dropped. So a wrong time passes.
///
/// The time depends on the readings of the last rounds only, not on batches. The cost of a reading does
/// not depend on the number of series.
#[derive(Debug)]
pub(super) struct PartitionTime {
    /// The number of series that are counted.
    series: usize,
    /// Hashes of their names.
    names: [u64; SERIES_COUNTED],
    /// The event time of the last reading of each, in microseconds; [`NONE`] for a series that has fallen
    /// silent.
    times: [i64; SERIES_COUNTED],
    /// A bit for each series whose last reading is [`Confirmation::Confirmed`].
    confirmed: u32,
    /// A bit for each series whose last reading is [`Confirmation::FarBehind`].
    behind: u32,
    /// When each series sent last, counted in readings of the partition.
    sent_at: [u64; SERIES_COUNTED],
    /// How often another series has sent between two readings of each, at most, lately. In parts of a
    /// reading.
    pauses: [u8; SERIES_COUNTED],
    /// How often each series has sent since another did. `[sender, other]`
    since: [[u8; SERIES_COUNTED]; SERIES_COUNTED],
    time: Option<EventTime>,
    /// The number of series when the time was agreed on.
    quorum: usize,
    /// Readings since then.
    unconfirmed: u64,
    readings: u64,
}

impl Default for PartitionTime {
    fn default() -> Self {
        Self {
            series: 0,
            names: [0; SERIES_COUNTED],
            times: [NONE; SERIES_COUNTED],
            confirmed: 0,
            behind: 0,
            sent_at: [0; SERIES_COUNTED],
            pauses: [PAUSE_AT_FIRST; SERIES_COUNTED],
            since: [[0; SERIES_COUNTED]; SERIES_COUNTED],
            time: None,
            quorum: 0,
            unconfirmed: 0,
            readings: 0,
        }
    }
}

impl PartitionTime {
    pub fn get(&self) -> Option<EventTime> {
        self.time
    }

    /// The number of series when the time was agreed on.
    pub fn quorum(&self) -> usize {
        self.quorum
    }

    /// Takes the time of a reading of a series.
    pub fn observe(&mut self, series: &str, time: EventTime, confirmation: Confirmation) {
        let name = xxh3_64(series.as_bytes());
        let at = self.place_of(name).unwrap_or_else(|| self.make_place(name));
        let bit = |of, mask: u32| mask & !(1 << at) | u32::from(confirmation == of) << at;
        (self.confirmed, self.behind) =
            (bit(Confirmation::Confirmed, self.confirmed), bit(Confirmation::FarBehind, self.behind));
        self.note_sender(at, time.as_micros());
        self.agree();
    }

    /// Takes a reading whose time is wrong: its series is alive and stays at the time of its last
    /// reading.
    pub fn keep_alive(&mut self, series: &str) {
        let at = self.place_of(xxh3_64(series.as_bytes()));
        if let Some(at) = at.filter(|at| self.times[*at] != NONE) {
            self.note_sender(at, self.times[at]);
            self.agree();
        }
    }

    /// The times that count: those far behind their records do not, while another series is confirmed by
    /// its record.
    fn counted(&self) -> [i64; SERIES_COUNTED] {
        let mut times = self.times;
        let any_sends =
            |mask: u32| (0..SERIES_COUNTED).any(|at| mask >> at & 1 == 1 && self.times[at] != NONE);
        if self.behind != 0 && any_sends(self.confirmed) {
            for (at, time) in times.iter_mut().enumerate() {
                *time = if self.behind >> at & 1 == 1 { NONE } else { *time };
            }
        }
        times
    }

    /// Moves the time to the one that is agreed on now.
    fn agree(&mut self) {
        let times = self.counted();
        let now = self.time.map_or(NONE, EventTime::as_micros);
        let (mut sending, mut reached, mut passed) = (0, 0, 0);
        for time in &times {
            sending += usize::from(*time != NONE);
            reached += usize::from(*time >= now);
            passed += usize::from(*time > now);
        }
        let rank = if sending == 1 { 1 } else { 1 + sending.div_ceil(SHARE) };
        let is_confirmed = now != NONE && reached >= rank;
        let is_old = self.unconfirmed >= ROUNDS * sending as u64;
        if !is_confirmed && sending <= self.quorum && !is_old {
            self.unconfirmed += 1;
            return;
        }
        self.quorum = sending;
        self.unconfirmed = 0;
        if !is_confirmed {
            passed = sending;
        }
        // Forward, from the time of now or from the beginning, to the last time that enough series have reached.
        let mut reached_time = if is_confirmed { now } else { NONE };
        while passed >= rank {
            let later = times.iter().filter(|time| **time > reached_time);
            reached_time = later.copied().min().expect("at least `rank` series have passed it");
            passed = times.iter().filter(|time| **time > reached_time).count();
        }
        self.time = EventTime::from_micros(reached_time).ok();
    }

    /// Notes the sender, and the series that have fallen silent meanwhile.
    fn note_sender(&mut self, at: usize, time: i64) {
        self.readings += 1;
        let mut pause = 0;
        for sender in &mut self.since {
            pause = pause.max(std::mem::take(&mut sender[at]));
        }
        if self.sent_at[at] > 0 {
            let usual = self.pauses[at] - self.pauses[at].div_ceil(PARTS);
            self.pauses[at] = usual.max(PARTS * pause.clamp(1, PAUSE_MOST));
        }
        self.sent_at[at] = self.readings;
        self.times[at] = time;
        let others = self.since[at].iter_mut().zip(&self.pauses).zip(&mut self.times).enumerate();
        for (other, ((since, pause), time)) in others {
            let sent = since.saturating_add(u8::from(other != at));
            *since = sent;
            *time = if sent > pause / (PARTS / PATIENCE) { NONE } else { *time };
        }
    }

    /// The place of a series that is counted.
    fn place_of(&self, name: u64) -> Option<usize> {
        self.names[..self.series].iter().position(|known| *known == name)
    }

    /// A place for a series that was not counted lately. When all are taken, it gets that of the series
    /// that sent the longest ago.
    fn make_place(&mut self, name: u64) -> usize {
        let at = if self.series < SERIES_COUNTED {
            self.series += 1;
            self.series - 1
        } else {
            let oldest = self.sent_at.iter().enumerate().min_by_key(|(_, sent_at)| **sent_at);
            oldest.map_or(0, |(at, _)| at)
        };
        self.names[at] = name;
        self.sent_at[at] = 0;
        self.pauses[at] = PAUSE_AT_FIRST;
        self.since[at] = [0; SERIES_COUNTED];
        at
    }

    /// Appends all of it.
    pub fn save(&self, out: &mut Vec<u8>) {
        let n = self.series;
        put(out, &[self.time.map_or(NONE, EventTime::as_micros)]);
        put(out, &[self.readings, self.unconfirmed]);
        put(out, &[self.quorum as u32, n as u32, self.confirmed, self.behind]);
        for at in 0..n {
            put(out, &[self.names[at], self.sent_at[at]]);
            put(out, &[self.times[at]]);
            put(out, &[self.pauses[at]]);
            put(out, &self.since[at][..n]);
        }
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`Damaged`] for any other bytes.
    pub fn load(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        let time = |micros| match micros {
            NONE => Ok(None),
            _ => EventTime::from_micros(micros).map(Some).map_err(|_| Damaged("a time out of range")),
        };
        let mut loaded = Self { time: time(from.one()?)?, ..Self::default() };
        [loaded.readings, loaded.unconfirmed] = from.one()?;
        let [quorum, n, confirmed, behind] = from.one::<[u32; 4]>()?;
        let [quorum, n] = [quorum, n].map(|count| count as usize);
        let marked = u64::from(confirmed | behind) >> n.min(SERIES_COUNTED);
        if marked != 0 || confirmed & behind != 0 {
            return Err(Damaged("a series both confirmed by and far behind its record"));
        }
        (loaded.confirmed, loaded.behind) = (confirmed, behind);
        let is_sane = n <= SERIES_COUNTED && quorum <= n && i64::try_from(loaded.readings).is_ok();
        let is_none = loaded.time.is_none();
        if !is_sane || is_none != (n == 0) || is_none != (quorum == 0) {
            return Err(Damaged("a time that its series can't have agreed on"));
        }
        (loaded.series, loaded.quorum) = (n, quorum);
        for at in 0..n {
            [loaded.names[at], loaded.sent_at[at]] = from.one()?;
            loaded.times[at] = time(from.one()?)?.map_or(NONE, EventTime::as_micros);
            loaded.pauses[at] = from.one()?;
            from.fill(&mut loaded.since[at][..n])?;
            let is_double = loaded.names[..at].contains(&loaded.names[at]);
            let is_pause = (PARTS..=PARTS * PAUSE_MOST).contains(&loaded.pauses[at]);
            if is_double || !is_pause || loaded.sent_at[at] > loaded.readings {
                return Err(Damaged("an impossible series of a time"));
            }
        }
        *self = loaded;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_micros(seconds * 1_000_000).unwrap()
    }

    fn seconds(partition_time: &PartitionTime) -> i64 {
        partition_time.get().unwrap().as_micros() / 1_000_000
    }

    /// The time after a reading of each series at each of these times.
    fn after(series: &[&str], times: std::ops::Range<i64>) -> PartitionTime {
        let mut partition_time = PartitionTime::default();
        for time in times {
            series.iter().for_each(|name| partition_time.observe(name, at(time), Confirmation::Unconfirmed));
        }
        partition_time
    }

    const FOUR: [&str; 4] = ["a", "b", "c", "d"];

    #[test]
    fn one_series_alone_is_its_own_time() {
        let mut partition_time = PartitionTime::default();
        for time in [5, 7, 6, 1_000, 999] {
            partition_time.observe("a", at(time), Confirmation::Unconfirmed);
        }
        assert_eq!(seconds(&partition_time), 1_000);
    }

    #[test]
    fn a_quarter_that_runs_ahead_moves_nothing() {
        // Also if it sends ten times as often, and from the first reading on.
        for (honest, ahead, often) in [(1, 1, 1), (1, 1, 10), (2, 1, 1), (3, 1, 10), (8, 2, 1), (24, 8, 3)] {
            let mut partition_time = PartitionTime::default();
            for time in 0..200 {
                for series in 0..often * ahead {
                    partition_time.observe(
                        &format!("ahead {}", series % ahead),
                        at(90_000 + time),
                        Confirmation::Unconfirmed,
                    );
                }
                (0..honest).for_each(|series| {
                    partition_time.observe(&format!("{series}"), at(time), Confirmation::Unconfirmed);
                });
                assert!(
                    (time - 1..=time).contains(&seconds(&partition_time)),
                    "{honest} {ahead} {often}: {time}"
                );
            }
        }
    }

    #[test]
    fn the_last_series_that_sends_moves_the_time_alone_and_gives_way_when_others_return() {
        let mut partition_time = after(&FOUR, 0..50);
        let sent_at: Vec<i64> = (50..60)
            .map(|time| {
                partition_time.observe("d", at(1_000 + time), Confirmation::Unconfirmed);
                seconds(&partition_time)
            })
            .collect();
        let alone = sent_at.iter().position(|time| *time > 50).unwrap();
        assert!((3..6).contains(&alone), "{sent_at:?}");
        partition_time.observe("a", at(60), Confirmation::Unconfirmed);
        assert_eq!(seconds(&partition_time), 60);
    }

    #[test]
    fn a_time_that_is_no_longer_agreed_on_is_dropped() {
        let mut partition_time = after(&FOUR, 0..50);
        // Three of four have been ahead once, one after the other.
        FOUR[..3].iter().for_each(|name| partition_time.observe(name, at(90_000), Confirmation::Unconfirmed));
        assert_eq!(seconds(&partition_time), 90_000);
        for time in 50..70 {
            FOUR.iter().for_each(|name| partition_time.observe(name, at(time), Confirmation::Unconfirmed));
        }
        assert_eq!(seconds(&partition_time), 69);
    }

    #[test]
    fn a_clock_that_has_stopped_is_not_waited_for() {
        for confirmation in [Confirmation::Confirmed, Confirmation::Unconfirmed] {
            let mut partition_time = PartitionTime::default();
            for time in 10_000..10_050 {
                partition_time.observe("stopped", at(time % 7), Confirmation::FarBehind);
                partition_time.observe("right", at(time), confirmation);
                // Where no record confirms the other series, either of the two may be right.
                assert_eq!(
                    seconds(&partition_time) == time,
                    confirmation == Confirmation::Confirmed,
                    "{confirmation:?}: {time}"
                );
            }
        }
        // Where all readings of a partition are old it has a time too, also after a confirmed one.
        let mut partition_time = PartitionTime::default();
        partition_time.observe("right", at(10_000), Confirmation::Confirmed);
        for time in 0..100 {
            FOUR.iter().for_each(|name| partition_time.observe(name, at(time), Confirmation::FarBehind));
        }
        assert_eq!(seconds(&partition_time), 99);
    }

    #[test]
    fn a_series_with_a_wrong_time_is_alive_and_moves_nothing() {
        let mut partition_time = after(&["a", "b"], 0..50);
        for _ in 0..50 {
            partition_time.keep_alive("a");
            partition_time.observe("b", at(90_000), Confirmation::Unconfirmed);
            assert_eq!(seconds(&partition_time), 49);
        }
        // An unknown series is not counted.
        let before = partition_time.readings;
        partition_time.keep_alive("c");
        assert_eq!((partition_time.readings, partition_time.series), (before, 2));
    }

    #[test]
    fn more_series_than_are_counted_agree_too() {
        let mut partition_time = PartitionTime::default();
        for time in 0..40 {
            for series in 0..500 {
                let is_ahead = series % 20 == 7;
                partition_time.observe(
                    &format!("{series}"),
                    at(time + if is_ahead { 90_000 } else { 0 }),
                    Confirmation::Unconfirmed,
                );
            }
            assert_eq!(seconds(&partition_time), time);
        }
    }

    #[test]
    fn it_comes_back_from_bytes_and_goes_on() {
        let mut partition_time = after(&FOUR, 0..5);
        let confirmations = [Confirmation::Unconfirmed, Confirmation::Confirmed, Confirmation::FarBehind];
        (0..40).for_each(|series| {
            partition_time.observe(&format!("{series}"), at(10 + series), confirmations[series as usize % 3]);
        });
        assert!(partition_time.confirmed != 0 && partition_time.behind != 0);
        let mut bytes = Vec::new();
        partition_time.save(&mut bytes);
        let mut back = PartitionTime::default();
        back.load(&mut Take::new(&bytes)).unwrap();
        let twice = |partition_time: &PartitionTime| {
            let mut bytes = Vec::new();
            partition_time.save(&mut bytes);
            bytes
        };
        for time in 0..90 {
            for partition_time in [&mut partition_time, &mut back] {
                partition_time.observe(
                    &format!("{}", time % 7),
                    at(20 + time),
                    confirmations[time as usize % 3],
                );
            }
            assert_eq!(twice(&partition_time), twice(&back));
        }
        // Every prefix is refused, and so is every impossible state.
        (0..bytes.len()).for_each(|n| assert!(back.load(&mut Take::new(&bytes[..n])).is_err(), "{n}"));
        let mut bent = bytes.clone();
        bent[24] = 200;
        assert!(back.load(&mut Take::new(&bent)).is_err(), "more agree than there are");
        let mut bent = bytes.clone();
        bent[32..36].fill(255);
        assert!(back.load(&mut Take::new(&bent)).is_err(), "one both far behind and confirmed");
        let mut bent = bytes;
        let series = 40 + 25 + SERIES_COUNTED;
        let (first, second) = bent.split_at_mut(series);
        first[40..48].copy_from_slice(&second[..8]);
        assert!(back.load(&mut Take::new(&bent)).is_err(), "a series twice");
    }
}
