use super::{Calendar, Scale, WindowView};
use crate::config::{Accuracy, Base, Fill, Stream};
use crate::domain::Grid;

/// Inputs and targets are clipped to this, in their scaled units.
const CLIP: f32 = 8.0;

/// What a network sees of a window, and what it is asked to forecast: one place for serving,
/// re-warming and training, so that they can't differ.
///
/// Inputs at a reading, all scaled and clipped: for each target its standardised value, its last
/// step, its seasonal differences, its base at four leads, and (with `fill = "mask"`) whether it is
/// missing; for an irregular stream the time step; each covariate; the calendar. Outputs, for each
/// target and learnt lead: the target less its base, in units of that lead's typical error. For a
/// network that unrolls its leads the calendar of every learnt lead follows, the nearest first.
#[derive(Debug)]
pub struct Features {
    targets: usize,
    covariates: usize,
    /// Those that are learnt.
    leads: Vec<usize>,
    seasons: Vec<usize>,
    /// Leads whose base is an input, as indices into `leads`.
    shown: Vec<usize>,
    /// Whether the base is the last value or the mean, which say nothing new.
    plain: bool,
    mask: bool,
    /// Whether the linear experts have room for the calendar.
    rich: bool,
    irregular: bool,
    calendar: Calendar,
    /// Leads whose calendar is known: all or none.
    known_leads: usize,
}

impl Features {
    pub fn new(stream: &Stream) -> Self {
        let leads = stream.leads().learnt().to_vec();
        Self {
            targets: stream.targets.len(),
            covariates: stream.covariates.len(),
            seasons: stream.seasons.clone(),
            shown: shown(&leads, stream.horizon),
            plain: matches!(stream.model.base, Base::Last | Base::None),
            mask: stream.fill == Fill::Mask,
            rich: stream.experts.accuracy == Accuracy::Full,
            irregular: stream.grid == Grid::Irregular,
            calendar: Calendar::new(stream.calendar, stream.grid, stream.time_zone.clone()),
            // When an irregular stream's next readings come nobody knows.
            known_leads: if stream.model.unrolls() && stream.grid != Grid::Irregular { leads.len() } else { 0 },
            leads,
        }
    }

    /// Inputs of a reading.
    pub fn inputs(&self) -> usize {
        let shown = if self.plain { 0 } else { self.shown.len() };
        let target = 2 + self.seasons.len() + shown + usize::from(self.mask);
        let own = self.targets * target + usize::from(self.irregular) + self.covariates;
        own + self.calendar.width() + self.known_leads * self.known()
    }

    /// The last inputs of a reading, so many for each lead, are what is known of the leads.
    pub fn known(&self) -> usize {
        if self.known_leads > 0 { self.calendar.width() } else { 0 }
    }

    /// Outputs of a reading: targets × learnt leads.
    pub fn outputs(&self) -> usize {
        self.targets * self.leads.len()
    }

    /// The learnt leads whose base every window keeps, as inputs; those that are learnt from keep the
    /// base of all.
    pub fn shown(&self) -> &[usize] {
        &self.shown
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

    /// The inputs at the reading of `age`. `scales`: `[width]`; `row`: `[inputs]`.
    pub fn fill(&mut self, window: &WindowView<'_>, age: usize, scales: &[Scale], row: &mut [f32]) {
        let mut rest = row.iter_mut();
        let mut put = |value: f32| {
            *rest.next().expect("inputs() counts what is put") = value.clamp(-CLIP, CLIP);
        };
        for (target, scale) in scales[..self.targets].iter().enumerate() {
            let value = window.value(age, target);
            let deviation = scale.deviation();
            put((value - scale.mean) / deviation);
            put((value - window.value(age + 1, target)) / scale.step());
            for season in &self.seasons {
                let then =
                    if age + season < window.len() { window.value(age + season, target) } else { value };
                put((value - then) / deviation);
            }
            if !self.plain {
                let all = window.bases() == self.leads.len();
                for (k, at) in self.shown.iter().enumerate() {
                    put((window.base(age, target, if all { *at } else { k }) - value) / deviation);
                }
            }
            if self.mask {
                put(if window.observed(age, target) { 0.0 } else { 1.0 });
            }
        }
        if self.irregular {
            let step_us = (window.cell(age) - window.cell(age + 1)).max(0);
            put(((step_us as f32 * 1e-6).ln_1p()).min(CLIP));
        }
        for (covariate, scale) in scales[self.targets..].iter().enumerate() {
            let value = window.value(age, self.targets + covariate);
            put((value - scale.mean) / scale.deviation());
        }
        self.calendar.features(window.cell(age)).iter().copied().for_each(&mut put);
        for lead in &self.leads[..self.known_leads] {
            let cell = window.cell(age) + *lead as i64;
            self.calendar.features(cell).iter().copied().for_each(&mut put);
        }
        debug_assert!(rest.next().is_none(), "inputs() counts what is put");
    }

    /// The targets that a network should have forecast at the reading of `age`, and whether each has
    /// arrived and was observed. The window keeps the base of every learnt lead. `lead_scales`, `row`,
    /// `arrived`: `[targets, learnt leads]`.
    pub fn wanted(
        &self,
        window: &WindowView<'_>,
        age: usize,
        lead_scales: &[f32],
        row: &mut [f32],
        arrived: &mut [f32],
    ) {
        assert_eq!(window.bases(), self.leads.len());
        for target in 0..self.targets {
            for (k, lead) in self.leads.iter().enumerate() {
                let at = target * self.leads.len() + k;
                let known = *lead <= age && window.observed(age - lead, target);
                (row[at], arrived[at]) = if known {
                    let error = window.value(age - lead, target) - window.base(age, target, k);
                    ((error / lead_scales[at]).clamp(-CLIP, CLIP), 1.0)
                } else {
                    (0.0, 0.0)
                };
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
