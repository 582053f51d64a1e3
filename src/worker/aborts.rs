//! Transactions that are aborted one after the other: what they are told as, and when the worker tries again.
//!
//! One abort is nothing special: the worker recovers at once. Where a topic refuses what is sent, the next transaction is
//! refused as well, and a worker that tries again at once fills the broker's log with what it aborts. So the pause before
//! the shards are read again doubles with each abort. Meanwhile the worker polls, so that the group keeps it, and it stops
//! when it is asked to.

use super::ports::{Broker, Ports, TimeSource};
use super::rare_paths::RarePath;
use super::{Error, Worker};
use crate::kafka::Refusal;
use crate::telemetry::{AbortCause, TransactionOutcome, events};
use std::time::{Duration, Instant};

/// The first pause.
const PAUSE_LEAST: Duration = Duration::from_millis(250);
/// The longest pause where a topic refuses what is sent.
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// The longest pause for another cause, which may be gone at any moment.
const PAUSE_MOST_OTHER: Duration = Duration::from_secs(1);
/// So many aborts in a row come without a pause: a refusal may be over once the limits were read, and a rebalance may
/// abort more than once.
const AT_ONCE: u32 = 1;
const AT_ONCE_OTHER: u32 = 3;
/// From so many aborts in a row on the process is not ready.
const BLOCKED_FROM: u32 = 4;

/// The aborts since the last commit.
#[derive(Debug, Default)]
pub(super) struct Aborts {
    in_a_row: u32,
    /// Nothing is read before.
    until: Option<Instant>,
}

impl Aborts {
    /// Notes an abort; returns the pause after it.
    fn note(&mut self, cause: AbortCause, now: Instant) -> Duration {
        self.in_a_row += 1;
        let (at_once, most) = match cause {
            AbortCause::Other => (AT_ONCE_OTHER, PAUSE_MOST_OTHER),
            _ => (AT_ONCE, PAUSE_MOST),
        };
        let doublings = self.in_a_row.checked_sub(at_once + 1);
        let pause =
            doublings.map_or(Duration::ZERO, |n| PAUSE_LEAST.saturating_mul(1 << n.min(16)).min(most));
        self.until = Some(now + pause);
        pause
    }

    /// Whether the pause after the last abort is not over.
    pub fn is_pausing(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

impl<P: Ports> Worker<P> {
    /// A commit has succeeded.
    pub(super) fn end_aborts(&mut self) {
        if std::mem::take(&mut self.aborts).in_a_row >= BLOCKED_FROM {
            self.setup.board.blocked(self.setup.number, None);
        }
    }

    /// Counts and logs an abort, and recovers.
    pub(super) fn abort_and_recover(
        &mut self,
        outcome: TransactionOutcome,
        reason: &str,
    ) -> Result<(), Error> {
        let number = self.setup.number;
        let refusal = self.ports.broker.take_refusal();
        let cause = refusal.as_ref().map_or(AbortCause::Other, |refusal| refusal.cause);
        let told = match &refusal {
            Some(Refusal { topic, .. }) => {
                format!("the topic {topic} refuses a record ({}): {reason}", cause.as_str())
            }
            None => reason.to_owned(),
        };
        let pause = self.aborts.note(cause, self.ports.time.now());
        let in_a_row = self.aborts.in_a_row;
        self.rare_paths.mark_if(!pause.is_zero(), RarePath::AbortsPaused);
        self.setup.metrics.transaction(outcome);
        self.setup.metrics.aborted(cause);
        events::aborted(number, cause, &told, in_a_row, pause);
        if in_a_row >= BLOCKED_FROM {
            let text = format!("nothing is committed, {in_a_row} transactions in a row were aborted: {told}");
            self.setup.board.blocked(number, Some(text));
        }
        self.recover()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(cause: AbortCause, aborts: u32) -> Vec<u128> {
        let (mut watch, now) = (Aborts::default(), Instant::now());
        (0..aborts).map(|_| watch.note(cause, now).as_millis()).collect()
    }

    #[test]
    fn pauses_double_up_to_their_limit() {
        let refused = [0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
        assert_eq!(pauses(AbortCause::TooLarge, 10), refused);
        assert_eq!(pauses(AbortCause::Other, 7), [0, 0, 0, 250, 500, 1_000, 1_000]);
        assert_eq!(pauses(AbortCause::InvalidTimestamp, 100).last(), Some(&30_000));
    }

    #[test]
    fn a_pause_ends_by_itself() {
        let (mut watch, now) = (Aborts::default(), Instant::now());
        for _ in 0..3 {
            watch.note(AbortCause::TooLarge, now);
        }
        assert!(watch.is_pausing(now + Duration::from_millis(499)));
        assert!(!watch.is_pausing(now + Duration::from_millis(500)));
    }
}
