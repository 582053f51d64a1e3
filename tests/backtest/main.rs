//! `tidecast backtest` from files to scores: what it writes can be computed again from its forecasts, and
//! is the same each time.

mod counters;
mod discards;
mod files;
mod levels;
mod tables;

use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const HOURS: i64 = 700;
const HORIZON: usize = 4;

/// A value in −1..1 that only depends on its place.
fn noise(series: usize, hour: i64) -> f64 {
    let mut x =
        ((series as u64 + 1) * 0x9e37_79b9_7f4a_7c15) ^ (hour as u64).wrapping_mul(0xd1b5_4a32_d192_ed03);
    x ^= x >> 31;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 29;
    (x >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// A day's wave and a level that wanders: neither naive forecast is good.
fn value(series: usize, hour: i64) -> f64 {
    let wave = 3.0 * (std::f64::consts::TAU * (hour % 24) as f64 / 24.0).sin();
    let level: f64 = (0..=hour).rev().take(48).map(|h| 0.3 * noise(series + 7, h)).sum();
    20.0 + 5.0 * series as f64 + wave + level + 0.2 * noise(series, hour)
}

fn time(hour: i64) -> String {
    format!("2024-01-{:02}T{:02}:00:00Z", 1 + hour / 24, hour % 24)
}

/// Writes a CSV of two series, one after the other or hour by hour.
fn table(path: &Path, by_time: bool) {
    let mut rows: Vec<(usize, i64)> = (0..2).flat_map(|s| (0..HOURS).map(move |h| (s, h))).collect();
    if by_time {
        rows.sort_by_key(|(s, h)| (*h, *s));
    }
    let row = |(s, h): &(usize, i64)| format!("m{s},{},{:.4}\n", time(*h), value(*s, *h));
    let rows: String = rows.iter().map(row).collect();
    std::fs::write(path, format!("meter,time,kw\n{rows}")).unwrap();
}

fn config(path: &Path, lines: &str) {
    let text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1h\"\nhorizon = {HORIZON}\n\
         seasons = [24]\ntargets = [\"kw\"]\nquantiles = [0.1, 0.5, 0.9]\n\
         fields = {{ series = \"/meter\", time = \"/time\" }}\n{lines}"
    );
    std::fs::write(path, text).unwrap();
}

/// The table by time, each reading as four in its hour, whose mean it is.
fn quarters(path: &Path) {
    let mut rows = String::from("meter,time,kw\n");
    for hour in 0..HOURS {
        for (minute, off) in [(0, 0.5), (15, -0.25), (30, -0.75), (45, 0.5)] {
            for series in 0..2 {
                let (day, hour_of_day) = (1 + hour / 24, hour % 24);
                let value = format!("{:.4}", value(series, hour)).parse::<f64>().unwrap() + off;
                rows += &format!("m{series},2024-01-{day:02}T{hour_of_day:02}:{minute:02}:00Z,{value:.4}\n");
            }
        }
    }
    std::fs::write(path, rows).unwrap();
}

const NO_NETWORK: &str = "training = { enabled = false }\n";

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidecast"));
    command.current_dir(folder).arg("backtest").args(arguments).output().unwrap()
}

fn done(folder: &Path, arguments: &[&str]) -> Output {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The score of an expert at a lead, or over all of them.
fn score<'a>(json: &'a Value, expert: &str, lead: Option<usize>) -> &'a Value {
    let mut scores = json["scores"].as_array().unwrap().iter();
    let is_it = |s: &&Value| s["expert"] == expert && s["lead"].as_u64() == lead.map(|l| l as u64);
    scores.find(is_it).unwrap_or_else(|| panic!("no score of {expert} at {lead:?}"))
}

/// Absolute errors of the forecasts of a file, by (series, lead), in the order of their origins; and how
/// many values lay between the outer quantiles.
fn errors(path: &Path) -> (HashMap<(usize, usize), Vec<f64>>, f64) {
    let (mut errors, mut inside, mut n) = (HashMap::<_, Vec<f64>>::new(), 0.0, 0.0);
    for row in csv::Reader::from_path(path).unwrap().records() {
        let row = row.unwrap();
        let (series, lead): (usize, usize) = (row[0][1..].parse().unwrap(), row[3].parse().unwrap());
        let (day, hour): (i64, i64) = (row[4][8..10].parse().unwrap(), row[4][11..13].parse().unwrap());
        let hour = (day - 1) * 24 + hour;
        if hour >= HOURS || &row[4][..7] != "2024-01" {
            continue;
        }
        let number = |at: usize| row[at].parse::<f64>().unwrap();
        let value: f64 = format!("{:.4}", value(series, hour)).parse().unwrap();
        errors.entry((series, lead)).or_default().push((value - number(5)).abs());
        inside += f64::from(u8::from(number(6) <= value && value <= number(8)));
        n += 1.0;
    }
    (errors, inside / n)
}

