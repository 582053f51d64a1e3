/// Some of the leads of a forecast: those that weights are learnt for, or those that are scored. What is known
/// of them is interpolated at the leads between two of them, and holds beyond the last.
#[derive(Clone, Debug, PartialEq)]
pub struct Leads {
    horizon: usize,
    learnt: Vec<usize>,
    /// How far each lead lies on the way from one learnt lead to the next. Up to the last learnt one.
    shares: Vec<f32>,
    turns: Vec<Turns>,
    season: u64,
}

/// Which origins of a lead are scored, and where their forecasts wait.
///
/// Every `every`-th origin is. A season is a whole number of such strides only by chance, but where it is one,
/// only some phases of the season would be seen. So the origins move on by `shift` at each season, chosen such
/// that season and shift together share no factor with the stride: then every phase has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turns {
    every: u64,
    shift: u64,
    /// Forecasts that wait at the same time.
    entries: u64,
}

/// About so many forecasts of a scored lead wait, for horizons of up to 48, up to 96, and beyond.
const FINE_DEPTHS: [usize; 3] = [8, 16, 32];
const COARSE_DEPTHS: [usize; 3] = [4, 8, 16];

impl Leads {
    /// Every lead up to `horizon`, at least 1.
    pub fn every(horizon: usize) -> Self {
        Self::new(horizon.max(1), (1..=horizon.max(1)).collect(), straight)
    }

    /// The powers of two below `horizon`, and `horizon`. Between them lines are straight.
    pub fn buckets(horizon: usize) -> Self {
        let horizon = horizon.max(1);
        let mut learnt: Vec<usize> = powers_of_two().take_while(|lead| *lead < horizon).collect();
        learnt.push(horizon);
        Self::new(horizon, learnt, straight)
    }

    /// The leads that are mixed and scored: about √2 apart (1, 2, 3, 4, 6, 8, 12, …) up to the horizon, and never
    /// near a multiple of the season.
    ///
    /// At a multiple of the season the last value is as good as the value a season ago. It earns weight there
    /// which neighbouring leads would inherit, where it is bad. So beyond half a season a lead is held between a
    /// quarter and three quarters of the season. Half a season is such a place too, where a season has two peaks:
    /// a lead is held a twelfth of the season away from it. Between scored leads lines are straight over the
    /// logarithm of the lead.
    pub fn fine(horizon: usize, season: Option<usize>) -> Self {
        let raw = powers_of_two().flat_map(|lead| [lead, lead + lead / 2]);
        Self::scored(horizon, season, raw, FINE_DEPTHS)
    }

    /// The same, an octave apart (1, 2, 4, 8, …).
    pub fn coarse(horizon: usize, season: Option<usize>) -> Self {
        Self::scored(horizon, season, powers_of_two(), COARSE_DEPTHS)
    }

    /// Every lead, scored as those of [`Self::fine`]. Nothing is interpolated.
    pub fn dense(horizon: usize, season: Option<usize>) -> Self {
        let mut leads = Self::every(horizon);
        leads.schedule(season, FINE_DEPTHS);
        leads
    }

    fn scored(
        horizon: usize,
        season: Option<usize>,
        raw: impl Iterator<Item = usize>,
        depths: [usize; 3],
    ) -> Self {
        let horizon = horizon.max(1);
        let season = season.filter(|season| *season > 1);
        let mut learnt: Vec<usize> = Vec::new();
        for lead in raw.take_while(|lead| *lead < horizon).chain([horizon]) {
            let Some(lead) = off_season(lead, season, horizon) else { continue };
            if learnt.last().is_none_or(|last| *last < lead) {
                learnt.push(lead);
            }
        }
        let mut leads = Self::new(horizon, learnt, logarithmic);
        leads.schedule(season, depths);
        leads
    }

    /// Has only some origins of each lead scored.
    fn schedule(&mut self, season: Option<usize>, depths: [usize; 3]) {
        let season = season.filter(|season| *season > 1);
        let depth = depths[usize::from(self.horizon > 48) + usize::from(self.horizon > 96)];
        self.season = season.unwrap_or(1) as u64;
        self.turns = self.learnt.iter().map(|lead| Turns::of(*lead, depth, season)).collect();
    }

