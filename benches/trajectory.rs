//! Pedestrians (Lerner, Chrysanthou and Lischinski, Crowds by Example, 2007): 8 steps of 0.4 s seen, 12
//! forecast, windows in which at least two people walk, mean and final displacement in metres. The engine
//! reads `crowds_zara03.txt`, trains a network on it, and goes on with `crowds_zara02.txt`, which is judged.
//!
//! ```sh
//! TIDECAST_CROWDS=folder cargo bench --bench trajectory
//! ```

#[path = "../tests/support/stream.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod stream;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use stream::first_network;
use tidecast::config::{Stream, from_toml};
use tidecast::domain::{EventTime, Reading, Values};
use tidecast::engine::Shard;

const SEEN: usize = 8;
const AHEAD: usize = 12;
const STEP_US: i64 = 400_000;
/// Marks between the two scenes, in steps.
const PAUSE: i64 = 10_000;

type Point = [f64; 2];

/// A scene: what is seen of whom, step by step.
struct Scene {
    name: &'static str,
    steps: BTreeMap<i64, Vec<(i64, Point)>>,
}

/// Where somebody was forecast to be, by who and step of origin.
type Forecasts = HashMap<(i64, i64), Vec<Point>>;

impl Scene {
    fn read(folder: &Path, name: &'static str) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join(format!("{name}.txt"))).ok()?;
        let mut steps: BTreeMap<i64, Vec<(i64, Point)>> = BTreeMap::new();
        for line in text.lines() {
            let numbers: Vec<f64> = line.split_whitespace().map(|n| n.parse().expect("a number")).collect();
            let [frame, who, x, y] = numbers[..] else { panic!("{name}: {line}") };
            steps.entry(frame as i64 / 10).or_default().push((who as i64, [x, y]));
        }
        Some(Self { name, steps })
    }

    /// Lets the shard see all of it from step `from` on.
    fn play(&self, shard: &mut Shard, from: i64) -> Forecasts {
        let mut said = Forecasts::new();
        for (step, people) in &self.steps {
            let time = EventTime::from_micros((from + step) * STEP_US).expect("a time");
            for (who, at) in people {
                let values: Values = at.iter().map(|v| Some(*v)).collect();
                let series = format!("{}-{who}", self.name);
                shard.offer(
                    &Reading { series: &series, time, later: None, values: &values },
                    from + step,
                    None,
                );
            }
            let mut take = |series: &str, x: &[f64], y: &[f64]| {
                let who = series.rsplit('-').next().and_then(|who| who.parse().ok()).expect("somebody");
                said.insert((who, *step), x.iter().zip(y).map(|(x, y)| [*x, *y]).collect());
            };
            let mut sink = |e: tidecast::engine::Emitted<'_>| {
                let targets = &e.forecast.targets;
                take(e.series, &targets[0].yhat, &targets[1].yhat);
            };
            while shard.run_round(&mut sink).expect("a step").is_some() {}
        }
        said
    }

    /// Mean and final displacement of what `forecast` says at each window's origin.
    fn judge(&self, forecast: impl Fn(i64, i64, &dyn Fn(i64) -> Point) -> Vec<Point>) -> (f64, f64, usize) {
        let at: HashMap<(i64, i64), Point> = self
            .steps
            .iter()
            .flat_map(|(step, all)| all.iter().map(|(who, at)| ((*who, *step), *at)))
            .collect();
        let (mut mean, mut last, mut n) = (0.0, 0.0, 0);
        for (start, people) in &self.steps {
            let is_whole = |who: i64| (0..(SEEN + AHEAD) as i64).all(|k| at.contains_key(&(who, start + k)));
            let whole: Vec<i64> = people.iter().map(|(who, _)| *who).filter(|who| is_whole(*who)).collect();
            if whole.len() < 2 {
                continue;
            }
            let origin = start + SEEN as i64 - 1;
            for who in whole {
                let said = forecast(who, origin, &|step| at[&(who, step)]);
                let off = |k: usize| {
                    let (is, said) = (at[&(who, origin + 1 + k as i64)], said[k]);
                    (is[0] - said[0]).hypot(is[1] - said[1])
                };
                mean += (0..AHEAD).map(off).sum::<f64>() / AHEAD as f64;
                last += off(AHEAD - 1);
                n += 1;
            }
        }
        (mean / n as f64, last / n as f64, n)
    }
}

fn crowds(seed: u64, lines: &str) -> Arc<Stream> {
    let text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[streams.crowds]\ntopics = [\"people\"]\ninterval = \"400ms\"\n\
         horizon = {AHEAD}\ntargets = [\"x\", \"y\"]\nseasons = []\ncalendar = []\n{lines}\n\
         training = {{ seed = {seed} }}\n"
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
}

fn main() {
    let folder = std::env::var("TIDECAST_CROWDS").unwrap_or_default();
    let scenes = ["crowds_zara03", "crowds_zara02"].map(|name| Scene::read(Path::new(&folder), name));
    let [Some(past), Some(judged)] = scenes else {
        println!(
            "trajectory: skipped; TIDECAST_CROWDS names no folder with crowds_zara02.txt and crowds_zara03.txt"
        );
        println!("{}", json!({ "bench": "trajectory", "figures": [] }));
        return;
    };
    let mut figures = Vec::new();
    let mut row = |case: &str, (mean, last, n): (f64, f64, usize)| {
        println!("{case:<64} {mean:.3} / {last:.3}  ({n} windows)");
        figures.push(json!({ "case": case, "mean": mean, "final": last }));
    };
    row(
        "constant velocity",
        judged.judge(|_, origin, at| {
            let ([x0, y0], [x, y]) = (at(origin - 1), at(origin));
            (1..=AHEAD).map(|k| [x + k as f64 * (x - x0), y + k as f64 * (y - y0)]).collect()
        }),
    );
    const ALONE: &str = "experts = [\"velocity\"]";
    const LINEAR: &str = "experts = [\"linear\", \"velocity\"]";
    const DIFFERENCED: &str = "experts = [\"linear\", \"velocity\"]\ndifference = true";
    for (seed, network, lines) in
        [(1, false, ALONE), (1, true, ALONE), (2, true, ALONE), (1, false, LINEAR), (1, false, DIFFERENCED)]
    {
        let stream = crowds(seed, lines);
        let mut shard = Shard::new(stream);
        past.play(&mut shard, 0);
        let case = match network && first_network(&mut shard) {
            true => format!("with a network, seed {seed}"),
            false if network => format!("a network was rejected, seed {seed}"),
            false => "the experts' mixture".to_owned(),
        };
        let case = match lines {
            LINEAR => format!("{case}, linear ones among them"),
            DIFFERENCED => format!("{case}, linear ones among them, differenced"),
            _ => case,
        };
        let said = judged.play(&mut shard, PAUSE);
        row(&case, judged.judge(|who, origin, _| said[&(who, origin)].clone()));
    }
    println!("{}", json!({ "bench": "trajectory", "figures": figures }));
}
