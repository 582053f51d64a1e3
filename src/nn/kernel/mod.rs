//! The arithmetic of serving and training on the CPU: products with packed weights, fused with the
//! gates. Each kernel is written once over [`Vector`](crate::simd::Vector) and runs with the CPU's
//! best instruction set. A kernel checks its shapes first and panics if they don't fit.
//!
//! Promises: a row's result depends on nothing but the row (every product is summed in the order
//! of its weights, whatever the batch); nothing allocates; nothing starts a thread.

mod before;
mod cell;
mod math;
mod norm;
mod outer;
mod packed;
mod reverse;
mod rows;
mod scattered;
mod standardise;

pub(super) use before::{BeforePack, CandidateReverse, CandidateRows, ResetReverse, ResetRows};
pub(super) use cell::{CellPack, CellTile, gate_orders, sum_biases};
pub(super) use norm::{LayerNorm, NormRows, NormSaved};
pub(super) use outer::outer_sum;
pub(super) use packed::{Operand, Packed, Product, stacked};
pub(super) use reverse::{GainGradients, NormReverse, Reverse};
pub(super) use rows::{GateReverse, GateRows, Slopes};
pub(super) use scattered::{Gather, RowParts, Scatter, prefetch_rows};
pub(super) use standardise::Standardise;
