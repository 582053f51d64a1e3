//! Eight floats that are computed together, so that a kernel is written once and compiled for AVX2
//! with FMA and F16C, and for any CPU; which one runs is found out at run time. Everything is
//! summed in one order, whatever the data.

/// Floats in a register; rows that kernels read are padded to it.
pub(super) const LANES: usize = 8;

/// Rounds up to whole registers.
pub(super) fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// # Safety
/// Calling anything of an implementation needs the CPU features that it is named for. All is
/// inlined into a function that has them enabled.
pub(super) trait Lanes: Copy {
    unsafe fn splat(v: f32) -> Self;
    unsafe fn load(p: &[f32; LANES]) -> Self;
    unsafe fn store(self, p: &mut [f32; LANES]);
    /// From 16-bit floats.
    unsafe fn widen(p: &[u16; LANES]) -> Self;
    /// To the nearest 16-bit floats.
    unsafe fn narrow(self, p: &mut [u16; LANES]);
    unsafe fn add(self, b: Self) -> Self;
    unsafe fn sub(self, b: Self) -> Self;
    unsafe fn mul(self, b: Self) -> Self;
    unsafe fn div(self, b: Self) -> Self;
    /// The larger; `b` where either is not a number.
    unsafe fn max(self, b: Self) -> Self;
    /// The smaller; `b` where either is not a number.
    unsafe fn min(self, b: Self) -> Self;
    /// `yes` where `self` is above `than`, else `no`, which it is too where either is not a number.
    unsafe fn if_above(self, than: Self, yes: Self, no: Self) -> Self;
    /// `self · b + c`
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// `c − self · b`
    unsafe fn neg_mul_add(self, b: Self, c: Self) -> Self;
    /// The sums of eight registers, one a lane.
    unsafe fn sums(of: [Self; LANES]) -> Self;
    unsafe fn sum(self) -> f32;
}

/// For any CPU.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; LANES]);

impl Lanes for Portable {
    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        Self([v; LANES])
    }

    #[inline(always)]
    unsafe fn load(p: &[f32; LANES]) -> Self {
        Self(*p)
    }

    #[inline(always)]
    unsafe fn store(self, p: &mut [f32; LANES]) {
        *p = self.0;
    }

    #[inline(always)]
    unsafe fn widen(p: &[u16; LANES]) -> Self {
        Self(p.map(|h| half::f16::from_bits(h).to_f32()))
    }

    #[inline(always)]
    unsafe fn narrow(self, p: &mut [u16; LANES]) {
        *p = self.0.map(|v| half::f16::from_f32(v).to_bits());
    }

    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Self(std::array::from_fn(|l| self.0[l] + b.0[l]))
    }

    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        Self(std::array::from_fn(|l| self.0[l] - b.0[l]))
    }

    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        Self(std::array::from_fn(|l| self.0[l] * b.0[l]))
    }

    #[inline(always)]
    unsafe fn div(self, b: Self) -> Self {
        Self(std::array::from_fn(|l| self.0[l] / b.0[l]))
    }

    #[inline(always)]
    unsafe fn max(self, b: Self) -> Self {
        Self(std::array::from_fn(|l| if self.0[l] > b.0[l] { self.0[l] } else { b.0[l] }))
    }

    #[inline(always)]
    unsafe fn min(self, b: Self) -> Self {
        Self(std::array::from_fn(|l| if self.0[l] < b.0[l] { self.0[l] } else { b.0[l] }))
    }

    #[inline(always)]
    unsafe fn if_above(self, than: Self, yes: Self, no: Self) -> Self {
        Self(std::array::from_fn(|l| if self.0[l] > than.0[l] { yes.0[l] } else { no.0[l] }))
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|l| self.0[l] * b.0[l] + c.0[l]))
    }

    #[inline(always)]
    unsafe fn neg_mul_add(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|l| c.0[l] - self.0[l] * b.0[l]))
    }

    #[inline(always)]
    unsafe fn sums(of: [Self; LANES]) -> Self {
        Self(of.map(|v| unsafe { v.sum() }))
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let v = self.0;
        ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LANES, Lanes};
    use std::arch::x86_64::*;

    /// AVX2, FMA and F16C.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256);

    impl Lanes for Avx2 {
        #[inline(always)]
        unsafe fn splat(v: f32) -> Self {
            unsafe { Self(_mm256_set1_ps(v)) }
        }

        #[inline(always)]
        unsafe fn load(p: &[f32; LANES]) -> Self {
            unsafe { Self(_mm256_loadu_ps(p.as_ptr())) }
        }

        #[inline(always)]
        unsafe fn store(self, p: &mut [f32; LANES]) {
            unsafe { _mm256_storeu_ps(p.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        unsafe fn widen(p: &[u16; LANES]) -> Self {
            unsafe { Self(_mm256_cvtph_ps(_mm_loadu_si128(p.as_ptr().cast()))) }
        }

        #[inline(always)]
        unsafe fn narrow(self, p: &mut [u16; LANES]) {
            unsafe {
                let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0);
                _mm_storeu_si128(p.as_mut_ptr().cast(), halves);
            }
        }

        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            unsafe { Self(_mm256_add_ps(self.0, b.0)) }
        }

        #[inline(always)]
        unsafe fn sub(self, b: Self) -> Self {
            unsafe { Self(_mm256_sub_ps(self.0, b.0)) }
        }

        #[inline(always)]
        unsafe fn mul(self, b: Self) -> Self {
            unsafe { Self(_mm256_mul_ps(self.0, b.0)) }
        }

        #[inline(always)]
        unsafe fn div(self, b: Self) -> Self {
            unsafe { Self(_mm256_div_ps(self.0, b.0)) }
        }

        #[inline(always)]
        unsafe fn max(self, b: Self) -> Self {
            unsafe { Self(_mm256_max_ps(self.0, b.0)) }
        }

        #[inline(always)]
        unsafe fn min(self, b: Self) -> Self {
            unsafe { Self(_mm256_min_ps(self.0, b.0)) }
        }

        #[inline(always)]
        unsafe fn if_above(self, than: Self, yes: Self, no: Self) -> Self {
            unsafe {
                let above = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, than.0);
                Self(_mm256_blendv_ps(no.0, yes.0, above))
            }
        }

        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            unsafe { Self(_mm256_fmadd_ps(self.0, b.0, c.0)) }
        }

        #[inline(always)]
        unsafe fn neg_mul_add(self, b: Self, c: Self) -> Self {
            unsafe { Self(_mm256_fnmadd_ps(self.0, b.0, c.0)) }
        }

        #[inline(always)]
        unsafe fn sums(of: [Self; LANES]) -> Self {
            unsafe {
                let [a, b, c, d, e, f, g, h] = of.map(|v| v.0);
                let (ab, cd) = (_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
                let (ef, gh) = (_mm256_hadd_ps(e, f), _mm256_hadd_ps(g, h));
                let (low, high) = (_mm256_hadd_ps(ab, cd), _mm256_hadd_ps(ef, gh));
                let mixed = _mm256_permute2f128_ps::<0x21>(low, high);
                Self(_mm256_add_ps(mixed, _mm256_blend_ps::<0xF0>(low, high)))
            }
        }

        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            unsafe {
                let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
            }
        }
    }
}

