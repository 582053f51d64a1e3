use super::Past;

/// The last value, for every lead. `points`: `[horizon]`
pub fn last_value(past: &impl Past, points: &mut [f32]) {
    points.fill(past.value(0));
}
