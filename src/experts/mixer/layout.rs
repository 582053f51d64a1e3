/// The layout of a row of the mixer. Every part has whole registers of leads. Levels 0 and 1 are the two
/// copies, level 2 is the mixer of both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The learnt leads, padded.
    pub width: usize,
    pub experts: usize,
}

impl Layout {
    /// The offset of the regrets of a level; the sums of their squares follow. `[2, members, width]`
    pub fn regrets(self, level: usize) -> usize {
        level * self.width * (2 * self.experts + 2)
    }

    /// The number of members of a level: the experts, or the two copies.
    pub fn members(self, level: usize) -> usize {
        if level < 2 { self.experts } else { 2 }
    }

    /// The offset of the largest squared regret of a level; the typical error follows. `[2, width]`
    pub fn largest(self, level: usize) -> usize {
        self.regrets(level) + 2 * self.members(level) * self.width
    }

    /// The floats of a row.
    pub fn floats(self) -> usize {
        self.largest(2) + 2 * self.width
    }

    /// The index, in this layout, of each `[width]` part of the layout of other experts. `from`: the
    /// index of each of those experts here.
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
