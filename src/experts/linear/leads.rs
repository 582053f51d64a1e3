//! The leads that blocks have weights for.

/// Up to this lead every one has weights, where no season says how fine they must be.
const EVERY: usize = 24;

/// The leads that the blocks have weights for: 1, 2, 3, 4, 6, 8, 12, 16, …, but never further apart than a
/// share of the season. Corrections of leads between two of them are interpolated linearly: a block corrects
/// a forecast that has the season's shape, and what is left is smooth in the lead.
///
/// | | `full` | `compact` |
/// | --- | --- | --- |
/// | season of m steps | at most m / 24 apart | at most m / 6 apart |
/// | no season | every lead up to 24 | no limit |
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WeightedLeads {
    weighted: Vec<usize>,
    /// For each lead, the weighted lead at or before it, and its share of the way to the next one.
    /// `[horizon]`
    places: Vec<(u16, f32)>,
}

impl WeightedLeads {
    pub fn new(horizon: usize, season: Option<usize>, compact: bool) -> Self {
        let most_apart = match season {
            Some(m) => (m / if compact { 6 } else { 24 }).max(1),
            None => usize::MAX,
        };
        let mut weighted = Vec::new();
        let mut lead = 1;
        while lead < horizon {
            weighted.push(lead);
            // Two steps from one power of two to the next.
            let apart = if lead < 4 { 1 } else { 1 << (lead.ilog2() - 1) };
            let fine = season.is_none() && !compact && lead < EVERY;
            lead += if fine { 1 } else { apart.min(most_apart) };
        }
        weighted.push(horizon);
        let mut places = Vec::with_capacity(horizon);
        for (i, ends) in weighted.windows(2).enumerate() {
            let apart = (ends[1] - ends[0]) as f32;
            places.extend((0..ends[1] - ends[0]).map(|step| (i as u16, step as f32 / apart)));
        }
        places.push((weighted.len() as u16 - 1, 0.0));
        Self { weighted, places }
    }

    /// The weighted leads, ascending; the first is 1 and the last the horizon.
    pub fn weighted(&self) -> &[usize] {
        &self.weighted
    }

    /// The number of weighted leads, at least 1.
    pub fn len(&self) -> usize {
        self.weighted.len()
    }

    /// Adds the values of the weighted leads to `points`, times `unit`, interpolated between them.
    /// `known`: `[len]`; `points`: `[horizon]`
    pub fn add(&self, known: &[f32], unit: f32, points: &mut [f32]) {
        if self.weighted.len() == self.places.len() {
            points.iter_mut().zip(known).for_each(|(point, k)| *point += unit * k);
            return;
        }
        for (point, (at, share)) in points.iter_mut().zip(&self.places) {
            let (at, next) = (usize::from(*at), usize::from(*at) + usize::from(*share > 0.0));
            *point += unit * (known[at] + share * (known[next] - known[at]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_as_fine_as_the_season_asks() {
        let count = |horizon, season, compact| WeightedLeads::new(horizon, season, compact).len();
        assert_eq!([(24, 24), (96, 96), (288, 288)].map(|(h, m)| count(h, Some(m), false)), [24, 28, 32]);
        assert_eq!(WeightedLeads::new(24, Some(24), true).weighted(), [1, 2, 3, 4, 6, 8, 12, 16, 20, 24]);
        assert_eq!(WeightedLeads::new(1, None, true).weighted(), [1]);
        assert_eq!(count(12, None, false), 12);
        assert!(count(512, None, false) < 36 && count(512, Some(2_048), true) < 20);
        for (horizon, season, compact) in [(7, Some(7), true), (48, Some(24), false), (100, None, true)] {
            let leads = WeightedLeads::new(horizon, season, compact);
            assert!(leads.weighted().is_sorted() && leads.weighted().last() == Some(&horizon));
            assert!(leads.weighted().windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn between_weighted_leads_the_line_is_straight() {
        let leads = WeightedLeads::new(12, None, true);
        assert_eq!(leads.weighted(), [1, 2, 3, 4, 6, 8, 12]);
        let line: Vec<f32> = leads.weighted().iter().map(|lead| *lead as f32).collect();
        let mut points = [1.0; 12];
        leads.add(&line, 2.0, &mut points);
        for (i, point) in points.iter().enumerate() {
            assert!((point - (1.0 + 2.0 * (i + 1) as f32)).abs() < 1e-5, "{points:?}");
        }
    }
}
