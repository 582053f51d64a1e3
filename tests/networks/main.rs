//! Every network is exact: one reading at a time as a whole sequence, on every device, against PyTorch
//! and finite differences; and it learns what it should.

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