    /// `share`: how far a lead lies between two others.
    fn new(horizon: usize, learnt: Vec<usize>, share: fn(usize, [usize; 2]) -> f32) -> Self {
        let between = |ends: &[usize]| {
            let ends = [ends[0], ends[1]];
            (ends[0] + 1..=ends[1]).map(move |lead| share(lead, ends))
        };
        let shares = std::iter::once(1.0).chain(learnt.windows(2).flat_map(between)).collect();
        let turns = learnt.iter().map(|lead| Turns::of(*lead, *lead, None)).collect();
        Self { horizon, learnt, shares, turns, season: 1 }
    }

    /// The last lead.
    pub fn horizon(&self) -> usize {
        self.horizon
    }

    /// The learnt leads, ascending; the first is 1.
    pub fn learnt(&self) -> &[usize] {
        &self.learnt
    }

    /// The number of learnt leads, at least 1.
    pub fn len(&self) -> usize {
        self.learnt.len()
    }

    /// Never: lead 1 is always learnt.
    pub fn is_empty(&self) -> bool {
        self.learnt.is_empty()
    }

    /// Those nearest to 1, 2, 4, 8, … and to the horizon, which metrics show.
    pub fn shown(&self) -> Vec<usize> {
        let nearest = |wanted: usize| {
            let far = |lead: &usize| (*lead as f64 / wanted as f64).ln().abs();
            *self.learnt.iter().min_by(|a, b| far(a).total_cmp(&far(b))).expect("lead 1 is learnt")
        };
        let mut shown: Vec<usize> = powers_of_two()
            .take_while(|lead| *lead < self.horizon)
            .chain([self.horizon])
            .map(nearest)
            .collect();
        shown.dedup();
        shown
    }

    /// Where a lead up to the horizon lies: the index of the learnt lead at or before it, and how far it is on
    /// the way to the next one.
    pub fn place(&self, lead: usize) -> (usize, f32) {
        let next = self.learnt.partition_point(|learnt| *learnt <= lead);
        let is_between = next < self.learnt.len() && self.learnt[next - 1] < lead;
        (next - 1, if is_between { self.shares[lead - 1] } else { 0.0 })
    }

    /// Adds values of the learnt leads to `points`, interpolated.
    /// `known`: `[len]`; `points`: `[horizon]`
    pub fn add(&self, known: &[f32], points: &mut [f32]) {
        self.each(known, points, |point, value| *point += value);
    }

    /// Sets `points` to values of the learnt leads, interpolated. `known`: `[len]`; `points`: `[horizon]`
    pub fn spread(&self, known: &[f32], points: &mut [f32]) {
        self.each(known, points, |point, value| *point = value);
    }

    #[inline]
    fn each(&self, known: &[f32], points: &mut [f32], take: impl Fn(&mut f32, f32)) {
        if self.learnt.len() == self.horizon {
            points.iter_mut().zip(known).for_each(|(point, value)| take(point, *value));
            return;
        }
        take(&mut points[0], known[0]);
        for (ends, values) in self.learnt.windows(2).zip(known.windows(2)) {
            if ends[1] - ends[0] == 1 {
                take(&mut points[ends[0]], values[1]);
                continue;
            }
            let (from, step) = (values[0], values[1] - values[0]);
            let between = points[ends[0]..ends[1]].iter_mut().zip(&self.shares[ends[0]..ends[1]]);
            between.for_each(|(point, share)| take(point, from + share * step));
        }
        let last = self.learnt.len() - 1;
        points[self.learnt[last]..self.horizon].iter_mut().for_each(|point| take(point, known[last]));
    }

    /// Of so many origins one is scored at a lead. `at`: the index of a learnt lead.
    pub fn every_origin(&self, at: usize) -> usize {
        self.turns[at].every as usize
    }

    /// The most forecasts of a learnt lead that wait at the same time.
    pub fn entries(&self, at: usize) -> usize {
        self.turns[at].entries as usize
    }

    /// Which of the lead's entries holds the forecast from the origin at a step of its series, if it is scored.
    pub fn entry(&self, at: usize, origin: u64) -> Option<usize> {
        let Turns { every, shift, entries } = self.turns[at];
        if every == 1 {
            return Some((origin % entries) as usize);
        }
        let turn = origin + shift * (origin / self.season);
        turn.is_multiple_of(every).then(|| (turn / every % entries) as usize)
    }
}

