//! Whether one forecast is better than another, from losses on the same targets.

mod diebold;
mod promotion;
mod student;
#[cfg(test)]
mod tests;

pub use diebold::{Compared, diebold_mariano};
pub use promotion::{Promotion, Verdict};
