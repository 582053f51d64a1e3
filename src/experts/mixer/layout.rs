/// Where the parts of a row lie. Every part has whole registers of leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub width: usize,
    pub experts: usize,
}

impl Layout {
    /// Regrets, then sums of their squares. `[2, copy members, width]`
    pub fn regrets(self, level: usize) -> usize {
        level * self.width * (2 * self.experts + 2)
    }

    /// The number of members of a level: the copies have the experts, the third has the copies.
    pub fn members(self, level: usize) -> usize {
        if level < 2 { self.experts } else { 2 }
    }

    /// The largest squared regret, and the typical error. `[2, width]`
    pub fn largest(self, level: usize) -> usize {
        self.regrets(level) + 2 * self.members(level) * self.width
    }

    pub fn floats(self) -> usize {
        self.largest(2) + 2 * self.width
    }

    /// Where each `[width]` of a layout stands in this one, whose experts other ones are of: `from`.
    pub fn rows(self, from: &[Option<usize>]) -> Vec<Option<usize>> {
        let copy = |level| {
            let (regrets, largest) = (self.regrets(level) / self.width, self.largest(level) / self.width);
            let members = move |first: usize| from.iter().map(move |at| at.map(|at| first + at));
            let rest = (largest..largest + 2).map(Some);
            members(regrets).chain(members(regrets + self.experts)).chain(rest)
        };
        let last = self.regrets(2) / self.width..self.floats() / self.width;
        copy(0).chain(copy(1)).chain(last.map(Some)).collect()
    }
}
