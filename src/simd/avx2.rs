//! Eight floats in a register of AVX2, with FMA and F16C.

use std::arch::asm;
use std::arch::x86_64::*;

use super::by_eight::Vector8;
use super::halves::Halves;
use super::lanes::LANES;
use super::vector::{Vector, check};

/// Its existence proves that the CPU has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(super) struct Avx2(pub(super) __m256);

/// Eight words of 32 bits.
#[derive(Clone, Copy)]
pub(super) struct Words(pub(super) __m256i);

/// Instructions of this instruction set. Those that access memory are not for it: they have a contract
/// of their own.
macro_rules! instructions {
    ($($body:tt)*) => {
        // SAFETY: a kernel gets this type from `Isa` alone, which has detected the features.
        unsafe { $($body)* }
    };
}

impl Vector for Avx2 {
    const N: usize = 8;
    const ROWS: usize = 3;

    #[inline(always)]
    fn splat(v: f32) -> Self {
        instructions! { Self(_mm256_set1_ps(v)) }
    }

    #[inline(always)]
    unsafe fn read(p: *const f32) -> Self {
        // SAFETY: the caller's promise for the memory; the type is the proof of the features.
        unsafe { Self(_mm256_loadu_ps(p)) }
    }

    #[inline(always)]
    unsafe fn write(self, p: *mut f32) {
        // SAFETY: the caller's promise for the memory; the type is the proof of the features.
        unsafe { _mm256_storeu_ps(p, self.0) }
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        instructions! { Self(_mm256_add_ps(self.0, b.0)) }
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        instructions! { Self(_mm256_sub_ps(self.0, b.0)) }
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        instructions! { Self(_mm256_mul_ps(self.0, b.0)) }
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        instructions! { Self(_mm256_fmadd_ps(self.0, b.0, c.0)) }
    }

    #[inline(always)]
    fn neg_mul_add(self, b: Self, c: Self) -> Self {
        instructions! { Self(_mm256_fnmadd_ps(self.0, b.0, c.0)) }
    }

    #[inline(always)]
    fn clamp(self, lo: f32, hi: f32) -> Self {
        // The second operand is the result when the first is not a number.
        instructions! { Self(_mm256_min_ps(_mm256_max_ps(self.0, _mm256_set1_ps(lo)), _mm256_set1_ps(hi))) }
    }

    #[inline(always)]
    fn times_power(self, bits: Self) -> Self {
        instructions! {
            let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(bits.0));
            Self(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(self.0), exponent)))
        }
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        instructions! { Self(_mm256_div_ps(self.0, b.0)) }
    }

    #[inline(always)]
    fn inside(self, lo: f32, hi: f32) -> Self {
        instructions! {
            let above = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, _mm256_set1_ps(lo));
            let below = _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, _mm256_set1_ps(hi));
            Self(_mm256_and_ps(_mm256_and_ps(above, below), _mm256_set1_ps(1.0)))
        }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        instructions! {
            let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }
}

/// To the 16-bit floats next to 32-bit floats with these bits, towards zero.
///
/// Compilers make one instruction of this one and the store that follows. On AMD's Zen 5 that takes twice as
/// long as both, so the register is a compiler's secret.
#[inline]
#[target_feature(enable = "avx,f16c")]
fn truncated(bits: __m256i) -> __m128i {
    let halves;
    // SAFETY: it changes no memory; a kernel gets its vectors from `Isa` alone, which has detected F16C.
    unsafe {
        asm!(
            "vcvtps2ph {halves}, {bits}, 3",
            halves = lateout(xmm_reg) halves,
            bits = in(ymm_reg) bits,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    halves
}

impl Halves for Avx2 {
    type Words = Words;

    #[inline(always)]
    fn words(of: &[u32]) -> Words {
        check(of.len(), 0, LANES);
        // SAFETY: the slice is as long as what is accessed; a kernel gets this type from `Isa` alone.
        unsafe { Words(_mm256_loadu_si256(of.as_ptr().cast())) }
    }

    #[inline(always)]
    fn add_words(Words(a): Words, Words(b): Words) -> Words {
        instructions! { Words(_mm256_add_epi32(a, b)) }
    }

    #[inline(always)]
    unsafe fn write_stochastic(self, to: *mut u16, Words(random): Words) {
        // SAFETY: the caller's promise for the memory; the type is the proof of the features.
        unsafe {
            let bits = _mm256_add_epi32(_mm256_castps_si256(self.0), _mm256_srli_epi32::<19>(random));
            let halves = truncated(bits);
            _mm_storeu_si128(to.cast(), halves);
        }
    }

    #[inline(always)]
    unsafe fn read_halves(from: *const u16) -> Self {
        // SAFETY: the caller's promise for the memory; the type is the proof of the features.
        unsafe { Self(_mm256_cvtph_ps(_mm_loadu_si128(from.cast()))) }
    }
}

impl Vector8 for Avx2 {
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        instructions! { Self(_mm256_max_ps(self.0, b.0)) }
    }

    #[inline(always)]
    fn min(self, b: Self) -> Self {
        instructions! { Self(_mm256_min_ps(self.0, b.0)) }
    }

    #[inline(always)]
    fn if_above(self, than: Self, yes: Self, no: Self) -> Self {
        instructions! {
            let above = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, than.0);
            Self(_mm256_blendv_ps(no.0, yes.0, above))
        }
    }

    #[inline(always)]
    fn sums(of: [Self; LANES]) -> Self {
        instructions! {
            let [Self(a), Self(b), Self(c), Self(d), Self(e), Self(f), Self(g), Self(h)] = of;
            let (ab, cd) = (_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let (ef, gh) = (_mm256_hadd_ps(e, f), _mm256_hadd_ps(g, h));
            let (low, high) = (_mm256_hadd_ps(ab, cd), _mm256_hadd_ps(ef, gh));
            let mixed = _mm256_permute2f128_ps::<0x21>(low, high);
            Self(_mm256_add_ps(mixed, _mm256_blend_ps::<0xF0>(low, high)))
        }
    }

    #[inline(always)]
    fn sums_before(self) -> (Self, Self) {
        instructions! {
            // Sums up to each lane of its half, then those of the lower half added to the upper one.
            let one = _mm256_castsi256_ps(_mm256_slli_si256::<4>(_mm256_castps_si256(self.0)));
            let two = _mm256_add_ps(self.0, one);
            let four = _mm256_castsi256_ps(_mm256_slli_si256::<8>(_mm256_castps_si256(two)));
            let halves = _mm256_add_ps(two, four);
            let zero = _mm256_setzero_ps();
            let lower = _mm256_permutevar8x32_ps(halves, _mm256_set1_epi32(3));
            let sums = _mm256_add_ps(halves, _mm256_blend_ps::<0xF0>(zero, lower));
            let moved = _mm256_permutevar8x32_ps(sums, _mm256_setr_epi32(0, 0, 1, 2, 3, 4, 5, 6));
            let all = _mm256_permutevar8x32_ps(sums, _mm256_set1_epi32(7));
            (Self(_mm256_blend_ps::<1>(moved, zero)), Self(all))
        }
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        instructions! { Self(_mm256_sqrt_ps(self.0)) }
    }
}
