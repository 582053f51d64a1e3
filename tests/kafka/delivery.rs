//! The daemon with a real Kafka: each reading has exactly one forecast, although daemons are killed.

use crate::support::broker::Broker;
use crate::support::daemon::{Daemon, Settings, get};
use crate::support::kafka::{
    Record, committed_offsets, create_models_topic, create_topic, produce, read_committed,
};
use crate::support::process::free_port;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 3;

/// Topics, group and config of one test.
struct Case {
    dir: tempfile::TempDir,
    name: &'static str,
    http: String,
}

impl Case {
    fn new(name: &'static str, more: &str) -> Self {
        let bootstrap = Broker::shared().bootstrap();
        let dir = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let http = listener.local_addr().unwrap().to_string();
        for (topic, partitions) in [("in", PARTITIONS), ("forecasts", PARTITIONS), ("dead-letters", 1)] {
            create_topic(&bootstrap, &format!("{name}.{topic}"), partitions, &[]);
        }
        create_models_topic(&bootstrap, name);
        let config = Settings {
            brokers: &bootstrap,
            kafka: &format!(
                "group = \"{name}\"\ninstance = \"{name}-0\"\nproperties = {{ \"session.timeout.ms\" = \"6000\" }}"
            ),
            http: &http,
            store: &format!("file://{}", dir.path().join("store").display()),
            sections: more,
            name,
            topic: &format!("{name}.in"),
            stream: "horizon = 6\nwindow = 256\nmodel = { hidden = 8 }\n\
                training = { first_after = 60, every = 40, first_steps = 20, steps = 10, batch = 8, truncation = 24, \
                holdout = 24 }",
        }
        .text();
        std::fs::write(dir.path().join("tidecast.toml"), config).unwrap();
        Self { dir, name, http }
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("tidecast.toml")
    }

    fn daemon(&self) -> Daemon {
        Daemon::spawn(&self.config(), &[])
    }

    fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    /// Produces hourly readings of some series, and returns how many records there are.
    fn produce(&self, series: i64, hours: std::ops::Range<i64>) -> usize {
        let mut records = Vec::new();
        for hour in hours {
            for s in 0..series {
                let id = format!("meter-{s}");
                // The second period is no configured season, so that a network has something to learn.
                let wave = |period: f64| (hour as f64 / period * std::f64::consts::TAU).sin();
                let kw = 5.0 + s as f64 + wave(24.0) + wave(17.0);
                let value =
                    format!("{{\"id\":\"{id}\",\"ts\":{},\"kw\":{kw:.3}}}", 1_700_000_000 + hour * 3_600);
                records.push((id, value, Some((s % i64::from(PARTITIONS)) as i32)));
            }
        }
        let count = records.len();
        produce(&Broker::shared().bootstrap(), &self.topic("in"), records);
        count
    }

    fn read(&self, kind: &str) -> Vec<Record> {
        read_committed(&Broker::shared().bootstrap(), &self.topic(kind))
    }

