use super::champions::{Champions, Change};
use crate::config::Stream;
use crate::console::Failure;
use crate::engine::{Model, Shard};
use crate::training::{RoundSchedule, Shapes, StreamProgress, TrainingRound, Why, device};

/// Runs training rounds where the daemon would, and lets their outcome serve at once.
pub(super) struct Learner {
    due: RoundSchedule,
    champions: Champions,
    pub counts: RoundCounts,
}

/// What became of the rounds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundCounts {
    pub rounds: u64,
    pub hastened: u64,
    pub promoted: u64,
    pub rolled_back: u64,
}

impl Learner {
    pub fn new(stream: &Stream) -> Self {
        Self {
            due: RoundSchedule::new(stream, false),
            champions: Champions::default(),
            counts: RoundCounts::default(),
        }
    }

    /// Trains when a round is due.
    pub fn learn(&mut self, stream: &Stream, shard: &mut Shard) -> Result<(), Failure> {
        if shard.take_drift().is_some() {
            self.due.hasten(Why::Drift);
        }
        let now = StreamProgress { readings: shard.age(), newest: shard.agreed_time() };
        let Some((start, why)) = self.due.is_due(now).filter(|_| stream.training.enabled) else {
            return Ok(());
        };
        self.due.begun(now);
        let samples = shard.samples(stream.training.budget.series);
        self.counts.rounds += 1;
        self.counts.hastened += u64::from(why != Why::Schedule);
        let trial = self.champions.begin(stream.promotion.watch);
        let shadow = self.champions.take_shadow();
        let round = TrainingRound {
            stream,
            samples: &samples,
            champion: self.champions.champion(),
            former: trial.hold_against(self.champions.former(&trial)),
            shadow: shadow.as_ref(),
            start,
            number: trial.number,
        };
        let outcome = round.run(&mut || true).map_err(Failure::new)?;
        match self.champions.conclude(&trial, outcome) {
            Some(Change::Promoted) => self.counts.promoted += 1,
            Some(Change::RolledBack) => self.counts.rolled_back += 1,
            None => return Ok(()),
        }
        self.serve(stream, shard)
    }

    /// Brings in the champion, or lets the experts serve alone.
    fn serve(&self, stream: &Stream, shard: &mut Shard) -> Result<(), Failure> {
        let Some((version, networks)) = self.champions.serving() else {
            shard.dismiss();
            return Ok(());
        };
        let networks = Shapes::of(stream).map_err(Failure::new)?.weights(networks);
        let model = Model { version, networks, device: device(stream).map_err(Failure::new)? };
        shard.bring(&model).map_err(Failure::new)?;
        shard.warm(usize::MAX).map_err(Failure::new)?;
        Ok(())
    }
}
