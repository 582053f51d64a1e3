use crate::domain::{Damaged, Rows, Take, put};
use crate::simd::prefetch_first;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

/// The largest 16-bit float.
const LARGEST: f32 = 65_504.0;

/// The forecasts that wait for their target. For each series, target and lead it keeps one value for each
/// column (an expert, a mixture, a quantile), as a 16-bit float relative to the value at the origin.
///
/// A forecast of lead `l` waits for `l` steps. So each lead has a ring of its own length, and the ledger
/// holds `Σ leads` entries. The entry that matures at a step is the one that the step's own forecast
/// overwrites.
#[derive(Debug)]
pub struct ForecastLedger {
    targets: usize,
    columns: usize,
    leads: Vec<usize>,
    /// The first entry of each lead's ring.
    starts: Vec<usize>,
    entries: usize,
    /// `[slots, targets, entries, columns]`
    forecasts: Vec<u16>,
    /// The reference of the values of each origin, and their unit. `[slots, targets, horizon, 2]`
    origins: Vec<f32>,
    /// The entry of each lead's ring at step `places_at`.
    places: Vec<usize>,
    places_at: u64,
    /// The entries being written or read. `[leads, columns]`
    halves: Vec<u16>,
    values: Vec<f32>,
}

impl ForecastLedger {
    /// `leads`: ascending, from 1 on.
    pub fn new(targets: usize, columns: usize, leads: &[usize]) -> Self {
        let starts = starts_of(leads).collect();
        let entries = leads.iter().sum();
        Self {
            halves: vec![0; columns * leads.len()],
            values: vec![0.0; columns * leads.len()],
            places: starts_of(leads).collect(),
            places_at: 0,
            leads: leads.to_vec(),
            targets,
            columns,
            starts,
            entries,
            forecasts: Vec::new(),
            origins: Vec::new(),
        }
    }

    fn horizon(&self) -> usize {
        self.leads.last().copied().unwrap_or(1)
    }

    /// Bytes of one series.
    pub fn bytes_each(&self) -> usize {
        self.targets * (2 * self.entries * self.columns + 8 * self.horizon())
    }

    /// Finds the entry of each lead's ring at `step`.
    fn find_places(&mut self, step: u64) {
        if self.places_at != step {
            self.places_at = step;
            for ((place, lead), start) in self.places.iter_mut().zip(&self.leads).zip(&self.starts) {
                *place = start + (step % *lead as u64) as usize;
            }
        }
    }

    fn at(&self, row: usize, lead: usize) -> usize {
        (row * self.entries + self.places[lead]) * self.columns
    }

    fn origin_at(&self, row: usize, step: u64) -> usize {
        let horizon = self.horizon();
        2 * (row * horizon + (step % horizon as u64) as usize)
    }

    /// Loads what [`Self::matured`] will read into the cache while another series is worked on.
    pub fn prefetch(&self, slot: usize, target: usize, now: u64) {
        for (lead, start) in self.leads.iter().zip(&self.starts) {
            let place = start + (now % *lead as u64) as usize;
            let entry = ((slot * self.targets + target) * self.entries + place) * self.columns;
            let entry = &self.forecasts[entry..][..self.columns];
            // An entry is shorter than a cache line, but may lie in two.
            prefetch_first(&entry[..1]);
            prefetch_first(&entry[self.columns - 1..]);
        }
    }

