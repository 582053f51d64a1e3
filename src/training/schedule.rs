use crate::config::Stream;

/// How a round begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From fresh weights: the first round, and another whenever windows have doubled since. What was
    /// fitted to few readings is fitted too well to be mended in small steps.
    Afresh,
    /// From the champion.
    Refresh,
}

/// Says when a stream's next round is due, by readings per series.
#[derive(Clone, Debug)]
pub struct Due {
    first: u64,
    every: u64,
    /// The most readings that a window holds.
    window: u64,
    last: Option<u64>,
}

impl Due {
    /// `trained`: a network serves already, so that the first round is a refresh.
    pub fn new(stream: &Stream, trained: bool) -> Self {
        let schedule = stream.training.schedule;
        Self {
            first: schedule.first_after as u64,
            every: schedule.every as u64,
            window: stream.window as u64,
            last: trained.then_some(0),
        }
    }

    /// Goes on when the series have `age` readings each already: the rounds of the past are not made up
    /// for, and a restart puts none off.
    pub fn resumed(stream: &Stream, trained: bool, age: u64) -> Self {
        let mut due = Self::new(stream, trained);
        let passed = |over: u64| due.first + over / due.every * due.every;
        due.last = trained.then(|| age.checked_sub(due.first).map_or(0, passed));
        due
    }

    /// The round that is due when the series have `readings` each.
    pub fn is_due(&self, readings: u64) -> Option<Start> {
        let Some(last) = self.last else { return (readings >= self.first).then_some(Start::Afresh) };
        let doubled = |fit: u64| last < fit && fit <= readings;
        let mut fits = std::iter::successors(Some(2 * self.first), |fit| fit.checked_mul(2))
            .take_while(|fit| *fit < 2 * self.window);
        let start = if fits.any(doubled) { Start::Afresh } else { Start::Refresh };
        (readings >= last + self.every).then_some(start)
    }

    /// A round begins; the schedule goes on from here.
    pub fn begun(&mut self, readings: u64) {
        self.last = Some(readings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Start::{Afresh, Refresh};

    fn due(last: Option<u64>) -> Due {
        Due { first: 100, every: 30, window: 300, last }
    }

    #[test]
    fn rounds_begin_afresh_while_windows_double() {
        let mut due = due(None);
        let mut rounds = Vec::new();
        for n in 0..800 {
            if let Some(start) = due.is_due(n) {
                due.begun(n);
                rounds.push((n, start));
            }
        }
        let afresh: Vec<u64> = rounds.iter().filter(|(_, s)| *s == Afresh).map(|(n, _)| *n).collect();
        assert_eq!(afresh, [100, 220, 400], "from 300 readings on a window is full");
        assert!(rounds.windows(2).all(|pair| pair[1].0 - pair[0].0 == 30));
    }

    #[test]
    fn a_restart_puts_no_round_off_and_makes_none_up() {
        let text = "[kafka]\nbrokers = \"b\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1h\"\n\
                    targets = [\"kw\"]\ntraining = { first_after = 100, every = 10 }";
        let stream = crate::config::from_toml(text, &[]).unwrap().streams[0].clone();
        let resumed = Due::resumed(&stream, true, 137);
        assert!(resumed.is_due(139).is_none() && resumed.is_due(140) == Some(Refresh));
        let refresh = Due::new(&stream, true);
        assert!(refresh.is_due(9).is_none() && refresh.is_due(10) == Some(Refresh));
        assert_eq!(Due::resumed(&stream, false, 137).is_due(137), Some(Afresh));
    }
}
