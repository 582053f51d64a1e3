//! What commands print: lines, columns, a progress bar, and the failure that ends a command.
//!
//! Results go to standard output, everything else to standard error. Promise: a reader that closes the pipe early,
//! as `head` does, never ends a command.

#![forbid(unsafe_code)]

/// `println!` for all commands; see [`print_line`].
macro_rules! say {
    ($($words:tt)*) => { $crate::console::print_line(format_args!($($words)*)) };
}
pub(crate) use say;

mod columns;
mod failure;
mod line;
mod progress;
mod size;

pub(crate) use columns::{print_columns, right_aligned};
pub(crate) use failure::Failure;
pub(crate) use line::print_line;
pub(crate) use progress::Progress;
pub(crate) use size::size;