/// An instruction set that a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

/// Work that is written over [`Lanes`].
pub(super) trait Kernel {
    type Output;

    /// # Safety
    /// The CPU has the features of `V`. Implementations are `#[inline(always)]`.
    unsafe fn run<V: Lanes>(self) -> Self::Output;
}

impl Isa {
    /// The fastest that this CPU has.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
        {
            return Self::Avx2;
        }
        Self::Portable
    }

    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2<K: Kernel>(kernel: K) -> K::Output {
            unsafe { kernel.run::<x86::Avx2>() }
        }
        // SAFETY: `Avx2` comes from `best` alone, which has looked for its features.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => avx2(kernel),
                Self::Portable => kernel.run::<Portable>(),
            }
        }
    }
}

/// A row as whole registers; its length is a multiple of [`LANES`].
#[inline(always)]
pub(super) fn registers<T>(row: &[T]) -> &[[T; LANES]] {
    let (registers, rest) = row.as_chunks();
    debug_assert!(rest.is_empty());
    registers
}

/// As [`registers`].
#[inline(always)]
pub(super) fn registers_mut<T>(row: &mut [T]) -> &mut [[T; LANES]] {
    let (registers, rest) = row.as_chunks_mut();
    debug_assert!(rest.is_empty());
    registers
}

#[cfg(test)]
mod tests {
    use super::*;

    struct All<'a>(&'a mut [f32; LANES], &'a mut [u16; LANES]);

    impl Kernel for All<'_> {
        type Output = f32;

        #[inline(always)]
        unsafe fn run<V: Lanes>(self) -> f32 {
            unsafe {
                let a = V::load(self.0);
                let rows = std::array::from_fn(|i| a.mul(V::splat(i as f32)));
                a.mul_add(a, V::splat(1.0)).narrow(self.1);
                let wild = a.sub(V::splat(0.5)).div(V::splat(0.0)).mul(V::splat(0.0));
                let bounded = wild.max(V::splat(-4.0)).min(a.add(V::splat(1.0)));
                a.if_above(wild, V::splat(9.0), bounded).store(self.0);
                let a = a.add(V::load(self.0));
                V::sums(rows).add(V::widen(self.1)).store(self.0);
                a.neg_mul_add(a, V::splat(0.5)).sum()
            }
        }
    }

    #[test]
    fn every_instruction_set_computes_the_same() {
        let mut seen = Vec::new();
        for isa in [Isa::best(), Isa::Portable] {
            let (mut values, mut halves) = ([0.5, 1.0, -2.0, 3.0, 0.25, -1.5, 8.0, 6.0], [0; LANES]);
            let sum = isa.run(All(&mut values, &mut halves));
            seen.push((sum, values, halves));
        }
        assert_eq!(seen[0], seen[1]);
        assert!(seen[0].1.iter().all(|v| v.is_finite()), "{seen:?}");
    }
}