fn near(got: &Value, want: f64) {
    let got = got.as_f64().unwrap();
    assert!((got - want).abs() < 1e-4 * want.abs().max(1e-3), "{got} for {want}");
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
    sum / n
}

#[test]
fn scores_are_those_of_the_forecasts_that_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    table(&at("data.csv"), true);
    config(&at("full.toml"), NO_NETWORK);
    done(
        folder.path(),
        &[
            "--config",
            "full.toml",
            "--data",
            "data.csv",
            "--json",
            "s.json",
            "--forecasts",
            "f.csv",
            "--score-from",
            "2024-01-08T00:00:00Z",
        ],
    );
    let (errors, inside) = errors(&at("f.csv"));
    let json = json(&at("s.json"));
    assert_eq!((json["readings"].as_i64(), json["series"].as_i64()), (Some(2 * HOURS), Some(2)));
    for lead in 1..=HORIZON {
        let found = score(&json, "mixture", Some(lead));
        let all = || errors[&(0, lead)].iter().chain(&errors[&(1, lead)]).copied();
        assert_eq!(found["n"].as_u64(), Some(all().count() as u64));
        near(&found["mae"], mean(all()));
        near(&found["rmse"], mean(all().map(|e| e * e)).sqrt());
    }
    let all = score(&json, "mixture", None);
    near(&all["mae"], mean(errors.values().flatten().copied()));
    near(&all["coverage"]["0.8"], inside);
    // At the median the pinball loss is half the absolute error around what is emitted as median.
    assert!(all["pinball"]["0.5"].as_f64().unwrap() > 0.0 && all["mase"].as_f64().unwrap() > 0.0);
    let best = ["last", "seasonal"].map(|naive| score(&json, naive, None)["mae"].as_f64().unwrap());
    let best = best[0].min(best[1]);
    assert!((all["skill"].as_f64().unwrap() - (1.0 - all["mae"].as_f64().unwrap() / best)).abs() < 1e-9);
    let series = json["series_scores"].as_array().unwrap();
    let second = series.iter().find(|s| s["series"] == "m1" && s["expert"] == "mixture").unwrap();
    near(&second["mae"], mean((1..=HORIZON).flat_map(|lead| errors[&(1, lead)].clone())));
    near(&second["mae_by_lead"][HORIZON - 1], mean(errors[&(1, HORIZON)].iter().copied()));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: String| folder.path().join(name);
    table(&at("data.csv".to_owned()), true);
    let network = "[streams.s.model]\nhidden = 8\nbase = \"last\"\n[streams.s.training]\nfirst_after = 300\nevery = 200\n\
        first_steps = 60\nsteps = 10\n";
    config(&at("s.toml".to_owned()), network);
    let files = |run_name: &str, seed: &str| {
        let [json, forecasts, report] = ["json", "csv", "html"].map(|e| format!("{run_name}.{e}"));
        let output = done(
            folder.path(),
            &[
                "--config",
                "s.toml",
                "--data",
                "data.csv",
                "--seed",
                seed,
                "--json",
                &json,
                "--forecasts",
                &forecasts,
                "--report",
                &report,
            ],
        );
        let mut scores: Value = serde_json::from_slice(&std::fs::read(at(json)).unwrap()).unwrap();
        assert!(scores["promoted"].as_u64().unwrap() > 0, "the seed plays a part");
        assert!(String::from_utf8_lossy(&output.stderr).contains("readings/s"));
        // How long it took is the one thing that differs.
        assert!(scores.as_object_mut().unwrap().remove("seconds").unwrap().as_f64().unwrap() > 0.0);
        let read = |name: String| std::fs::read(at(name)).unwrap();
        (scores.to_string(), read(forecasts), read(report), output.stdout)
    };
    let (first, again, other) = (files("first", "1"), files("again", "1"), files("other", "2"));
    assert!(first == again);
    assert!(first.1 != other.1 && first.0 != other.0);
    let page = String::from_utf8(first.2).unwrap();
    for part in
        ["and what came", "error by lead", "coverage by lead", "calibration", "weights at lead 1", "m1"]
    {
        assert!(page.contains(part), "the page lacks {part}");
    }
    // Nothing is fetched, nothing is run.
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("@import"));
    assert_eq!(page.matches("http").count(), page.matches("http://www.w3.org/2000/svg").count());
}

