//! One linear map to all outputs.

pub(in crate::nn) mod device;
pub(in crate::nn) mod serve;
pub(in crate::nn) mod train;
