//! A strided causal convolution in front of recurrent layers.

pub(in crate::nn) mod device;
pub(in crate::nn) mod serve;
pub(in crate::nn) mod strides;
pub(in crate::nn) mod train;
