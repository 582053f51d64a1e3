use super::champions::{Champions, Change};
use crate::config::Stream;
use crate::console::Failure;
use crate::domain::{ModelVersion, StreamName};
use crate::engine::Model;
use crate::nn::Networks;
use crate::series::WindowCopy;
use crate::training::{Shapes, Start, TrainingRound, Why, device};
use crate::worker::ports::TrainingQueue;
use crate::worker::serving::{ModelSource, Serving};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// Runs the training rounds that a worker hands in, at once, and lets their outcome serve.
pub(super) struct Learner {
    champions: Champions,
    pub counts: RoundCounts,
    hastened: Option<Why>,
    serving: Serving,
    /// How often `serving` has changed.
    changes: u64,
    outcome: Result<(), Failure>,
}

/// What became of the rounds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundCounts {
    pub rounds: u64,
    pub hastened: u64,
    pub promoted: u64,
    pub rolled_back: u64,
}

impl Default for Learner {
    fn default() -> Self {
        Self {
            champions: Champions::default(),
            counts: RoundCounts::default(),
            hastened: None,
            serving: Serving::Unknown,
            changes: 0,
            outcome: Ok(()),
        }
    }
}

impl Learner {
    /// How often the model that serves has changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The networks that serve, with their version.
    pub fn champion(&self) -> Option<(ModelVersion, &Networks)> {
        self.champions.serving()
    }

    /// Whether the rounds since the last call have ended without a failure.
    pub fn take_outcome(&mut self) -> Result<(), Failure> {
        std::mem::replace(&mut self.outcome, Ok(()))
    }

    fn learn(
        &mut self,
        stream: &Stream,
        start: Start,
        why: Why,
        samples: &[WindowCopy],
    ) -> Result<(), Failure> {
        self.counts.rounds += 1;
        self.counts.hastened += u64::from(why != Why::Schedule);
        let trial = self.champions.begin(stream.promotion.watch);
        let shadow = self.champions.take_shadow();
        let round = TrainingRound {
            stream,
            samples,
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
        self.serving = serving(stream, &self.champions)?;
        self.changes += 1;
        Ok(())
    }
}

/// The champion as a model, or the experts alone.
fn serving(stream: &Stream, champions: &Champions) -> Result<Serving, Failure> {
    let Some((version, networks)) = champions.serving() else { return Ok(Serving::ExpertsAlone) };
    let networks = Shapes::of(stream).map_err(Failure::new)?.weights(networks);
    Ok(Serving::Model(Model { version, networks, device: device(stream).map_err(Failure::new)? }))
}

impl ModelSource for Rc<RefCell<Learner>> {
    fn changes(&self) -> u64 {
        self.borrow().changes
    }

    fn serving(&self, _: &StreamName) -> Serving {
        self.borrow().serving.clone()
    }
}

impl TrainingQueue for Rc<RefCell<Learner>> {
    fn hand_in(
        &mut self,
        stream: &Arc<Stream>,
        start: Start,
        why: Why,
        samples: impl FnOnce() -> Vec<WindowCopy>,
    ) -> bool {
        let mut learner = self.borrow_mut();
        learner.outcome = learner.learn(stream, start, why, &samples());
        true
    }

    fn hasten(&mut self, _: &StreamName, why: Why) {
        self.borrow_mut().hastened = Some(why);
    }

    fn take_hastened(&mut self, _: &StreamName) -> Option<Why> {
        self.borrow_mut().hastened.take()
    }
}
