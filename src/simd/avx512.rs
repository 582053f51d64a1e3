//! Sixteen floats in a register of AVX-512.

use std::arch::asm;
use std::arch::x86_64::*;

use super::avx2::{self, Avx2};
use super::halves::{Halves, Part};
use super::lanes::LANES;
use super::rows::Eight;
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

/// As that of AVX2, and for the same reason.
#[inline]
#[target_feature(enable = "avx512f")]
fn truncated(bits: __m512i) -> __m256i {
    let halves;
    // SAFETY: it changes no memory; a kernel gets its vectors from `Isa` alone, which has detected AVX-512 F.
    unsafe {
        asm!(
            "vcvtps2ph {halves}, {bits}, 3",
            halves = lateout(ymm_reg) halves,
            bits = in(zmm_reg) bits,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    halves
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
            let halves = truncated(bits);
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
    fn first_words(Words(of): Words) -> avx2::Words {
        instructions! { avx2::Words(_mm512_castsi512_si256(of)) }
    }
}

impl Eight<Avx512> for Avx2 {
    #[inline(always)]
    fn widened(self) -> Avx512 {
        instructions! { Avx512(_mm512_zextps256_ps512(self.0)) }
    }

    #[inline(always)]
    fn folded(Avx512(of): Avx512) -> Self {
        instructions! { Self(_mm256_add_ps(_mm512_castps512_ps256(of), _mm512_extractf32x8_ps::<1>(of))) }
    }

    #[inline(always)]
    fn wide_sums(of: [Avx512; LANES]) -> Self {
        instructions! {
            // In each quarter the sums of that quarter of four vectors.
            let mut fours = [_mm512_setzero_ps(); 2];
            for (four, of) in fours.iter_mut().zip(of.as_chunks::<4>().0) {
                let [Avx512(a), Avx512(b), Avx512(c), Avx512(d)] = *of;
                let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
                let low = _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd);
                *four = _mm512_add_ps(low, _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd));
            }
            let [a, b] = fours;
            let low = _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b);
            let all = _mm512_add_ps(low, _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b));
            // The quarters are two sums of the first four vectors and two of the others.
            let all = _mm512_shuffle_f32x4::<0b11_01_10_00>(all, all);
            Self::folded(Avx512(all))
        }
    }
}