    /// Waits until the group has committed every partition's end.
    fn wait_committed(&self, daemon: &mut Daemon, records: usize) {
        let bootstrap = Broker::shared().bootstrap();
        let until = Instant::now() + LIMIT;
        loop {
            let offsets = committed_offsets(&bootstrap, self.name, &self.topic("in"));
            let done: i64 = offsets.iter().map(|o| o.unwrap_or(0)).sum();
            if done == records as i64 {
                return;
            }
            assert!(daemon.is_running(), "the daemon has ended:\n{}", daemon.log());
            assert!(Instant::now() < until, "committed {done} of {records}:\n{}", daemon.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Every source record of `in` is answered exactly once, by a forecast or a dead letter.
fn assert_each_answered_once(case: &Case) {
    let all: BTreeSet<(i32, i64)> = case.read("in").iter().map(|r| (r.partition, r.offset)).collect();
    let mut answers: BTreeMap<(i32, i64), usize> = BTreeMap::new();
    for record in case.read("forecasts").iter().chain(&case.read("dead-letters")) {
        *answers.entry(record.source()).or_default() += 1;
    }
    let doubled: Vec<_> = answers.iter().filter(|(_, n)| **n != 1).collect();
    assert!(doubled.is_empty(), "answered more than once: {doubled:?}");
    let missing: Vec<_> = all.iter().filter(|at| !answers.contains_key(at)).collect();
    assert!(missing.is_empty(), "{} of {} never answered: {missing:?}", missing.len(), all.len());
    assert_eq!(answers.len(), all.len());
}

#[test]
fn each_reading_has_one_forecast_although_the_daemon_is_killed() {
    let case = Case::new("killed", "");
    let mut daemon = case.daemon();
    daemon.wait_ready(&case.http, LIMIT);
    let mut records = 0;
    for round in 0..4 {
        records += case.produce(24, round * 40..(round + 1) * 40);
        // Each time at another point of its work: while it reads, steps, sends or commits.
        std::thread::sleep(Duration::from_millis(40 + 90 * round as u64));
        daemon.kill9();
        daemon = case.daemon();
    }
    case.wait_committed(&mut daemon, records);
    assert_each_answered_once(&case);
    assert_eq!(daemon.terminate(LIMIT), 0);

    // Forecasts have their reading's key and partition, and headers with their origin.
    let forecasts = case.read("forecasts");
    assert_eq!(forecasts.len(), records);
    for record in &forecasts {
        let value: serde_json::Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        assert_eq!(value["series"].as_str().map(str::as_bytes), record.key.as_deref());
        assert_eq!(value["stream"], "killed");
        assert_eq!(record.header("tidecast-source-topic").unwrap(), "killed.in");
        assert_eq!(value["targets"]["kw"]["yhat"].as_array().unwrap().len(), 6);
    }
}

#[test]
fn it_learns_serves_and_finds_its_network_again() {
    let case = Case::new("learns", "");
    let mut daemon = case.daemon();
    daemon.wait_ready(&case.http, LIMIT);
    let mut records = case.produce(12, 0..120);
    case.wait_committed(&mut daemon, records);
    let until = Instant::now() + LIMIT;
    let model = loop {
        records += case.produce(12, records as i64 / 12..records as i64 / 12 + 1);
        case.wait_committed(&mut daemon, records);
        let newest = case.read("forecasts").pop().unwrap();
        let value: serde_json::Value = serde_json::from_slice(newest.value.as_deref().unwrap()).unwrap();
        if let Some(model) = value["model"].as_str() {
            assert!(value["degraded"].is_null());
            break model.to_owned();
        }
        assert_eq!(value["degraded"], "warming");
        assert!(Instant::now() < until, "no network serves:\n{}", daemon.log());
    };
    assert!(model.starts_with("learns-"), "{model}");
    // Workers publish twice a second.
    let serves = "tidecast_model_info{stream=\"learns\",version=\"learns-";
    while !get(&case.http, "/metrics").unwrap().1.contains(serves) {
        assert!(Instant::now() < until, "no metric names the model:\n{}", daemon.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let (_, metrics) = get(&case.http, "/metrics").unwrap();
    for wanted in [
        "tidecast_readings_total{stream=\"learns\"}",
        "tidecast_training_rounds_total{outcome=\"promoted\",stream=\"learns\"}",
        "tidecast_transactions_total{outcome=\"committed\"}",
        "tidecast_forecast_error{expert=\"network\",lead=\"1\",stream=\"learns\"}",
        "process_cpu_seconds_total",
    ] {
        assert!(metrics.contains(wanted), "no {wanted} in\n{metrics}");
    }
    assert_eq!(get(&case.http, "/livez").unwrap().0, 200);
    let (status, page) = get(&case.http, "/").unwrap();
    assert!(status == 200 && page.contains("<svg"), "a fan chart is shown");
    assert_eq!(daemon.terminate(LIMIT), 0);

    let mut daemon = case.daemon();
    daemon.wait_ready(&case.http, LIMIT);
    records += case.produce(12, records as i64 / 12..records as i64 / 12 + 1);
    case.wait_committed(&mut daemon, records);
    let newest = case.read("forecasts").pop().unwrap();
    assert!(newest.header("tidecast-model").unwrap().starts_with("learns-"), "the bundle is loaded at start");
    assert_each_answered_once(&case);
}

#[test]
fn bad_records_are_dead_letters_with_their_reason_and_stop_nothing() {
    let case = Case::new("bad", "");
    let bad: [(&str, &str, &str); 5] = [
        ("{\"id\":\"meter-0\",\"ts\":1,\"kw\":", "not_json", ""),
        ("{\"ts\":1700000000,\"kw\":1}", "missing_series", "/id"),
        ("{\"id\":\"meter-0\",\"kw\":1}", "missing_time", "/ts"),
        ("{\"id\":\"meter-0\",\"ts\":1700000000,\"kw\":[1]}", "wrong_type", "/kw"),
        ("{\"id\":\"meter-0\",\"ts\":\"9999-01-01T00:00:00Z\",\"kw\":1}", "time_out_of_range", "/ts"),
    ];
    let before = case.produce(3, 0..10);
    let records = bad.iter().map(|(value, ..)| ("meter-0", *value, Some(0)));
    produce(&Broker::shared().bootstrap(), &case.topic("in"), records);
    let late = "{\"id\":\"meter-0\",\"ts\":1600000000,\"kw\":1}";
    produce(&Broker::shared().bootstrap(), &case.topic("in"), [("meter-0", late, Some(0))]);
    // Keys and values that a broker accepts and a producer with librdkafka's limits does not.
    let large = "x".repeat(1_020_000);
    let larger = [(large.as_str(), "no JSON", Some(0)), ("meter-0", large.as_str(), Some(0))];
    produce(&Broker::shared().bootstrap(), &case.topic("in"), larger);
    let after = case.produce(3, 10..20);
    let mut daemon = case.daemon();
    case.wait_committed(&mut daemon, before + bad.len() + 3 + after);
    let letters = case.read("dead-letters");
    assert_eq!(letters.len(), bad.len() + 3);
    let cut: Vec<_> = letters.iter().filter(|l| l.header("tidecast-length").is_some()).collect();
    let keys: Vec<_> = cut.iter().map(|l| l.key.as_deref()).collect();
    assert_eq!(keys, [None, Some("meter-0".as_bytes())], "where they came from and why still arrives");
    assert!(cut.iter().all(|l| l.header("tidecast-reason").unwrap() == "not_json"));
    let lengths: Vec<_> = cut.iter().map(|l| l.header("tidecast-length").unwrap()).collect();
    assert_eq!(lengths, ["7", "1020000"], "of the payloads before they were cut");
    assert_eq!(cut[0].value.as_deref(), Some("no JSON".as_bytes()));
    assert!((990_000..1_000_000).contains(&cut[1].value.as_ref().unwrap().len()), "as much as fits");
    for (value, reason, field) in bad.into_iter().chain([(late, "late", "")]) {
        let letter = letters.iter().find(|l| l.value.as_deref() == Some(value.as_bytes())).unwrap();
        assert_eq!(letter.header("tidecast-reason").unwrap(), reason);
        assert_eq!(letter.header("tidecast-source-topic").unwrap(), "bad.in");
        assert_eq!(letter.key.as_deref(), Some("meter-0".as_bytes()));
        if !field.is_empty() {
            assert_eq!(letter.header("tidecast-field").unwrap(), field);
        }
    }
    assert_each_answered_once(&case);
    assert_eq!(daemon.terminate(LIMIT), 0);
}

/// The record has the right time, and three meters agree on it.
#[test]
fn a_time_that_is_ahead_is_a_dead_letter_and_is_logged() {
    let case = Case::new("ahead", "");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let reading = |meter: i64, time: i64| {
        let value = format!("{{\"id\":\"meter-{meter}\",\"ts\":{time},\"kw\":{}}}", 5 + meter + time % 7);
        (format!("meter-{meter}"), value, Some(0))
    };
    let hours = (-30..0).flat_map(|hour| (0..3).map(move |meter| (meter, now + hour * 3_600)));
    let mut records: Vec<_> = hours.map(|(meter, time)| reading(meter, time)).collect();
    let ahead = reading(1, now + 20 * 3_600);
    records.insert(75, ahead.clone());
    let count = records.len();
    produce(&Broker::shared().bootstrap(), &case.topic("in"), records);
    let mut daemon = case.daemon();
    case.wait_committed(&mut daemon, count);
    let letters = case.read("dead-letters");
    let found: Vec<_> = letters.iter().map(|l| (l.source(), l.header("tidecast-reason").unwrap())).collect();
    assert_eq!(found, [((0, 75), "time_ahead")]);
    assert_eq!(letters[0].value.as_deref(), Some(ahead.1.as_bytes()));
    assert_eq!(case.read("forecasts").len(), count - 1);
    assert_each_answered_once(&case);
    let (_, metrics) = get(&case.http, "/metrics").unwrap();
    for line in [
        "tidecast_readings_ahead_total{outcome=\"discarded\",stream=\"ahead\"} 1",
        "tidecast_readings_ahead_total{outcome=\"kept\",stream=\"ahead\"} 0",
        "tidecast_readings_discarded_total{reason=\"time_ahead\",stream=\"ahead\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let told = "1 readings discarded: their time was ahead of what the partition's series agree on; \
                the first: meter-1,";
    assert_eq!(daemon.log().matches(told).count(), 1, "{}", daemon.log());
    assert_eq!(daemon.terminate(LIMIT), 0);
}

#[test]
fn missing_values_are_answered_counted_once_and_logged() {
    let case = Case::new("misses", "");
    let text = std::fs::read_to_string(case.config()).unwrap();
    let text = text.replace("horizon = 6", "horizon = 6\ncovariates = [\"volt\"]");
    std::fs::write(case.config(), text).unwrap();
    let before = case.produce(3, 0..10);
    let records: Vec<String> = [
        r#""kw":"unavailable","volt":230"#,
        r#""kw":NaN,"volt":230"#,
        r#""kw":5.5,"volt":"230 V""#,
        r#""kw":5.5,"volt":"N/A""#,
        r#""kw":"much","volt":230"#,
    ]
    .iter()
    .zip(10..)
    .map(|(values, hour)| {
        format!("\u{feff}{{\"id\":\"meter-0\",\"ts\":{},{values}}}", 1_700_000_000 + hour * 3_600)
    })
    .collect();
    let sent = records.iter().map(|json| ("meter-0", json.as_str(), Some(0)));
    produce(&Broker::shared().bootstrap(), &case.topic("in"), sent);
    let mut daemon = case.daemon();
    case.wait_committed(&mut daemon, before + records.len());
    let letters = case.read("dead-letters");
    assert_eq!((letters.len(), letters[0].value.as_deref()), (1, Some(records[4].as_bytes())));
    assert_eq!(case.read("forecasts").len(), before + 4);
    let counts = || {
        let (_, metrics) = get(&case.http, "/metrics").unwrap();
        ["marker", "not_finite", "unreadable"].map(|reason| {
            let name = format!("tidecast_values_missing_total{{reason=\"{reason}\",stream=\"misses\"}} ");
            metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().to_owned()
        })
    };
    assert_eq!(counts(), ["2", "1", "1"]);
    let log = daemon.log();
    assert_eq!(log.matches("values_missing").count(), 3, "one of each reason:\n{log}");
    assert!(log.contains("230 V") && log.contains("/volt"), "{log}");
    daemon.kill9();
    // A replay does not count them again.
    let mut daemon = case.daemon();
    let after = case.produce(3, 15..20);
    case.wait_committed(&mut daemon, before + records.len() + after);
    assert_eq!(counts(), ["0", "0", "0"]);
    assert_eq!(daemon.terminate(LIMIT), 0);
}

#[test]
fn thinned_readings_are_learnt_from_and_counted_and_get_no_forecast() {
    let case = Case::new("thins", "");
    let text = std::fs::read_to_string(case.config()).unwrap();
    std::fs::write(case.config(), text.replace("horizon = 6", "horizon = 6\nemit_every = \"4h\"")).unwrap();
    let mut daemon = case.daemon();
    daemon.wait_ready(&case.http, LIMIT);
    let mut records = case.produce(5, 0..30);
    case.wait_committed(&mut daemon, records);
    daemon.kill9();
    let mut daemon = case.daemon();
    records += case.produce(5, 30..50);
    case.wait_committed(&mut daemon, records);
    let mut hours = BTreeMap::<_, Vec<i64>>::new();
    for record in case.read("forecasts") {
        let value: serde_json::Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        let origin: jiff::Timestamp = value["origin"].as_str().unwrap().parse().unwrap();
        hours.entry(record.key.unwrap()).or_default().push(origin.as_second() / 3_600);
    }
    let first = 1_700_000_000 / 3_600;
    let wanted: Vec<i64> = (first..first + 50).filter(|hour| *hour == first || hour % 4 == 0).collect();
    assert!(hours.len() == 5 && hours.values().all(|of_one| *of_one == wanted), "{hours:?}");
    let (_, metrics) = get(&case.http, "/metrics").unwrap();
    let thinned = "tidecast_readings_thinned_total{stream=\"thins\"} ";
    let count: u64 = metrics.lines().find_map(|line| line.strip_prefix(thinned)).unwrap().parse().unwrap();
    let answered = 5 * wanted.iter().filter(|hour| **hour >= first + 30).count();
    assert_eq!(count as usize + answered, 5 * 20, "{answered} answered by the second process");
}

#[test]
fn seasons_are_found_in_the_past_once_and_for_all() {
    let case = Case::new("seeks", "");
    let text = std::fs::read_to_string(case.config()).unwrap();
    let text = text.replace("[\"1d\"]", "\"auto\"").replace("window = 256", "window = 1024");
    std::fs::write(case.config(), text).unwrap();
    let seasons = |daemon: &mut Daemon| {
        daemon.wait_ready(&case.http, LIMIT);
        let stream: serde_json::Value =
            serde_json::from_str(&get(&case.http, "/api/v1/streams/seeks").unwrap().1).unwrap();
        (stream["seasons"]["steps"].clone(), stream["seasons"]["from"].as_str().unwrap().to_owned())
    };
    // The topic is too short to show seasons, and the decision stays.
    let mut daemon = case.daemon();
    assert_eq!(seasons(&mut daemon), (json!([24, 168]), "interval".into()));
    let wave = |hour: i64| (hour % 20) as f64 / 20.0 * std::f64::consts::TAU;
    let record = |hour: i64, s: i64| {
        let kw = 5.0 + (wave(hour) + s as f64).sin();
        let ts = 1_700_000_000 + hour * 3_600;
        (format!("meter-{s}"), format!("{{\"id\":\"meter-{s}\",\"ts\":{ts},\"kw\":{kw:.3}}}"), Some(s as i32))
    };
    let hours = |hours: std::ops::Range<i64>| {
        let records: Vec<_> = hours.flat_map(|h| (0..3).map(move |s| record(h, s))).collect();
        let count = records.len();
        produce(&Broker::shared().bootstrap(), &case.topic("in"), records);
        count
    };
    let mut records = hours(0..600);
    case.wait_committed(&mut daemon, records);
    daemon.kill9();
    let mut daemon = case.daemon();
    assert_eq!(seasons(&mut daemon), (json!([24, 168]), "interval".into()));
    assert!(!daemon.log().contains("reading its past"), "{}", daemon.log());
    assert_eq!(daemon.terminate(LIMIT), 0);
    // Deleting the file makes the daemon find them again. States with other seasons can't be used then.
    std::fs::remove_file(case.dir.path().join("store/seeks/seasons.json")).unwrap();
    let mut daemon = case.daemon();
    assert_eq!(seasons(&mut daemon), (json!([20]), "past".into()));
    assert!(daemon.log().contains("reading its past"), "{}", daemon.log());
    records += hours(600..610);
    case.wait_committed(&mut daemon, records);
    assert_eq!(daemon.terminate(LIMIT), 0);
    let mut daemon = case.daemon();
    assert_eq!(seasons(&mut daemon), (json!([20]), "past".into()));
    records += hours(610..620);
    case.wait_committed(&mut daemon, records);
    assert_each_answered_once(&case);
    assert_eq!(daemon.terminate(LIMIT), 0);
    // Other commands use the same seasons as the daemon.
    let config = case.config();
    let shown = Command::new(env!("CARGO_BIN_EXE_tidecast"))
        .args(["state", "show", "seeks", "0", "--series", "*", "--config", config.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
}

#[test]
fn at_least_once_loses_nothing() {
    let case = Case::new("atleast", "guarantee = \"at-least-once\"");
    let mut daemon = case.daemon();
    let records = case.produce(24, 0..100);
    std::thread::sleep(Duration::from_millis(400));
    daemon.kill9();
    daemon = case.daemon();
    case.wait_committed(&mut daemon, records);
    let answered: BTreeSet<(i32, i64)> = case.read("forecasts").iter().map(Record::source).collect();
    assert_eq!(answered.len(), records);
    assert_eq!(daemon.terminate(LIMIT), 0);
}

#[test]
fn sigterm_commits_and_leaves_within_seconds() {
    let case = Case::new("sigterm", "");
    let mut daemon = case.daemon();
    daemon.wait_ready(&case.http, LIMIT);
    let records = case.produce(24, 0..60);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(daemon.terminate(LIMIT), 0, "{}", daemon.log());
    // The readings that it had read are committed with their forecasts.
    let committed: i64 = committed_offsets(&Broker::shared().bootstrap(), case.name, &case.topic("in"))
        .iter()
        .map(|o| o.unwrap_or(0))
        .sum();
    assert_eq!(case.read("forecasts").len() as i64, committed);
    let mut daemon = case.daemon();
    case.wait_committed(&mut daemon, records);
    assert_each_answered_once(&case);
}

#[test]
fn sigterm_is_heard_while_the_start_waits_for_kafka() {
    let case = Case::new("starts", "[daemon]\nstop_timeout = \"1s\"");
    let nobody = format!("127.0.0.1:{}", free_port());
    let text = std::fs::read_to_string(case.config()).unwrap();
    std::fs::write(case.config(), text.replace(&Broker::shared().bootstrap(), &nobody)).unwrap();
    let mut daemon = case.daemon();
    let until = Instant::now() + LIMIT;
    while !daemon.log().contains(&nobody) {
        assert!(Instant::now() < until && daemon.is_running(), "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(daemon.terminate(LIMIT), 1);
    assert!(daemon.log().contains("SIGTERM, and the start did not end within 1s"), "{}", daemon.log());
}

#[test]
fn a_missing_topic_is_an_error_that_says_what_to_do() {
    let case = Case::new("missing", "");
    let text = std::fs::read_to_string(case.config()).unwrap().replace("missing.in", "missing.nowhere");
    std::fs::write(case.config(), text).unwrap();
    let mut daemon = case.daemon();
    assert_eq!(daemon.wait(LIMIT), 1);
    let log = daemon.log();
    assert!(log.contains("missing.nowhere") && log.contains("tidecast topics create"), "{log}");
}

#[test]
fn discarded_readings_are_logged() {
    let case = Case::new("discards", "[log]\nformat = \"json\"");
    let mut records = case.produce(3, 0..10);
    // All records again: the last of each series is a duplicate, those before it are late.
    records += case.produce(3, 0..10);
    let mut daemon = case.daemon();
    case.wait_committed(&mut daemon, records);
    let all = daemon.events("readings_discarded");
    // One event for each reason, although there were many batches.
    assert_eq!(all.len(), 2, "{all:?}");
    for (reason, time) in [("duplicate", "2023-11-15T07:13:20Z"), ("late", "2023-11-14T22:13:20Z")] {
        let told = all.iter().find(|e| e["reason"] == reason).unwrap_or_else(|| panic!("{all:?}"));
        assert_eq!((&told["stream"], &told["level"]), (&json!("discards"), &json!("WARN")));
        assert!(told["count"].as_u64() > Some(0), "{told}");
        assert_eq!(told["time"], time, "{told}");
        let series = told["series"].as_str().unwrap();
        let partition = series.strip_prefix("meter-").unwrap();
        assert_eq!(told["shard"], format!("discards.in[{partition}]"));
        assert!(told["offset"].as_i64() >= Some(10), "{told}");
    }
    // What was not logged yet is logged at the end.
    assert_eq!(daemon.terminate(LIMIT), 0);
    let all = daemon.events("readings_discarded");
    let of = |reason: &str| {
        let told = all.iter().filter(|event| event["reason"] == reason);
        told.map(|event| event["count"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((of("duplicate"), of("late")), (3, 27), "{all:?}");
}
