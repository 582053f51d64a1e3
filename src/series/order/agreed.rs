//! The time that the series of a partition agree on: one device's clock does not move it.

use crate::domain::{Damaged, EventTime, Take, put};
use xxhash_rust::xxh3::xxh3_64;

/// Series that are listened to: those that spoke last.
const VOICES: usize = 32;
/// One of so many may run ahead, and one of two.
const SHARE: usize = 4;
/// A series has fallen silent when another one has spoken more than so many times as often since as it
/// usually does between two readings of it.
const PATIENCE: u8 = 4;
/// Parts of a reading in which pauses are kept; one of so many parts of a pause is forgotten at each reading.
const PARTS: u8 = 16;
/// How often another one speaks between two readings of a series, until it is known. In parts.
const PAUSE_AT_FIRST: u8 = 4 * PARTS;
/// The most of it that is believed. Slower series count as silent for a part of their pauses, or the fast
/// ones of a partition would wait for them. In readings.
const PAUSE_MOST: u8 = 12;
/// A time that was not agreed on again while each series had so many readings is given up.
const ROUNDS: u64 = 8;

/// No time.
const NONE: i64 = i64::MIN;

/// The time of a partition by the last readings of its series.
///
/// Of the series that were heard lately more than a quarter, and of two or three both or two, have reached
/// it. A series that has fallen silent has no voice, so the last one that still speaks moves the time alone.
/// The time moves forward, with two exceptions: what fewer have agreed on gives way to what more agree on,
/// and what nobody has agreed on for long is given up. So a wrong time passes.
///
/// It depends on the readings of the last rounds alone, whatever the batches. A reading costs the same
/// however many series there are.
#[derive(Debug)]
pub(super) struct AgreedTime {
    /// How many series have a voice.
    voices: usize,
    /// Hashes of their names.
    names: [u64; VOICES],
    /// The event time of the last reading of each, in microseconds; [`NONE`] of one that has fallen silent.
    times: [i64; VOICES],
    /// When each spoke last, counted in readings of the partition.
    heard: [u64; VOICES],
    /// How often another one speaks between two readings of each, at most, lately. In parts of a reading.
    pauses: [u8; VOICES],
    /// How often one has spoken since another did. `[speaker, other]`
    since: [[u8; VOICES]; VOICES],
    /// How often that may be before the other has fallen silent; so often it never is of one that has.
    limits: [u8; VOICES],
    /// How many are not silent, and how many of these have reached and passed the time.
    speaking: usize,
    reached: usize,
    passed: usize,
    time: Option<EventTime>,
    /// How many voices there were when it was agreed on.
    quorum: usize,
    /// Readings since then.
    unconfirmed: u64,
    readings: u64,
}

impl Default for AgreedTime {
    fn default() -> Self {
        Self {
            voices: 0,
            names: [0; VOICES],
            times: [NONE; VOICES],
            heard: [0; VOICES],
            pauses: [PAUSE_AT_FIRST; VOICES],
            since: [[0; VOICES]; VOICES],
            limits: [u8::MAX; VOICES],
            speaking: 0,
            reached: 0,
            passed: 0,
            time: None,
            quorum: 0,
            unconfirmed: 0,
            readings: 0,
        }
    }
}

impl AgreedTime {
    pub fn get(&self) -> Option<EventTime> {
        self.time
    }

    /// How many series agreed on it.
    pub fn quorum(&self) -> usize {
        self.quorum
    }

    /// A series has a reading of this time.
    pub fn hear(&mut self, series: &str, time: EventTime) {
        self.readings += 1;
        self.listen(xxh3_64(series.as_bytes()), time);
        let rank = if self.speaking == 1 { 1 } else { 1 + self.speaking.div_ceil(SHARE) };
        let is_confirmed = self.time.is_some() && self.reached >= rank;
        let is_old = self.unconfirmed >= ROUNDS * self.speaking as u64;
        if !is_confirmed && self.speaking <= self.quorum && !is_old {
            self.unconfirmed += 1;
            return;
        }
        self.quorum = self.speaking;
        self.unconfirmed = 0;
        if is_confirmed && self.passed < rank {
            return;
        }
        // On, from there or from the beginning, to the time that fewer have passed.
        let mut agreed = if is_confirmed { self.now() } else { NONE };
        self.passed = rank;
        while self.passed >= rank {
            let later = |time: i64| if time > agreed { time } else { i64::MAX };
            let next = self.times.iter().map(|time| later(*time)).fold(i64::MAX, i64::min);
            (self.reached, self.passed) = (0, 0);
            for time in &self.times {
                self.reached += usize::from(*time >= next);
                self.passed += usize::from(*time > next);
            }
            agreed = next;
        }
        self.time = EventTime::from_micros(agreed).ok();
    }

