//! The serving step, cell and smallest head, gather and scatter included, against the cells alone
//! of PyTorch and candle-nn and against the bare matrix product. One thread, or with `--all` as many as
//! there are cores: ours then are workers, each with its share of the series, as in the daemon. A row for
//! every instruction set that the CPU has; the yardsticks choose theirs by themselves.

#![allow(unsafe_code, reason = "calls of libc")]

mod yardstick;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use candle_nn::rnn::{GRU, GRUConfig, GRUState, LSTM, LSTMConfig, LSTMState, RNN};
use candle_nn::{VarBuilder, VarMap};
use gemm::Parallelism;
use tidecast::nn::{
    Activation, Arena, Blueprint, Cell, Family, Head, Isa, Network, Norm, Recurrent, Weights,
};
use yardstick::{Best, Report, Torch, seconds, threads, wanted};

const INPUTS: usize = 8;
const ROUNDS: usize = 8;
const BUDGET: Duration = Duration::from_millis(15);

fn main() {
    let threads = threads();
    let mut torch = Torch::start("torch_step.py");
    let mut report = Report::new("step", &["torch", "candle", "gemm"]);
    for cell in [Cell::Lstm, Cell::Gru, Cell::RnnTanh] {
        for hidden in [32, 64, 128] {
            for batch in [1, 64, 1024, 16384, 65536] {
                let case = format!("{} H={hidden} B={batch}", cell.name());
                if !wanted(&case) {
                    continue;
                }
                let mut ours = on_every_set(&recurrent(cell, Norm::None, hidden), batch, threads);
                let mut candle = candle(cell, hidden, batch);
                let mut gemm = bare_gemm(cell, hidden, batch, threads);
                let line = format!("{} {hidden} {batch} {INPUTS} {}", cell.name(), BUDGET.as_secs_f64());
                let (mut b, mut c, mut d) = (Best::none(), Best::none(), Best::none());
                for _ in 0..ROUNDS {
                    for (_, step, best) in &mut ours {
                        best.offer(Some(seconds(BUDGET, step)));
                    }
                    b.offer(torch.as_mut().and_then(|t| t.seconds(&line)));
                    d.offer(Some(seconds(BUDGET, &mut gemm)));
                }
                for _ in 0..3 {
                    c.offer(candle.as_mut().map(|candle| seconds(BUDGET, candle)));
                }
                for (isa, _, best) in ours {
                    report.row(&format!("{case} {isa}"), batch, best, &[b, c, d]);
                }
            }
        }
    }
    let mut alone = |case: &str, b: Blueprint| {
        let case = format!("{case} B=1024");
        if !wanted(&case) {
            return;
        }
        let mut ours = on_every_set(&b, 1024, threads);
        for _ in 0..ROUNDS {
            for (_, step, best) in &mut ours {
                best.offer(Some(seconds(BUDGET, step)));
            }
        }
        for (isa, _, best) in ours {
            report.row(&format!("{case} {isa}"), 1024, best, &[]);
        }
    };
    for cell in [Cell::Lstm, Cell::Gru, Cell::GruBefore, Cell::RnnTanh] {
        alone(&format!("{} layer norm H=64", cell.name()), recurrent(cell, Norm::Layer, 64));
    }
    alone("gru_before H=64", recurrent(Cell::GruBefore, Norm::None, 64));
    let stack = Recurrent { cell: Cell::Gru, norm: Norm::None, hidden: 64, layers: 1, residual: false };
    for (case, family, head, outputs) in [
        (
            "gru H=64, decoder of 24 leads",
            Family::Recurrent(stack),
            Head::Decoder { leads: 24, known: 0 },
            24,
        ),
        (
            "conv_gru H=64, kernel 6, stride 3",
            Family::Convolved { kernel: 6, stride: 3, stack },
            Head::Direct,
            1,
        ),
        (
            "wavenet 32 channels, 7 layers",
            Family::Wavenet { channels: 32, layers: 7, stacks: 1 },
            Head::Direct,
            1,
        ),
        ("dense H=32 on 24 readings", window(1), Head::Direct, 1),
        ("linear on 24 readings", window(0), Head::Direct, 1),
    ] {
        alone(case, Blueprint::of(family, head, INPUTS, outputs).unwrap());
    }
    report.finish();
}

fn recurrent(cell: Cell, norm: Norm, hidden: usize) -> Blueprint {
    Blueprint::try_new(cell, norm, INPUTS, hidden, 1, 1).unwrap()
}

