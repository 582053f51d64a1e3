/// The leads that weights are learnt for: every one, or 1, 2, 4, 8, … and the horizon. Values of leads between two
/// learnt ones are interpolated.
#[derive(Clone, Debug, PartialEq)]
pub struct Leads {
    horizon: usize,
    learnt: Vec<usize>,
    /// How far each lead lies on the way from one learnt lead to the next. `[horizon]`
    shares: Vec<f32>,
}

impl Leads {
    /// Every lead up to `horizon`, at least 1.
    pub fn every(horizon: usize) -> Self {
        Self::new(horizon, (1..=horizon.max(1)).collect())
    }

    /// The powers of two below `horizon`, and `horizon`.
    pub fn buckets(horizon: usize) -> Self {
        let horizon = horizon.max(1);
        let mut learnt: Vec<usize> = std::iter::successors(Some(1), |lead| Some(lead * 2))
            .take_while(|lead| *lead < horizon)
            .collect();
        learnt.push(horizon);
        Self::new(horizon, learnt)
    }

    fn new(horizon: usize, learnt: Vec<usize>) -> Self {
        let mut shares = vec![1.0];
        for ends in learnt.windows(2) {
            let width = ends[1] - ends[0];
            shares.extend((1..=width).map(|step| step as f32 / width as f32));
        }
        Self { horizon, learnt, shares }
    }

    /// The last lead.
    pub fn horizon(&self) -> usize {
        self.horizon
    }

    /// The learnt leads, ascending; the first is 1 and the last the horizon.
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

    /// Adds values of the learnt leads to `points`, interpolated linearly between them.
    /// `known`: `[len]`; `points`: `[horizon]`
    pub fn add(&self, known: &[f32], points: &mut [f32]) {
        if self.learnt.len() == self.horizon {
            points.iter_mut().zip(known).for_each(|(point, k)| *point += k);
            return;
        }
        points[0] += known[0];
        for (ends, values) in self.learnt.windows(2).zip(known.windows(2)) {
            let (from, step) = (values[0], values[1] - values[0]);
            let between = points[ends[0]..ends[1]].iter_mut().zip(&self.shares[ends[0]..ends[1]]);
            between.for_each(|(point, share)| *point += from + share * step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
