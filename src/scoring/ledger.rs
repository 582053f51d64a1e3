use crate::domain::{Damaged, Leads, Rows, Take, lengthen, put};
use crate::simd::prefetch_first;
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

/// The largest 16-bit float.
const LARGEST: f32 = 65_504.0;

/// What stands before the columns of an entry: the reference, as the halves of a 32-bit float, and the unit.
const FRAME: usize = 3;

/// The forecasts that wait for their target. For each series, target and scored lead it keeps one value for
/// each column (an expert, a mixture, a quantile), as a 16-bit float relative to the value at the origin.
///
/// Of a lead's origins every so-manieth is kept ([`Leads::every_origin`]), so about as many forecasts of a long
/// lead wait as of a short one, and memory grows with the number of leads. Which entry of a lead an origin has
/// follows from its step alone ([`Leads::entry`]). Lead 1 is kept of every origin.
#[derive(Debug)]
pub struct ForecastLedger {
    targets: usize,
    columns: usize,
    leads: Leads,
    /// The first entry of each lead.
    starts: Vec<usize>,
    entries: usize,
    /// Reference, unit and columns of each entry. `[slots, targets, entries, FRAME + columns]`
    forecasts: Vec<u16>,
    /// The entry of each lead that matures at step `places_at`, and the one that is issued.
    places: Vec<[Option<usize>; 2]>,
    places_at: u64,
    /// An entry being written or read. `[columns]`
    values: Vec<f32>,
}

impl ForecastLedger {
    /// `leads`: those that are scored.
    pub fn new(targets: usize, columns: usize, leads: &Leads) -> Self {
        let entries = (0..leads.len()).map(|at| leads.entries(at));
        let starts = entries.clone().scan(0, |sum, n| Some(std::mem::replace(sum, *sum + n))).collect();
        let mut ledger = Self {
            values: vec![0.0; columns],
            places: vec![[None; 2]; leads.len()],
            places_at: 0,
            leads: leads.clone(),
            targets,
            columns,
            starts,
            entries: entries.sum(),
            forecasts: Vec::new(),
        };
        ledger.places = ledger.places_of(0).collect();
        ledger
    }

    /// Bytes of one series.
    pub fn bytes_each(&self) -> usize {
        self.targets * self.each() * size_of::<u16>()
    }

    /// The 16-bit words of one target of one series.
    fn each(&self) -> usize {
        self.entries * (FRAME + self.columns)
    }

    /// For each lead the entry that matures at a step, and the one that is issued at it.
    fn places_of(&self, step: u64) -> impl Iterator<Item = [Option<usize>; 2]> {
        self.leads.learnt().iter().zip(&self.starts).enumerate().map(move |(at, (lead, start))| {
            let matures = step.checked_sub(*lead as u64).and_then(|origin| self.leads.entry(at, origin));
            [matures, self.leads.entry(at, step)].map(|entry| entry.map(|entry| start + entry))
        })
    }

    /// Finds the entries of a step, unless they are those of the last one that was asked for.
    fn find_places(&mut self, step: u64) {
        if self.places_at != step {
            self.places_at = step;
            let mut places = std::mem::take(&mut self.places);
            places.iter_mut().zip(self.places_of(step)).for_each(|(to, found)| *to = found);
            self.places = places;
        }
    }

    fn at(&self, row: usize, entry: usize) -> usize {
        (row * self.entries + entry) * (FRAME + self.columns)
    }

    /// Loads what [`Self::matured`] will read into the cache while another series is worked on.
    pub fn prefetch(&self, slot: usize, target: usize, now: u64) {
        let prefetch = |entry: usize| {
            let entry =
                &self.forecasts[self.at(slot * self.targets + target, entry)..][..FRAME + self.columns];
            // An entry is shorter than a cache line, but may lie in two.
            prefetch_first(&entry[..1]);
            prefetch_first(&entry[entry.len() - 1..]);
        };
        if self.places_at == now {
            self.places.iter().filter_map(|[matures, _]| *matures).for_each(prefetch);
        } else {
            self.places_of(now).filter_map(|[matures, _]| matures).for_each(prefetch);
        }
    }

