//! Training rounds, the models that they make, and the models that serve.

use crate::domain::{ModelVersion, Offset, RoundScores, StreamName, TopicPartition};
use std::fmt::Display;
use std::time::Duration;

/// The device that a stream's networks compute on.
pub fn device_chosen(stream: &StreamName, device: &str) {
    event!(info, "device_chosen", { %stream, device, }, "networks compute on {device}");
}

/// A model's bundle was read from the store.
pub fn model_loaded(stream: &StreamName, version: ModelVersion) {
    let model = version.name(stream);
    event!(info, "model_loaded", { %stream, model, }, "model loaded");
}

/// A model's bundle can't be used; the next older one is tried.
pub fn bundle_passed_over(stream: &StreamName, version: ModelVersion, cause: &dyn Display) {
    let model = version.name(stream);
    event!(warn, "bundle_passed_over", { %stream, model, cause = %cause, }, "bundle passed over: {cause}");
}

/// A round's bundle could not be stored or announced, so its network can't serve and the round is lost.
pub fn bundle_not_kept(stream: &StreamName, round: u64, cause: &dyn Display) {
    event!(error, "bundle_not_kept", { %stream, round, cause = %cause, },
        "the round's bundle could not be stored and announced: {cause}");
}

/// An announced model can't serve here. The model that served before goes on.
pub fn model_not_followed(stream: &StreamName, version: ModelVersion, cause: &dyn Display) {
    let model = version.name(stream);
    event!(warn, "model_not_followed", { %stream, model, cause = %cause, },
        "the announced model can't be followed: {cause}");
}

/// A record of the models topic can't be read.
pub fn announcement_unreadable(stream: &StreamName, offset: Offset, cause: &dyn Display) {
    event!(warn, "announcement_unreadable", { %stream, offset = offset.0, cause = %cause, },
        "an announcement on the models topic can't be read: {cause}");
}

/// A shard's states fit the new network, and it makes the forecasts.
pub fn model_serves(stream: &StreamName, version: ModelVersion, shard: &TopicPartition) {
    let model = version.name(stream);
    event!(info, "model_serves", { %stream, model, %shard, }, "new network serves");
}

/// The thread that reads the models topic ended.
pub fn follower_failed(cause: &dyn Display) {
    event!(error, "follower_failed", { cause = %cause, }, "the models topic can't be followed: {cause}");
}

/// The training thread panicked.
pub fn trainer_panicked() {
    event!(error, "trainer_panicked", {}, "the trainer panicked");
}

/// A training round has begun; `why` says what it was started for.
pub fn round_started(stream: &StreamName, round: u64, series: usize, readings: usize, why: &str) {
    event!(info, "round_started", { %stream, round, series, readings, why, }, "training round started");
}

/// A training round's networks are trained and compared.
pub fn round_finished(stream: &StreamName, round: u64, steps: usize, loss: f64, took: Duration) {
    let seconds = took.as_secs_f64();
    event!(info, "round_finished", { %stream, round, steps, loss, seconds, }, "training round finished");
}

/// A training round ended with an error.
pub fn round_failed(stream: &StreamName, round: u64, cause: &dyn Display) {
    event!(warn, "round_failed", { %stream, round, cause = %cause, }, "training round failed: {cause}");
}

/// A training round compared its challenger with a model that is no longer the champion.
pub fn round_superseded(stream: &StreamName, round: u64, cause: &dyn Display) {
    event!(info, "round_superseded", { %stream, round, cause = %cause, }, "training round superseded: {cause}");
}

macro_rules! decided {
    ($level:ident, $name:literal, $found:ident, { $($fields:tt)* }, $($message:tt)+) => {{
        let RoundScores { challenger, champion, former, base, p_value, series, blocks } = *$found;
        event!($level, $name, { $($fields)* challenger, champion, former, base, p_value, series, blocks, },
            $($message)+)
    }};
}

/// A round's challenger is the new champion.
pub fn promoted(stream: &StreamName, round: u64, version: ModelVersion, found: &RoundScores) {
    let model = version.name(stream);
    decided!(info, "promoted", found, { %stream, round, model, }, "challenger promoted");
}

/// A round's challenger was not better enough, or not surely enough.
pub fn rejected(stream: &StreamName, round: u64, found: &RoundScores) {
    decided!(
        info, "rejected", found, { %stream, round, },
        "challenger rejected: its gain is not certain enough (promotion.confidence) or too small (promotion.gain)"
    );
}

/// A round's challenger has won its round. It must win another one before it serves.
pub fn shadowed(stream: &StreamName, round: u64, found: &RoundScores) {
    decided!(info, "shadowed", found, { %stream, round, }, "challenger runs in the shadow");
}

/// The champion was worse than its predecessor. `to` serves again; without one the experts serve alone.
pub fn rolled_back(stream: &StreamName, round: u64, from: &str, to: &str, found: &RoundScores) {
    decided!(warn, "rolled_back", found, { %stream, round, from, to, }, "{from} was worse than its predecessor");
}

/// An operator has asked that this model serve.
pub fn model_requested(stream: &StreamName, model: &str) {
    event!(info, "model_requested", { %stream, model, }, "{model} was requested");
}

/// The experts serve alone again.
pub fn model_dismissed(stream: &StreamName) {
    event!(info, "model_dismissed", { %stream, }, "no network serves any more");
}