#[test]
fn two_configs_are_compared_on_the_same_targets() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    table(&at("data.csv"), true);
    config(&at("full.toml"), NO_NETWORK);
    config(&at("naive.toml"), &format!("experts = []\n{NO_NETWORK}"));
    let from = "2024-01-08T00:00:00Z";
    for name in ["full", "naive"] {
        let (config, forecasts) = (format!("{name}.toml"), format!("{name}.csv"));
        done(
            folder.path(),
            &["--config", &config, "--data", "data.csv", "--forecasts", &forecasts, "--score-from", from],
        );
    }
    let output = done(
        folder.path(),
        &[
            "--config",
            "full.toml",
            "--against",
            "naive.toml",
            "--data",
            "data.csv",
            "--json",
            "c.json",
            "--score-from",
            from,
            "--report",
            "c.html",
        ],
    );
    let (json, full, naive) = (json(&at("c.json")), errors(&at("full.csv")).0, errors(&at("naive.csv")).0);
    for line in json["comparison"].as_array().unwrap().iter().filter(|l| l["loss"] == "absolute") {
        let leads = line["lead"].as_u64().map_or(1..=HORIZON, |lead| lead as usize..=lead as usize);
        let of = |errors: &HashMap<(usize, usize), Vec<f64>>| {
            mean(
                leads
                    .clone()
                    .flat_map(|lead| [errors[&(0, lead)].clone(), errors[&(1, lead)].clone()])
                    .flatten(),
            )
        };
        near(&line["mean"], of(&full));
        near(&line["mean_against"], of(&naive));
        let number = |name: &str| line[name].as_f64().unwrap();
        assert!((number("mean") - number("mean_against") - number("difference")).abs() < 1e-12);
        assert!(number("low") < number("difference") && number("difference") < number("high"));
        assert_eq!(number("p_value") < 0.05, number("low") > 0.0 || number("high") < 0.0);
    }
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("full.toml is better than naive.toml"), "{told}");
    assert_eq!(json["better_series"][0]["of"].as_u64(), Some(2));
    assert!(std::fs::read_to_string(at("c.html")).unwrap().contains("difference by lead"));
    let same =
        done(folder.path(), &["--config", "full.toml", "--against", "full.toml", "--data", "data.csv"]);
    assert!(String::from_utf8_lossy(&same.stdout).contains("can't be told apart"));
}

#[test]
fn rows_of_one_series_after_the_other_are_sorted_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    table(&at("by_time.csv"), true);
    table(&at("by_series.csv"), false);
    config(&at("s.toml"), NO_NETWORK);
    let scores = |arguments: &[&str]| {
        let output =
            done(folder.path(), &[&["--config", "s.toml", "--json", "s.json", "--data"], arguments].concat());
        (json(&at("s.json"))["scores"].clone(), String::from_utf8(output.stderr).unwrap())
    };
    let (wanted, calm) = scores(&["by_time.csv"]);
    let (sorted, silent) = scores(&["by_series.csv", "--sort"]);
    assert_eq!(sorted, wanted);
    assert!(!calm.contains("--sort") && !silent.contains("--sort"));
    let (_, warned) = scores(&["by_series.csv"]);
    assert!(warned.contains("699 row(s) go back in time, the first is line 702"), "{warned}");
}

