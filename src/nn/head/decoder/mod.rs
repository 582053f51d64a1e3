//! The decoder: a cell that starts from the state after a reading and steps once for each lead.

pub(in crate::nn) mod device;
pub(in crate::nn) mod serve;
pub(in crate::nn) mod train;
