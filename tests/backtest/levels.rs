//! What is forecast of files from the field: sensors that stand still and begin to move, meters that are
//! replaced, counts that are often 0, positions that are wrong once.

use super::{done, json, score};
use std::collections::HashMap;
use std::path::Path;

type Row = HashMap<String, String>;

fn records(path: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().collect::<Result<_, _>>().unwrap()
}

/// The forecasts of lead 1 by series, target and time: point, then the outer quantiles.
struct Forecasts(HashMap<(String, String, String), [f64; 3]>);

/// Everything that was forecast of a file under a config with these lines.
fn all(case: &str, lines: &str) -> (Vec<Row>, Forecasts) {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[streams.s]\ntopics = [\"t\"]\ntraining = {{ enabled = false }}\n{lines}"
    );
    std::fs::write(folder.path().join("c.toml"), config).unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(case);
    let data = data.to_str().unwrap();
    let options = ["--config", "c.toml", "--data", data, "--forecasts", "f.csv", "--no-network"];
    done(folder.path(), &options);
    let rows = records(&folder.path().join("f.csv"));
    let number = |row: &Row, name: &str| row[name].parse::<f64>().unwrap();
    let first = rows.iter().filter(|row| row["lead"] == "1").map(|row| {
        let at = (row["series"].clone(), row["target"].clone(), row["time"].clone());
        (at, [number(row, "yhat"), number(row, "q0.05"), number(row, "q0.95")])
    });
    let first = Forecasts(first.collect());
    (rows, first)
}

/// A file's rows, with what was forecast of one target of each.
fn told(
    case: &str,
    series: &str,
    time: &str,
    target: (&str, &str),
    lines: &str,
) -> Vec<(f64, Option<[f64; 3]>)> {
    let (_, forecasts) = all(case, lines);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(case);
    let of = |row: &Row| {
        let time = row[time].trim().replace(' ', "T");
        let time = match time.parse::<i64>() {
            Ok(seconds) => jiff::Timestamp::from_second(seconds).unwrap().to_string(),
            Err(_) if time.len() == 10 => format!("{time}T00:00:00Z"),
            Err(_) if time.ends_with('Z') => time,
            Err(_) => format!("{time}Z"),
        };
        let at = (row[series].clone(), target.0.to_owned(), time);
        let value = row[target.1].trim().parse().unwrap_or(f64::NAN);
        (value, forecasts.0.get(&at).copied())
    };
    records(&path).iter().map(of).collect()
}

/// The share of values that lie in the intervals that were given for them.
fn coverage(told: &[(f64, Option<[f64; 3]>)]) -> f64 {
    let scored: Vec<_> = told.iter().filter_map(|(value, said)| said.map(|said| (*value, said))).collect();
    let within = scored.iter().filter(|(value, [_, low, high])| (low - 1e-9..=high + 1e-9).contains(value));
    within.count() as f64 / scored.len() as f64
}

#[test]
fn what_begins_with_equal_readings_is_forecast_as_soon_as_it_moves() {
    let half_hours = "interval = \"30m\"\nhorizon = 4\ntargets = [\"kw\"]\nfields = { series = \"/id\", time = \"/time\" }";
    let hours = half_hours.replace("30m", "1h");
    let meter = "interval = \"30m\"\nhorizon = 4\ntargets = [\"kwh\"]\n\
        fields = { series = \"/LCLid\", time = \"/tstp\", values = { kwh = \"/energy(kWh~1hh)\" } }";
    let files = [
        ("21/zeros.csv", told("21/zeros.csv", "id", "time", ("kw", "kw"), half_hours)),
        ("21/sevens.csv", told("21/sevens.csv", "id", "time", ("kw", "kw"), half_hours)),
        ("21/pv.csv", told("21/pv.csv", "id", "time", ("kw", "kw"), &hours)),
        ("21/meter.csv", told("21/meter.csv", "LCLid", "tstp", ("kwh", "energy(kWh/hh)"), meter)),
    ];
    for (file, told) in files {
        let moved = told.iter().position(|(value, said)| said.is_some() && *value != told[12].0).unwrap();
        let after = &told[moved + 3..];
        let covered = coverage(after);
        assert!(covered > 0.85, "{file}: {covered}");
        let stuck =
            after.iter().filter(|(_, said)| said.is_some_and(|[point, ..]| point == told[moved - 1].0));
        assert!(stuck.count() * 2 < after.len(), "{file}: its forecast is what it began with");
    }
}

#[test]
fn a_glitch_is_not_believed_and_a_replaced_meter_is() {
    let lines = "interval = \"1h\"\nhorizon = 6\ntargets = [\"kwh\"]\nfields = { series = \"/id\", time = \"/time\" }";
    let told = told("14/input.csv", "id", "time", ("kwh", "kwh"), lines);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/14/input.csv");
    let of = |name: &str| -> Vec<(f64, [f64; 3])> {
        let rows = records(&path);
        let mine = told.iter().zip(&rows).filter(|(_, row)| row["id"] == name);
        mine.filter_map(|((value, said), _)| said.map(|said| (*value, said))).collect()
    };
    // The glitches of the first: one reading of 5,884 and one of 0 in a count of some 200.
    let meter = of("meter");
    let wild = |at: usize| (meter[at].0 - meter[at].1[0]).abs() > 50.0;
    let glitches: Vec<usize> = (0..meter.len()).filter(|at| wild(*at)).collect();
    assert_eq!(glitches.len(), 2, "{glitches:?}");
    for at in glitches {
        let (value, [point, low, high]) = meter[at + 1];
        assert!((value - point).abs() < 10.0 && high - low < 20.0, "{value}: {:?}", meter[at + 1].1);
    }
    // The second is replaced: 12,508, then 0. Two readings are off, the third is not.
    let replaced = of("replaced");
    let at = replaced.iter().position(|(value, _)| *value < 100.0).unwrap();
    assert!(replaced[at + 1].1[0] > 12_000.0, "the first reading alone is not believed");
    assert!(replaced[at + 2..].iter().all(|(value, [point, ..])| (value - point).abs() < 10.0));
    assert!(coverage(&replaced[at + 2..].iter().map(|(v, s)| (*v, Some(*s))).collect::<Vec<_>>()) > 0.85);
}