    fn now(&self) -> i64 {
        self.time.map_or(NONE, EventTime::as_micros)
    }

    fn count(&mut self) {
        let (now, times) = (self.now(), self.times.iter().filter(|time| **time != NONE));
        self.speaking = times.clone().count();
        self.reached = times.clone().filter(|time| **time >= now).count();
        self.passed = times.filter(|time| **time > now).count();
    }

    /// Another time stands for a voice.
    fn change(&mut self, at: usize, time: i64) {
        let (now, before) = (self.now(), std::mem::replace(&mut self.times[at], time));
        if before != NONE {
            self.speaking -= 1;
            self.reached -= usize::from(before >= now);
            self.passed -= usize::from(before > now);
        }
        if time != NONE {
            self.speaking += 1;
            self.reached += usize::from(time >= now);
            self.passed += usize::from(time > now);
        }
    }

    /// Notes who spoke, and who has fallen silent meanwhile.
    fn listen(&mut self, name: u64, time: EventTime) {
        let known = self.names[..self.voices].iter().position(|known| *known == name);
        let at = known.unwrap_or_else(|| self.welcome(name));
        let mut pause = 0;
        for speaker in &mut self.since {
            pause = pause.max(std::mem::take(&mut speaker[at]));
        }
        if known.is_some() {
            let usual = self.pauses[at] - self.pauses[at].div_ceil(PARTS);
            self.pauses[at] = usual.max(PARTS * pause.clamp(1, PAUSE_MOST));
        }
        self.limits[at] = limit(self.pauses[at]);
        self.heard[at] = self.readings;
        self.change(at, time.as_micros());
        let mut falls_silent = false;
        for (since, limit) in self.since[at].iter_mut().zip(&self.limits) {
            *since = since.saturating_add(1);
            falls_silent |= *since > *limit;
        }
        self.since[at][at] = 0;
        if falls_silent {
            for other in 0..self.voices {
                if self.since[at][other] > self.limits[other] {
                    self.limits[other] = u8::MAX;
                    self.change(other, NONE);
                }
            }
        }
    }

    /// A place for a series that was not heard lately: that of the one which was heard the longest ago, if
    /// there is no other.
    fn welcome(&mut self, name: u64) -> usize {
        let at = if self.voices < VOICES {
            self.voices += 1;
            self.voices - 1
        } else {
            let oldest = self.heard.iter().enumerate().min_by_key(|(_, heard)| **heard);
            oldest.map_or(0, |(at, _)| at)
        };
        self.names[at] = name;
        self.pauses[at] = PAUSE_AT_FIRST;
        self.since[at] = [0; VOICES];
        at
    }