impl Turns {
    /// About `depth` forecasts of `lead` wait.
    fn of(lead: usize, depth: usize, season: Option<usize>) -> Self {
        let every = lead.div_ceil(depth) as u64;
        let (lead, season) = (lead as u64, season.map(|season| season as u64));
        let coprime = |shift: &u64| season.is_none_or(|season| divisor(season + shift, every) == 1);
        let shift = (0..every).find(coprime).unwrap_or(0);
        let moved = season.map_or(0, |season| shift * lead.div_ceil(season));
        Self { every, shift, entries: (lead + moved).div_ceil(every) }
    }
}

/// The greatest common divisor.
fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

fn powers_of_two() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |lead| Some(lead * 2))
}

/// The lead, moved away from multiples of the season and of half of it; `None` where there is no room for it.
fn off_season(lead: usize, season: Option<usize>, horizon: usize) -> Option<usize> {
    let Some(season) = season else { return Some(lead) };
    let (low, high) = (season.div_ceil(4), 3 * season / 4);
    let moved = match lead % season {
        0 if lead > season / 2 => lead - season + high,
        within if within < low && lead > season / 2 => lead - within + low,
        within if within > high => lead - within + high,
        within if !is_near_half(within, season) => lead,
        within if 2 * within <= season => lead - within + season / 2 - season / 12,
        within => lead - within + season.div_ceil(2) + season / 12,
    };
    if moved <= horizon {
        return Some(moved);
    }
    // The quarter of this season lies beyond the horizon, so three quarters of the one before it.
    (moved - moved % season + high).checked_sub(season).filter(|lead| (1..=horizon).contains(lead))
}

/// Whether a lead within a season is less than a twelfth of it away from its half. In a short season there is
/// nothing between.
fn is_near_half(within: usize, season: usize) -> bool {
    let twelfth = season / 12;
    twelfth > 0 && (2 * within).abs_diff(season) < 2 * twelfth
}

fn straight(lead: usize, [from, to]: [usize; 2]) -> f32 {
    (lead - from) as f32 / (to - from) as f32
}

