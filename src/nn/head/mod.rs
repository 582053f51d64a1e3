//! The heads of networks: they make forecasts of what a family's layers left. Each has the same three
//! paths as a family.

pub(super) mod decoder;
pub(super) mod direct;
