//! This program goes on from what earlier releases have left: snapshots, bundles, the models topic, committed offsets
//! with their notes. `tests/upgrade/README.md` says how a release's record is made.

#[path = "../support/mod.rs"]
mod support;

mod record;
mod rolling;

use record::{Left, SERIES, reading_time, readings};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::kafka::{Record, committed_offsets, produce, read_committed};

const LIMIT: Duration = Duration::from_secs(90);
const LATENESS_HOURS: i64 = 2;

/// How often each source record was answered.
fn answers(left: &Left) -> BTreeMap<(i32, i64), usize> {
    let mut answers = BTreeMap::new();
    for kind in ["forecasts", "dead-letters"] {
        for record in read_committed(&left.broker.bootstrap(), &format!("power.{kind}")) {
            *answers.entry(record.source()).or_default() += 1;
        }
    }
    answers
}

fn hour_of(record: &Record) -> Option<i64> {
    let value: serde_json::Value = serde_json::from_slice(record.value.as_deref()?).ok()?;
    Some(reading_time(value["ts"].as_i64()?))
}

/// Every record that lateness does not hold back has one answer, and no record has two. Returns how many were
/// answered.
fn audit(left: &Left, what: &str) -> usize {
    let answers = answers(left);
    let source = read_committed(&left.broker.bootstrap(), "power.in");
    let newest = source.iter().filter_map(hour_of).max().expect("there are readings");
    for record in &source {
        let count = answers.get(&(record.partition, record.offset)).copied().unwrap_or(0);
        assert!(count <= 1, "{what}: {}[{}] has {count} answers", record.partition, record.offset);
        let is_due = hour_of(record).is_none_or(|hour| hour <= newest - LATENESS_HOURS);
        assert!(count == 1 || !is_due, "{what}: {}[{}] has no answer", record.partition, record.offset);
    }
    answers.len()
}

fn wait_until_committed(left: &mut Left) {
    let (bootstrap, until) = (left.broker.bootstrap(), Instant::now() + LIMIT);
    let written = read_committed(&bootstrap, "power.in").len() as i64;
    while committed_offsets(&bootstrap, "power", "power.in").iter().map(|o| o.unwrap_or(0)).sum::<i64>()
        < written
    {
        assert!(left.daemon().is_running() && Instant::now() < until, "{}", left.daemon().log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The model that serves, as the last announcement has it.
fn announced(left: &Left) -> u64 {
    let all = read_committed(&left.broker.bootstrap(), "power.models");
    let last = all.last().and_then(|record| record.value.clone()).expect("a model was announced");
    let value: serde_json::Value = serde_json::from_slice(&last).expect("an announcement is JSON");
    value["version"].as_u64().expect("a network serves")
}

#[test]
fn this_program_goes_on_from_what_each_release_has_left() {
    let releases = record::releases();
    assert!(!releases.is_empty());
    for release in releases {
        let mut left = Left::unpack(&release);
        let before = audit(&left, &release);
        let model = announced(&left);
        left.start(None);
        let http = left.http.clone();
        left.daemon().wait_ready(&http, LIMIT);

        // What it makes of the snapshots is said, shard by shard.
        let restored = left.daemon().wait_for_events("restored", record::PARTITIONS as usize, LIMIT);
        let passed_over = left.daemon().events("snapshot_passed_over");
        let from_snapshot = restored.iter().filter(|event| event["snapshot"].is_string()).count();
        let said: std::collections::BTreeSet<String> =
            passed_over.iter().map(|event| event["shard"].to_string()).collect();
        assert!(from_snapshot + said.len() >= record::PARTITIONS as usize, "{}", left.daemon().log());
        // What was committed and held back is found again: nothing starts from the beginning.
        assert!(restored.iter().all(|event| event["committed"].as_i64() > Some(0)), "{restored:?}");

        let (from, until) = (record::HOURS, record::HOURS + 30);
        produce(&left.broker.bootstrap(), "power.in", readings(from..until));
        wait_until_committed(&mut left);
        let code = left.daemon().terminate(LIMIT);
        assert_eq!(code, 0, "{}", left.daemon().log());
        let after = audit(&left, &release);
        assert_eq!(
            after - before,
            30 * SERIES,
            "each new reading releases one that was held, or is answered"
        );

        // The announced model was found in the store, and goes on serving.
        let forecasts = read_committed(&left.broker.bootstrap(), "power.forecasts");
        let last = forecasts.last().and_then(|record| record.value.clone()).expect("there are forecasts");
        let last: serde_json::Value = serde_json::from_slice(&last).expect("a forecast is JSON");
        let known = announced(&left);
        let names: Vec<String> = (model..=known).map(|version| format!("power-{version:06}")).collect();
        assert!(names.iter().any(|name| last["model"] == name.as_str()), "{model}, {known}: {last}");
        println!(
            "{release}: {from_snapshot} shards from snapshots, {} passed over; {before} answers before, {after} after",
            said.len()
        );
    }
}
