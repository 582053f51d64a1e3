//! Whether one forecast is better than another, from losses on the same targets.

mod diebold_mariano;
mod promotion_test;
mod student;
#[cfg(test)]
mod tests;

pub use diebold_mariano::{DieboldMariano, diebold_mariano};
pub use promotion_test::{PromotionTest, Verdict};
