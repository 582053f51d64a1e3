//! The families of networks: the layers below the head. Each family has its three paths side by
//! side.
//!
//! | path | computes | on |
//! | --- | --- | --- |
//! | `serve` | one reading each of many series, from and to the rows of an arena | the CPU's kernels |
//! | `train` | a whole chunk forward, and its gradient back | the CPU's kernels |
//! | `device` | both, with the tensor library's operations | any device |

pub(super) mod body;
pub(super) mod convolved;
pub(super) mod device;
pub(super) mod map;
pub(super) mod recurrent;
pub(super) mod rows;
pub(super) mod wavenet;
pub(super) mod window;
