/// The value `age` steps before step `now`; before the first value, the first value.
#[inline]
pub(super) fn value_at(ring: &[f32], now: u64, age: usize) -> f32 {
    ring[(now.saturating_sub(age as u64) % ring.len() as u64) as usize]
}
