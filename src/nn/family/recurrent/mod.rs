//! Recurrent layers that step at every reading.

pub(in crate::nn) mod device;
pub(in crate::nn) mod serve;
pub(in crate::nn) mod train;
