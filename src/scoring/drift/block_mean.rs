use crate::domain::{Damaged, Take, put};

/// The most series of one block.
pub const MOST: usize = 4_096;
/// The fewest series of a block, where there are that many.
const LEAST: usize = 5;
/// One in this many values is cut at each end.
const TRIMMED: usize = 5;

/// Trimmed means of blocks of values. A block takes as many readings as there are series, about one step
/// of each, and at most one value of each series. Each value has `N` parts.
#[derive(Debug)]
pub struct BlockMean<const N: usize> {
    /// The number of the block, which marks the series that have contributed. Never 0.
    number: u32,
    readings: u64,
    /// `[N][series]`
    values: [Vec<f32>; N],
}

impl<const N: usize> BlockMean<N> {
    pub fn new() -> Self {
        Self { number: 1, readings: 0, values: std::array::from_fn(|_| Vec::with_capacity(MOST)) }
    }

    /// Adds a value of one of `series` series, unless that series has contributed already. Returns the
    /// trimmed mean of each part when the block is complete. `stamp`: kept for the series by the caller.
    pub fn add(&mut self, stamp: &mut u32, value: [f32; N], series: usize) -> Option<[f32; N]> {
        self.readings += 1;
        if *stamp != self.number && self.values[0].len() < MOST {
            *stamp = self.number;
            self.values.iter_mut().zip(value).for_each(|(values, v)| values.push(v));
        }
        if self.readings < series as u64 || self.values[0].len() < series.clamp(1, LEAST) {
            return None;
        }
        let means = std::array::from_fn(|part| trimmed_mean(&mut self.values[part]));
        self.number = self.number.wrapping_add(1).max(1);
        self.readings = 0;
        self.values.iter_mut().for_each(Vec::clear);
        Some(means)
    }

    pub fn save(&self, out: &mut Vec<u8>) {
        put(out, &[self.number, self.values[0].len() as u32]);
        put(out, &[self.readings]);
        self.values.iter().for_each(|values| put(out, values));
    }

    pub fn load(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        let [number, spoken]: [u32; 2] = from.one()?;
        self.readings = from.one()?;
        if number == 0 || spoken as usize > MOST {
            return Err(Damaged("an impossible block of drift"));
        }
        self.number = number;
        for values in &mut self.values {
            values.resize(spoken as usize, 0.0);
            from.fill(values)?;
        }
        Ok(())
    }
}

/// The mean of the values between the cut ends; of one or two values, the mean of all.
fn trimmed_mean(values: &mut [f32]) -> f32 {
    values.sort_unstable_by(f32::total_cmp);
    let n = values.len();
    let cut = if n < 3 { 0 } else { (n / TRIMMED).max(1) };
    let kept = &values[cut..n - cut];
    (kept.iter().map(|v| f64::from(*v)).sum::<f64>() / kept.len() as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_three_or_more_does_not_move_the_mean() {
        for n in 3..30usize {
            let mut values: Vec<f32> = (0..n).map(|i| i as f32 % 2.0).collect();
            let calm = trimmed_mean(&mut values.clone());
            values[0] = 1e30;
            assert!(trimmed_mean(&mut values) <= calm.max(1.0), "{n}");
        }
    }

    #[test]
    fn a_series_that_sends_more_often_counts_once() {
        let (mut block, mut stamps) = (BlockMean::<1>::new(), [0u32; 100]);
        let mut means = Vec::new();
        for reading in 0..100_000usize {
            // The first sends nine of ten readings.
            let who = if reading % 10 == 0 { 1 + reading / 10 % 99 } else { 0 };
            let value = if who == 0 { 1.0 } else { 0.0 };
            means.extend(block.add(&mut stamps[who], [value], 100));
        }
        assert!(means.len() > 100 && means.iter().all(|[m]| *m == 0.0), "{means:?}");
    }
}