fn logarithmic(lead: usize, [from, to]: [usize; 2]) -> f32 {
    match lead == to {
        true => 1.0,
        false => ((lead as f32 / from as f32).ln()) / (to as f32 / from as f32).ln(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn between_learnt_leads_the_line_is_straight() {
        let leads = Leads::buckets(6);
        assert_eq!(leads.learnt(), [1, 2, 4, 6]);
        let mut points = [1.0; 6];
        leads.add(&[1.0, 2.0, 4.0, 0.0], &mut points);
        assert_eq!(points, [2.0, 3.0, 4.0, 5.0, 3.0, 1.0]);
        assert_eq!(Leads::buckets(1).learnt(), [1]);
        assert_eq!(Leads::buckets(8).learnt(), [1, 2, 4, 8]);
    }

    #[test]
    fn scored_leads_keep_away_from_the_season() {
        assert_eq!(Leads::fine(24, Some(24)).learnt(), [1, 2, 3, 4, 6, 8, 10, 16, 18]);
        assert_eq!(Leads::fine(48, Some(48)).learnt(), [1, 2, 3, 4, 6, 8, 12, 16, 20, 32, 36]);
        assert_eq!(Leads::coarse(24, Some(24)).learnt(), [1, 2, 4, 8, 16, 18]);
        assert_eq!(Leads::coarse(48, Some(24)).learnt(), [1, 2, 4, 8, 16, 32, 42]);
        assert_eq!(Leads::fine(7, Some(7)).learnt(), [1, 2, 3, 4, 5]);
        assert_eq!(Leads::fine(5, None).learnt(), [1, 2, 3, 4, 5]);
        assert_eq!(Leads::fine(1, Some(24)).learnt(), [1]);
    }

    #[test]
    fn metrics_show_the_scored_leads_next_to_the_octaves() {
        assert_eq!(Leads::fine(24, Some(24)).shown(), [1, 2, 4, 8, 16, 18]);
        assert_eq!(Leads::buckets(24).shown(), [1, 2, 4, 8, 16, 24]);
    }

    #[test]
    fn beyond_the_last_scored_lead_its_value_holds() {
        let leads = Leads::coarse(8, Some(8));
        assert_eq!(leads.learnt(), [1, 2, 4, 6]);
        let mut points = [9.0; 8];
        leads.spread(&[1.0, 2.0, 4.0, 1.0], &mut points);
        let five = 4.0 - 3.0 * (5.0f32 / 4.0).ln() / (6.0f32 / 4.0).ln();
        assert!((points[2] - 2.0 - 2.0 * 1.5f32.log2()).abs() < 1e-6 && (points[4] - five).abs() < 1e-6);
        assert_eq!([points[0], points[1], points[3], points[5], points[7]], [1.0, 2.0, 4.0, 1.0, 1.0]);
    }

    fn any_leads() -> impl Strategy<Value = (Leads, usize, Option<usize>)> {
        (1usize..=512, proptest::option::of(2usize..=2_048), any::<bool>()).prop_map(
            |(horizon, season, fine)| {
                let leads = if fine { Leads::fine(horizon, season) } else { Leads::coarse(horizon, season) };
                (leads, horizon, season)
            },
        )
    }

    proptest! {
        #[test]
        fn scored_leads_are_few_ascend_and_lie_off_the_season((leads, horizon, season) in any_leads()) {
            let learnt = leads.learnt();
            prop_assert!(learnt[0] == 1 && learnt.is_sorted_by(|a, b| a < b));
            prop_assert!(*learnt.last().unwrap() <= horizon);
            prop_assert!(learnt.len() as f64 <= 2.0 * (horizon as f64).log2() + 2.0, "{learnt:?}");
            for lead in learnt {
                if let Some(season) = season.filter(|season| *lead > season / 2) {
                    let within = lead % season;
                    prop_assert!(within >= season.div_ceil(4) && within <= 3 * season / 4, "{lead} of {season}");
                }
                if let Some(season) = season.filter(|season| *season >= 12) {
                    let off = (2 * (lead % season)).abs_diff(season);
                    prop_assert!(off >= 2 * (season / 12), "{lead} of {season}");
                }
            }
            // What is left out at the end is at most half a season and an octave.
            let last = *learnt.last().unwrap();
            prop_assert!(horizon <= 2 * last + season.map_or(0, |season| season.min(horizon) / 2), "{learnt:?}");
        }

        #[test]
        fn interpolated_values_lie_between_their_ends((leads, horizon, _) in any_leads()) {
            let known: Vec<f32> = leads.learnt().iter().map(|lead| (*lead as f32).ln()).collect();
            let mut points = vec![0.0; horizon];
            leads.spread(&known, &mut points);
            for (at, point) in points.iter().enumerate() {
                let lead = (at + 1).min(*leads.learnt().last().unwrap());
                prop_assert!((point - (lead as f32).ln()).abs() < 1e-4, "{lead}: {point}");
                let (from, share) = leads.place(at + 1);
                let to = known[(from + 1).min(known.len() - 1)];
                prop_assert!((known[from] + share * (to - known[from]) - point).abs() < 1e-4);
            }
        }

        /// Over generated steps, every phase of the season is scored at each lead, in no more seasons than there
        /// are strides; and no forecast is overwritten before it matures.
        #[test]
        fn each_lead_is_scored_at_every_phase_of_the_season(
            (leads, horizon, season) in any_leads(),
            first in 0u64..1_000_000,
        ) {
            let season = season.unwrap_or(1) as u64;
            for (at, lead) in leads.learnt().iter().enumerate() {
                let every = leads.every_origin(at) as u64;
                let steps = (season + 1) * every;
                let mut phases = vec![0u32; season as usize];
                let mut waiting = vec![None; leads.entries(at)];
                prop_assert!(waiting.len() <= 4 * 32, "{} of {lead}", waiting.len());
                for now in first..first + steps {
                    if let Some(origin) = now.checked_sub(*lead as u64).filter(|origin| *origin >= first)
                        && let Some(entry) = leads.entry(at, origin)
                    {
                        prop_assert_eq!(waiting[entry].take(), Some(origin), "lead {} at {}", lead, now);
                    }
                    if let Some(entry) = leads.entry(at, now) {
                        prop_assert!(waiting[entry].is_none(), "{lead} at {now} of horizon {horizon}");
                        waiting[entry] = Some(now);
                        phases[(now % season) as usize] += 1;
                    }
                }
                prop_assert!(phases.iter().all(|n| *n > 0), "lead {lead}, every {every}: {phases:?}");
            }
            prop_assert_eq!(leads.every_origin(0), 1);
        }
    }
}
