/// The values of a series before the present one, from the ring that holds them.
#[derive(Clone, Copy, Debug)]
pub struct PastReadings<'a> {
    ring: &'a [f32],
    /// Where the last one is.
    newest: usize,
}

impl<'a> PastReadings<'a> {
    /// `newest`: the place of the last value in the ring, which goes on at its start when it is full.
    pub fn new(ring: &'a [f32], newest: usize) -> Self {
        Self { ring, newest }
    }

    /// Without any value.
    pub fn none() -> Self {
        Self { ring: &[], newest: 0 }
    }

    /// The value so many steps before the present one, at least 1 and at most as many as the ring holds.
    #[inline(always)]
    pub fn value(&self, age: usize) -> f32 {
        let back = age - 1;
        self.ring[if back <= self.newest { self.newest - back } else { self.newest + self.ring.len() - back }]
    }
}
