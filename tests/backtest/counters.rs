//! Counts are judged as their rates, and a long table as the wide one.

use super::{HOURS, NO_NETWORK, config, done, json, time, value};
use std::path::Path;

/// The meters are replaced here.
const REPLACED: i64 = 400;

fn whole(series: usize, hour: i64) -> i64 {
    (100.0 * value(series, hour)).round() as i64
}

/// Two meters' registers, and the same as their growth an hour.
fn registers(folder: &Path) {
    let (mut counts, mut rates) = (String::from("meter,time,kw\n"), String::from("meter,time,kw\n"));
    let mut registers = [50_000, 70_000];
    for hour in 0..HOURS {
        for (series, register) in registers.iter_mut().enumerate() {
            let growth = whole(series, hour);
            *register = if hour == REPLACED { 0 } else { *register + growth };
            let is_known = hour != 0 && hour != REPLACED;
            let rate = if is_known { growth.to_string() } else { String::new() };
            counts += &format!("m{series},{},{register}\n", time(hour));
            rates += &format!("m{series},{},{rate}\n", time(hour));
        }
    }
    std::fs::write(folder.join("counts.csv"), counts).unwrap();
    std::fs::write(folder.join("rates.csv"), rates).unwrap();
}

#[test]
fn a_counter_is_scored_as_its_rate() {
    let folder = tempfile::tempdir().unwrap();
    registers(folder.path());
    config(&folder.path().join("rates.toml"), NO_NETWORK);
    config(&folder.path().join("counts.toml"), &format!("counters = {{ kw = \"hour\" }}\n{NO_NETWORK}"));
    let scores = ["rates", "counts"].map(|name| {
        let [config, data, scores] = ["toml", "csv", "json"].map(|end| format!("{name}.{end}"));
        done(folder.path(), &["--config", &config, "--data", &data, "--json", &scores]);
        json(&folder.path().join(scores))
    });
    assert!(scores[0]["scores"].as_array().unwrap().len() > 10);
    assert_eq!(scores[0]["readings"], scores[1]["readings"]);
    assert_eq!(scores[0]["scores"], scores[1]["scores"]);
}

#[test]
fn a_long_table_is_scored_as_the_wide_one() {
    let folder = tempfile::tempdir().unwrap();
    let (mut wide, mut long) = (String::from("meter,time,a,b\n"), String::from("meter,time,name,value\n"));
    for hour in 0..HOURS {
        let [a, b] = [whole(0, hour), whole(1, hour)];
        wide += &format!("m,{},{a},{b}\n", time(hour));
        for (name, value) in [("b", b), ("other", 1), ("a", a)] {
            long += &format!("m,{},{name},{value}\n", time(hour));
        }
    }
    let scores = [
        ("wide", wide, ""),
        (
            "long",
            long,
            "aggregate = \"join\"\nfields.name = \"/name\"\nfields.values = { a = \"/value\", b = \"/value\" }\n",
        ),
    ]
    .map(|(name, table, lines)| {
        let [config, data, scores] = ["toml", "csv", "json"].map(|end| format!("{name}.{end}"));
        let text = format!(
            "kafka.brokers = \"localhost:9092\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1h\"\nhorizon = 4\n\
             seasons = [24]\ntargets = [\"a\", \"b\"]\nfields.series = \"/meter\"\nfields.time = \"/time\"\n{lines}{NO_NETWORK}"
        );
        std::fs::write(folder.path().join(&config), text).unwrap();
        std::fs::write(folder.path().join(&data), table).unwrap();
        done(folder.path(), &["--config", &config, "--data", &data, "--json", &scores]);
        json(&folder.path().join(scores))
    });
    let [wide, long] = scores.map(|scores| scores["scores"].as_array().unwrap().clone());
    assert!(wide.len() > 10 && wide.len() == long.len());
    for (wide, long) in wide.iter().zip(&long) {
        // The last hour is still open when the table ends.
        let [w, l] = [wide, long].map(|score| score["mae"].as_f64());
        let alike = match (w, l) {
            (Some(w), Some(l)) => (w / l - 1.0).abs() < 0.01,
            (w, l) => w == l,
        };
        assert!(alike, "{wide} and {long}");
    }
}
