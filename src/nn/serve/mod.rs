//! Serving: a step takes one reading each of many series and advances their states.
//!
//! Owns the packed weights and the scratch memory. Promises, with the kernels, that a row of a
//! batch has the same bits as if it were alone, and that nothing is allocated after the first step
//! of full size. Never changes weights.

mod device;
mod kernels;

use super::error::check_length;
use super::{Arena, Blueprint, Device, Error, Weights};
use crate::simd::Isa;
use device::DeviceServing;
use kernels::KernelServing;

/// A network ready to serve. Each thread needs its own.
pub struct Network {
    blueprint: Blueprint,
    device: Device,
    engine: Engine,
    /// For each slot the number of the last step that it took part in, to detect repeated slots.
    seen: Vec<u32>,
    step: u32,
}

/// How it computes.
enum Engine {
    Kernels(Box<KernelServing>),
    Device(Box<DeviceServing>),
}

impl Network {
    /// On the CPU, with the best instruction set.
    pub fn new(weights: &Weights) -> Self {
        Self::with(Isa::best(), weights)
    }

    /// On the CPU, with this instruction set.
    pub fn with(isa: Isa, weights: &Weights) -> Self {
        Self::of(Device::cpu(), Engine::Kernels(Box::new(KernelServing::new(isa, weights))), weights)
    }

    /// On a device; the arenas that it steps must lie there.
    ///
    /// # Errors
    /// When the device refuses the weights.
    pub fn on(device: &Device, weights: &Weights) -> Result<Self, Error> {
        Ok(match device.library() {
            None => Self::new(weights),
            Some(library) => {
                let engine = Engine::Device(Box::new(DeviceServing::new(weights, library)?));
                Self::of(device.clone(), engine, weights)
            }
        })
    }

    fn of(device: Device, engine: Engine, weights: &Weights) -> Self {
        Self { blueprint: *weights.blueprint(), device, engine, seen: Vec::new(), step: 0 }
    }

    /// Its shape.
    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// Advances the series in `slots` by one reading each: `x` is `[n, inputs]`, `y` becomes
    /// `[n, outputs]`, and nothing else leaves the device. A value of `x` that is not finite can spoil
    /// its own row of `y`, never a state.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Slot`], [`Error::RepeatedSlot`], [`Error::Arena`],
    /// [`Error::Elsewhere`]; the states are then as they were. [`Error::Tensor`] when the device fails.
    pub fn step(&mut self, arena: &mut Arena, slots: &[u32], x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        let b = self.blueprint;
        check_length("features", slots.len() * b.inputs(), x.len())?;
        check_length("outputs", slots.len() * b.outputs(), y.len())?;
        if arena.row_width() != b.row_width() {
            return Err(Error::Arena { arena: arena.row_width(), network: b.row_width() });
        }
        if !arena.device().is(&self.device) {
            let (arena, network) = (arena.device().name(), self.device.name());
            return Err(Error::Elsewhere { arena, network });
        }
        self.check_slots(arena, slots)?;
        match &mut self.engine {
            Engine::Kernels(network) => Ok(arena.in_place().inplace_op1(&network.step(slots, x, y))?),
            Engine::Device(network) => Ok(network.step(arena.rows(), slots, x, y)?),
        }
    }

    fn check_slots(&mut self, arena: &Arena, slots: &[u32]) -> Result<(), Error> {
        if self.seen.len() < arena.slots() {
            self.seen.resize(arena.slots().next_power_of_two(), 0);
        }
        self.step = self.step.wrapping_add(1);
        if self.step == 0 {
            self.seen.fill(0);
            self.step = 1;
        }
        for slot in slots {
            if *slot as usize >= arena.slots() {
                return Err(Error::Slot { slot: *slot as usize, slots: arena.slots() });
            }
            if std::mem::replace(&mut self.seen[*slot as usize], self.step) == self.step {
                return Err(Error::RepeatedSlot(*slot));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::samples;
    use super::super::weights::waves;
    use super::*;

    #[test]
    fn every_instruction_set_serves_the_same() {
        for (hidden, outputs) in [(1, 1), (9, 17), (32, 24), (45, 70)] {
            for b in samples(5, hidden, outputs) {
                let weights = waves(&b);
                let slots: Vec<u32> = (0..101).rev().collect();
                let run = |isa: Isa| {
                    let mut network = Network::with(isa, &weights);
                    let mut arena = Arena::new(&b).unwrap();
                    arena.grow(slots.len()).unwrap();
                    let mut y = vec![0.0; slots.len() * outputs];
                    for t in 0..20 {
                        let x: Vec<f32> =
                            (0..slots.len() * 5).map(|i| ((i + 31 * t) as f32 * 0.7).sin()).collect();
                        network.step(&mut arena, &slots, &x, &mut y).unwrap();
                    }
                    y
                };
                // A norm over one unit divides a rounding error by almost nothing.
                let y = run(Isa::PORTABLE);
                for isa in Isa::available() {
                    for (a, o) in y.iter().zip(run(isa)) {
                        assert!((a - o).abs() < 1e-4 * (1.0 + a.abs()), "{isa:?} {b:?}: {a} {o}");
                    }
                }
            }
        }
    }
}
