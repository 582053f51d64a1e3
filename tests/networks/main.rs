//! The networks' exactness: streaming against whole sequences, devices against kernels, both
//! against PyTorch and finite differences; and tasks that each family must learn.

mod device;
#[path = "../support/families.rs"]
mod families;
mod golden;
mod gradients;
mod learning;
mod oracle;
mod streaming;
#[path = "../support/mod.rs"]
mod support;
