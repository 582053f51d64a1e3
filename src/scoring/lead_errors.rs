use crate::domain::{Damaged, Leads, Rows, Take, lengthen, put};

/// The slowest rate of a recent error: a memory of about 200 matured forecasts.
const RATE: f32 = 0.005;
/// The first errors of a series, up to this many, teach what is usual.
const FIRST: u8 = 64;
/// The unit of the sums of errors, which are integers: so they do not depend on the order of series.
const FINE: f64 = (1u64 << 40) as f64;
/// Larger errors are not summed.
const LARGEST: f32 = 1e15;

/// Recent errors of one forecaster: exponentially weighted absolute errors for each series, target and
/// scored lead, `ē ← ē + max(0.005·S, 1/n)·(|ŷ − y| − ē)`, where one of `S` origins is scored.
#[derive(Debug)]
pub struct LeadErrors {
    /// The errors of one series: targets × scored leads.
    each: usize,
    /// The slowest rate of each lead.
    rates: Vec<f32>,
    /// `[slots, targets, leads]`
    errors: Vec<f32>,
    /// Matured forecasts, saturating; as `errors`.
    counts: Vec<u8>,
    /// The usual error, for a series without matured forecasts; 0 while none is known. `[targets, leads]`
    usual: Vec<f32>,
    /// The sum of the first errors of all series since the last publication, in units of `1 / FINE`, and
    /// their number. `[targets, leads]`
    fresh: Vec<[i128; 2]>,
}

impl LeadErrors {
    pub fn new(targets: usize, leads: &Leads) -> Self {
        let each = targets * leads.len();
        Self {
            each,
            rates: (0..leads.len()).map(|at| (RATE * leads.every_origin(at) as f32).min(1.0)).collect(),
            errors: Vec::new(),
            counts: Vec::new(),
            usual: vec![0.0; each],
            fresh: vec![[0; 2]; each],
        }
    }

    /// Learns from the forecasts of `value` at each scored lead. A forecast that is not finite is
    /// skipped. `forecasts`: `[leads]`
    pub fn learn(&mut self, slot: usize, target: usize, value: f32, forecasts: &[f32]) {
        let at = slot * self.each + target * forecasts.len();
        let rows = self.errors[at..].iter_mut().zip(&mut self.counts[at..]);
        let all = self.fresh[target * forecasts.len()..].iter_mut();
        for ((((mean, count), [sum, n]), forecast), rate) in rows.zip(all).zip(forecasts).zip(&self.rates) {
            let error = (forecast - value).abs();
            if error.is_finite() {
                if *count < FIRST && error < LARGEST {
                    (*sum, *n) = (*sum + (f64::from(error) * FINE) as i128, *n + 1);
                }
                *count = count.saturating_add(1);
                *mean += rate.max(1.0 / f32::from(*count)) * (error - *mean);
            }
        }
    }

    /// The recent errors of a series; the usual ones where nothing has matured, 0 while none is known.
    /// `[targets, leads]`
    pub fn of(&self, slot: usize) -> impl Iterator<Item = f32> {
        let row = slot * self.each..(slot + 1) * self.each;
        let own = self.errors[row.clone()].iter().zip(&self.counts[row]).zip(&self.usual);
        own.map(|((own, count), usual)| if *count > 0 { *own } else { *usual })
    }

    /// Makes the mean of the first errors since the last call the usual error. Call it at moments that do
    /// not depend on batches.
    pub fn publish(&mut self) {
        for (usual, fresh) in self.usual.iter_mut().zip(&mut self.fresh) {
            let [sum, n] = std::mem::take(fresh);
            if n > 0 {
                *usual = (sum as f64 / FINE / n as f64) as f32;
            }
        }
    }

    /// Appends the state that is pooled over series, without loss.
    pub fn save_pooled(&self, out: &mut Vec<u8>) {
        put(out, &self.usual);
        put(out, &self.fresh);
    }

    /// Reads what [`Self::save_pooled`] wrote.
    ///
    /// # Errors
    /// [`Damaged`] for any other bytes.
    pub fn load_pooled(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        from.fill(&mut self.usual)?;
        from.fill(&mut self.fresh)
    }
}

impl Rows for LeadErrors {
    fn grow(&mut self, slots: usize) {
        lengthen(&mut self.errors, slots * self.each, 0.0);
        lengthen(&mut self.counts, slots * self.each, 0);
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
        let mut errors = LeadErrors::new(2, &Leads::every(3));
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