#[test]
fn what_is_wrong_with_the_data_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    config(&at("s.toml"), NO_NETWORK);
    std::fs::write(at("d.csv"), "meter,time,kw\nm0,2024-01-01T00:00:00Z,1\nm0,2024-01-01T01:00:00Z,much\n")
        .unwrap();
    let told = |data: &str| {
        String::from_utf8(run(folder.path(), &["--config", "s.toml", "--data", data]).stderr).unwrap()
    };
    let stderr = told("d.csv");
    assert!(stderr.contains("line 3: wrong_type at /kw: a number was expected, not \"much\""), "{stderr}");
    std::fs::write(at("e.csv"), "meter,when,kw\nm0,2024-01-01T00:00:00Z,1\n").unwrap();
    assert!(told("e.csv").contains("there is no column \"time\""));
    assert_eq!(run(folder.path(), &["--config", "s.toml", "--data", "e.csv"]).status.code(), Some(1));
    assert!(told("gone.csv").contains("gone.csv"));
}

#[test]
fn seasons_are_found_in_what_comes_before_the_scores_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // A day's wave for three weeks, then one of twenty hours.
    let value = |h: i64| {
        let period = if h < 21 * 24 { 24 } else { 20 };
        (std::f64::consts::TAU * (h % period) as f64 / period as f64).sin() + 0.2 * noise(0, h)
    };
    let rows: String = (0..HOURS).map(|h| format!("m,{},{:.4}\n", time(h), value(h))).collect();
    std::fs::write(at("data.csv"), format!("meter,time,kw\n{rows}")).unwrap();
    config(&at("given.toml"), NO_NETWORK);
    let given = std::fs::read_to_string(at("given.toml")).unwrap();
    std::fs::write(at("auto.toml"), given.replace("seasons = [24]", "seasons = \"auto\"")).unwrap();
    let seasons = |config: &str, from: &str| {
        let arguments = ["--config", config, "--data", "data.csv", "--json", "s.json", "--score-from", from];
        let output = done(folder.path(), &arguments);
        let json = json(&at("s.json"));
        let steps: Vec<u64> = serde_json::from_value(json["seasons"].clone()).unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(&format!("seasons of {steps:?} steps, from the ")), "{said}");
        (steps, json["seasons_from"].as_str().unwrap().to_owned())
    };
    assert_eq!(seasons("given.toml", "2024-01-22T00:00:00Z"), (vec![24], "config".into()));
    assert_eq!(seasons("auto.toml", "2024-01-22T00:00:00Z"), (vec![24], "past".into()));
    let early = seasons("auto.toml", "2024-01-20T00:00:00Z");
    assert_eq!(early, (vec![24, 168], "interval".into()));
}

#[test]
fn who_stops_listening_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    table(&at("data.csv"), true);
    config(&at("c.toml"), NO_NETWORK);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidecast"));
    command.current_dir(folder.path());
    command.args(["backtest", "--config", "c.toml", "--data", "data.csv", "--json", "s.json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("panicked"), "{said}");
    assert!(json(&at("s.json"))["readings"].as_u64() > Some(0));
}

#[test]
fn a_cell_that_is_gathered_is_judged_by_what_it_was_gathered_to() {
    let folder = tempfile::tempdir().unwrap();
    table(&folder.path().join("hours.csv"), true);
    quarters(&folder.path().join("quarters.csv"));
    config(&folder.path().join("hours.toml"), NO_NETWORK);
    config(&folder.path().join("quarters.toml"), &format!("aggregate = \"mean\"\n{NO_NETWORK}"));
    for name in ["hours", "quarters"] {
        let [config, data, scores] = ["toml", "csv", "json"].map(|end| format!("{name}.{end}"));
        done(folder.path(), &["--config", &config, "--data", &data, "--json", &scores]);
    }
    let [hours, quarters] =
        ["hours", "quarters"].map(|name| json(&folder.path().join(format!("{name}.json"))));
    assert_eq!(quarters["readings"].as_u64(), hours["readings"].as_u64().map(|n| 4 * n));
    let (hours, quarters) = (hours["scores"].as_array().unwrap(), quarters["scores"].as_array().unwrap());
    assert_eq!(hours.len(), quarters.len());
    for (hour, quarter) in hours.iter().zip(quarters) {
        for key in ["mae", "rmse"] {
            let [whole, gathered] = [hour, quarter].map(|score| score[key].as_f64());
            // The last hour stays open, and so a few of some thousand are not judged.
            let alike = match (whole, gathered) {
                (Some(whole), Some(gathered)) => (whole / gathered - 1.0).abs() < 0.01,
                (whole, gathered) => whole == gathered,
            };
            assert!(alike, "{hour} and {quarter}");
        }
    }
}
