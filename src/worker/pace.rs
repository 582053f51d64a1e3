//! Whether each shard keeps pace with its partition. The mature series of one that does not learn less often, so that
//! it does, with `learn_every = "auto"`.
//!
//! What counts is not the number of records that wait but how long the shard would work on them at its present rate. A
//! shard that catches up after a restart is behind for the same reason as one whose readings come too fast: forecasts
//! come late. The lag is looked at in intervals of seconds. One look is not enough, because records may have come in
//! one lot. What makes a shard fall behind is ten times what it has caught up at, so that it does not alternate.

use super::Worker;
use super::ports::{Broker, Ports, TimeSource};
use crate::domain::Offset;
use crate::telemetry::Pace;
use std::time::{Duration, Instant};

/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A shard with more work than this is behind.
const BEHIND: Duration = Duration::from_secs(10);
/// A shard that was behind has caught up when it has less work than this.
const CAUGHT_UP: Duration = Duration::from_secs(1);
/// So many looks, one after the other, must say the same.
const LOOKS: u32 = 2;

/// What the looks at a shard's lag have said.
#[derive(Debug, Default)]
pub(super) struct PaceWatch {
    is_behind: bool,
    /// The last look that saw the shard work, and where the shard stood.
    before: Option<(Instant, Offset)>,
    /// Looks, one after the other, that contradict `is_behind`.
    contradictions: u32,
}

impl PaceWatch {
    /// Looks at a shard that stands at `next`, where `lag` records wait. Says to what its pace has changed, and how many
    /// seconds it would work on what waits.
    pub fn look(&mut self, now: Instant, next: Offset, lag: u64) -> Option<(Pace, f64)> {
        let (since, from) = self.before.replace((now, next))?;
        let (took, taken) = (now.saturating_duration_since(since).as_secs_f64(), next.0 - from.0);
        let seconds = match (lag, taken) {
            (0, _) => 0.0,
            // It was loaded, paused or moved back, or waits for a commit: that says nothing of its rate.
            (_, ..=0) => return None,
            _ => lag as f64 * took / taken as f64,
        };
        let contradicts =
            if self.is_behind { seconds < CAUGHT_UP.as_secs_f64() } else { seconds > BEHIND.as_secs_f64() };
        self.contradictions = if contradicts { self.contradictions + 1 } else { 0 };
        if self.contradictions < LOOKS {
            return None;
        }
        self.contradictions = 0;
        self.is_behind = !self.is_behind;
        Some((if self.is_behind { Pace::Behind } else { Pace::CaughtUp }, seconds))
    }
}

impl<P: Ports> Worker<P> {
    /// Looks at the lag of each shard when it is time, and lets those that are behind learn less often. Every reading
    /// that was let through has been stepped, so the change lies between two rounds.
    pub(super) fn keep_pace(&mut self) {
        let now = self.ports.time.now();
        if now < self.pace_due_at {
            return;
        }
        self.pace_due_at = now + LOOK_EVERY;
        for owned in &mut self.shards {
            if let Some(lag) = self.ports.broker.lag(&owned.at, owned.position) {
                owned.look_at_pace(now, u64::try_from(lag).unwrap_or(0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What looks say, five seconds apart, at a shard that takes `rate` records a second while `lags` wait.
    fn looks(watch: &mut PaceWatch, at: &mut (Instant, i64), rate: i64, lags: &[u64]) -> Vec<Option<Pace>> {
        let mut look = |lag: &u64| {
            at.0 += LOOK_EVERY;
            at.1 += rate * LOOK_EVERY.as_secs() as i64;
            watch.look(at.0, Offset(at.1), *lag).map(|(pace, _)| pace)
        };
        lags.iter().map(&mut look).collect()
    }

    #[test]
    fn a_shard_is_behind_when_its_lag_is_ten_seconds_of_work_at_two_looks_and_catches_up_at_one() {
        let (mut watch, mut at) = (PaceWatch::default(), (Instant::now(), 0));
        let mut look = |rate, lags: &[u64]| looks(&mut watch, &mut at, rate, lags);
        // The first look knows no rate. A lag of one look may have come in one lot.
        assert_eq!(look(1_000, &[90_000, 90_000, 0]), [None, None, None]);
        assert_eq!(look(1_000, &[11_000, 11_000]), [None, Some(Pace::Behind)]);
        // It has to fall far below what it was behind at.
        assert_eq!(look(1_000, &[9_000, 2_000, 900, 2_000, 900]), [None; 5]);
        assert_eq!(look(1_000, &[900]), [Some(Pace::CaughtUp)]);
        assert_eq!(look(1_000, &[9_000, 9_000, 9_000]), [None; 3]);
    }

    #[test]
    fn a_shard_that_takes_nothing_says_nothing_unless_nothing_waits() {
        let (mut watch, mut at) = (PaceWatch::default(), (Instant::now(), 0));
        assert_eq!(looks(&mut watch, &mut at, 0, &[50_000, 50_000, 50_000]), [None; 3]);
        assert_eq!(looks(&mut watch, &mut at, 10, &[50_000, 50_000]), [None, Some(Pace::Behind)]);
        assert_eq!(looks(&mut watch, &mut at, 0, &[50_000, 50_000]), [None; 2]);
        assert_eq!(looks(&mut watch, &mut at, 0, &[0, 0]), [None, Some(Pace::CaughtUp)]);
    }
}