    pub fn save(&self, out: &mut Vec<u8>) {
        let n = self.voices;
        put(out, &[self.time.map_or(NONE, EventTime::as_micros)]);
        put(out, &[self.readings, self.unconfirmed]);
        put(out, &[self.quorum as u32, n as u32]);
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
        let [quorum, n] = from.one::<[u32; 2]>()?.map(|count| count as usize);
        let is_sane = n <= VOICES && quorum <= n && loaded.readings <= i64::MAX as u64;
        let is_none = loaded.time.is_none();
        if !is_sane || is_none != (n == 0) || is_none != (quorum == 0) {
            return Err(Damaged("a time that its series can't have agreed on"));
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
        for at in 0..n {
            let is_silent = loaded.times[at] == NONE;
            loaded.limits[at] = if is_silent { u8::MAX } else { limit(loaded.pauses[at]) };
        }
        loaded.count();
        *self = loaded;
        Ok(())
    }
}

/// How often another series may speak, before one with this pause has fallen silent.
fn limit(pause: u8) -> u8 {
    pause / (PARTS / PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_micros(seconds * 1_000_000).unwrap()
    }

    fn seconds(agreed: &AgreedTime) -> i64 {
        agreed.get().unwrap().as_micros() / 1_000_000
    }

    /// One that has heard these series at each of these times.
    fn after(series: &[&str], times: std::ops::Range<i64>) -> AgreedTime {
        let mut agreed = AgreedTime::default();
        for time in times {
            series.iter().for_each(|name| agreed.hear(name, at(time)));
        }
        agreed
    }

    const FOUR: [&str; 4] = ["a", "b", "c", "d"];

    #[test]
    fn one_series_alone_is_its_own_time() {
        let mut agreed = AgreedTime::default();
        for time in [5, 7, 6, 1_000, 999] {
            agreed.hear("a", at(time));
        }
        assert_eq!(seconds(&agreed), 1_000);
    }

    #[test]
    fn a_quarter_that_runs_ahead_moves_nothing() {
        // Also if it speaks ten times as often, and from the first reading on.
        for (honest, ahead, often) in [(1, 1, 1), (1, 1, 10), (2, 1, 1), (3, 1, 10), (8, 2, 1), (24, 8, 3)] {
            let mut agreed = AgreedTime::default();
            for time in 0..200 {
                for voice in 0..often * ahead {
                    agreed.hear(&format!("ahead {}", voice % ahead), at(90_000 + time));
                }
                (0..honest).for_each(|voice| agreed.hear(&format!("{voice}"), at(time)));
                assert!((time - 1..=time).contains(&seconds(&agreed)), "{honest} {ahead} {often}: {time}");
            }
        }
    }

    #[test]
    fn the_last_that_speaks_moves_the_time_alone_and_gives_way_to_those_that_come_back() {
        let mut agreed = after(&FOUR, 0..50);
        let heard: Vec<i64> = (50..60)
            .map(|time| {
                agreed.hear("d", at(1_000 + time));
                seconds(&agreed)
            })
            .collect();
        let alone = heard.iter().position(|time| *time > 50).unwrap();
        assert!((3..6).contains(&alone), "{heard:?}");
        agreed.hear("a", at(60));
        assert_eq!(seconds(&agreed), 60);
    }

    #[test]
    fn a_time_that_nobody_agrees_on_any_more_is_given_up() {
        let mut agreed = after(&FOUR, 0..50);
        // Three of four have been ahead once, one after the other.
        FOUR[..3].iter().for_each(|name| agreed.hear(name, at(90_000)));
        assert_eq!(seconds(&agreed), 90_000);
        for time in 50..70 {
            FOUR.iter().for_each(|name| agreed.hear(name, at(time)));
        }
        assert_eq!(seconds(&agreed), 69);
    }

    #[test]
    fn more_series_than_are_listened_to_agree_too() {
        let mut agreed = AgreedTime::default();
        for time in 0..40 {
            for voice in 0..500 {
                let is_ahead = voice % 20 == 7;
                agreed.hear(&format!("{voice}"), at(time + if is_ahead { 90_000 } else { 0 }));
            }
            assert_eq!(seconds(&agreed), time);
        }
    }

    #[test]
    fn it_comes_back_from_bytes_and_goes_on() {
        let mut agreed = after(&FOUR, 0..5);
        (0..40).for_each(|voice| agreed.hear(&format!("{voice}"), at(10)));
        let mut bytes = Vec::new();
        agreed.save(&mut bytes);
        let mut back = AgreedTime::default();
        back.load(&mut Take::new(&bytes)).unwrap();
        let twice = |agreed: &AgreedTime| {
            let mut bytes = Vec::new();
            agreed.save(&mut bytes);
            bytes
        };
        for time in 0..90 {
            for agreed in [&mut agreed, &mut back] {
                agreed.hear(&format!("{}", time % 7), at(20 + time));
            }
            assert_eq!(twice(&agreed), twice(&back));
        }
        // No prefix of it is one, and what can't be is refused.
        (0..bytes.len()).for_each(|n| assert!(back.load(&mut Take::new(&bytes[..n])).is_err(), "{n}"));
        let mut bent = bytes.clone();
        bent[24] = 200;
        assert!(back.load(&mut Take::new(&bent)).is_err(), "more agree than there are");
        let mut bent = bytes;
        let voice = 32 + 25 + VOICES;
        let (first, second) = bent.split_at_mut(voice);
        first[32..40].copy_from_slice(&second[..8]);
        assert!(back.load(&mut Take::new(&bent)).is_err(), "a voice twice");
    }
}
