//! How many readings are kept of each series.

use crate::config::Stream;
use crate::experts::experts_look_back;
use crate::series::{Capacity, Features};

/// A network's state is warmed over at least this many readings. More change nothing: networks learn on states that
/// are `burn_in` to `burn_in + truncation` readings old, by default 24 to 152. A season has nothing to do with it,
/// because the experts know the season.
const WARM: usize = 96;
/// Readings of the first series that are kept to be shown.
const SHOWN: usize = 160;
/// Series that networks are trained on share windows of this many readings, within the limits of the config.
const HISTORIES: usize = 1 << 16;

/// Over how many readings a network's state is warmed, at least.
pub fn warm_steps(stream: &Stream) -> usize {
    WARM.max(stream.training.burn_in)
}

/// Recent readings: those that features and experts look back on, and those that are shown of the first series.
pub fn recent(stream: &Stream, features: &Features) -> Capacity {
    let room = (features.lookback() + 1).max(experts_look_back(stream));
    Capacity { series: 0..usize::MAX, shared: SHOWN, least: room, most: room.max(SHOWN) }
}

/// The windows of series that networks are trained on, and those of all others, to warm a state over. A stream
/// without networks has neither.
pub fn windows(stream: &Stream) -> (Capacity, Capacity) {
    let series = if stream.training.enabled { stream.training.budget.series } else { 0 };
    let least = stream.least_window().min(stream.window);
    let warm = warm_steps(stream).max(stream.model.memory() + 1).min(stream.window);
    let others = if stream.model.networks.is_empty() { 0..0 } else { series..usize::MAX };
    (
        Capacity { series: 0..series, shared: HISTORIES, least, most: stream.window },
        Capacity { series: others, shared: 0, least: warm, most: warm },
    )
}
