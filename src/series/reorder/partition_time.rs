//! The time that the series of a partition agree on: one device's clock does not move it.

use crate::domain::{Damaged, EventTime, Take, put};
use xxhash_rust::xxh3::xxh3_64;

/// How many series are listened to: those that spoke last.
const VOICES: usize = 32;
/// One of so many series may run ahead. Of two and of three series one may, too.
const SHARE: usize = 4;
/// When a series has fallen silent. Another one usually speaks some number of times between two readings of it.
/// The series is silent once another one has spoken more than so many times that number since.
const PATIENCE: u8 = 4;
/// Pauses are kept in so many parts of a reading. At each reading one of so many parts of a pause is forgotten.
const PARTS: u8 = 16;
/// What is taken for how often another series speaks between two readings of one, until it is known. In parts.
const PAUSE_AT_FIRST: u8 = 4 * PARTS;
/// The longest pause that is believed, in readings. A slower series counts as silent for a part of its pauses.
/// Else the fast series of a partition would wait for it.
const PAUSE_MOST: u8 = 12;
/// A time is given up when each series has had so many readings and it was not partition_time on again.
const ROUNDS: u64 = 8;

/// No time.
const NONE: i64 = i64::MIN;

/// What a reading's time is against its record's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// The record has no time of its own, or the reading is ahead of it.
    Alone,
    /// The record bears it out.
    BorneOut,
    /// Far behind: the clock has stopped, or the reading is an old one.
    Behind,
}

/// The time of a partition by the last readings of its series.
///
/// A time is partition_time on when 2 of 2, 2 of 3, or more than a quarter of 4 or more series have reached it. Only
/// series that were heard lately count. A series that has fallen silent has no voice, so the last one that
/// still speaks moves the time alone. A series that lies far behind its records has no voice either while
/// there is one whose record bears it out.
///
/// The time moves forward. There are two exceptions: a time gives way to one that more series agree on, and a
/// time that nobody has partition_time on for long is given up. So a wrong time passes.
///
/// It depends on the readings of the last rounds alone, whatever the batches. A reading costs the same
/// however many series there are.
#[derive(Debug)]
pub(super) struct PartitionTime {
    /// How many series have a voice.
    voices: usize,
    /// Hashes of their names.
    names: [u64; VOICES],
    /// The event time of the last reading of each, in microseconds; [`NONE`] of one that has fallen silent.
    times: [i64; VOICES],
    /// A bit for each whose last reading is [`Stamp::BorneOut`].
    borne_out: u32,
    /// A bit for each whose last reading is [`Stamp::Behind`].
    behind: u32,
    /// When each spoke last, counted in readings of the partition.
    heard: [u64; VOICES],
    /// How often another one speaks between two readings of each, at most, lately. In parts of a reading.
    pauses: [u8; VOICES],
    /// How often one has spoken since another did. `[speaker, other]`
    since: [[u8; VOICES]; VOICES],
    time: Option<EventTime>,
    /// How many voices there were when it was partition_time on.
    quorum: usize,
    /// Readings since then.
    unconfirmed: u64,
    readings: u64,
}

