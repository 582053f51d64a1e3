//! How a worker follows the models, and when it hands in training rounds.

use super::owned_shard::Replay;
use super::ports::{Ports, TimeSource, TrainingQueue};
use super::rare_paths::RarePath;
use super::serving::ModelSource;
use super::{Error, Worker};
use crate::series::WindowCopy;
use crate::telemetry::events;
use crate::training::{StreamProgress, Why};

/// Series whose states are warmed for a new network between two polls.
const WARM: usize = 1_024;

impl<P: Ports> Worker<P> {
    /// Ends the silent replays that are complete.
    pub(super) fn end_replays(&mut self) {
        let now = self.ports.time.now();
        for owned in &mut self.shards {
            if let Some((Replay { from, to, .. }, took)) = owned.end_replay(now) {
                self.has_restored = true;
                let (name, series) = (&owned.stream().name, owned.shard.series());
                events::restored(name, &owned.at, owned.restored_from, from, to, series, took);
            }
        }
    }

    /// Follows the models: brings new ones in, and warms their states a few series at a time.
    pub(super) fn follow_models(&mut self) -> Result<(), Error> {
        let changes = self.ports.models.changes();
        let has_changed = changes != self.models_followed;
        if has_changed || self.has_restored {
            (self.models_followed, self.has_restored) = (changes, false);
            for owned in &mut self.shards {
                // A shard that replays goes on with the model of its snapshot.
                if owned.replay.is_some() {
                    self.rare_paths.mark_if(has_changed, RarePath::ModelChangedInReplay);
                    continue;
                }
                owned.follow(&self.ports.models.serving(&owned.stream().name))?;
            }
        }
        for owned in self.shards.iter_mut().filter(|o| o.shard.is_warming()) {
            if let Some(version) = owned.shard.warm(WARM)? {
                events::model_serves(&owned.shard.stream().name, version, &owned.at);
            }
        }
        Ok(())
    }

    /// Hands in a training round for each stream whose round is due. The worker that owns the first partition of a
    /// stream's first topic does so: its series are a fair sample. Drift in any shard of the process hastens it.
    pub(super) fn train(&mut self) {
        let Self { shards, due, ports, rare_paths, .. } = self;
        for owned in shards.iter_mut().filter(|owned| owned.drifted) {
            owned.drifted = false;
            ports.training.hasten(&owned.stream().name, Why::Drift);
        }
        for (name, due) in due {
            let shards = || shards.iter().filter(|o| o.stream().name == *name);
            let Some(stream) = shards().next().map(|o| o.stream().clone()) else { continue };
            if !stream.training.enabled || shards().any(|o| o.replay.is_some()) {
                continue;
            }
            if let Some(why) = ports.training.take_hastened(name) {
                rare_paths.mark(RarePath::RoundHastened);
                due.hasten(why);
            }
            let now = StreamProgress {
                readings: shards().map(|o| o.shard.age()).max().unwrap_or(0),
                newest: shards().filter_map(|o| o.shard.agreed_time()).max(),
            };
            let Some((start, why)) = due.is_due(now) else { continue };
            let most = stream.training.budget.series.div_ceil(shards().count());
            let samples = || -> Vec<WindowCopy> { shards().flat_map(|o| o.shard.samples(most)).collect() };
            let is_taken = ports.training.hand_in(&stream, start, why, samples);
            rare_paths.mark(if is_taken { RarePath::RoundHandedIn } else { RarePath::RoundRefused });
            if is_taken {
                due.begun(now);
            }
        }
    }
}
