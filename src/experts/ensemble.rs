use super::{Arma, ExpertGroup, LinearExperts, LinearShape, Lms, Observation, TooManyExtras, Velocity};
use crate::config::{Base, Stream};
use crate::domain::{Damaged, Extras, Rows, Take};

/// All experts of a stream, stepped together: the linear experts first, then those that the config adds.
pub struct Ensemble {
    pool: LinearExperts,
    others: Vec<Box<dyn ExpertGroup + Send>>,
    names: Vec<&'static str>,
    horizon: usize,
}

impl Ensemble {
    /// # Errors
    /// [`TooManyExtras`] when the linear experts have no room for them.
    pub fn try_new(stream: &Stream, extras: Extras) -> Result<Self, TooManyExtras> {
        let (targets, horizon, season) = (stream.targets.len(), stream.horizon, stream.season());
        let mut pool = LinearExperts::try_new(&shape(stream, extras))?;
        pool.learn_every(stream.learn_every.at_ease());
        let mut others: Vec<Box<dyn ExpertGroup + Send>> = Vec::new();
        if stream.experts.arma {
            others.push(Box::new(Arma::new(targets, horizon, season)));
        }
        if stream.experts.lms {
            others.push(Box::new(Lms::new(targets, stream.leads(), season)));
        }
        if stream.experts.velocity {
            others.push(Box::new(Velocity::new(targets, horizon)));
        }
        let mut names = pool.names().to_vec();
        names.extend(others.iter().flat_map(|other| other.names()));
        Ok(Self { pool, others, names, horizon })
    }

    /// As [`LinearExperts::learn_every`].
    pub fn learn_every(&mut self, every: u32) {
        self.pool.learn_every(every);
    }

    /// The number of first mixtures of a series that are plain means, because its experts have learnt too
    /// little to be weighed.
    pub fn mix_from(&self) -> usize {
        self.pool.mix_from()
    }

    /// The index of the expert that a network corrects. `None` where it corrects no single expert.
    pub fn base(&self, base: Base) -> Option<usize> {
        let named = |name: &str| self.names.iter().position(|n| *n == name);
        // Where targets are differenced no expert corrects a level.
        let linear = ["linear_holt", "linear_last", "linear_seasonal"];
        match base {
            Base::Mixture | Base::None => None,
            Base::Last => named("last"),
            Base::Seasonal => named("seasonal"),
            Base::Linear => linear.into_iter().find_map(named),
        }
    }

    /// As [`LinearExperts::nearest_seen`].
    pub fn nearest_seen(&self, slot: usize, target: usize, value: f32) -> f32 {
        self.pool.nearest_seen(slot, target, value)
    }

    /// As [`LinearExperts::readings`].
    pub fn readings(&self, slot: usize, target: usize) -> u32 {
        self.pool.readings(slot, target)
    }

    /// As [`LinearExperts::deviation`].
    pub fn deviation(&self, slot: usize, target: usize) -> f32 {
        self.pool.deviation(slot, target)
    }

    /// Loads the state of a series into the cache while another series is worked on.
    pub fn prefetch(&self, slot: usize, target: usize) {
        self.pool.prefetch(slot, target);
    }

    /// As [`LinearExperts::publish`].
    pub fn publish(&mut self) {
        self.pool.publish();
    }

    /// Appends the state that is pooled over series, without loss.
    pub fn save_pooled(&self, out: &mut Vec<u8>) {
        self.pool.save_pooled(out);
    }

    /// Reads the state that [`Self::save_pooled`] wrote for an ensemble of the same stream.
    ///
    /// # Errors
    /// [`Damaged`] for any other bytes.
    pub fn load_pooled(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        self.pool.load_pooled(from)
    }

    fn each(&self) -> impl Iterator<Item = &dyn Rows> {
        let others = self.others.iter().map(|other| &**other as &dyn Rows);
        std::iter::once(&self.pool as &dyn Rows).chain(others)
    }

    fn each_mut(&mut self) -> impl Iterator<Item = &mut (dyn ExpertGroup + Send + 'static)> {
        let others = self.others.iter_mut().map(|other| &mut **other);
        std::iter::once(&mut self.pool as &mut (dyn ExpertGroup + Send)).chain(others)
    }
}

/// The number of readings before the present one that the experts of a stream look back on.
pub fn experts_look_back(stream: &Stream) -> usize {
    // What they are shown beside a target is no reading of the target.
    LinearExperts::look_back(&shape(stream, Extras::default()))
}

/// The settings of a stream that its linear experts depend on.
fn shape(stream: &Stream, extras: Extras) -> LinearShape {
    LinearShape {
        targets: stream.targets.len(),
        horizon: stream.horizon,
        seasons: stream.seasons.clone(),
        extras: extras.count,
        shown_again: extras.timed,
        accuracy: stream.experts.accuracy,
        difference: stream.difference,
        linear: stream.experts.linear,
    }
}

impl ExpertGroup for Ensemble {
    fn names(&self) -> &[&'static str] {
        &self.names
    }

    fn step(&mut self, slot: usize, target: usize, reading: &Observation<'_>, out: &mut [f32]) {
        let horizon = self.horizon;
        let mut rest = out;
        for experts in self.each_mut() {
            let (mine, others) = rest.split_at_mut(experts.names().len() * horizon);
            experts.step(slot, target, reading, mine);
            rest = others;
        }
        assert!(rest.is_empty(), "each expert has its place");
    }

    fn interrupt(&mut self, slot: usize) {
        self.each_mut().for_each(|experts| experts.interrupt(slot));
    }
}

impl Rows for Ensemble {
    fn grow(&mut self, slots: usize) {
        self.each_mut().for_each(|experts| experts.grow(slots));
    }

    fn reset(&mut self, slot: usize) {
        self.each_mut().for_each(|experts| experts.reset(slot));
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        self.each().for_each(|experts| experts.save(slot, out));
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        self.each_mut().try_for_each(|experts| experts.load(slot, row))
    }

    fn memory(&self) -> usize {
        self.each().map(Rows::memory).sum()
    }
}
