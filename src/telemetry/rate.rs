use std::time::Duration;

/// Seconds that the rate covers.
const SPAN: u64 = 10;

/// A count per second, over the last whole seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    /// The counts of single seconds, at the second modulo the length. The extra element is for the current second.
    counts: [u64; SPAN as usize + 1],
    /// The last second that was counted.
    now: u64,
}

impl Rate {
    /// `at` is a time since the start and never goes back.
    pub fn add(&mut self, at: Duration, count: u64) {
        self.advance(at);
        self.counts[(self.now % (SPAN + 1)) as usize] += count;
    }

    pub fn per_second(&mut self, at: Duration) -> f64 {
        self.advance(at);
        let current = self.counts[(self.now % (SPAN + 1)) as usize];
        let whole: u64 = self.counts.iter().sum::<u64>() - current;
        whole as f64 / self.now.clamp(1, SPAN) as f64
    }

    fn advance(&mut self, at: Duration) {
        let second = at.as_secs().max(self.now);
        for passed in (self.now + 1..=second).take(SPAN as usize + 1) {
            self.counts[(passed % (SPAN + 1)) as usize] = 0;
        }
        if second - self.now > SPAN {
            self.counts = Default::default();
        }
        self.now = second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_covers_the_last_seconds() {
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(Duration::ZERO), 0.0);
        for second in 0..20 {
            rate.add(Duration::from_secs(second), 100);
        }
        assert_eq!(rate.per_second(Duration::from_secs(20)), 100.0);
        assert_eq!(rate.per_second(Duration::from_secs(25)), 50.0);
        assert_eq!(rate.per_second(Duration::from_secs(90)), 0.0);
        rate.add(Duration::from_secs(90), 50);
        assert_eq!(rate.per_second(Duration::from_secs(91)), 5.0);
    }
}