impl Default for PartitionTime {
    fn default() -> Self {
        Self {
            voices: 0,
            names: [0; VOICES],
            times: [NONE; VOICES],
            borne_out: 0,
            behind: 0,
            heard: [0; VOICES],
            pauses: [PAUSE_AT_FIRST; VOICES],
            since: [[0; VOICES]; VOICES],
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

    /// How many series partition_time on it.
    pub fn quorum(&self) -> usize {
        self.quorum
    }

    /// A series has a reading of this time.
    pub fn observe(&mut self, series: &str, time: EventTime, stamp: Stamp) {
        let name = xxh3_64(series.as_bytes());
        let at = self.place_of(name).unwrap_or_else(|| self.welcome(name));
        let bit = |of, mask: u32| mask & !(1 << at) | u32::from(stamp == of) << at;
        (self.borne_out, self.behind) =
            (bit(Stamp::BorneOut, self.borne_out), bit(Stamp::Behind, self.behind));
        self.listen(at, time.as_micros());
        self.agree();
    }

    /// A series has a reading whose time is wrong: it is alive, and stays at the time of its last one.
    pub fn keep_alive(&mut self, series: &str) {
        let at = self.place_of(xxh3_64(series.as_bytes()));
        if let Some(at) = at.filter(|at| self.times[*at] != NONE) {
            self.listen(at, self.times[at]);
            self.agree();
        }
    }

    /// The times that count: those far behind their records do not, where there is one that is borne out.
    fn counted(&self) -> [i64; VOICES] {
        let mut times = self.times;
        let speaks = |mask: u32| (0..VOICES).any(|at| mask >> at & 1 == 1 && self.times[at] != NONE);
        if self.behind != 0 && speaks(self.borne_out) {
            for (at, time) in times.iter_mut().enumerate() {
                *time = if self.behind >> at & 1 == 1 { NONE } else { *time };
            }
        }
        times
    }

    /// Moves the time to what is partition_time on now.
    fn agree(&mut self) {
        let times = self.counted();
        let now = self.time.map_or(NONE, EventTime::as_micros);
        let (mut speaking, mut reached, mut passed) = (0, 0, 0);
        for time in &times {
            speaking += usize::from(*time != NONE);
            reached += usize::from(*time >= now);
            passed += usize::from(*time > now);
        }
        let rank = if speaking == 1 { 1 } else { 1 + speaking.div_ceil(SHARE) };
        let is_confirmed = now != NONE && reached >= rank;
        let is_old = self.unconfirmed >= ROUNDS * speaking as u64;
        if !is_confirmed && speaking <= self.quorum && !is_old {
            self.unconfirmed += 1;
            return;
        }
        self.quorum = speaking;
        self.unconfirmed = 0;
        if !is_confirmed {
            passed = speaking;
        }
        // On, from there or from the beginning, to the time that fewer have passed.
        let mut reached_time = if is_confirmed { now } else { NONE };
        while passed >= rank {
            let later = times.iter().filter(|time| **time > reached_time);
            reached_time = later.copied().min().expect("so many have passed it");
            passed = times.iter().filter(|time| **time > reached_time).count();
        }
        self.time = EventTime::from_micros(reached_time).ok();
    }

    /// Notes who spoke, and who has fallen silent meanwhile.
    fn listen(&mut self, at: usize, time: i64) {
        self.readings += 1;
        let mut pause = 0;
        for speaker in &mut self.since {
            pause = pause.max(std::mem::take(&mut speaker[at]));
        }
        if self.heard[at] > 0 {
            let usual = self.pauses[at] - self.pauses[at].div_ceil(PARTS);
            self.pauses[at] = usual.max(PARTS * pause.clamp(1, PAUSE_MOST));
        }
        self.heard[at] = self.readings;
        self.times[at] = time;
        let others = self.since[at].iter_mut().zip(&self.pauses).zip(&mut self.times).enumerate();
        for (other, ((since, pause), time)) in others {
            let spoken = since.saturating_add(u8::from(other != at));
            *since = spoken;
            *time = if spoken > pause / (PARTS / PATIENCE) { NONE } else { *time };
        }
    }

    fn place_of(&self, name: u64) -> Option<usize> {
        self.names[..self.voices].iter().position(|known| *known == name)
    }

    /// A place for a series that was not heard lately. When all are taken it is that of the series which was
    /// heard the longest ago.
    fn welcome(&mut self, name: u64) -> usize {
        let at = if self.voices < VOICES {
            self.voices += 1;
            self.voices - 1
        } else {
            let oldest = self.heard.iter().enumerate().min_by_key(|(_, heard)| **heard);
            oldest.map_or(0, |(at, _)| at)
        };
        self.names[at] = name;
        self.heard[at] = 0;
        self.pauses[at] = PAUSE_AT_FIRST;
        self.since[at] = [0; VOICES];
        at
    }

    pub fn save(&self, out: &mut Vec<u8>) {
        let n = self.voices;
        put(out, &[self.time.map_or(NONE, EventTime::as_micros)]);
        put(out, &[self.readings, self.unconfirmed]);
        put(out, &[self.quorum as u32, n as u32, self.borne_out, self.behind]);
        for at in 0..n {
            put(out, &[self.names[at], self.heard[at]]);
            put(out, &[self.times[at]]);
            put(out, &[self.pauses[at]]);
            put(out, &self.since[at][..n]);
        }
    }

    /// # Errors
    /// [`Damaged`] when it is not what [`Self::save`] wrote.
    pub fn load(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        let time = |micros| match micros {
            NONE => Ok(None),
            _ => EventTime::from_micros(micros).map(Some).map_err(|_| Damaged("a time out of range")),
        };
        let mut loaded = Self { time: time(from.one()?)?, ..Self::default() };
        [loaded.readings, loaded.unconfirmed] = from.one()?;
        let [quorum, n, borne_out, behind] = from.one::<[u32; 4]>()?;
        let [quorum, n] = [quorum, n].map(|count| count as usize);
        let marked = u64::from(borne_out | behind) >> n.min(VOICES);
        if marked != 0 || borne_out & behind != 0 {
            return Err(Damaged("a voice that its record can't bear out"));
        }
        (loaded.borne_out, loaded.behind) = (borne_out, behind);
        let is_sane = n <= VOICES && quorum <= n && loaded.readings <= i64::MAX as u64;
        let is_none = loaded.time.is_none();
        if !is_sane || is_none != (n == 0) || is_none != (quorum == 0) {
            return Err(Damaged("a time that its series can't have partition_time on"));
        }
        (loaded.voices, loaded.quorum) = (n, quorum);
        for at in 0..n {
            [loaded.names[at], loaded.heard[at]] = from.one()?;
            loaded.times[at] = time(from.one()?)?.map_or(NONE, EventTime::as_micros);
            loaded.pauses[at] = from.one()?;
            from.fill(&mut loaded.since[at][..n])?;
            let is_double = loaded.names[..at].contains(&loaded.names[at]);
            let is_pause = (PARTS..=PARTS * PAUSE_MOST).contains(&loaded.pauses[at]);
            if is_double || !is_pause || loaded.heard[at] > loaded.readings {
                return Err(Damaged("a voice that is none"));
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

    /// One that has heard these series at each of these times.
    fn after(series: &[&str], times: std::ops::Range<i64>) -> PartitionTime {
        let mut partition_time = PartitionTime::default();
        for time in times {
            series.iter().for_each(|name| partition_time.observe(name, at(time), Stamp::Alone));
        }
        partition_time
    }

    const FOUR: [&str; 4] = ["a", "b", "c", "d"];

    #[test]
    fn one_series_alone_is_its_own_time() {
        let mut partition_time = PartitionTime::default();
        for time in [5, 7, 6, 1_000, 999] {
            partition_time.observe("a", at(time), Stamp::Alone);
        }
        assert_eq!(seconds(&partition_time), 1_000);
    }

    #[test]
    fn a_quarter_that_runs_ahead_moves_nothing() {
        // Also if it speaks ten times as often, and from the first reading on.
        for (honest, ahead, often) in [(1, 1, 1), (1, 1, 10), (2, 1, 1), (3, 1, 10), (8, 2, 1), (24, 8, 3)] {
            let mut partition_time = PartitionTime::default();
            for time in 0..200 {
                for voice in 0..often * ahead {
                    partition_time.observe(
                        &format!("ahead {}", voice % ahead),
                        at(90_000 + time),
                        Stamp::Alone,
                    );
                }
                (0..honest)
                    .for_each(|voice| partition_time.observe(&format!("{voice}"), at(time), Stamp::Alone));
                assert!(
                    (time - 1..=time).contains(&seconds(&partition_time)),
                    "{honest} {ahead} {often}: {time}"
                );
            }
        }
    }

    #[test]
    fn the_last_that_speaks_moves_the_time_alone_and_gives_way_to_those_that_come_back() {
        let mut partition_time = after(&FOUR, 0..50);
        let heard: Vec<i64> = (50..60)
            .map(|time| {
                partition_time.observe("d", at(1_000 + time), Stamp::Alone);
                seconds(&partition_time)
            })
            .collect();
        let alone = heard.iter().position(|time| *time > 50).unwrap();
        assert!((3..6).contains(&alone), "{heard:?}");
        partition_time.observe("a", at(60), Stamp::Alone);
        assert_eq!(seconds(&partition_time), 60);
    }

    #[test]
    fn a_time_that_nobody_agrees_on_any_more_is_given_up() {
        let mut partition_time = after(&FOUR, 0..50);
        // Three of four have been ahead once, one after the other.
        FOUR[..3].iter().for_each(|name| partition_time.observe(name, at(90_000), Stamp::Alone));
        assert_eq!(seconds(&partition_time), 90_000);
        for time in 50..70 {
            FOUR.iter().for_each(|name| partition_time.observe(name, at(time), Stamp::Alone));
        }
        assert_eq!(seconds(&partition_time), 69);
    }

    #[test]
    fn a_clock_that_has_stopped_is_not_waited_for() {
        for stamp in [Stamp::BorneOut, Stamp::Alone] {
            let mut partition_time = PartitionTime::default();
            for time in 10_000..10_050 {
                partition_time.observe("stopped", at(time % 7), Stamp::Behind);
                partition_time.observe("right", at(time), stamp);
                // Where no record bears the other out nobody knows which of the two is right.
                assert_eq!(seconds(&partition_time) == time, stamp == Stamp::BorneOut, "{stamp:?}: {time}");
            }
        }
        // Where all of a partition is old it has a time as ever, also after one that was borne out.
        let mut partition_time = PartitionTime::default();
        partition_time.observe("right", at(10_000), Stamp::BorneOut);
        for time in 0..100 {
            FOUR.iter().for_each(|name| partition_time.observe(name, at(time), Stamp::Behind));
        }
        assert_eq!(seconds(&partition_time), 99);
    }

    #[test]
    fn a_series_that_says_no_time_is_alive_and_moves_nothing() {
        let mut partition_time = after(&["a", "b"], 0..50);
        for _ in 0..50 {
            partition_time.keep_alive("a");
            partition_time.observe("b", at(90_000), Stamp::Alone);
            assert_eq!(seconds(&partition_time), 49);
        }
        // One that nobody knows is not heard.
        let before = partition_time.readings;
        partition_time.keep_alive("c");
        assert_eq!((partition_time.readings, partition_time.voices), (before, 2));
    }

    #[test]
    fn more_series_than_are_listened_to_agree_too() {
        let mut partition_time = PartitionTime::default();
        for time in 0..40 {
            for voice in 0..500 {
                let is_ahead = voice % 20 == 7;
                partition_time.observe(
                    &format!("{voice}"),
                    at(time + if is_ahead { 90_000 } else { 0 }),
                    Stamp::Alone,
                );
            }
            assert_eq!(seconds(&partition_time), time);
        }
    }

    #[test]
    fn it_comes_back_from_bytes_and_goes_on() {
        let mut partition_time = after(&FOUR, 0..5);
        let stamps = [Stamp::Alone, Stamp::BorneOut, Stamp::Behind];
        (0..40).for_each(|voice| {
            partition_time.observe(&format!("{voice}"), at(10 + voice), stamps[voice as usize % 3])
        });
        assert!(partition_time.borne_out != 0 && partition_time.behind != 0);
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
                partition_time.observe(&format!("{}", time % 7), at(20 + time), stamps[time as usize % 3]);
            }
            assert_eq!(twice(&partition_time), twice(&back));
        }
        // No prefix of it is one, and what can't be is refused.
        (0..bytes.len()).for_each(|n| assert!(back.load(&mut Take::new(&bytes[..n])).is_err(), "{n}"));
        let mut bent = bytes.clone();
        bent[24] = 200;
        assert!(back.load(&mut Take::new(&bent)).is_err(), "more agree than there are");
        let mut bent = bytes.clone();
        bent[32..36].fill(255);
        assert!(back.load(&mut Take::new(&bent)).is_err(), "one both behind and borne out");
        let mut bent = bytes;
        let voice = 40 + 25 + VOICES;
        let (first, second) = bent.split_at_mut(voice);
        first[40..48].copy_from_slice(&second[..8]);
        assert!(back.load(&mut Take::new(&bent)).is_err(), "a voice twice");
    }
}
