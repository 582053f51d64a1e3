//! Which instruction set the kernels of networks run with: the one that is asked for, or the fastest.
//!
//! The fastest is measured, because the widest is not the fastest on every CPU. Two sets round sums
//! differently: after a restart on another one, forecasts may differ in their last bits, as they do on
//! another machine. Nothing is lost or answered twice, and states go on from the snapshot. What the
//! measurement finds must not change with the neighbours' noise, so a narrower set has to be clearly faster.

use std::time::{Duration, Instant};

use crate::console::Failure;
use crate::nn::{Arena, Blueprint, Cell, Isa, Network, Norm, Weights};
use clap::Args;

/// Rounds in which every set steps once; the fastest of a set's rounds counts.
const ROUNDS: usize = 15;

/// Series that step at once.
const SERIES: usize = 96;

/// How many times as fast a narrower set must be.
const CLEARLY: f64 = 1.1;

#[derive(Debug, Args)]
pub(super) struct InstructionSet {
    /// The instruction set of the networks' kernels: avx512, avx2 or portable. By default the fastest is
    /// measured at the start, which takes a few milliseconds.
    #[arg(long = "isa", global = true, value_name = "SET", env = "TIDECAST_ISA", value_parser = Isa::named)]
    asked: Option<Isa>,
}

/// The set that all kernels use from now on, and how it was found.
pub(super) struct Settled {
    pub isa: Isa,
    /// Time of a step with each set, the widest first; empty when the set was asked for.
    pub measured: Vec<(Isa, Duration)>,
}

impl InstructionSet {
    /// Settles on a set. Called before anything is computed.
    ///
    /// # Errors
    /// When the network that is measured can't be made.
    pub fn settle(&self) -> Result<Settled, Failure> {
        let settled = match self.asked {
            Some(isa) => Settled { isa, measured: Vec::new() },
            None => {
                let measured = measure().map_err(Failure::new)?;
                Settled { isa: fastest(&measured), measured }
            }
        };
        settled.isa.settle();
        Ok(settled)
    }
}

/// The widest set, unless another is clearly faster.
fn fastest(measured: &[(Isa, Duration)]) -> Isa {
    let mut best = measured.first().copied();
    for &(isa, time) in measured {
        if best.is_none_or(|(_, least)| time.mul_f64(CLEARLY) < least) {
            best = Some((isa, time));
        }
    }
    best.map_or_else(Isa::best, |(isa, _)| isa)
}

/// Times a step of the usual LSTM with every set that this CPU has, in turn.
fn measure() -> Result<Vec<(Isa, Duration)>, crate::nn::Error> {
    const INPUTS: usize = 8;
    let blueprint = Blueprint::try_new(Cell::Lstm, Norm::None, INPUTS, 64, 1, 1)?;
    let weights = Weights::initial(&blueprint, 1);
    let slots: Vec<u32> = (0..SERIES as u32).collect();
    let x: Vec<f32> = (0..SERIES * INPUTS).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut arena = Arena::new(&blueprint)?;
    arena.grow(SERIES)?;
    let mut contestants: Vec<(Network, (Isa, Duration))> =
        Isa::available().map(|isa| (Network::with(isa, &weights), (isa, Duration::MAX))).collect();
    let mut y = vec![0.0; SERIES];
    for _ in 0..ROUNDS {
        for (network, (_, least)) in &mut contestants {
            let start = Instant::now();
            network.step(&mut arena, &slots, &x, &mut y)?;
            *least = (*least).min(start.elapsed());
        }
    }
    Ok(contestants.into_iter().map(|(_, measured)| measured).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The choice is made from one measurement and judged by others.
    #[test]
    fn none_is_clearly_faster_than_the_chosen_one() {
        const SLOWER: f64 = 1.15;
        let mut worst = Vec::new();
        for _ in 0..20 {
            let isa = fastest(&measure().unwrap());
            let again = measure().unwrap();
            let (_, chosen) = again.iter().find(|(other, _)| *other == isa).unwrap();
            let (_, least) = again.iter().min_by_key(|(_, time)| *time).unwrap();
            let ratio = chosen.as_secs_f64() / least.as_secs_f64();
            if ratio <= SLOWER {
                return;
            }
            worst.push((isa, ratio, again));
        }
        panic!("the chosen set is slower than another every time: {worst:?}");
    }

    #[test]
    fn a_narrower_set_must_be_clearly_faster() {
        let sets: Vec<Isa> = Isa::available().collect();
        let of = |times: &[u64]| -> Vec<(Isa, Duration)> {
            sets.iter().copied().zip(times.iter().map(|micros| Duration::from_micros(*micros))).collect()
        };
        let last = sets[sets.len().min(2) - 1];
        assert_eq!(fastest(&of(&[100, 95, 300])), sets[0]);
        assert_eq!(fastest(&of(&[100, 90, 300])), last);
        assert_eq!(fastest(&of(&[50, 100, 300])), sets[0]);
        assert_eq!(fastest(&[]), Isa::best());
    }
}
