//! Sixteen floats in a register of AVX-512.

use std::arch::x86_64::*;

use super::avx2::{self, Avx2};
use super::halves::{Halves, Part};
use super::vector::{Vector, check};

/// Its existence proves that the CPU has AVX-512 F, DQ and VL, and what [`Avx2`] is a proof of.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

/// Sixteen words of 32 bits.
#[derive(Clone, Copy)]
pub(super) struct Words(__m512i);

/// Instructions of this instruction set. Those that access memory are not for it: they have a contract
/// of their own.
macro_rules! instructions {
    ($($body:tt)*) => {
        // SAFETY: a kernel gets this type from `Isa` alone, which has detected the features.
        unsafe { $($body)* }
    };
}

impl Vector for Avx512 {
    const N: usize = 16;
    const ROWS: usize = 6;

    #[inline(always)]
    fn splat(v: f32) -> Self {
        instructions! { Self(_mm512_set1_ps(v)) }
    }

    #[inline(always)]
    unsafe fn read(p: *const f32) -> Self {
        // SAFETY: the caller's promise for the memory; the type is the proof of the features.
        unsafe { Self(_mm512_loadu_ps(p)) }
    }

    #[inline(always)]
    unsafe fn write(self, p: *mut f32) {
        // SAFETY: the caller's promise for the memory; the type is the proof of the features.
        unsafe { _mm512_storeu_ps(p, self.0) }
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        instructions! { Self(_mm512_add_ps(self.0, b.0)) }
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        instructions! { Self(_mm512_sub_ps(self.0, b.0)) }
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        instructions! { Self(_mm512_mul_ps(self.0, b.0)) }
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        instructions! { Self(_mm512_fmadd_ps(self.0, b.0, c.0)) }
    }

    #[inline(always)]
    fn neg_mul_add(self, b: Self, c: Self) -> Self {
        instructions! { Self(_mm512_fnmadd_ps(self.0, b.0, c.0)) }
    }

    #[inline(always)]
    fn clamp(self, lo: f32, hi: f32) -> Self {
        // The second operand is the result when the first is not a number.
        instructions! { Self(_mm512_min_ps(_mm512_max_ps(self.0, _mm512_set1_ps(lo)), _mm512_set1_ps(hi))) }
    }

    #[inline(always)]
    fn times_power(self, bits: Self) -> Self {
        instructions! {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(bits.0));
            Self(_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(self.0), exponent)))
        }
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        instructions! {
            // 14 bits of the reciprocal, doubled by one step of Newton's method.
            let y = _mm512_rcp14_ps(b.0);
            let y = _mm512_fmadd_ps(y, _mm512_fnmadd_ps(b.0, y, _mm512_set1_ps(1.0)), y);
            Self(_mm512_mul_ps(self.0, y))
        }
    }

    #[inline(always)]
    fn inside(self, lo: f32, hi: f32) -> Self {
        instructions! {
            let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, _mm512_set1_ps(lo));
            let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, _mm512_set1_ps(hi));
            Self(_mm512_maskz_mov_ps(above & below, _mm512_set1_ps(1.0)))
        }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        instructions! { _mm512_reduce_add_ps(self.0) }
    }
}

impl Halves for Avx512 {
    type Words = Words;

    #[inline(always)]
    fn words(of: &[u32]) -> Words {
        check(of.len(), 0, Self::N);
        // SAFETY: the slice is as long as what is accessed; a kernel gets this type from `Isa` alone.
        unsafe { Words(_mm512_loadu_si512(of.as_ptr().cast())) }
    }

    #[inline(always)]
    fn add_words(Words(a): Words, Words(b): Words) -> Words {
        instructions! { Words(_mm512_add_epi32(a, b)) }
    }

    #[inline(always)]
    unsafe fn write_stochastic(self, to: *mut u16, Words(random): Words) {
        // SAFETY: the caller's promise for the memory; the type is the proof of the features.
        unsafe {
            let bits = _mm512_add_epi32(_mm512_castps_si512(self.0), _mm512_srli_epi32::<19>(random));
            let halves = _mm512_cvtps_ph::<_MM_FROUND_TO_ZERO>(_mm512_castsi512_ps(bits));
            _mm256_storeu_si256(to.cast(), halves);
        }
    }

    #[inline(always)]
    unsafe fn read_halves(from: *const u16) -> Self {
        // SAFETY: the caller's promise for the memory; the type is the proof of the features.
        unsafe { Self(_mm512_cvtph_ps(_mm256_loadu_si256(from.cast()))) }
    }
}

impl Part<Avx512> for Avx2 {
    #[inline(always)]
    fn folded(Avx512(of): Avx512) -> Self {
        instructions! {
            Self(_mm256_add_ps(_mm512_castps512_ps256(of), _mm512_extractf32x8_ps::<1>(of)))
        }
    }

    #[inline(always)]
    fn first_words(Words(of): Words) -> avx2::Words {
        instructions! { avx2::Words(_mm512_castsi512_si256(of)) }
    }
}
