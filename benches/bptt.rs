//! One training update (forward, backward through all steps, clipping, AdamW) against PyTorch's and
//! candle-nn's. One thread; with `--all` the others have as many as there are cores, and ours, which in the
//! daemon trains beside what serves, still one. Ours alone has a head that sees the features too, and a row
//! for every instruction set that the CPU has.

mod yardstick;

use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use candle_nn::rnn::{GRU, GRUConfig, LSTM, LSTMConfig, RNN};
use candle_nn::{AdamW, Module, Optimizer, VarBuilder, VarMap, linear};
use tidecast::nn::{Blueprint, Cell, Chunk, Dropout, Isa, Loss, Norm, Trainer, TrainerSettings, Weights};
use yardstick::{Best, Report, Torch, seconds, threads, wanted};

const INPUTS: usize = 8;
const OUTPUTS: usize = 24;
const ROUNDS: usize = 5;
const BUDGET: Duration = Duration::from_millis(100);

fn main() {
    threads();
    let mut torch = Torch::start("torch_bptt.py");
    let mut report = Report::new("bptt", &["torch", "candle"]);
    let sizes = [(1, 64), (64, 64), (1024, 64), (16384, 4), (65536, 1)];
    let cells = [Cell::Lstm, Cell::Gru, Cell::RnnTanh];
    let cases = cells.iter().flat_map(|cell| {
        [32, 64, 128].into_iter().flat_map(move |hidden| {
            sizes.into_iter().map(move |(batch, steps)| (*cell, hidden, batch, steps))
        })
    });
    for (cell, hidden, batch, steps) in cases {
        let case = format!("{} H={hidden} B={batch} T={steps}", cell.name());
        if !wanted(&case) {
            continue;
        }
        let mut ours = on_every_set(cell, Norm::None, hidden, batch, steps);
        let mut candle = candle(cell, hidden, batch, steps);
        let line =
            format!("{} {hidden} {batch} {steps} {INPUTS} {OUTPUTS} {}", cell.name(), BUDGET.as_secs_f64());
        let (mut b, mut c) = (Best::none(), Best::none());
        for _ in 0..ROUNDS {
            for (_, update, best) in &mut ours {
                best.offer(Some(seconds(BUDGET, update)));
            }
            b.offer(torch.as_mut().and_then(|t| t.seconds(&line)));
        }
        for _ in 0..2 {
            c.offer(candle.as_mut().map(|candle| seconds(BUDGET, candle)));
        }
        for (isa, _, best) in ours {
            report.row(&format!("{case} {isa}"), batch * steps, best, &[b, c]);
        }
    }
    for cell in [Cell::Lstm, Cell::Gru, Cell::GruBefore, Cell::RnnTanh] {
        let case = format!("{} layer norm H=64 B=64 T=64", cell.name());
        if !wanted(&case) {
            continue;
        }
        let mut ours = on_every_set(cell, Norm::Layer, 64, 64, 64);
        for _ in 0..ROUNDS {
            for (_, update, best) in &mut ours {
                best.offer(Some(seconds(BUDGET, update)));
            }
        }
        for (isa, _, best) in ours {
            report.row(&format!("{case} {isa}"), 64 * 64, best, &[]);
        }
    }
    report.finish();
}

/// Updates with each instruction set, and the fastest round of each.
fn on_every_set(
    cell: Cell,
    norm: Norm,
    hidden: usize,
    batch: usize,
    steps: usize,
) -> Vec<(Isa, impl FnMut(), Best)> {
    Isa::available().map(|isa| (isa, ours(isa, cell, norm, hidden, batch, steps), Best::none())).collect()
}

fn ours(isa: Isa, cell: Cell, norm: Norm, hidden: usize, batch: usize, steps: usize) -> impl FnMut() {
    let b = Blueprint::try_new(cell, norm, INPUTS, hidden, 1, OUTPUTS).unwrap();
    let settings = TrainerSettings {
        learning_rate: 1e-3,
        weight_decay: 0.01,
        clip_norm: 1.0,
        dropout: Dropout::NONE,
        teacher_forcing: 0.0,
        seed: 1,
        loss: Loss::Huber(1.0),
    };
    let mut trainer = Trainer::with(isa, &Weights::initial(&b, 1), None, settings).unwrap();
    let wave = |n: usize, rate: f32| (0..n).map(|i| (i as f32 * rate).sin()).collect::<Vec<f32>>();
    let x = wave(batch * steps * INPUTS, 0.37);
    let targets = wave(batch * steps * OUTPUTS, 0.11);
    let mask = vec![1.0; targets.len()];
    move || {
        let chunk = Chunk { batch, burn_in: 0, steps, x: &x, targets: &targets, mask: &mask, state: None };
        trainer.chunk(&chunk).unwrap();
    }
}

/// Nothing for a cell that candle-nn does not have.
fn candle(cell: Cell, hidden: usize, batch: usize, steps: usize) -> Option<Box<dyn FnMut()>> {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let x = Tensor::randn(0f32, 1f32, (batch, steps, INPUTS), &Device::Cpu).unwrap();
    let y = Tensor::randn(0f32, 1f32, (batch, steps, OUTPUTS), &Device::Cpu).unwrap();
    let head = linear(hidden, OUTPUTS, vb.pp("head")).unwrap();
    let sequence: Box<dyn Fn(&Tensor) -> Tensor> = match cell {
        Cell::Lstm => {
            let l = LSTM::new(INPUTS, hidden, LSTMConfig::default(), vb.pp("rnn")).unwrap();
            Box::new(move |x| l.states_to_tensor(&l.seq(x).unwrap()).unwrap())
        }
        Cell::Gru => {
            let g = GRU::new(INPUTS, hidden, GRUConfig::default(), vb.pp("rnn")).unwrap();
            // Its states come out side by side: `[batch, steps · hidden]`.
            Box::new(move |x| {
                let all = g.states_to_tensor(&g.seq(x).unwrap()).unwrap();
                all.reshape((batch, steps, hidden)).unwrap()
            })
        }
        _ => return None,
    };
    let mut optimiser = AdamW::new_lr(map.all_vars(), 1e-3).unwrap();
    Some(Box::new(move || {
        let error = (head.forward(&sequence(&x)).unwrap() - &y).unwrap();
        optimiser.backward_step(&error.sqr().unwrap().mean_all().unwrap()).unwrap();
    }))
}
