use super::{Calendar, RecentView, Scale};
use crate::config::{Base, Fill, NetworkKind, Stream};
use crate::domain::{Extras, Grid, Leads};
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Inputs are limited to this, in their scaled units.
const CLIP: f32 = 8.0;

/// The inputs of networks and experts from a reading. Serving, warm-up and training all take them from
/// here, so they cannot differ.
///
/// A network's own inputs are scaled by what was known at the reading, clipped and rounded to 16-bit
/// floats, as windows keep them:
///
/// | for each | inputs |
/// | --- | --- |
/// | target | its standardised value (unless differenced), its last step, its seasonal differences, its base at four leads, and with `fill = "mask"` whether it is missing |
/// | reading of an irregular stream | the time step |
/// | covariate | its standardised value, and what is known of it ahead |
///
/// The calendar follows. For a network that unrolls its leads, the calendar and the covariates known
/// ahead of every learnt lead follow, the nearest lead first.
#[derive(Debug)]
pub struct Features {
    targets: usize,
    covariates: usize,
    /// The covariates that experts are shown. An attribute is constant within a series, so it tells them
    /// nothing.
    varying: Vec<usize>,
    /// The covariates that are known ahead.
    known_ahead: Vec<usize>,
    /// The leads whose known values experts and networks are shown.
    outlook: Vec<usize>,
    horizon: usize,
    /// Those that are learnt.
    leads: Vec<usize>,
    seasons: Vec<usize>,
    /// Leads whose base is an input, as indices into `leads`; empty where the base adds nothing.
    shown: Vec<usize>,
    mask: bool,
    /// Whether targets are differenced.
    difference: bool,
    /// Whether the linear experts have room for the calendar.
    rich: bool,
    irregular: bool,
    calendar: Calendar,
    /// Whether the network is shown each lead by itself.
    unrolls: bool,
    halves: Vec<f16>,
}

impl Features {
    pub fn new(stream: &Stream) -> Self {
        let leads = stream.leads().learnt().to_vec();
        let is_plain = matches!(stream.model.base, Base::Last | Base::None);
        let irregular = stream.grid == Grid::Irregular;
        let unrolls = stream.model.unrolls();
        let outlook = match stream.shows_each_lead() {
            true => Leads::every(stream.horizon),
            false => Leads::buckets(stream.horizon),
        };
        let mut features = Self {
            targets: stream.targets.len(),
            covariates: stream.covariates.len(),
            varying: (0..stream.covariates.len()).filter(|c| !stream.attributes.contains(c)).collect(),
            known_ahead: stream.known_ahead.clone(),
            outlook: if unrolls { leads.clone() } else { outlook.learnt().to_vec() },
            horizon: stream.horizon,
            seasons: stream.seasons.clone(),
            shown: if is_plain { Vec::new() } else { shown(&leads, stream.horizon) },
            mask: stream.fill == Fill::Mask,
            difference: stream.difference,
            rich: true,
            irregular,
            calendar: Calendar::new(stream.calendar, stream.grid, stream.time_zone.clone())
                .with_holidays(stream.holidays.clone()),
            unrolls,
            leads,
            halves: Vec::new(),
        };
        features.halves = vec![f16::ZERO; features.own()];
        features
    }

    /// The number of a network's own inputs, without the calendar.
    pub fn own(&self) -> usize {
        let (steps, flags) = (1 + self.seasons.len() + self.shown.len(), usize::from(self.mask));
        let target = usize::from(!self.difference) + steps + flags;
        self.targets * target + usize::from(self.irregular) + self.covariates + self.ahead()
    }

    /// The number of values known ahead, at the leads that are shown.
    fn ahead(&self) -> usize {
        self.known_ahead.len() * self.outlook.len()
    }

    /// The number of all inputs of a reading.
    pub fn inputs(&self) -> usize {
        self.plain() + self.leads.len() * self.known()
    }

    /// The number of inputs of one of the stream's networks. A network that does not unroll its leads
    /// gets nothing of each lead.
    pub fn inputs_of(&self, network: &NetworkKind) -> usize {
        if network.architecture.unrolls() { self.inputs() } else { self.plain() }
    }

    fn plain(&self) -> usize {
        self.own() + self.calendar.width()
    }

    /// The number of inputs of each lead; they come last among the inputs of a reading.
    pub fn known(&self) -> usize {
        if self.unrolls { self.lead_calendar() + self.known_ahead.len() } else { 0 }
    }

    /// The calendar features of a lead. The times of the next readings of an irregular stream are
    /// unknown.
    fn lead_calendar(&self) -> usize {
        if self.irregular { 0 } else { self.calendar.width() }
    }

    /// The number of outputs of a reading: targets × learnt leads.
    pub fn outputs(&self) -> usize {
        self.targets * self.leads.len()
    }

    /// The number of readings that are looked back on.
    pub fn lookback(&self) -> usize {
        self.seasons.last().copied().unwrap_or(1)
    }

    /// The cell that seasons are counted by.
    pub fn clock(&mut self, cell: i64) -> i64 {
        self.calendar.clock(cell)
    }