fn window(layers: usize) -> Family {
    Family::Window { readings: 24, layers, hidden: 32, activation: Activation::Relu }
}

/// An instruction set, the step of a batch with it, and the fastest round.
type Contestant = (Isa, Box<dyn FnMut()>, Best);

fn on_every_set(b: &Blueprint, batch: usize, threads: usize) -> Vec<Contestant> {
    Isa::available().map(|isa| (isa, ours(isa, *b, batch, threads), Best::none())).collect()
}

fn ours(isa: Isa, b: Blueprint, batch: usize, threads: usize) -> Box<dyn FnMut()> {
    if threads.min(batch) == 1 {
        return Box::new(stepping(isa, b, batch));
    }
    let workers = Workers::start(isa, b, batch, threads);
    Box::new(move || workers.step())
}

/// Threads that step their shares of a batch at once.
struct Workers {
    starts: Vec<Sender<()>>,
    done: Receiver<()>,
}

impl Workers {
    fn start(isa: Isa, b: Blueprint, batch: usize, threads: usize) -> Self {
        let (tell, done) = channel();
        let count = threads.min(batch);
        let worker = |w: usize| {
            let (start, starts) = channel();
            let (tell, share) = (tell.clone(), batch * (w + 1) / count - batch * w / count);
            std::thread::spawn(move || {
                let mut step = stepping(isa, b, share);
                // Until nobody can ask any more.
                while starts.recv().is_ok() {
                    step();
                    tell.send(()).unwrap();
                }
            });
            start
        };
        Self { starts: (0..count).map(worker).collect(), done }
    }

    fn step(&self) {
        self.starts.iter().for_each(|start| start.send(()).unwrap());
        self.starts.iter().for_each(|_| self.done.recv().unwrap());
    }
}

fn stepping(isa: Isa, b: Blueprint, batch: usize) -> impl FnMut() {
    let mut network = Network::with(isa, &Weights::initial(&b, 1));
    let mut arena = Arena::new(&b).unwrap();
    arena.grow(batch).unwrap();
    // Neighbours in a batch are no neighbours in the arena.
    let mut slots: Vec<u32> = (0..batch as u32).collect();
    slots.sort_by_key(|s| s.wrapping_mul(2_654_435_761));
    let x: Vec<f32> = (0..batch * INPUTS).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut y = vec![0.0; batch * b.outputs()];
    move || network.step(&mut arena, &slots, &x, &mut y).unwrap()
}

/// Nothing for a cell that candle-nn does not have.
fn candle(cell: Cell, hidden: usize, batch: usize) -> Option<Box<dyn FnMut()>> {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let x = Tensor::randn(0f32, 1f32, (batch, INPUTS), &Device::Cpu).unwrap();
    match cell {
        Cell::Lstm => {
            let l = LSTM::new(INPUTS, hidden, LSTMConfig::default(), vb).unwrap();
            let mut state = l.zero_state(batch).unwrap();
            Some(Box::new(move || {
                let next = l.step(&x, &state).unwrap();
                state = LSTMState::new(next.h.detach(), next.c.detach());
            }))
        }
        Cell::Gru => {
            let g = GRU::new(INPUTS, hidden, GRUConfig::default(), vb).unwrap();
            let mut state = g.zero_state(batch).unwrap();
            Some(Box::new(move || state = GRUState { h: g.step(&x, &state).unwrap().h.detach() }))
        }
        _ => None,
    }
}

/// `[batch, inputs + hidden] · [inputs + hidden, gates · hidden]`, everything dense.
fn bare_gemm(cell: Cell, hidden: usize, batch: usize, threads: usize) -> impl FnMut() {
    let parallelism = if threads == 1 { Parallelism::None } else { Parallelism::Rayon(threads) };
    let (k, n) = (INPUTS + hidden, cell.gates() * hidden);
    let a = vec![0.5f32; batch * k];
    let w = vec![0.25f32; k * n];
    let mut out = vec![0f32; batch * n];
    move || {
        // SAFETY: the three slices have exactly the lengths that the strides reach.
        unsafe {
            gemm::gemm(
                batch,
                n,
                k,
                out.as_mut_ptr(),
                1,
                n as isize,
                false,
                a.as_ptr(),
                1,
                k as isize,
                w.as_ptr(),
                1,
                n as isize,
                0f32,
                1f32,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}
