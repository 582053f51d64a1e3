//! Vectors of floats, the choice of an instruction set at run time, aligned memory and prefetches.
//!
//! Owns the numeric `unsafe` code: no room that computes has any of its own. Promises that whatever
//! safe code does with this room's types is sound.
//!
//! A kernel is written once, over [`Vector`], and compiled for every instruction set. [`Isa`] finds out
//! which of them the CPU has, and runs the kernel with one of them: the widest, or the one that the program
//! has settled on at its start. The proof that the CPU has what an
//! instruction needs is the type: the vectors of x86 are private to this room, so a kernel can only get
//! one of them from [`Isa::run`], [`Isa::run_by_eight`] or [`Isa::run_halves`], after the features were detected.
//!
//! ```text
//! Isa::best().run(kernel) ─ AVX-512 ─ Kernel::run::<Avx512>   16 lanes
//!                         ├ AVX2 ──── Kernel::run::<Avx2>      8 lanes
//!                         └ any CPU ─ Kernel::run::<Portable>  8 lanes
//! ```
//!
//! Every operation that isn't exact states its error. Sums over lanes always have the same order.

#![allow(unsafe_code, reason = "the room that owns the numeric unsafe code")]

mod aligned;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod by_eight;
mod halves;
mod isa;
mod lanes;
mod portable;
mod prefetch;
mod product;
mod random;
mod registers;
mod rows;
mod vector;

pub(crate) use aligned::Aligned;
pub(crate) use by_eight::Vector8;
pub(crate) use halves::{Halves, Part};
pub use isa::Isa;
pub(crate) use isa::{Kernel, KernelByEight, KernelOfHalves};
pub(crate) use lanes::{LANES, padded, registers, registers_mut};
pub(crate) use prefetch::{prefetch_first, prefetch_second};
pub(crate) use product::{Walk, accumulate, accumulate_across, in_row_groups};
pub(crate) use random::Random;
pub(crate) use registers::Registers;
pub(crate) use rows::{Eight, moved, products};
pub(crate) use vector::Vector;
