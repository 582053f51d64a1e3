use bytemuck::{Pod, Zeroable};

/// The surprises of the upper tenth, hundredth and thousandth of an exponential distribution.
pub const TENTH: f32 = std::f32::consts::LN_10;
pub const HUNDREDTH: f32 = 2.0 * TENTH;
const THOUSANDTH: f32 = 3.0 * TENTH;

/// The readings that the start counts as, and the readings in the memory, for the tenth and the
/// hundredth.
const TENTH_START: f32 = 20.0;
const TENTH_MEMORY: f32 = 1_000.0;
const HUNDREDTH_START: f32 = 500.0;
const HUNDREDTH_MEMORY: f32 = 5_000.0;
/// The same for the pooled ones, the thousandth among them.
const POOLED_START: f32 = 20_000.0;
const POOLED_MEMORY: f32 = 500_000.0;
/// The least distance of the tenth and the hundredth.
const LEAST_WIDTH: f32 = 0.2;
/// The least and the most that the distance from hundredth to thousandth is, in distances from tenth to
/// hundredth. The most is that of Student's t with 3 degrees of freedom: a value that is further out,
/// again and again, is a fault and not a tail.
const WIDENING: (f32, f32) = (0.25, 3.0);

/// The surprises that one reading in ten and one in a hundred of a series exceed, by stochastic
/// approximation (Robbins and Monro 1951), with steps that fit an exponential tail:
///
/// ```text
/// q ← q + η·(1/p − 1)    if s > q
/// q ← q − η              else            p a tenth or a hundredth
/// ```
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct OwnTail {
    tenth: f32,
    hundredth: f32,
    seen: u32,
}

/// The same over all series, for young ones, and how much further out one reading in a thousand lies.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct PooledTail {
    tenth: f32,
    hundredth: f32,
    /// The logarithm of the thousandth's distance from the hundredth over the hundredth's from the tenth.
    widening: f32,
    seen: u32,
}

impl PooledTail {
    /// The tail of calibrated forecasts: surprises are exponential.
    pub fn new() -> Self {
        Self { tenth: TENTH, hundredth: HUNDREDTH, widening: 0.0, seen: 0 }
    }
}

/// One step of a quantile that a share of `1 / rarity` exceeds.
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

    /// The surprise that would be as rare if calm readings were exponential: −ln of the p-value.
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

    /// Learns from the surprise of a calm reading, before and after calibration.
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
        // Beyond the thousandth, the logarithm of an exponential tail falls by 2.3 in one unit here.
        let beyond = if calibrated > THOUSANDTH { 999.0 } else { -1.0 };
        pooled.widening = (pooled.widening + step * beyond / TENTH).clamp(WIDENING.0.ln(), WIDENING.1.ln());
    }
}
