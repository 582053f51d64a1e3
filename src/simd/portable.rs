//! Eight floats for any CPU: plain arithmetic that compilers vectorise.

use super::by_eight::Vector8;
use super::halves::Halves;
use super::lanes::LANES;
use super::vector::Vector;

#[derive(Clone, Copy)]
pub(super) struct Portable([f32; LANES]);

/// Fused where the target always has it: elsewhere `f32::mul_add` is a library call.
#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c }
}

impl Portable {
    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) -> Self {
        let mut out = self.0;
        for v in &mut out {
            *v = f(*v);
        }
        Self(out)
    }

    #[inline(always)]
    fn zip(self, b: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self.0;
        for (v, b) in out.iter_mut().zip(b.0) {
            *v = f(*v, b);
        }
        Self(out)
    }
}

impl Vector for Portable {
    const N: usize = LANES;
    const ROWS: usize = if cfg!(target_arch = "aarch64") { 2 } else { 1 };

    #[inline(always)]
    unsafe fn read(p: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { p.cast::<[f32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn write(self, p: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    fn splat(v: f32) -> Self {
        Self([v; LANES])
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        self.zip(b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        self.zip(b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        self.zip(b, |a, b| a * b)
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        let mut out = c.0;
        for (l, o) in out.iter_mut().enumerate() {
            *o = fused(self.0[l], b.0[l], *o);
        }
        Self(out)
    }

    #[inline(always)]
    fn neg_mul_add(self, b: Self, c: Self) -> Self {
        let mut out = c.0;
        for (l, o) in out.iter_mut().enumerate() {
            *o = fused(-self.0[l], b.0[l], *o);
        }
        Self(out)
    }

    #[inline(always)]
    fn clamp(self, lo: f32, hi: f32) -> Self {
        self.map(|v| v.max(lo).min(hi))
    }

    #[inline(always)]
    fn times_power(self, bits: Self) -> Self {
        self.zip(bits, |v, bits| f32::from_bits(v.to_bits().wrapping_add(bits.to_bits() << 23)))
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        self.zip(b, |v, b| v / b)
    }

    #[inline(always)]
    fn inside(self, lo: f32, hi: f32) -> Self {
        self.map(|v| if lo < v && v < hi { 1.0 } else { 0.0 })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let v = self.0;
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }
}

/// The 16-bit float next to the 32-bit float with these bits, towards zero.
#[inline(always)]
fn truncated(bits: u32) -> u16 {
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7FFF_FFFF;
    let halved = if magnitude < 0x3880_0000 {
        // In units of the smallest 16-bit float.
        (f32::from_bits(magnitude) * 16_777_216.0) as u16
    } else if magnitude < 0x4780_0000 {
        ((magnitude - 0x3800_0000) >> 13) as u16
    } else if magnitude < 0x7F80_0000 {
        0x7BFF
    } else if magnitude == 0x7F80_0000 {
        0x7C00
    } else {
        0x7E00 | (magnitude >> 13) as u16 & 0x3FF
    };
    sign | halved
}

impl Halves for Portable {
    type Words = [u32; LANES];

    #[inline(always)]
    fn words(of: &[u32]) -> [u32; LANES] {
        std::array::from_fn(|lane| of[lane])
    }

    #[inline(always)]
    fn add_words(mut a: [u32; LANES], b: [u32; LANES]) -> [u32; LANES] {
        for (a, b) in a.iter_mut().zip(b) {
            *a = a.wrapping_add(b);
        }
        a
    }

    #[inline(always)]
    unsafe fn write_stochastic(self, to: *mut u16, random: [u32; LANES]) {
        // SAFETY: the caller's promise.
        let to = unsafe { &mut *to.cast::<[u16; LANES]>() };
        for ((to, v), random) in to.iter_mut().zip(self.0).zip(random) {
            *to = truncated(v.to_bits().wrapping_add(random >> 19));
        }
    }

    #[inline(always)]
    unsafe fn read_halves(from: *const u16) -> Self {
        // SAFETY: the caller's promise.
        let from = unsafe { *from.cast::<[u16; LANES]>() };
        Self(from.map(|h| half::f16::from_bits(h).to_f32()))
    }
}

impl Vector8 for Portable {
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        self.zip(b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, b: Self) -> Self {
        self.zip(b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn if_above(self, than: Self, yes: Self, no: Self) -> Self {
        Self(std::array::from_fn(|l| if self.0[l] > than.0[l] { yes.0[l] } else { no.0[l] }))
    }

    #[inline(always)]
    fn sums(of: [Self; LANES]) -> Self {
        Self(of.map(|Self(v)| ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]))))
    }

    #[inline(always)]
    fn sums_before(self) -> (Self, Self) {
        // In the order of the other instruction sets.
        let mut sums = self.0;
        for apart in [1, 2] {
            let shorter = sums;
            for (lane, sum) in sums.iter_mut().enumerate().filter(|(lane, _)| lane % 4 >= apart) {
                *sum += shorter[lane - apart];
            }
        }
        let lower = sums[3];
        sums[4..].iter_mut().for_each(|sum| *sum += lower);
        let before = std::array::from_fn(|lane| if lane == 0 { 0.0 } else { sums[lane - 1] });
        (Self(before), Self::splat(sums[LANES - 1]))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        self.map(f32::sqrt)
    }
}
