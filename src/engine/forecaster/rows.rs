use crate::experts::MIXTURES;

/// The rows of a target's candidate forecasts, each `[horizon]` long, in this order: the experts, the networks,
/// the mixtures of the experts (two copies and the mixture itself), the mixtures of experts and networks (the same),
/// and, where intervals are judged as they were given, the error scale and the bounds of the interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CandidateRows {
    pub experts: usize,
    pub networks: usize,
    /// Bounds of an interval; 0 where they are not kept.
    pub levels: usize,
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

    /// The first copy of the mixture of experts and networks.
    pub fn all_copies(self) -> usize {
        self.mixture() + 1
    }

    /// The mixture of experts and networks, which is emitted.
    pub fn point(self) -> usize {
        self.all_copies() + MIXTURES - 1
    }

    /// The error scale of the interval.
    pub fn scale(self) -> usize {
        self.point() + 1
    }

    /// The first bound of the interval.
    pub fn bounds(self) -> usize {
        self.scale() + 1
    }

    /// Whether intervals are kept with their forecasts until these mature.
    pub fn keeps_bounds(self) -> bool {
        self.levels > 0
    }

    /// How many rows there are.
    pub fn count(self) -> usize {
        self.scale() + if self.keeps_bounds() { 1 + self.levels } else { 0 }
    }

    /// Where each row stood when the networks were others, which are known by their names.
    pub fn from(self, networks: &[String], other: Self, others: &[String]) -> Vec<Option<usize>> {
        let network = |name: &String| others.iter().position(|other| other == name);
        let networks = networks.iter().map(|name| network(name).map(|at| other.experts + at));
        let experts = (0..self.experts).map(Some);
        let rest = (self.all()..self.count()).map(|row| Some(row - self.all() + other.all()));
        experts.chain(networks).chain(rest).collect()
    }

    /// The rows that are judged: every expert, their mixture, every network, and what is emitted.
    pub fn judged(self) -> impl Iterator<Item = usize> {
        (0..self.experts).chain([self.mixture()]).chain(self.experts..self.all()).chain([self.point()])
    }
}