    /// Reads the forecasts of step `now`, at each scored lead; NaN where none was made or kept. Call it at each
    /// step before [`Self::issue`], which overwrites them. `out`: `[columns, leads]`
    pub fn matured(&mut self, slot: usize, target: usize, now: u64, out: &mut [f32]) {
        let (row, n) = (slot * self.targets + target, self.leads.len());
        assert_eq!(out.len(), self.columns * n);
        self.find_places(now);
        out.fill(f32::NAN);
        for i in 0..n {
            let Some(entry) = self.places[i][0] else { continue };
            let at = self.at(row, entry);
            let (frame, halves) = self.forecasts[at..][..FRAME + self.columns].split_at(FRAME);
            let Frame { reference, unit, judged: true } = Frame::read(frame) else { continue };
            halves.reinterpret_cast::<f16>().convert_to_f32_slice(&mut self.values);
            for (out, value) in out[i..].iter_mut().step_by(n).zip(&self.values) {
                *out = value * unit + reference;
            }
        }
    }

    /// A column's forecast at step `now - 1` of the step after it, also where that forecast is not to be
    /// judged. NaN where none was made.
    pub fn next(&self, slot: usize, target: usize, now: u64, column: usize) -> f32 {
        let entry = now.checked_sub(1).and_then(|origin| self.leads.entry(0, origin));
        let Some(entry) = entry else { return f32::NAN };
        let at = self.at(slot * self.targets + target, self.starts[0] + entry);
        let Frame { reference, unit, .. } = Frame::read(&self.forecasts[at..][..FRAME]);
        f16::from_bits(self.forecasts[at + FRAME + column]).to_f32() * unit + reference
    }

    /// Keeps the forecasts made at step `now`, of the leads whose turn it is. Values are kept relative to
    /// `reference`, with a precision of a thousandth of their distance from it, up to 65,504 times `unit`.
    /// Forecasts that are not to be judged never mature. `forecasts`: `[columns, horizon]`
    pub fn issue(
        &mut self,
        slot: usize,
        target: usize,
        now: u64,
        (reference, unit, judged): (f32, f32, bool),
        forecasts: &[f32],
    ) {
        let (row, horizon) = (slot * self.targets + target, self.leads.horizon());
        assert_eq!(forecasts.len(), self.columns * horizon);
        self.find_places(now);
        let frame = Frame::new(reference, unit, judged);
        let per_unit = 1.0 / frame.unit;
        for i in 0..self.leads.len() {
            let Some(entry) = self.places[i][1] else { continue };
            let (at, lead) = (self.at(row, entry), self.leads.learnt()[i]);
            for (forecast, value) in forecasts[lead - 1..].iter().step_by(horizon).zip(&mut self.values) {
                *value = ((forecast - reference) * per_unit).clamp(-LARGEST, LARGEST);
            }
            let (to, halves) = self.forecasts[at..][..FRAME + self.columns].split_at_mut(FRAME);
            to.copy_from_slice(&frame.words());
            halves.reinterpret_cast_mut::<f16>().convert_from_f32_slice(&self.values);
        }
    }
}

/// What the values of an entry are relative to.
struct Frame {
    reference: f32,
    /// A float of whose mantissa seven bits are kept.
    unit: f32,
    judged: bool,
}

impl Frame {
    fn new(reference: f32, unit: f32, judged: bool) -> Self {
        let unit = if unit > 1e-30 && unit < 1e38 { unit } else { 1.0 };
        Self { reference, unit: f32::from_bits(unit.to_bits() & !0xffff), judged }
    }

    /// The sign of the unit marks forecasts that are not to be judged.
    fn words(&self) -> [u16; FRAME] {
        let reference = self.reference.to_bits();
        let unit = if self.judged { self.unit } else { -self.unit };
        [reference as u16, (reference >> 16) as u16, (unit.to_bits() >> 16) as u16]
    }

    fn read(words: &[u16]) -> Self {
        let unit = f32::from_bits(u32::from(words[2]) << 16);
        let reference = f32::from_bits(u32::from(words[1]) << 16 | u32::from(words[0]));
        Self { reference, unit: unit.abs(), judged: unit > 0.0 }
    }
}

impl ForecastLedger {
    /// Takes over the forecasts of other columns at the same targets and leads. `from`: the index of each
    /// column there; a new column has no forecasts. `[columns]`
    pub fn inherit(&mut self, other: &Self, from: &[Option<usize>]) {
        assert!(from.len() == self.columns && self.leads == other.leads && self.targets == other.targets);
        let entries = other.forecasts.chunks_exact(FRAME + other.columns);
        self.forecasts = Vec::with_capacity(entries.len() * (FRAME + self.columns));
        for entry in entries {
            let (frame, columns) = entry.split_at(FRAME);
            self.forecasts.extend_from_slice(frame);
            self.forecasts.extend(from.iter().map(|at| at.map_or(NOTHING, |at| columns[at])));
        }
    }
}

