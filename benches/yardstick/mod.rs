//! What benchmarks share: timing that interleaves the contestants, PyTorch in a process of its own,
//! and the table with its JSON line.

#![allow(unsafe_code, reason = "calls of libc")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// Threads that every contestant may use.
static THREADS: OnceLock<usize> = OnceLock::new();

/// Threads that every contestant may use: one, or with `--all` as many as there are cores. Call it first,
/// while there is only one.
pub fn threads() -> usize {
    *THREADS.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if std::env::args().any(|a| a == "--all") { cores } else { 1 };
        for name in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            // SAFETY: no other thread has been started yet.
            unsafe { std::env::set_var(name, threads.to_string()) };
        }
        threads
    })
}

/// Whether a case was asked for: all are, or those that an argument is a part of.
pub fn wanted(case: &str) -> bool {
    let mut asked = std::env::args().skip(1).filter(|a| !a.starts_with("--")).peekable();
    asked.peek().is_none() || asked.any(|a| case.contains(&a))
}

/// Seconds that one thread has needed, whatever else the machine is busy with: processor time of this
/// process. With more threads, seconds that have passed.
pub fn used() -> f64 {
    let clock = if threads() == 1 { libc::CLOCK_PROCESS_CPUTIME_ID } else { libc::CLOCK_MONOTONIC };
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid place for the answer.
    let answer = unsafe { libc::clock_gettime(clock, &raw mut t) };
    assert_eq!(answer, 0);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

/// Seconds of one call, over about `budget`.
pub fn seconds(budget: Duration, mut work: impl FnMut()) -> f64 {
    let start = used();
    work();
    let n = (budget.as_secs_f64() / (used() - start).max(1e-7)).clamp(1.0, 1e6) as usize;
    let start = used();
    for _ in 0..n {
        work();
    }
    (used() - start) / n as f64
}

/// PyTorch, if there is one: it answers each line of numbers with the seconds of one call.
pub struct Torch {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Torch {
    /// `$TIDECAST_TORCH_PYTHON` or `python3`, when it can import torch.
    pub fn start(script: &str) -> Option<Self> {
        let python = std::env::var("TIDECAST_TORCH_PYTHON").unwrap_or_else(|_| "python3".into());
        let script = format!("{}/benches/{script}", env!("CARGO_MANIFEST_DIR"));
        let child = Command::new(&python)
            .arg(script)
            .arg(threads().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let started = child.ok().and_then(|mut child| {
            let (to, from) = (child.stdin.take()?, child.stdout.take()?);
            let mut torch = Self { child, to, from: BufReader::new(from) };
            let version = torch.line()?;
            println!("PyTorch {version}, threads: {}", threads());
            Some(torch)
        });
        if started.is_none() {
            println!(
                "no PyTorch: {python} cannot import torch; set TIDECAST_TORCH_PYTHON to compare with it"
            );
        }
        started
    }

    /// Seconds of one call of the case that the script understands by this line.
    pub fn seconds(&mut self, case: &str) -> Option<f64> {
        writeln!(self.to, "{case}").ok()?;
        self.line()?.parse().ok()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.from.read_line(&mut line).ok()? > 0).then(|| line.trim().to_string())
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The fastest of a contestant's rounds: on a shared machine the others are the neighbours' noise.
#[derive(Clone, Copy)]
pub struct Best(Option<f64>);

impl Best {
    pub fn none() -> Self {
        Self(None)
    }

    pub fn offer(&mut self, seconds: Option<f64>) {
        self.0 = [self.0, seconds].into_iter().flatten().reduce(f64::min);
    }

    pub fn seconds(self) -> Option<f64> {
        self.0
    }
}

/// One row: what was measured, our seconds, and the yardsticks'.
pub struct Report {
    bench: &'static str,
    yardsticks: &'static [&'static str],
    figures: Vec<Value>,
}

impl Report {
    pub fn new(bench: &'static str, yardsticks: &'static [&'static str]) -> Self {
        print!("{:<36} {:>12} {:>16}", "case", "µs a call", "series-steps/s");
        yardsticks.iter().for_each(|y| print!(" {:>12}", format!("× {y}")));
        println!();
        Self { bench, yardsticks, figures: Vec::new() }
    }

    /// `work` is the series-steps of one call; the yardsticks' times stand in their order.
    pub fn row(&mut self, case: &str, work: usize, ours: Best, theirs: &[Best]) {
        let seconds = ours.seconds().expect("we have been measured");
        let rate = work as f64 / seconds;
        print!("{case:<36} {:>12.1} {rate:>16.0}", seconds * 1e6);
        let mut figure = Map::new();
        figure.insert("case".into(), json!(case));
        figure.insert("series_steps_per_second".into(), json!(rate));
        for (name, time) in self.yardsticks.iter().zip(theirs) {
            match time.seconds() {
                Some(time) => {
                    print!(" {:>12.2}", time / seconds);
                    figure.insert(format!("{name}_series_steps_per_second"), json!(work as f64 / time));
                    figure.insert(format!("ratio_to_{name}"), json!(time / seconds));
                }
                None => print!(" {:>12}", "-"),
            }
        }
        println!();
        self.figures.push(Value::Object(figure));
    }

    pub fn finish(self) {
        println!("{}", json!({ "bench": self.bench, "threads": threads(), "figures": self.figures }));
    }
}
