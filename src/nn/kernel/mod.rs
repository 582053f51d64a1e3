//! The arithmetic of serving and training on the CPU: products with packed weights, fused with the
//! gates. Written once over [`Lanes`], compiled for AVX-512, AVX2 with FMA, and any CPU; which one
//! runs is found out at run time.
//!
//! Promises: a row's result depends on nothing but the row (every product is summed in the order
//! of its weights, whatever the batch); nothing allocates; nothing starts a thread.

mod aligned;
mod before;
mod cell;
mod lanes;
mod math;
mod norm;
mod outer;
mod packed;
mod reverse;
mod rows;
mod scattered;
mod standardise;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use aligned::Aligned;
pub(super) use before::{BeforePack, CandidateReverse, CandidateRows, ResetReverse, ResetRows};
pub(super) use cell::{CellPack, CellTile, gate_orders, sum_biases};
pub(super) use norm::{LayerNorm, NormRows, NormSaved};
pub(super) use outer::OuterSum;
pub(super) use packed::{Operand, Packed, Product};
pub(super) use reverse::{GainGradients, NormReverse, Reverse};
pub(super) use rows::{GateReverse, GateRows, Slopes};
pub(super) use scattered::{Gather, Places, Scatter, fetch};
pub(super) use standardise::Standardise;

use lanes::{Lanes, Portable};

/// An instruction set that a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

/// Work that is written over [`Lanes`].
pub(super) trait Kernel {
    type Output;

    /// # Safety
    /// The CPU has the features of `V`. Implementations are `#[inline(always)]`, so that they are
    /// compiled with those features.
    unsafe fn run<V: Lanes>(self) -> Self::Output;
}

impl Isa {
    /// All that this CPU has, the fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        [
            #[cfg(target_arch = "x86_64")]
            (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq"))
                .then_some(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self::Avx2),
            Some(Self::Portable),
        ]
        .into_iter()
        .flatten()
    }

    /// The fastest that this CPU has.
    pub fn best() -> Self {
        Self::available().next().unwrap_or(Self::Portable)
    }

    /// Floats in a register: what packed weights and scratch rows are padded to.
    pub fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => x86::Avx512::N,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::Avx2::N,
            Self::Portable => Portable::N,
        }
    }

    /// `n` rounded up to whole registers.
    pub fn padded(self, n: usize) -> usize {
        n.next_multiple_of(self.lanes())
    }

    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512dq")]
        unsafe fn avx512<K: Kernel>(kernel: K) -> K::Output {
            unsafe { kernel.run::<x86::Avx512>() }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2<K: Kernel>(kernel: K) -> K::Output {
            unsafe { kernel.run::<x86::Avx2>() }
        }
        // SAFETY: an `Isa` other than `Portable` comes from `available` alone.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => avx512(kernel),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => avx2(kernel),
                Self::Portable => kernel.run::<Portable>(),
            }
        }
    }
}
