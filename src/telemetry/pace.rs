use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often the log tells of the same thing.
const EVERY: Duration = Duration::from_secs(60);

/// Lets what happens often into the log once in a while, with how often it has happened meanwhile.
#[derive(Debug, Default)]
pub struct Pace(Mutex<(Option<Instant>, u64)>);

impl Pace {
    /// Adds `times`; gives all that has come since something was last let through, once that is long ago.
    pub fn let_through(&self, times: u64, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().expect("no holder of this lock panics");
        let (told, since) = &mut *state;
        *since += times;
        if *since == 0 || told.is_some_and(|told| now.saturating_duration_since(told) < EVERY) {
            return None;
        }
        *told = Some(now);
        Some(std::mem::take(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_while_tells_of_all() {
        let (pace, start) = (Pace::default(), Instant::now());
        let at = |seconds, times| pace.let_through(times, start + Duration::from_secs(seconds));
        assert_eq!(at(0, 0), None);
        assert_eq!(at(0, 3), Some(3));
        assert_eq!((at(1, 2), at(59, 5)), (None, None));
        assert_eq!(at(60, 1), Some(8));
        assert_eq!(at(200, 0), None);
    }
}
