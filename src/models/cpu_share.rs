use super::NAP;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Holds work to a share of a core: it rests after each step of the work.
pub(super) struct CpuShare<'a> {
    rest_per_work: f64,
    /// When the last rest ended.
    since: Instant,
    stop: &'a AtomicBool,
    /// How often work has paused.
    pub steps: usize,
}

impl<'a> CpuShare<'a> {
    pub fn new(cpu_share: f64, stop: &'a AtomicBool) -> Self {
        Self { rest_per_work: 1.0 / cpu_share - 1.0, since: Instant::now(), stop, steps: 0 }
    }

    /// Rests as long as the work since the last rest asks for. False when the work has to stop.
    pub fn go_on(&mut self) -> bool {
        self.steps += 1;
        let mut rest = self.since.elapsed().mul_f64(self.rest_per_work);
        while !rest.is_zero() && !self.stop.load(Ordering::Acquire) {
            let nap = rest.min(NAP);
            std::thread::sleep(nap);
            rest -= nap;
        }
        self.since = Instant::now();
        !self.stop.load(Ordering::Acquire)
    }
}
