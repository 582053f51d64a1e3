//! The device that holds a network's states and parameters, and how it computes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::Error;

/// The CPU with the kernels of this room, or a device of the tensor library with its own operations.
/// Cheap to clone: all clones are one device.
#[derive(Clone, Debug, Default)]
pub struct Device(Backend);

#[derive(Clone, Debug, Default)]
enum Backend {
    #[default]
    Kernels,
    Library(candle_core::Device),
}

/// Open GPUs by number. Tensors of two handles of one GPU can't meet in an operation, so a process
/// opens each GPU once.
static OPEN: Mutex<BTreeMap<usize, candle_core::Device>> = Mutex::new(BTreeMap::new());

impl Device {
    /// The CPU, with the kernels of this room.
    pub fn cpu() -> Self {
        Self(Backend::Kernels)
    }

    /// The CPU with the tensor library's own operations: the computation of a GPU on a machine
    /// without one. Many times slower than the kernels; it allocates and may start threads.
    pub fn composed() -> Self {
        Self(Backend::Library(candle_core::Device::Cpu))
    }

    /// The GPU of this number.
    ///
    /// # Errors
    /// [`Error::Device`] when there is no such GPU, or the program was built without the feature `cuda`.
    pub fn cuda(number: usize) -> Result<Self, Error> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = open.get(&number) {
            return Ok(Self(Backend::Library(device.clone())));
        }
        let device = candle_core::Device::new_cuda(number)
            .map_err(|cause| Error::Device { device: format!("cuda:{number}"), cause: cause.into() })?;
        open.insert(number, device.clone());
        Ok(Self(Backend::Library(device)))
    }

    /// The first GPU where there is one that this program can use, else the CPU.
    pub fn auto() -> Self {
        Self::cuda(0).unwrap_or_default()
    }

    /// Its name in the config.
    pub fn name(&self) -> String {
        match &self.0 {
            Backend::Kernels => "cpu".to_owned(),
            Backend::Library(device) => match device.location() {
                candle_core::DeviceLocation::Cpu => "cpu, composed".to_owned(),
                candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
                candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
            },
        }
    }

    /// Whether both are the same device and compute in the same way.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Backend::Kernels, Backend::Kernels) => true,
            (Backend::Library(a), Backend::Library(b)) => a.same_device(b),
            _ => false,
        }
    }

    /// The library's device; `None` where the kernels compute.
    pub(super) fn library(&self) -> Option<&candle_core::Device> {
        match &self.0 {
            Backend::Kernels => None,
            Backend::Library(device) => Some(device),
        }
    }

    /// The device of the tensors.
    pub(super) fn memory(&self) -> &candle_core::Device {
        self.library().unwrap_or(&candle_core::Device::Cpu)
    }
}
