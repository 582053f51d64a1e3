use crate::simd::padded;

/// The layout of a row of the mixer. Every part has one float a lead, and the next part follows at once: a
/// kernel that reads whole registers reads into it, and writes back there what it has read. Levels 0 and 1
/// are the two copies, level 2 is the mixer of both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The learnt leads.
    pub leads: usize,
    pub experts: usize,
}

impl Layout {
    /// The offset of the regrets of a level; the sums of their squares follow. `[2, members, leads]`
    pub fn regrets(self, level: usize) -> usize {
        level * self.leads * (2 * self.experts + 2)
    }

    /// The number of members of a level: the experts, or the two copies.
    pub fn members(self, level: usize) -> usize {
        if level < 2 { self.experts } else { 2 }
    }

    /// The offset of the largest squared regret of a level; the typical error follows. `[2, width]`
    pub fn largest(self, level: usize) -> usize {
        self.regrets(level) + 2 * self.members(level) * self.leads
    }

    /// The floats of a row, with room for the last register.
    pub fn floats(self) -> usize {
        self.largest(2) + self.leads + self.width()
    }

    /// The learnt leads, padded to whole registers.
    pub fn width(self) -> usize {
        padded(self.leads)
    }

    /// The index, in this layout, of each `[leads]` part of the layout of other experts. `from`: the
    /// index of each of those experts here.
    pub fn rows(self, from: &[Option<usize>]) -> Vec<Option<usize>> {
        let copy = |level| {
            let (regrets, largest) = (self.regrets(level) / self.leads, self.largest(level) / self.leads);
            let members = move |first: usize| from.iter().map(move |at| at.map(|at| first + at));
            let rest = (largest..largest + 2).map(Some);
            members(regrets).chain(members(regrets + self.experts)).chain(rest)
        };
        let last = self.regrets(2) / self.leads..self.largest(2) / self.leads + 2;
        copy(0).chain(copy(1)).chain(last.map(Some)).collect()
    }
}