    /// Reads the forecasts of step `now`, at each lead; NaN where none was made. Call it at each step
    /// before [`Self::issue`], which overwrites them. `out`: `[columns, leads]`
    pub fn matured(&mut self, slot: usize, target: usize, now: u64, out: &mut [f32]) {
        let (row, n) = (slot * self.targets + target, self.leads.len());
        assert_eq!(out.len(), self.columns * n);
        self.find_places(now);
        for i in 0..n {
            let at = self.at(row, i);
            self.halves[i * self.columns..][..self.columns]
                .copy_from_slice(&self.forecasts[at..][..self.columns]);
        }
        self.halves.reinterpret_cast::<half::f16>().convert_to_f32_slice(&mut self.values);
        let horizon = self.horizon();
        let newest = (now % horizon as u64) as usize;
        for (i, (lead, entry)) in self.leads.iter().zip(self.values.chunks_exact(self.columns)).enumerate() {
            let origin = if *lead <= newest { newest - lead } else { newest + horizon - lead };
            let at = 2 * (row * horizon + origin);
            let (reference, unit) = (self.origins[at], self.origins[at + 1]);
            let unit = if unit > 0.0 { unit } else { f32::NAN };
            for (column, forecasts) in entry.iter().enumerate() {
                out[column * n + i] = forecasts * unit + reference;
            }
        }
    }

    /// A column's forecast at step `now - 1` of the step after it, also where that forecast is not to be
    /// judged. NaN where none was made.
    pub fn next(&self, slot: usize, target: usize, now: u64, column: usize) -> f32 {
        let row = slot * self.targets + target;
        let forecasts = self.forecasts[(row * self.entries + self.starts[0]) * self.columns + column];
        let at = self.origin_at(row, now.wrapping_sub(1));
        half::f16::from_bits(forecasts).to_f32() * self.origins[at + 1].abs() + self.origins[at]
    }

    /// Keeps the forecasts made at step `now`. Values are kept relative to `reference`, with a precision
    /// of a thousandth of their distance from it, up to 65,504 times `unit`. Forecasts that are not to be
    /// judged never mature. `forecasts`: `[columns, horizon]`
    pub fn issue(
        &mut self,
        slot: usize,
        target: usize,
        now: u64,
        (reference, unit, judged): (f32, f32, bool),
        forecasts: &[f32],
    ) {
        let (row, n) = (slot * self.targets + target, self.leads.len());
        let horizon = self.horizon();
        assert_eq!(forecasts.len(), self.columns * horizon);
        self.find_places(now);
        let unit = if unit > 1e-30 && unit.is_finite() { unit } else { 1.0 };
        let origin = self.origin_at(row, now);
        // A negative unit marks forecasts that are not to be judged.
        self.origins[origin..][..2].copy_from_slice(&[reference, if judged { unit } else { -unit }]);
        let per_unit = 1.0 / unit;
        for (lead, entry) in self.leads.iter().zip(self.values.chunks_exact_mut(self.columns)) {
            for (forecasts, value) in forecasts[lead - 1..].iter().step_by(horizon).zip(entry) {
                *value = ((forecasts - reference) * per_unit).clamp(-LARGEST, LARGEST);
            }
        }
        self.halves.reinterpret_cast_mut::<half::f16>().convert_from_f32_slice(&self.values);
        for i in 0..n {
            let at = self.at(row, i);
            self.forecasts[at..][..self.columns]
                .copy_from_slice(&self.halves[i * self.columns..][..self.columns]);
        }
    }
}

impl ForecastLedger {
    /// Takes over the forecasts of other columns at the same targets and leads. `from`: the index of each
    /// column there; a new column has no forecasts. `[columns]`
    pub fn inherit(&mut self, other: Self, from: &[Option<usize>]) {
        assert!(from.len() == self.columns && self.leads == other.leads && self.targets == other.targets);
        let nothing = half::f16::NAN.to_bits();
        let entries = other.forecasts.chunks_exact(other.columns);
        self.forecasts = Vec::with_capacity(entries.len() * self.columns);
        for entry in entries {
            self.forecasts.extend(from.iter().map(|at| at.map_or(nothing, |at| entry[at])));
        }
        self.origins = other.origins;
    }
}

/// The first entry of the ring of each lead.
fn starts_of(leads: &[usize]) -> impl Iterator<Item = usize> {
    leads.iter().scan(0, |sum, lead| Some(std::mem::replace(sum, *sum + lead)))
}

