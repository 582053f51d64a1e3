use super::Past;
use crate::domain::seasonal_age;

/// The newest known value at the same phase of a season of `season` steps; the last value while no
/// season is known. `points`: `[horizon]`
pub fn seasonal_naive(past: &impl Past, season: usize, points: &mut [f32]) {
    for (i, point) in points.iter_mut().enumerate() {
        let age = seasonal_age(season, i + 1);
        *point = past.value(if age < past.known() { age } else { 0 });
    }
}
