//! One vector register as a type, so that a kernel is written once and compiled for every
//! instruction set. The portable one is plain arithmetic that compilers vectorise.

/// `N` floats that are computed together. All functions are meant to be inlined into a function
/// that has the instruction set enabled.
///
/// # Safety
/// Calling anything of an implementation needs the CPU features that it is named for; loads and
/// stores need `N` readable or writable floats.
pub(in crate::nn) trait Lanes: Copy {
    /// Floats in a register.
    const N: usize;
    /// Rows of a product that fit into the register file beside four columns of weights.
    const ROWS: usize;

    unsafe fn splat(v: f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    unsafe fn store(self, p: *mut f32);
    unsafe fn add(self, b: Self) -> Self;
    unsafe fn sub(self, b: Self) -> Self;
    unsafe fn mul(self, b: Self) -> Self;
    /// `self · b + c`
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// `c − self · b`
    unsafe fn neg_mul_add(self, b: Self, c: Self) -> Self;
    /// Within `lo..=hi`; what is not a number becomes `lo`.
    unsafe fn clamp(self, lo: f32, hi: f32) -> Self;
    /// `self · 2ᵏ`, where `k` is the whole number in the lowest bits of `bits`, for results that are
    /// normal numbers.
    unsafe fn times_power(self, bits: Self) -> Self;
    /// `self / b`, within 2 units in the last place, for `b` and `1 / b` normal numbers.
    unsafe fn div(self, b: Self) -> Self;
    /// 1 where `lo < self < hi`, else 0.
    unsafe fn inside(self, lo: f32, hi: f32) -> Self;
    /// The sum of the lanes, always in the same order.
    unsafe fn sum(self) -> f32;
}

/// For any CPU.
#[derive(Clone, Copy)]
pub(in crate::nn) struct Portable([f32; 8]);

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

impl Lanes for Portable {
    const N: usize = 8;
    const ROWS: usize = if cfg!(target_arch = "aarch64") { 2 } else { 1 };

    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        Self([v; 8])
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        Self(unsafe { p.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe { p.cast::<[f32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        self.zip(b, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        self.zip(b, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        self.zip(b, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        let mut out = c.0;
        for (l, o) in out.iter_mut().enumerate() {
            *o = fused(self.0[l], b.0[l], *o);
        }
        Self(out)
    }

    #[inline(always)]
    unsafe fn neg_mul_add(self, b: Self, c: Self) -> Self {
        let mut out = c.0;
        for (l, o) in out.iter_mut().enumerate() {
            *o = fused(-self.0[l], b.0[l], *o);
        }
        Self(out)
    }

    #[inline(always)]
    unsafe fn clamp(self, lo: f32, hi: f32) -> Self {
        self.map(|v| v.max(lo).min(hi))
    }

    #[inline(always)]
    unsafe fn times_power(self, bits: Self) -> Self {
        self.zip(bits, |v, bits| f32::from_bits(v.to_bits().wrapping_add(bits.to_bits() << 23)))
    }

    #[inline(always)]
    unsafe fn div(self, b: Self) -> Self {
        self.zip(b, |v, b| v / b)
    }

    #[inline(always)]
    unsafe fn inside(self, lo: f32, hi: f32) -> Self {
        self.map(|v| if lo < v && v < hi { 1.0 } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let v = self.0;
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }
}
