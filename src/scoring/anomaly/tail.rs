use bytemuck::{Pod, Zeroable};

/// −ln of a tenth, a hundredth, a thousandth.
pub const TENTH: f32 = std::f32::consts::LN_10;
pub const HUNDREDTH: f32 = 2.0 * TENTH;
const THOUSANDTH: f32 = 3.0 * TENTH;

/// Readings that a start is worth, and readings in the memory, for the tenth and the hundredth.
const TENTH_START: f32 = 20.0;
const TENTH_MEMORY: f32 = 1_000.0;
const HUNDREDTH_START: f32 = 500.0;
const HUNDREDTH_MEMORY: f32 = 5_000.0;
/// The same of what is pooled, the thousandth among it.
const POOLED_START: f32 = 20_000.0;
const POOLED_MEMORY: f32 = 500_000.0;
/// The least distance of the tenth and the hundredth.
const LEAST_WIDTH: f32 = 0.2;
/// The thousandth lies at least and at most so many times further from the hundredth than that from the
/// tenth. The most is that of Student's t with 3 degrees of freedom: what is further out, and comes
/// again and again, is no tail but a fault.
const WIDENING: (f32, f32) = (0.25, 3.0);

/// Where one reading in ten and one in a hundred lie, of a series, in units of surprise; a quantile is
/// moved up by what lies above it and down by all else, in steps that fit an exponential tail (Robbins
/// and Monro 1951).
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct OwnTail {
    tenth: f32,
    hundredth: f32,
    seen: u32,
}

/// The same over all series, for young ones; and how much further out one reading in a thousand lies.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct PooledTail {
    tenth: f32,
    hundredth: f32,
    /// Logarithm of the thousandth's distance from the hundredth over that of the hundredth from the
    /// tenth.
    widening: f32,
    seen: u32,
}

impl PooledTail {
    /// That of a normal distribution: surprises are exponential.
    pub fn new() -> Self {
        Self { tenth: TENTH, hundredth: HUNDREDTH, widening: 0.0, seen: 0 }
    }
}

/// One step of a quantile that a share of `1 / rarity` lies above.
fn track(at: &mut f32, value: f32, rarity: f32, step: f32) {
    *at += step * if value > *at { rarity - 1.0 } else { -1.0 };
}

impl OwnTail {
    pub fn seen(&self) -> u32 {
        self.seen
    }

    pub fn start(&mut self, pooled: &PooledTail) {
        (self.tenth, self.hundredth) = (pooled.tenth, pooled.hundredth);
    }

    fn width(&self) -> f32 {
        (self.hundredth - self.tenth).max(LEAST_WIDTH)
    }

    /// A surprise as it would be if calm readings were exponential: −ln of its p-value.
    pub fn calibrated(&self, pooled: &PooledTail, raw: f32) -> f32 {
        let hundredth = self.tenth + self.width();
        if raw <= self.tenth {
            raw * TENTH / self.tenth
        } else if raw <= hundredth {
            TENTH + (raw - self.tenth) * TENTH / self.width()
        } else {
            HUNDREDTH + (raw - hundredth) * TENTH / (self.width() * pooled.widening.exp())
        }
    }

    pub fn learn(&mut self, pooled: &mut PooledTail, raw: f32, calibrated: f32) {
        self.seen = self.seen.saturating_add(1);
        let (n, width) = (self.seen as f32, self.width() / TENTH);
        let rate = |n: f32, start: f32, memory: f32| 1.0 / (start + n).min(memory);
        track(&mut self.tenth, raw, 10.0, width * rate(n, TENTH_START, TENTH_MEMORY));
        track(&mut self.hundredth, raw, 100.0, width * rate(n, HUNDREDTH_START, HUNDREDTH_MEMORY));
        self.tenth = self.tenth.max(LEAST_WIDTH);
        pooled.seen = pooled.seen.saturating_add(1);
        let n = pooled.seen as f32;
        let step = rate(n, POOLED_START, POOLED_MEMORY);
        track(&mut pooled.tenth, raw, 10.0, 4.0 * step);
        track(&mut pooled.hundredth, raw, 100.0, 2.0 * step);
        pooled.tenth = pooled.tenth.max(LEAST_WIDTH);
        pooled.hundredth = pooled.hundredth.max(pooled.tenth + LEAST_WIDTH);
        // An exponential tail's share beyond the thousandth falls by 2.3 of its logarithm a unit here.
        let beyond = if calibrated > THOUSANDTH { 999.0 } else { -1.0 };
        pooled.widening = (pooled.widening + step * beyond / TENTH).clamp(WIDENING.0.ln(), WIDENING.1.ln());
    }
}
