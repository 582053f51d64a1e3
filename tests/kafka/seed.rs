//! `tidecast seed`: a daemon goes on from a history as if it had read it live.

use crate::case::{Case, LIMIT, PARTITIONS};
use crate::support::broker::Broker;
use crate::support::kafka::{Record, produce};
use crate::support::process::write;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Output};

const METERS: usize = 5;
const HISTORY: Range<i64> = 0..300;
/// The first ten hours are in the history too.
const LIVE: Range<i64> = 290..320;
/// The lateness holds back the last hours.
const HELD: i64 = 2;

fn case(name: &str) -> Case {
    let case = Case::new(name, "", PARTITIONS);
    let text = std::fs::read_to_string(case.config()).unwrap();
    let text = text.replace("horizon = 3", &format!("lateness = \"{HELD}h\"\nhorizon = 3"));
    assert!(text.contains("lateness"));
    write(case.dir.path(), "tidecast.toml", &text);
    case
}

fn reading(meter: usize, hour: i64) -> (String, i64, f64) {
    let phase = hour as f64 / 24.0 * std::f64::consts::TAU + meter as f64;
    (format!("meter-{meter}"), 1_699_999_200 + hour * 3_600, 5.0 + phase.sin() + (hour % 7) as f64 / 10.0)
}

fn all(hours: Range<i64>) -> impl Iterator<Item = (String, i64, f64)> {
    hours.flat_map(|hour| (0..METERS).map(move |meter| reading(meter, hour)))
}

/// librdkafka chooses the partitions, by murmur2.
fn live(case: &Case, hours: Range<i64>) {
    let record = |(id, ts, kw): (String, i64, f64)| {
        let value = format!("{{\"id\":\"{id}\",\"ts\":{ts},\"kw\":{kw:.3}}}");
        (id, value, None)
    };
    produce(&Broker::shared().bootstrap(), &case.topic("in"), all(hours).map(record));
}

fn seed(case: &Case, more: &[&str]) -> Output {
    seed_with(case, &case.config(), more)
}

fn seed_with(case: &Case, config: &Path, more: &[&str]) -> Output {
    let mut csv = "id,ts,kw\n".to_owned();
    all(HISTORY).for_each(|(id, ts, kw)| writeln!(csv, "{id},{ts},{kw:.3}").unwrap());
    let history = write(case.dir.path(), "history.csv", &csv);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidecast"));
    command.arg("seed").arg("--config").arg(config).arg("--from").arg(history);
    command.args(more).output().unwrap()
}

/// What was forecast of each series at each origin.
fn forecasts(case: &Case) -> BTreeMap<(String, String), Value> {
    let said = |record: Record| {
        let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        let text = |name: &str| value[name].as_str().unwrap().to_owned();
        ((text("series"), text("origin")), value["targets"].clone())
    };
    case.read("forecasts").into_iter().map(said).collect()
}

#[test]
fn the_first_live_forecast_is_that_of_a_daemon_that_has_read_the_history() {
    let (seeded, lived) = (case("seeded"), case("lived"));
    // The rows of a file have no key, so they name no series of such a stream. Nothing is written.
    let text = std::fs::read_to_string(seeded.config()).unwrap();
    let keyed = text.replace("\"/id\"", "\"@key\"");
    assert_ne!(keyed, text);
    let nameless = seed_with(&seeded, &write(seeded.dir.path(), "keyed.toml", &keyed), &[]);
    assert_eq!(nameless.status.code(), Some(1));
    let why = String::from_utf8_lossy(&nameless.stderr).into_owned();
    assert!(why.contains("1500 rows can't be read") && why.contains("series = \"@key\""), "{why}");

    let done = seed(&seeded, &[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let refused = seed(&seeded, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--force"));
    let again = seed(&seeded, &["--force"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(again.stdout, done.stdout);

    let (overlap, new) = (HISTORY.end - LIVE.start, LIVE.end - HISTORY.end);
    live(&seeded, LIVE);
    let mut daemon = seeded.daemon();
    assert_eq!(daemon.events("restored").iter().filter(|event| event["snapshot"] != "none").count(), 3);
    let answered = |hours: i64| METERS * usize::try_from(hours).unwrap();
    seeded.wait_answered(&mut daemon, answered(new - HELD));
    let discarded = seeded.metric("tidecast_readings_discarded_total", "seeded");
    assert_eq!(discarded, answered(overlap) as f64, "each reading of the overlap is counted once");
    assert_eq!(daemon.terminate(LIMIT), 0);

    live(&lived, HISTORY.start..LIVE.end);
    let mut daemon = lived.daemon();
    lived.wait_answered(&mut daemon, answered(LIVE.end - HISTORY.start - HELD));
    assert_eq!(daemon.terminate(LIMIT), 0);

    let (from_seed, from_log) = (forecasts(&seeded), forecasts(&lived));
    assert_eq!(from_seed.len(), answered(new - HELD));
    for (what, said) in &from_seed {
        assert_eq!(Some(said), from_log.get(what), "{what:?}");
    }
}
