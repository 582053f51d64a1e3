use super::{Calendar, RecentView, Scale};
use crate::config::{Accuracy, Base, Fill, Stream};
use crate::domain::Grid;
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Inputs are clipped to this, in their scaled units.
const CLIP: f32 = 8.0;

/// What a network and the experts see of a reading: one place, so that serving, warming and training
/// can't differ.
///
/// A network's own inputs, scaled by what was known at the reading, clipped and rounded to 16-bit
/// floats, as windows keep them: for each target its standardised value, its last step, its seasonal
/// differences, its base at four leads, and (with `fill = "mask"`) whether it is missing; for an
/// irregular stream the time step; each covariate. The calendar follows, and for a network that
/// unrolls its leads the calendar of every learnt lead, the nearest first.
#[derive(Debug)]
pub struct Features {
    targets: usize,
    covariates: usize,
    /// Those that are learnt.
    leads: Vec<usize>,
    seasons: Vec<usize>,
    /// Leads whose base is an input, as indices into `leads`; none where the base says nothing new.
    shown: Vec<usize>,
    mask: bool,
    /// Whether the linear experts have room for the calendar.
    rich: bool,
    irregular: bool,
    calendar: Calendar,
    /// Leads whose calendar is known: all or none.
    known_leads: usize,
    halves: Vec<f16>,
}

impl Features {
    pub fn new(stream: &Stream) -> Self {
        let leads = stream.leads().learnt().to_vec();
        let is_plain = matches!(stream.model.base, Base::Last | Base::None);
        let irregular = stream.grid == Grid::Irregular;
        let mut features = Self {
            targets: stream.targets.len(),
            covariates: stream.covariates.len(),
            seasons: stream.seasons.clone(),
            shown: if is_plain { Vec::new() } else { shown(&leads, stream.horizon) },
            mask: stream.fill == Fill::Mask,
            rich: stream.experts.accuracy == Accuracy::Full,
            irregular,
            calendar: Calendar::new(stream.calendar, stream.grid, stream.time_zone.clone())
                .with_holidays(stream.holidays.clone()),
            // When an irregular stream's next readings come nobody knows.
            known_leads: if stream.model.unrolls() && !irregular { leads.len() } else { 0 },
            leads,
            halves: Vec::new(),
        };
        features.halves = vec![f16::ZERO; features.own()];
        features
    }

    /// A network's own inputs of a reading, without the calendar.
    pub fn own(&self) -> usize {
        let target = 2 + self.seasons.len() + self.shown.len() + usize::from(self.mask);
        self.targets * target + usize::from(self.irregular) + self.covariates
    }

    /// All inputs of a reading.
    pub fn inputs(&self) -> usize {
        self.own() + self.calendar.width() + self.known_leads * self.known()
    }

    /// The last inputs of a reading, so many for each lead, are what is known of the leads.
    pub fn known(&self) -> usize {
        if self.known_leads > 0 { self.calendar.width() } else { 0 }
    }

    /// Outputs of a reading: targets × learnt leads.
    pub fn outputs(&self) -> usize {
        self.targets * self.leads.len()
    }

    /// How many readings are looked back on.
    pub fn lookback(&self) -> usize {
        self.seasons.last().copied().unwrap_or(1)
    }

    /// The cell that seasons are counted by.
    pub fn clock(&mut self, cell: i64) -> i64 {
        self.calendar.clock(cell)
    }

    /// What experts are shown of a reading beside its target: the calendar where they are rich, and
    /// the covariates.
    pub fn extras(&self) -> usize {
        self.covariates + if self.rich { self.calendar.width() } else { 0 }
    }

    /// Writes them. `values`, `scales`: `[width]`; `row`: `[extras]`.
    pub fn fill_extras(&mut self, cell: i64, values: &[f32], scales: &[Scale], row: &mut [f32]) {
        let (calendar, covariates) = row.split_at_mut(row.len() - self.covariates);
        if self.rich {
            calendar.copy_from_slice(self.calendar.features(cell));
        }
        let columns = values[self.targets..].iter().zip(&scales[self.targets..]);
        for (to, (value, scale)) in covariates.iter_mut().zip(columns) {
            *to = ((value - scale.mean) / scale.deviation()).clamp(-CLIP, CLIP);
        }
    }

    /// A network's own inputs at the newest reading. `scales`: `[width]`; `bases`: `[targets, learnt
    /// leads]`; `row`: `[own]`.
    pub fn fill_own(&mut self, recent: &RecentView<'_>, scales: &[Scale], bases: &[f32], row: &mut [f32]) {
        let mut rest = row.iter_mut();
        let mut put = |value: f32| {
            *rest.next().expect("own() counts what is put") = value.clamp(-CLIP, CLIP);
        };
        for (target, scale) in scales[..self.targets].iter().enumerate() {
            let (value, deviation) = (recent.value(0, target), scale.deviation());
            put((value - scale.mean) / deviation);
            put((value - recent.value(1, target)) / deviation);
            for season in &self.seasons {
                let then = if *season < recent.len() { recent.value(*season, target) } else { value };
                put((value - then) / deviation);
            }
            for lead in &self.shown {
                put((bases[target * self.leads.len() + lead] - value) / deviation);
            }
            if self.mask {
                put(if recent.observed(0, target) { 0.0 } else { 1.0 });
            }
        }
        if self.irregular {
            let step_us = (recent.cell(0) - recent.cell(1)).max(0);
            put((step_us as f32 * 1e-6).ln_1p());
        }
        for (covariate, scale) in scales[self.targets..].iter().enumerate() {
            put((recent.value(0, self.targets + covariate) - scale.mean) / scale.deviation());
        }
        debug_assert!(rest.next().is_none(), "own() counts what is put");
        self.halves.convert_from_f32_slice(row);
        self.halves.convert_to_f32_slice(row);
    }

    /// Writes the inputs that follow from the cell alone. `row`: `[inputs]`, its own ones written.
    pub fn complete(&mut self, cell: i64, row: &mut [f32]) {
        let width = self.calendar.width();
        let (now, ahead) = row[self.own()..].split_at_mut(width);
        now.copy_from_slice(self.calendar.features(cell));
        if width > 0 {
            for (to, lead) in ahead.chunks_exact_mut(width).zip(&self.leads) {
                to.copy_from_slice(self.calendar.features(cell + *lead as i64));
            }
        }
    }
}

/// The first lead, those a quarter and a half on, and the last, or what is learnt next to them.
fn shown(leads: &[usize], horizon: usize) -> Vec<usize> {
    let next = |lead: usize| leads.partition_point(|learnt| *learnt < lead).min(leads.len() - 1);
    let mut shown = [1, horizon.div_ceil(4), horizon.div_ceil(2), horizon].map(next).to_vec();
    shown.dedup();
    shown
}
