//! The shard alone, no Kafka: from an offered reading to its forecast, 24 leads, seasons of a day and a
//! week, rounds of one reading a series as they come; processor time of one thread. The yardstick copies as
//! many bytes as a series holds, and not the series before.
//!
//! ```sh
//! cargo bench --bench shard                  # all
//! cargo bench --bench shard -- compact       # the rows that have this in their name
//! TIDECAST_BENCH_SERIES=1000000 cargo bench --bench shard -- compact
//! ```

#[path = "../tests/support/stream.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod stream;
#[expect(dead_code, reason = "PyTorch has nothing to hold against this")]
mod yardstick;

use std::time::Duration;
use stream::{any_model, hour, noise, stream};
use tidecast::domain::{Reading, Values};
use tidecast::engine::Shard;
use yardstick::{Best, Report, seconds, threads, wanted};

const ROUNDS: usize = 5;
const BUDGET: Duration = Duration::from_millis(400);
/// Readings of each series before the clock runs: all experts speak, and rings that fill up later are
/// touched as they will be.
const WARM: i64 = 200;
/// Readings that are offered before they are stepped, as a worker polls them.
const BATCH: usize = 1_000;

struct Bench {
    shard: Shard,
    names: Vec<String>,
    /// Readings offered so far.
    at: usize,
}

impl Bench {
    fn new(series: usize, lines: &str, network: bool) -> Self {
        let stream = stream(&format!("horizon = 24\nseasons = [24, 168]\n{lines}"));
        let mut shard = Shard::new(stream.clone());
        if network {
            shard.bring(&any_model(&stream, 1)).expect("a network of the stream's shape");
            shard.warm(usize::MAX).expect("it warms");
        }
        let names = (0..series).map(|s| format!("meter-{s}")).collect();
        let mut bench = Self { shard, names, at: 0 };
        while bench.at < series * WARM as usize {
            bench.batch();
        }
        bench
    }

    /// Readings of a day's wave with noise, the series one after the other.
    fn batch(&mut self) {
        for _ in 0..BATCH {
            let (series, h) = (self.at % self.names.len(), (self.at / self.names.len()) as i64);
            let wave = (std::f64::consts::TAU * (h as f64 / 24.0 + series as f64 * 0.1)).sin();
            let value = 10.0 + 3.0 * wave + 0.3 * noise(series as u64, h as u64);
            let values = Values::from_iter([Some(value)]);
            let reading =
                Reading { series: &self.names[series], time: hour(h), later: None, values: &values };
            self.shard.offer(&reading, self.at as i64, None);
            self.at += 1;
        }
        let mut answered = 0;
        while self.shard.run_round(&mut |_| answered += 1).expect("a step").is_some() {}
        assert_eq!(answered, BATCH);
    }
}

fn main() {
    threads();
    let many = std::env::var("TIDECAST_BENCH_SERIES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let mut report = Report::new("shard", &["copy"]);
    for accuracy in ["full", "compact"] {
        for (what, lines, network) in [
            ("naive", "experts = []\nmodel = { family = \"lstm\" }", false),
            ("experts", "model = { family = \"lstm\" }", false),
            ("experts and LSTM 32", "model = { family = \"lstm\", hidden = 32 }", true),
            ("experts and LSTM 64", "model = { family = \"lstm\", hidden = 64 }", true),
            ("experts and the default networks", "", true),
        ] {
            for series in [100, many] {
                let case = format!("{accuracy}, {what}, {series} series");
                if !wanted(&case) {
                    continue;
                }
                let mut bench = Bench::new(series, &format!("accuracy = \"{accuracy}\"\n{lines}"), network);
                let bytes = bench.shard.memory() / series;
                let mut copy = copies(bytes, series);
                let (mut ours, mut theirs) = (Best::none(), Best::none());
                for _ in 0..ROUNDS {
                    ours.offer(Some(seconds(BUDGET, || bench.batch())));
                    theirs.offer(Some(seconds(BUDGET, &mut copy)));
                }
                report.row(&format!("{case}, {bytes} B each"), BATCH, ours, &[theirs]);
            }
        }
    }
    report.finish();
}

/// Reads and writes as many bytes as a batch of series hold.
fn copies(bytes: usize, series: usize) -> impl FnMut() {
    let series = series.min((1 << 30) / bytes.max(1)).max(1);
    let mut all = vec![1u8; bytes * series];
    let mut out = vec![0u8; bytes];
    let mut at = 0;
    move || {
        for _ in 0..BATCH {
            out.copy_from_slice(&all[at * bytes..][..bytes]);
            all[at * bytes] = out[bytes - 1].wrapping_add(1);
            at = (at + 1) % series;
        }
    }
}
