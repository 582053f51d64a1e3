use super::{Calendar, Scale, WindowView};
use crate::config::{Base, Fill, Stream};
use crate::domain::Grid;

/// Inputs and targets are clipped to this, in their scaled units.
const CLIP: f32 = 8.0;

/// What a network sees of a window, and what it is asked to forecast: one place for serving,
/// re-warming and training, so that they can't differ.
///
/// Inputs at a reading, all scaled and clipped: for each target its standardised value, its last
/// step, its seasonal differences, its base at four leads, and (with `fill = "mask"`) whether it is
/// missing; for an irregular stream the time step; each covariate; the calendar. Outputs, for each
/// target and lead: the target less its base, in units of that lead's typical error. For a network
/// that unrolls its leads the calendar of every lead follows, the nearest first.
#[derive(Debug)]
pub struct Features {
    targets: usize,
    covariates: usize,
    horizon: usize,
    seasons: Vec<usize>,
    base: Option<usize>,
    base_leads: Vec<usize>,
    mask: bool,
    irregular: bool,
    calendar: Calendar,
    /// Leads whose calendar is known: all or none.
    known_leads: usize,
}

impl Features {
    pub fn new(stream: &Stream) -> Self {
        let h = stream.horizon;
        let mut base_leads = vec![1, h.div_ceil(4), h.div_ceil(2), h];
        base_leads.dedup();
        let base = match stream.model.base {
            Base::Last => None,
            Base::Seasonal => stream.season(),
        };
        Self {
            targets: stream.targets.len(),
            covariates: stream.covariates.len(),
            horizon: h,
            seasons: stream.seasons.clone(),
            base,
            base_leads: if base.is_some() { base_leads } else { Vec::new() },
            mask: stream.fill == Fill::Mask,
            irregular: stream.grid == Grid::Irregular,
            calendar: Calendar::new(stream.calendar, stream.grid, stream.time_zone.clone()),
            // When an irregular stream's next readings come nobody knows.
            known_leads: if stream.model.unrolls() && stream.grid != Grid::Irregular { h } else { 0 },
        }
    }

    /// Inputs of a reading.
    pub fn inputs(&self) -> usize {
        let target = 2 + self.seasons.len() + self.base_leads.len() + usize::from(self.mask);
        let own = self.targets * target + usize::from(self.irregular) + self.covariates;
        own + self.calendar.width() + self.known_leads * self.known()
    }

    /// The last inputs of a reading, so many for each lead, are what is known of the leads.
    pub fn known(&self) -> usize {
        if self.known_leads > 0 { self.calendar.width() } else { 0 }
    }

    /// Outputs of a reading: targets × leads.
    pub fn outputs(&self) -> usize {
        self.targets * self.horizon
    }

    /// What the network corrects: the base of `target`, `lead` steps after the reading at `age`.
    pub fn base(&self, window: &WindowView<'_>, age: usize, lead: usize, target: usize) -> f32 {
        match self.base {
            None => window.value(age, target),
            Some(season) => window.seasonal(age, lead, season, target),
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
            for lead in &self.base_leads {
                put((self.base(window, age, *lead, target) - value) / deviation);
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
        for lead in 1..=self.known_leads {
            let cell = window.cell(age) + lead as i64;
            self.calendar.features(cell).iter().copied().for_each(&mut put);
        }
        debug_assert!(rest.next().is_none(), "inputs() counts what is put");
    }

    /// The targets that a network should have forecast at the reading of `age`, and whether each has
    /// arrived and was observed. `lead_scales`, `row`, `arrived`: `[targets, horizon]`.
    pub fn wanted(
        &self,
        window: &WindowView<'_>,
        age: usize,
        lead_scales: &[f32],
        row: &mut [f32],
        arrived: &mut [f32],
    ) {
        for target in 0..self.targets {
            for lead in 1..=self.horizon {
                let at = target * self.horizon + lead - 1;
                let known = lead <= age && window.observed(age - lead, target);
                (row[at], arrived[at]) = if known {
                    let error = window.value(age - lead, target) - self.base(window, age, lead, target);
                    ((error / lead_scales[at]).clamp(-CLIP, CLIP), 1.0)
                } else {
                    (0.0, 0.0)
                };
            }
        }
    }
}