/// What a column holds that has no forecast.
const NOTHING: u16 = f16::NAN.to_bits();

/// A blank entry has no unit, so it is not judged.
impl Rows for ForecastLedger {
    fn grow(&mut self, slots: usize) {
        let words = slots * self.targets * self.each();
        let from = self.forecasts.len();
        lengthen(&mut self.forecasts, words, NOTHING);
        blank(&mut self.forecasts[from..], self.columns);
    }

    fn reset(&mut self, slot: usize) {
        let each = self.targets * self.each();
        blank(&mut self.forecasts[slot * each..][..each], self.columns);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let each = self.targets * self.each();
        put(out, &self.forecasts[slot * each..][..each]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let each = self.targets * self.each();
        row.fill(&mut self.forecasts[slot * each..][..each])
    }

    fn memory(&self) -> usize {
        self.forecasts.capacity() * size_of::<u16>()
    }
}

fn blank(words: &mut [u16], columns: usize) {
    for entry in words.chunks_exact_mut(FRAME + columns) {
        entry[..FRAME].fill(0);
        entry[FRAME..].fill(NOTHING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_matures_at_its_target_once() {
        let leads = Leads::buckets(5);
        let mut ledger = ForecastLedger::new(2, 3, &leads);
        ledger.grow(2);
        let value = |origin: u64, lead: usize, column: usize| {
            1e6 + (origin as f32) + 0.25 * (lead + 8 * column) as f32
        };
        let mut out = [0.0; 12];
        for now in 0..40u64 {
            ledger.matured(1, 1, now, &mut out);
            for (i, lead) in leads.learnt().iter().enumerate() {
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
        changed.inherit(&ledger, &[Some(2), None, Some(0)]);
        changed.matured(1, 1, 40, &mut back);
        let [back, out] = [back, out].map(|all| all.map(f32::to_bits));
        assert_eq!((&back[..4], &back[8..]), (&out[8..], &out[..4]));
        assert!(back[4..8].iter().all(|v| f32::from_bits(*v).is_nan()));
    }

    /// What is read at a lead's turns is what was said, over generated leads and steps; at other steps nothing.
    #[test]
    fn each_lead_matures_at_its_turns_alone() {
        for (leads, first) in [
            (Leads::fine(24, Some(24)), 0u64),
            (Leads::coarse(24, Some(24)), 1_000_003),
            (Leads::coarse(96, Some(96)), 77),
            (Leads::fine(40, Some(7)), 12),
            (Leads::coarse(60, None), 5),
        ] {
            let (n, horizon) = (leads.len(), leads.horizon());
            let mut ledger = ForecastLedger::new(1, 2, &leads);
            ledger.grow(1);
            let mut out = vec![0.0; 2 * n];
            let mut scored = vec![0; n];
            for now in first..first + 1_000 {
                ledger.matured(0, 0, now, &mut out);
                for (i, lead) in leads.learnt().iter().enumerate() {
                    let origin = now.checked_sub(*lead as u64).filter(|origin| *origin >= first);
                    match origin.filter(|origin| leads.entry(i, *origin).is_some()) {
                        Some(origin) => {
                            let want = (origin % 512) as f32 + *lead as f32;
                            assert!(
                                (out[i] - want).abs() < 0.2 && (out[n + i] + want).abs() < 2.0,
                                "{out:?}"
                            );
                            scored[i] += 1;
                        }
                        None => assert!(out[i].is_nan() && out[n + i].is_nan(), "{now} {lead}"),
                    }
                }
                let value = (now % 512) as f32;
                let said = (1..=horizon).map(|lead| value + lead as f32);
                let said: Vec<f32> = said.clone().chain(said.map(|said| -said)).collect();
                ledger.issue(0, 0, now, (value, 0.3, true), &said);
            }
            for (i, scored) in scored.iter().enumerate() {
                let all = 1_000 - leads.learnt()[i];
                assert!(scored * leads.every_origin(i) > all * 3 / 4, "{i}: {scored} of {all}");
            }
        }
    }
}
