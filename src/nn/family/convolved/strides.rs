//! The readings that a strided convolution sees. Rows may be at different phases of a stride.

use crate::nn::{Blueprint, Family};

/// The state of a convolution in front of a sequence, for every row of a batch.
pub(in crate::nn) struct Past {
    /// Readings since the last full stride, `[batch]`.
    pub phases: Vec<usize>,
    /// Readings before the first step, oldest first, `[kernel − 1, batch, inputs]`.
    pub readings: Vec<f32>,
}

impl Past {
    /// From rows as an arena gives them; cold if there are none.
    pub fn of(b: &Blueprint, state: Option<&[f32]>, batch: usize) -> Self {
        let (inputs, past) = (b.inputs(), kernel_and_stride(b)[0] - 1);
        let Some(rows) = state else {
            return Self { phases: vec![0; batch], readings: vec![0.0; past * batch * inputs] };
        };
        let row = |r: usize| &rows[r * b.row_width()..][..b.row_width()];
        let reading = |t: usize| (0..batch).flat_map(move |r| &row(r)[1 + t * inputs..][..inputs]);
        Self {
            phases: (0..batch).map(|r| row(r)[0] as usize).collect(),
            readings: (0..past).flat_map(reading).copied().collect(),
        }
    }

    /// The same after `steps` readings, `x` `[steps, batch, inputs]`.
    pub fn after(&self, b: &Blueprint, x: &[f32], [steps, batch]: [usize; 2]) -> Self {
        let len = steps * batch * b.inputs();
        let all = self.readings.iter().chain(&x[..len]);
        Self {
            phases: self.phases.iter().map(|p| (p + steps) % kernel_and_stride(b)[1]).collect(),
            readings: all.skip(len).copied().collect(),
        }
    }
}

/// The strides that become full over a sequence.
#[derive(Default)]
pub(in crate::nn) struct Strides {
    stride: usize,
    phases: Vec<usize>,
    /// The number of strides in the row that has most.
    pub count: usize,
    /// The convolution's input for each stride, `[count · batch, kernel · inputs]`; zeros where a
    /// row has fewer strides.
    pub window: Vec<f32>,
}

impl Strides {
    /// From the state `past` through `steps` readings, `x` `[steps, batch, inputs]`.
    pub fn fill(&mut self, b: &Blueprint, past: &Past, x: &[f32], [steps, batch]: [usize; 2]) {
        let (inputs, [kernel, stride]) = (b.inputs(), kernel_and_stride(b));
        self.stride = stride;
        self.phases.clone_from(&past.phases);
        let full = |phase: usize| (phase + steps) / stride;
        self.count = past.phases.iter().map(|p| full(*p)).max().unwrap_or(0);
        self.window.clear();
        for nth in 0..self.count {
            for (b, phase) in past.phases.iter().enumerate() {
                if nth >= full(*phase) {
                    self.window.resize(self.window.len() + kernel * inputs, 0.0);
                    continue;
                }
                let newest = (nth + 1) * stride - phase - 1;
                for then in newest..newest + kernel {
                    let from = match then.checked_sub(kernel - 1) {
                        Some(then) => &x[(then * batch + b) * inputs..],
                        None => &past.readings[(then * batch + b) * inputs..],
                    };
                    self.window.extend_from_slice(&from[..inputs]);
                }
            }
        }
    }

    /// The number of full strides of row `b` after step `t`.
    pub fn nth(&self, t: usize, b: usize) -> usize {
        (self.phases[b] + t + 1) / self.stride
    }
}

fn kernel_and_stride(b: &Blueprint) -> [usize; 2] {
    match b.family() {
        Family::Convolved { kernel, stride, .. } => [kernel, stride],
        _ => panic!("{b:?} has no convolution"),
    }
}
