//! Dense layers on the last readings.

pub(in crate::nn) mod device;
pub(in crate::nn) mod serve;
pub(in crate::nn) mod train;
