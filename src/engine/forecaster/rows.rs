use crate::experts::MIXTURES;

/// The rows of a target's candidate forecasts, each `[horizon]` long, in this order: the experts, the networks,
/// the mixtures of the experts (two copies and the mixture itself), where there are networks the mixtures of experts
/// and networks (the same), and the bounds of the interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CandidateRows {
    pub experts: usize,
    pub networks: usize,
    /// Bounds of an interval.
    pub levels: usize,
    /// Whether intervals wait with their forecasts until these mature, and are judged as they were given.
    pub keeps_bounds: bool,
}

impl CandidateRows {
    /// The number of experts and networks, which come first.
    pub fn all(self) -> usize {
        self.experts + self.networks
    }

    /// The first copy of the mixture of the experts.
    pub fn copies(self) -> usize {
        self.all()
    }

    /// The mixture of the experts.
    pub fn mixture(self) -> usize {
        self.copies() + MIXTURES - 1
    }

    /// The first copy of the mixture of experts and networks; without networks that of the experts.
    pub fn all_copies(self) -> usize {
        if self.networks == 0 { self.copies() } else { self.mixture() + 1 }
    }

    /// The mixture of experts and networks, which is emitted.
    pub fn point(self) -> usize {
        self.all_copies() + MIXTURES - 1
    }

    /// The first bound of the interval.
    pub fn bounds(self) -> usize {
        self.point() + 1
    }

    /// How many rows there are.
    pub fn count(self) -> usize {
        self.bounds() + self.levels
    }

    /// How many of the first rows wait until they mature.
    pub fn kept(self) -> usize {
        if self.keeps_bounds { self.count() } else { self.bounds() }
    }

    /// Where each row that waits stood when the networks were others, which are known by their names.
    pub fn from(self, networks: &[String], other: Self, others: &[String]) -> Vec<Option<usize>> {
        let network = |name: &String| others.iter().position(|other| other == name);
        let networks = networks.iter().map(|name| network(name).map(|at| other.experts + at));
        let experts = (0..self.experts).map(Some);
        let copies = (0..MIXTURES).map(|copy| Some(other.copies() + copy));
        let all_copies = (0..self.bounds() - self.mixture() - 1).map(|copy| Some(other.all_copies() + copy));
        let bounds = (self.bounds()..self.kept()).map(|row| Some(row - self.bounds() + other.bounds()));
        experts.chain(networks).chain(copies).chain(all_copies).chain(bounds).collect()
    }

    /// The rows that are judged: every expert, their mixture, every network, and what is emitted.
    pub fn judged(self) -> impl Iterator<Item = usize> {
        (0..self.experts).chain([self.mixture()]).chain(self.experts..self.all()).chain([self.point()])
    }
}