#[test]
fn a_position_that_is_wrong_once_moves_nothing() {
    let lines = "interval = \"1s\"\nhorizon = 10\ntargets = [\"latitude\", \"longitude\"]\ndifference = true\n\
        position = { latitude = \"latitude\", longitude = \"longitude\", missing = [] }\nseasons = []\ncalendar = []\n\
        max_gap = 30\nexperts = [\"linear\", \"velocity\"]\nfields = { series = \"/device\", time = \"/fixTime\" }";
    for (target, metres) in [("latitude", 111_195.0), ("longitude", 74_200.0)] {
        let told = told("15/input.csv", "device", "fixTime", (target, target), lines);
        let zeros: Vec<usize> = (0..told.len()).filter(|at| told[*at].0 == 0.0).collect();
        // One by itself, and later two in a row, which are a place, for as long as they last.
        assert_eq!(zeros, [300, 400, 401]);
        for at in [301, 302, 303, 404, 405] {
            let (value, Some([point, low, high])) = told[at] else { panic!("no forecast of row {at}") };
            let (off, width) = ((value - point).abs() * metres, (high - low) * metres);
            assert!(off < 15.0 && width < 100.0, "{target} of row {at}: off by {off} m, {width} m wide");
        }
    }
}

#[test]
fn counts_that_are_never_negative_are_not_forecast_below_zero() {
    let lines = "interval = \"1d\"\nhorizon = 6\ntargets = [\"used\"]\nfields = { series = \"/sku\", time = \"/day\" }";
    for (lines, most) in [(lines.to_owned(), 2_500.0), (format!("{lines}\ntransform = \"log1p\""), 4_000.0)] {
        let (rows, _) = all("13/input.csv", &lines);
        let number = |row: &Row, name: &str| row[name].parse::<f64>().unwrap();
        // From the third reading of each that is 0.
        let later: Vec<_> = rows.iter().filter(|row| *row["origin"] >= *"2024-01-17").collect();
        assert!(later.len() > 4_000);
        for row in later {
            let [low, point, high] = ["q0.05", "yhat", "q0.95"].map(|name| number(row, name));
            assert!(low >= 0.0 && point >= 0.0, "{row:?}");
            assert!(high < most, "the largest reading is 746: {row:?}");
        }
        // What the config says has the last word.
        let capped = format!("{lines}\nrange = {{ used = {{ min = \"none\", max = 600 }} }}");
        let (rows, _) = all("13/input.csv", &capped);
        assert!(rows.iter().all(|row| number(row, "q0.95") <= 600.0));
        let is_bent = lines.contains("log1p");
        assert!(is_bent || rows.iter().any(|row| number(row, "q0.05") < 0.0));
    }
}

/// Dew points at an airport: 421 readings above 0 °F in a row, and then the winter.
#[test]
fn what_goes_below_zero_after_hundreds_of_readings_is_forecast_there() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/nyc_airports_hourly.csv.gz");
    let mut text = String::new();
    let mut file = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    std::io::Read::read_to_string(&mut file, &mut text).unwrap();
    let header = text.lines().next().unwrap();
    let rows: Vec<&str> = text.lines().filter(|row| row.starts_with("JFK,")).take(720).collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("d.csv"), format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    let config = "[kafka]\nbrokers = \"localhost:9092\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1h\"\nhorizon = 6\n\
        targets = [\"dewp\"]\ntime_zone = \"America/New_York\"\nfields = { series = \"/origin\", time = \"/time_hour\" }\n";
    std::fs::write(folder.path().join("c.toml"), config).unwrap();
    let fixed = ["--config", "c.toml", "--data", "d.csv", "--no-network"];
    let run = |options: &[&str]| done(folder.path(), &[&fixed[..], options].concat());
    run(&["--forecasts", "f.csv"]);
    // From the first reading below 0 on.
    run(&["--json", "s.json", "--score-from", "2013-01-18T20:00:00Z"]);
    let scores = json(&folder.path().join("s.json"));
    let coverage = score(&scores, "mixture", None)["coverage"]["0.9"].as_f64().unwrap();
    assert!(coverage > 0.82, "{coverage}");
    let of = |row: &Row, name: &str| row[name].parse::<f64>().unwrap();
    let (before, after): (Vec<Row>, Vec<Row>) = records(&folder.path().join("f.csv"))
        .into_iter()
        .partition(|row| *row["origin"] < *"2013-01-18T20:00:00Z");
    let known = before.iter().filter(|row| *row["origin"] > *"2013-01-10");
    assert!(known.clone().count() > 500 && known.clone().all(|row| of(row, "q0.05") >= 0.0));
    assert!(after.iter().any(|row| of(row, "yhat") < -3.0), "it is forecast where it goes");
}