    /// What experts are shown besides the target: the calendar where there is room for it, and the
    /// covariates. On a grid the calendar of an earlier step follows from its time alone.
    pub fn extras(&self) -> Extras {
        let calendar = if self.rich { self.calendar.width() } else { 0 };
        Extras {
            count: self.varying.len() + self.ahead() + calendar,
            timed: if self.irregular { 0 } else { calendar },
        }
    }

    /// The calendar features that experts are shown of a cell.
    pub fn fill_timed(&mut self, cell: i64, row: &mut [f32]) {
        if !row.is_empty() {
            row.copy_from_slice(self.calendar.features(cell));
        }
    }

    /// Writes what is known ahead, scaled. A lead of which nothing is known repeats the one before it.
    /// `values`, `scales`: `[width]`; `outlook`, `ahead`: `[known ahead, horizon]`
    pub fn fill_ahead(&self, values: &[f32], outlook: &[f32], scales: &[Scale], ahead: &mut [f32]) {
        let rows = outlook.chunks_exact(self.horizon).zip(ahead.chunks_exact_mut(self.horizon));
        for (column, (known, row)) in self.known_ahead.iter().map(|k| self.targets + k).zip(rows) {
            let (scale, mut last) = (scales[column], values[column]);
            for (to, value) in row.iter_mut().zip(known) {
                last = if value.is_nan() { last } else { *value };
                *to = standardised(last, scale);
            }
        }
    }

    /// The values of `ahead` at the leads that are shown.
    fn shown_ahead<'a>(&'a self, ahead: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        ahead.chunks_exact(self.horizon).flat_map(|known| self.outlook.iter().map(|lead| known[lead - 1]))
    }

    /// Writes the features that experts are shown. `values`, `scales`: `[width]`; `ahead`: as
    /// [`Self::fill_ahead`] wrote it; `row`: `[extras]`
    pub fn fill_extras(
        &mut self,
        cell: i64,
        values: &[f32],
        scales: &[Scale],
        ahead: &[f32],
        row: &mut [f32],
    ) {
        let (rest, outlook) = row.split_at_mut(row.len() - self.ahead());
        outlook.iter_mut().zip(self.shown_ahead(ahead)).for_each(|(to, value)| *to = value);
        let (calendar, covariates) = rest.split_at_mut(rest.len() - self.varying.len());
        if self.rich {
            calendar.copy_from_slice(self.calendar.features(cell));
        }
        for (to, column) in covariates.iter_mut().zip(self.varying.iter().map(|c| self.targets + c)) {
            *to = standardised(values[column], scales[column]);
        }
    }

    /// Writes a network's own inputs at the newest reading. `scales`: `[width]`; `bases`: `[targets,
    /// learnt leads]`; `ahead`: as [`Self::fill_ahead`] wrote it; `row`: `[own]`
    pub fn fill_own(
        &mut self,
        recent: &RecentView<'_>,
        scales: &[Scale],
        bases: &[f32],
        ahead: &[f32],
        row: &mut [f32],
    ) {
        let mut rest = row.iter_mut();
        let mut put = |value: f32| {
            *rest.next().expect("own() counts what is put") = value.clamp(-CLIP, CLIP);
        };
        for (target, scale) in scales[..self.targets].iter().enumerate() {
            let (value, deviation) = (recent.value(0, target), scale.deviation());
            if !self.difference {
                put((value - scale.mean) / deviation);
            }
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
            put(standardised(recent.covariate(covariate), *scale));
        }
        self.shown_ahead(ahead).for_each(&mut put);
        debug_assert!(rest.next().is_none(), "own() counts what is put");
        self.halves.convert_from_f32_slice(row);
        self.halves.convert_to_f32_slice(row);
    }

    /// Writes the inputs that follow from the cell and from the own inputs, which are already written.
    /// `row`: `[inputs]`, or without those of each lead.
    pub fn complete(&mut self, cell: i64, row: &mut [f32]) {
        let (known, calendar) = (self.known(), self.lead_calendar());
        let (own, rest) = row.split_at_mut(self.own());
        let (now, leads) = rest.split_at_mut(self.calendar.width());
        now.copy_from_slice(self.calendar.features(cell));
        if known == 0 || leads.is_empty() {
            return;
        }
        let known_values = &own[own.len() - self.ahead()..];
        for (at, (to, lead)) in leads.chunks_exact_mut(known).zip(&self.leads).enumerate() {
            let (days, values) = to.split_at_mut(calendar);
            if calendar > 0 {
                days.copy_from_slice(self.calendar.features(cell + *lead as i64));
            }
            let known_values = known_values.iter().skip(at).step_by(self.outlook.len());
            values.iter_mut().zip(known_values).for_each(|(to, value)| *to = *value);
        }
    }
}

fn standardised(value: f32, scale: Scale) -> f32 {
    ((value - scale.mean) / scale.deviation()).clamp(-CLIP, CLIP)
}

/// The first lead, those at a quarter and at half of the horizon, and the last, or the learnt leads next
/// to them.
fn shown(leads: &[usize], horizon: usize) -> Vec<usize> {
    let next = |lead: usize| leads.partition_point(|learnt| *learnt < lead).min(leads.len() - 1);
    let mut shown = [1, horizon.div_ceil(4), horizon.div_ceil(2), horizon].map(next).to_vec();
    shown.dedup();
    shown
}
