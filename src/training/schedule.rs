use crate::config::Schedule;

/// Says when a stream's next round is due, by readings per series.
#[derive(Clone, Debug)]
pub struct Due {
    schedule: Schedule,
    last: Option<u64>,
}

impl Due {
    /// `trained`: a network serves already, so that the first round is a refresh.
    pub fn new(schedule: Schedule, trained: bool) -> Self {
        Self { schedule, last: trained.then_some(0) }
    }

    /// Goes on when the series have `age` readings each already: the rounds of the past are not made up
    /// for, and a restart puts none off.
    pub fn resumed(schedule: Schedule, trained: bool, age: u64) -> Self {
        let (first, every) = (schedule.first_after as u64, schedule.every as u64);
        let passed = age.checked_sub(first).map_or(0, |over| first + over / every * every);
        Self { schedule, last: trained.then_some(passed) }
    }

    /// Whether a round is due when the series have `readings` each.
    pub fn is_due(&self, readings: u64) -> bool {
        match self.last {
            None => readings >= self.schedule.first_after as u64,
            Some(last) => readings >= last + self.schedule.every as u64,
        }
    }

    /// A round begins; the schedule goes on from here.
    pub fn begun(&mut self, readings: u64) {
        self.last = Some(readings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_round_waits_longer_than_the_next() {
        let mut due = Due::new(Schedule { first_after: 100, every: 10 }, false);
        let mut rounds = Vec::new();
        for n in 0..150 {
            if due.is_due(n) {
                due.begun(n);
                rounds.push(n);
            }
        }
        assert_eq!(rounds, [100, 110, 120, 130, 140]);
        let resumed = Due::resumed(Schedule { first_after: 100, every: 10 }, true, 137);
        assert!(!resumed.is_due(139) && resumed.is_due(140));
        let refresh = Due::new(Schedule { first_after: 100, every: 10 }, true);
        assert!(!refresh.is_due(9) && refresh.is_due(10));
    }
}
