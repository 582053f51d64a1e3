//! The shard alone, no Kafka: from an offered reading to its forecast; 24 leads of hours, 96 of quarters of an
//! hour, 288 of five minutes, each with seasons of a day and a week; rounds of one reading a series as they come;
//! processor time of one thread. The yardstick copies as many bytes as a series holds, and not the series before.
//!
//! ```sh
//! cargo bench --bench shard                          # all
//! cargo bench --bench shard -- "24 leads, compact"   # the rows that have this in their name
//! TIDECAST_BENCH_SERIES=1000000 cargo bench --bench shard -- "24 leads, compact"
//! ```

#[path = "../tests/support/stream.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod stream;
#[expect(dead_code, reason = "PyTorch has nothing to hold against this")]
mod yardstick;

use std::sync::Arc;
use std::time::Duration;
use stream::{any_model, noise};
use tidecast::config::{Stream, from_toml};
use tidecast::domain::{EventTime, Reading, Values};
use tidecast::engine::Shard;
use yardstick::{Best, Report, seconds, threads, wanted};

const ROUNDS: usize = 5;
const BUDGET: Duration = Duration::from_millis(400);
/// Readings of each series beyond the horizon before the clock runs: all experts speak, and rings that fill up
/// later are touched as they will be.
const WARM: usize = 176;
/// Readings that are offered before they are stepped, as a worker polls them.
const BATCH: usize = 1_000;

/// What is forecast.
#[derive(Clone, Copy)]
struct Kind {
    leads: usize,
    minutes: i64,
    /// Of a day and of a week, in steps.
    seasons: [usize; 2],
    /// How many series there are, of as many as at 24 leads.
    share: f64,
}

const KINDS: [Kind; 3] = [
    Kind { leads: 24, minutes: 60, seasons: [24, 168], share: 1.0 },
    Kind { leads: 96, minutes: 15, seasons: [96, 672], share: 1.0 },
    Kind { leads: 288, minutes: 5, seasons: [288, 2_016], share: 0.4 },
];

impl Kind {
    fn stream(self, lines: &str) -> Arc<Stream> {
        let Self { leads, minutes, seasons, .. } = self;
        let text = format!(
            "[kafka]\nbrokers = \"b\"\n[streams.test]\ntopics = [\"in\"]\ntargets = [\"kw\"]\n\
             interval = \"{minutes}m\"\nseasons = {seasons:?}\nhorizon = {leads}\n{lines}\n"
        );
        from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
    }
}

struct Bench {
    kind: Kind,
    shard: Shard,
    names: Vec<String>,
    /// Readings offered so far.
    at: usize,
}

impl Bench {
    fn new(kind: Kind, series: usize, lines: &str, network: bool) -> Self {
        let stream = kind.stream(lines);
        let mut shard = Shard::new(stream.clone());
        if network {
            shard.bring(&any_model(&stream, 1)).expect("a network of the stream's shape");
            shard.warm(usize::MAX).expect("it warms");
        }
        let names = (0..series).map(|s| format!("meter-{s}")).collect();
        let mut bench = Self { kind, shard, names, at: 0 };
        while bench.at < series * (kind.leads + WARM) {
            bench.batch();
        }
        bench
    }

    /// Readings of a day's wave with noise, the series one after the other.
    fn batch(&mut self) {
        for _ in 0..BATCH {
            let (series, t) = (self.at % self.names.len(), self.at / self.names.len());
            let day = t as f64 / self.kind.seasons[0] as f64;
            let wave = (std::f64::consts::TAU * (day + series as f64 * 0.1)).sin();
            let value = 10.0 + 3.0 * wave + 0.3 * noise(series as u64, t as u64);
            let values = Values::from_iter([Some(value)]);
            let micros = 1_700_006_400_000_000 + t as i64 * self.kind.minutes * 60_000_000;
            let time = EventTime::from_micros(micros).expect("a time");
            let reading = Reading { series: &self.names[series], time, later: None, values: &values };
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
    let many: usize =
        std::env::var("TIDECAST_BENCH_SERIES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let mut report = Report::new("shard", &["copy"]);
    for (at, kind) in KINDS.into_iter().enumerate() {
        let many = (many as f64 * kind.share) as usize;
        for accuracy in ["full", "compact"] {
            for (what, lines, network) in [
                ("naive alone", "experts = []\nmodels = []", false),
                ("naive", "experts = []\nmodel = { family = \"lstm\" }", false),
                ("experts alone", "models = []", false),
                ("experts", "model = { family = \"lstm\" }", false),
                ("experts and LSTM 32", "model = { family = \"lstm\", hidden = 32 }", true),
                ("experts and LSTM 64", "model = { family = \"lstm\", hidden = 64 }", true),
                ("experts and the default networks", "", true),
            ] {
                for series in if at == 0 { vec![100, many] } else { vec![many] } {
                    let case = format!("{} leads, {accuracy}, {what}, {series} series", kind.leads);
                    if wanted(&case) {
                        run(
                            &mut report,
                            &case,
                            kind,
                            series,
                            &format!("accuracy = \"{accuracy}\"\n{lines}"),
                            network,
                        );
                    }
                }
            }
        }
    }
    report.finish();
}

fn run(report: &mut Report, case: &str, kind: Kind, series: usize, lines: &str, network: bool) {
    let mut bench = Bench::new(kind, series, lines, network);
    let memory = bench.shard.memory_by_part();
    let bytes = memory.total() / series;
    let mut copy = copies(bytes, series);
    let (mut ours, mut theirs) = (Best::none(), Best::none());
    for _ in 0..ROUNDS {
        ours.offer(Some(seconds(BUDGET, || bench.batch())));
        theirs.offer(Some(seconds(BUDGET, &mut copy)));
    }
    report.row(&format!("{case}, {bytes} B each"), BATCH, ours, &[theirs]);
    let parts = memory.iter().filter(|(_, bytes)| *bytes > 0);
    let parts: Vec<String> =
        parts.map(|(part, bytes)| format!("{} {}", part.as_str(), bytes / series)).collect();
    println!("    {}", parts.join(", "));
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
