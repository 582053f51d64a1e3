use super::rows::CandidateRows;

/// What was forecast of one target's new value, at the scored leads.
pub(super) struct Matured<'a> {
    pub rows: CandidateRows,
    pub leads: &'a [usize],
    /// `[kept rows, scored leads]`
    pub values: &'a [f32],
}

impl Matured<'_> {
    /// What a row said; not a number where there was no forecast.
    pub fn at(&self, row: usize, lead: usize) -> f32 {
        self.values[row * self.leads.len() + lead]
    }

    /// How many steps ago the forecast of a lead was made.
    pub fn steps(&self, lead: usize) -> u64 {
        self.leads[lead] as u64
    }

    /// A row, at all scored leads.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.leads.len()..][..self.leads.len()]
    }

    /// Writes the bounds that were given with a forecast, which must have been kept.
    pub fn bounds(&self, lead: usize, bounds: &mut [f32]) {
        for (l, bound) in bounds.iter_mut().enumerate() {
            *bound = self.at(self.rows.bounds() + l, lead);
        }
    }
}
