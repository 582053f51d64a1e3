//! Which instruction sets the CPU has, and kernels that run with one of them.

use std::fmt;
use std::sync::OnceLock;

use super::by_eight::Vector8;
use super::halves::Halves;
use super::rows::Eight;
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};
use super::{portable::Portable, vector::Vector};

/// What [`Isa::best`] answers once [`Isa::settle`] was called.
static SETTLED: OnceLock<Isa> = OnceLock::new();

/// An instruction set that this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Set);

/// Private, so that only [`Isa::available`] makes those that need to be detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// AVX-512 F, DQ and VL, and what [`Set::Avx2`] has.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

/// Work that is written over vectors of any width.
pub(crate) trait Kernel {
    type Output;

    /// Implementations are `#[inline(always)]`, so that they are compiled with the features of `V`. The
    /// same goes for what they call with vectors: `for` loops instead of closures, which stand alone.
    fn run<V: Vector>(self) -> Self::Output;
}

/// Work that is written over vectors of eight floats, whose layout in memory has that width.
pub(crate) trait KernelByEight {
    type Output;

    /// As in [`Kernel`], implementations are `#[inline(always)]`.
    fn run<V: Vector8>(self) -> Self::Output;
}

/// Work over rows of 16-bit floats, whose layout in memory has whole vectors of eight.
pub(crate) trait KernelOfHalves {
    type Output;

    /// With the eight lanes of [`Isa::run_by_eight`] and, for what is long enough, the widest vectors. As in
    /// [`Kernel`], implementations are `#[inline(always)]`.
    fn run<V: Eight<W>, W: Halves>(self) -> Self::Output;
}

impl Isa {
    /// Plain arithmetic, which compilers vectorise. Every CPU has it.
    pub const PORTABLE: Self = Self(Set::Portable);

    /// All that this CPU has, the widest first.
    pub fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let (avx2, avx512) = (
            is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c"),
            is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl"),
        );
        [
            #[cfg(target_arch = "x86_64")]
            (avx2 && avx512).then_some(Set::Avx512),
            #[cfg(target_arch = "x86_64")]
            avx2.then_some(Set::Avx2),
            Some(Set::Portable),
        ]
        .into_iter()
        .flatten()
        .map(Self)
    }

    /// The one with this name.
    ///
    /// # Errors
    /// [`NoSuchIsa`] when this CPU does not have it, or none has the name.
    pub fn named(name: &str) -> Result<Self, NoSuchIsa> {
        Self::available().find(|isa| isa.to_string() == name).ok_or_else(|| NoSuchIsa(name.to_owned()))
    }

    /// The one that kernels run with unless another is given to them: the settled one, or the widest that
    /// this CPU has.
    pub fn best() -> Self {
        SETTLED.get().copied().or_else(|| Self::available().next()).unwrap_or(Self::PORTABLE)
    }

    /// Makes it [`Isa::best`] for the rest of the process. A program calls it once, before its first kernel;
    /// of several calls the first counts.
    pub fn settle(self) {
        let _ = SETTLED.set(self);
    }

    /// Floats in a vector: packed weights and rows of scratch memory are padded to a multiple of it.
    pub(crate) fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => Avx512::N,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => Avx2::N,
            Set::Portable => Portable::N,
        }
    }

    /// `n` rounded up to whole vectors.
    pub(crate) fn padded(self, n: usize) -> usize {
        n.next_multiple_of(self.lanes())
    }

    /// Runs a kernel with this instruction set.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512dq")]
        fn avx512<K: Kernel>(kernel: K) -> K::Output {
            kernel.run::<Avx512>()
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2<K: Kernel>(kernel: K) -> K::Output {
            kernel.run::<Avx2>()
        }
        match self.0 {
            // SAFETY: `available` made this value, having detected the features.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { avx512(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { avx2(kernel) },
            Set::Portable => kernel.run::<Portable>(),
        }
    }

    /// Runs a kernel with the eight lanes that this instruction set has: AVX2's where it is AVX-512.
    pub(crate) fn run_by_eight<K: KernelByEight>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn avx2<K: KernelByEight>(kernel: K) -> K::Output {
            kernel.run::<Avx2>()
        }
        match self.0 {
            // SAFETY: `available` made this value, having detected the features, AVX2's for both.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 | Set::Avx2 => unsafe { avx2(kernel) },
            Set::Portable => kernel.run::<Portable>(),
        }
    }

    /// Runs a kernel over rows of 16-bit floats with this instruction set.
    pub(crate) fn run_halves<K: KernelOfHalves>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma,f16c")]
        fn avx512<K: KernelOfHalves>(kernel: K) -> K::Output {
            kernel.run::<Avx2, Avx512>()
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn avx2<K: KernelOfHalves>(kernel: K) -> K::Output {
            kernel.run::<Avx2, Avx2>()
        }
        match self.0 {
            // SAFETY: `available` made this value, having detected the features, AVX2's for both.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { avx512(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { avx2(kernel) },
            Set::Portable => kernel.run::<Portable, Portable>(),
        }
    }
}

/// The name that [`Isa::named`] finds it by.
impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            Set::Portable => "portable",
        })
    }
}

/// An instruction set that was asked for and can't be had.
#[derive(Debug, PartialEq, Eq)]
pub struct NoSuchIsa(String);

impl fmt::Display for NoSuchIsa {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let available: Vec<String> = Isa::available().map(|isa| isa.to_string()).collect();
        write!(f, "this CPU has no instruction set {:?}; it has {}", self.0, available.join(", "))
    }
}

impl std::error::Error for NoSuchIsa {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_found_by_its_name_and_no_other() {
        for isa in Isa::available() {
            assert_eq!(Isa::named(&isa.to_string()), Ok(isa));
        }
        let missing = Isa::named("sse9").unwrap_err().to_string();
        assert!(missing.contains("\"sse9\"") && missing.contains("portable"), "{missing}");
    }
}
