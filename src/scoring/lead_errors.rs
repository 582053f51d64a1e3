use crate::domain::{Damaged, Rows, Take, put};

/// The slowest rate of a recent error: a memory of about 200 matured forecasts.
const RATE: f32 = 0.005;
/// The first errors of a series tell what is usual.
const FIRST: u8 = 64;
/// Sums of errors are whole numbers of this part: so they don't depend on the order of series.
const FINE: f64 = (1u64 << 40) as f64;
/// Larger ones are not summed up.
const LARGEST: f32 = 1e15;

/// How far one forecast lies from what comes, lately: exponentially weighted absolute errors per
/// series, target and learnt lead.
#[derive(Debug)]
pub struct LeadErrors {
    /// Of one series: targets × learnt leads.
    each: usize,
    /// `[slots, targets, leads]`
    errors: Vec<f32>,
    /// Matured forecasts, saturating; as `errors`.
    counts: Vec<u8>,
    /// What is usual, for a series of which nothing has matured; 0 while nobody knows.
    /// `[targets, leads]`
    usual: Vec<f32>,
    /// The sum of the first errors of all series since the last mark, in units of `1 / FINE`, and how many.
    /// `[targets, leads]`
    fresh: Vec<[i128; 2]>,
}

impl LeadErrors {
    pub fn new(targets: usize, leads: usize) -> Self {
        let each = targets * leads;
        Self {
            each,
            errors: Vec::new(),
            counts: Vec::new(),
            usual: vec![0.0; each],
            fresh: vec![[0; 2]; each],
        }
    }

    /// Learns what was said of `value` at each learnt lead; what is not a number is passed over.
    /// `said`: `[leads]`
    pub fn learn(&mut self, slot: usize, target: usize, value: f32, said: &[f32]) {
        let at = slot * self.each + target * said.len();
        let rows = self.errors[at..].iter_mut().zip(&mut self.counts[at..]);
        let all = self.fresh[target * said.len()..].iter_mut();
        for (((mean, count), [sum, n]), said) in rows.zip(all).zip(said) {
            let error = (said - value).abs();
            if error.is_finite() {
                if *count < FIRST && error < LARGEST {
                    (*sum, *n) = (*sum + (f64::from(error) * FINE) as i128, *n + 1);
                }
                *count = count.saturating_add(1);
                *mean += RATE.max(1.0 / f32::from(*count)) * (error - *mean);
            }
        }
    }

    /// The recent errors of a series; where nothing has matured the usual ones, 0 while nobody knows.
    /// `[targets, leads]`
    pub fn of(&self, slot: usize) -> impl Iterator<Item = f32> {
        let row = slot * self.each..(slot + 1) * self.each;
        let own = self.errors[row.clone()].iter().zip(&self.counts[row]).zip(&self.usual);
        own.map(|((own, count), usual)| if *count > 0 { *own } else { *usual })
    }

    /// What was usual since the last call is usual from now on. At moments that don't depend on batches.
    pub fn publish(&mut self) {
        for (usual, fresh) in self.usual.iter_mut().zip(&mut self.fresh) {
            let [sum, n] = std::mem::take(fresh);
            if n > 0 {
                *usual = (sum as f64 / FINE / n as f64) as f32;
            }
        }
    }

    /// Appends what is pooled over series, lossless.
    pub fn save_pooled(&self, out: &mut Vec<u8>) {
        put(out, &self.usual);
        put(out, &self.fresh);
    }

    /// Takes back what [`Self::save_pooled`] has written.
    ///
    /// # Errors
    /// [`Damaged`] for anything else.
    pub fn load_pooled(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        from.fill(&mut self.usual)?;
        from.fill(&mut self.fresh)
    }
}

impl Rows for LeadErrors {
    fn grow(&mut self, slots: usize) {
        self.errors.resize(slots * self.each, 0.0);
        self.counts.resize(slots * self.each, 0);
    }

    fn reset(&mut self, slot: usize) {
        self.errors[slot * self.each..][..self.each].fill(0.0);
        self.counts[slot * self.each..][..self.each].fill(0);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        put(out, &self.errors[slot * self.each..][..self.each]);
        put(out, &self.counts[slot * self.each..][..self.each]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        row.fill(&mut self.errors[slot * self.each..][..self.each])?;
        row.fill(&mut self.counts[slot * self.each..][..self.each])
    }

    fn memory(&self) -> usize {
        self.errors.capacity() * size_of::<f32>() + self.counts.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_errors_are_their_mean_and_leads_are_apart() {
        let mut errors = LeadErrors::new(2, 3);
        errors.grow(2);
        errors.learn(1, 1, 10.0, &[9.0, f32::NAN, 12.0]);
        errors.learn(1, 1, 10.0, &[7.0, f32::NAN, 10.0]);
        let of = |errors: &LeadErrors, slot| errors.of(slot).collect::<Vec<_>>();
        assert_eq!(of(&errors, 1), [0.0, 0.0, 0.0, 2.0, 0.0, 1.0]);
        assert_eq!(of(&errors, 0), [0.0; 6]);
        errors.publish();
        assert_eq!(of(&errors, 0), [0.0, 0.0, 0.0, 2.0, 0.0, 1.0], "as is usual");
        for _ in 0..10_000 {
            errors.learn(1, 1, 0.0, &[5.0, 5.0, 5.0]);
        }
        assert!(errors.of(1).skip(3).all(|e| (e - 5.0).abs() < 1e-3));
    }
}
