//! A cell that unrolls the leads from the state that a reading left.

pub(in crate::nn) mod device;
pub(in crate::nn) mod serve;
pub(in crate::nn) mod train;