impl Rows for ForecastLedger {
    fn grow(&mut self, slots: usize) {
        let rows = slots * self.targets;
        self.forecasts.resize(rows * self.entries * self.columns, half::f16::NAN.to_bits());
        self.origins.resize(rows * self.horizon() * 2, 0.0);
    }

    fn reset(&mut self, slot: usize) {
        let (forecasts, origins) =
            (self.targets * self.entries * self.columns, self.targets * self.horizon() * 2);
        self.forecasts[slot * forecasts..][..forecasts].fill(half::f16::NAN.to_bits());
        self.origins[slot * origins..][..origins].fill(0.0);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let (forecasts, origins) =
            (self.targets * self.entries * self.columns, self.targets * self.horizon() * 2);
        put(out, &self.forecasts[slot * forecasts..][..forecasts]);
        put(out, &self.origins[slot * origins..][..origins]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let (forecasts, origins) =
            (self.targets * self.entries * self.columns, self.targets * self.horizon() * 2);
        row.fill(&mut self.forecasts[slot * forecasts..][..forecasts])?;
        row.fill(&mut self.origins[slot * origins..][..origins])
    }

    fn memory(&self) -> usize {
        self.forecasts.capacity() * size_of::<u16>() + self.origins.capacity() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_matures_at_its_target_once() {
        let leads = [1, 2, 4, 5];
        let mut ledger = ForecastLedger::new(2, 3, &leads);
        ledger.grow(2);
        let value = |origin: u64, lead: usize, column: usize| {
            1e6 + (origin as f32) + 0.25 * (lead + 8 * column) as f32
        };
        let mut out = [0.0; 12];
        for now in 0..40u64 {
            ledger.matured(1, 1, now, &mut out);
            for (i, lead) in leads.iter().enumerate() {
                for column in 0..3 {
                    let got = out[column * 4 + i];
                    match now.checked_sub(*lead as u64) {
                        Some(origin) if origin % 7 != 3 => {
                            assert!(
                                (got - value(origin, *lead, column)).abs() < 0.1,
                                "{now} {lead} {column}"
                            );
                        }
                        _ => assert!(got.is_nan(), "{now} {lead}: {got}"),
                    }
                }
            }
            let forecasts: Vec<f32> =
                (0..3).flat_map(|column| (1..=5).map(move |lead| value(now, lead, column))).collect();
            ledger.issue(1, 1, now, (1e6 + now as f32, 0.5, now % 7 != 3), &forecasts);
            let next = ledger.next(1, 1, now + 1, 2);
            assert!((next - value(now, 1, 2)).abs() < 0.1, "{now}: {next}");
        }
        ledger.matured(0, 1, 40, &mut out);
        assert!(out.iter().all(|v| v.is_nan()));
        let mut row = Vec::new();
        ledger.save(1, &mut row);
        let mut other = ForecastLedger::new(2, 3, &leads);
        other.grow(1);
        other.load(0, &mut Take::new(&row)).unwrap();
        let mut back = [0.0; 12];
        ledger.matured(1, 1, 40, &mut out);
        other.matured(0, 1, 40, &mut back);
        assert_eq!(out.map(f32::to_bits), back.map(f32::to_bits));
        other.reset(0);
        other.matured(0, 1, 40, &mut back);
        assert!(back.iter().all(|v| v.is_nan()));

        // One column goes, one comes, and they change places.
        let mut changed = ForecastLedger::new(2, 3, &leads);
        changed.inherit(ledger, &[Some(2), None, Some(0)]);
        changed.matured(1, 1, 40, &mut back);
        let [back, out] = [back, out].map(|all| all.map(f32::to_bits));
        assert_eq!((&back[..4], &back[8..]), (&out[8..], &out[..4]));
        assert!(back[4..8].iter().all(|v| f32::from_bits(*v).is_nan()));
    }
}
