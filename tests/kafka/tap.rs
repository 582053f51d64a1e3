//! `tidecast tap` and a newcomer's two commands on a real broker.

use crate::support::broker::Broker;
use crate::support::daemon::Daemon;
use crate::support::kafka::{client, committed_offsets, create_topic, produce, read_committed};
use crate::support::process::{free_port, fresh_dir, write};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
const READINGS: usize = 240;

fn tidecast(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_tidecast")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Readings of three meters with an hour between them, and one record that is none.
fn fill(at: &str, topic: &str) {
    create_topic(at, topic, 2, &[]);
    let reading = |i: usize| {
        let (meter, hour) = (i % 3, i / 3);
        let kw = 5.0 + (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
        let value =
            format!("{{\"meter\":\"m{meter}\",\"ts\":{},\"kw\":{kw:.3}}}", 1_699_999_200 + hour * 3_600);
        (format!("m{meter}"), value, Some((meter % 2) as i32))
    };
    produce(at, topic, (0..READINGS).map(reading));
    produce(at, topic, [("m0", "{\"meter\":\"m0\",\"ts\":\"soon\",\"kw\":1}", Some(0))]);
    abort(at, topic);
}

/// Writes a record whose transaction is aborted.
fn abort(at: &str, topic: &str) {
    let producer: BaseProducer = client(at).set("transactional.id", topic).create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    let aborted = "{\"meter\":\"aborted\",\"ts\":1700000000,\"kw\":1}";
    producer.send(BaseRecord::to(topic).key("aborted").payload(aborted)).unwrap();
    producer.flush(LIMIT).unwrap();
    producer.abort_transaction(LIMIT).unwrap();
}

fn groups(at: &str) -> BTreeSet<String> {
    let consumer: BaseConsumer = client(at).set("group.id", "none").create().unwrap();
    let list = consumer.fetch_group_list(None, LIMIT).unwrap();
    list.groups().iter().map(|group| group.name().to_owned()).collect()
}

fn run(config: &Path, topic: &str, at: &str) -> Daemon {
    let http = format!("127.0.0.1:{}", free_port());
    let env = [("TIDECAST__HTTP__LISTEN", http.as_str()), ("TIDECAST_CREATE_TOPICS", "true")];
    let mut daemon = Daemon::spawn(config, &env);
    daemon.wait_ready(&http, LIMIT);
    let until = Instant::now() + LIMIT;
    while read_committed(at, &format!("{topic}.forecasts")).len() < READINGS {
        assert!(daemon.is_running() && Instant::now() < until, "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    daemon
}

#[test]
fn a_topic_without_a_config_is_a_running_stream_in_two_commands() {
    let (at, topic, dir) = (Broker::shared().bootstrap(), "tapped", fresh_dir("tap"));
    fill(&at, topic);

    let said = tidecast(&["tap", "--brokers", &at, "--topic", topic, "--suggest"]);
    let config = write(dir.path(), "tidecast.toml", text(&said.stdout));
    let config_path = config.to_str().unwrap();
    tidecast(&["validate", "--config", config_path]);
    // The suggested store is where the command ran.
    let store = format!("file://{}", dir.path().join("store").display());
    let suggested = text(&said.stdout);
    let line = suggested.lines().find(|line| line.starts_with("url = ")).unwrap();
    write(dir.path(), "tidecast.toml", &suggested.replace(line, &format!("url = \"{store}\"")));

    let mut daemon = run(&config, topic, &at);
    let before = (groups(&at), committed_offsets(&at, "tidecast-tapped", topic));
    let seen = tidecast(&[
        "tap",
        "--config",
        config_path,
        "--beginning",
        "--until-end",
        "--raw",
        "--output",
        "json",
    ]);
    assert_eq!((groups(&at), committed_offsets(&at, "tidecast-tapped", topic)), before);
    assert_eq!(daemon.terminate(LIMIT), 0);

    let rows: Vec<Value> =
        text(&seen.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (bad, readings): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(|row| row["reason"].is_string());
    assert_eq!((readings.len(), bad.len()), (READINGS, 1), "{}", text(&seen.stderr));
    for row in &readings {
        let forecast = &row["forecast"];
        assert_eq!((&forecast["series"], &forecast["origin"]), (&row["series"], &row["time"]), "{row}");
        let (last, kw) = (&forecast["targets"]["kw"]["last"], &row["values"]["kw"]);
        assert_eq!(last.as_f64(), kw.as_f64(), "{row}");
        assert_ne!(row["series"], "aborted");
    }
    assert_eq!(
        (&bad[0]["field"], &bad[0]["text"]),
        (&"/ts".into(), &"{\"meter\":\"m0\",\"ts\":\"soon\",\"kw\":1}".into())
    );

    let table =
        tidecast(&["tap", "--config", config_path, "--beginning", "--count", "5", "--output", "table"]);
    let lines: Vec<&str> = text(&table.stdout).lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines.iter().all(|line| line.contains("kw ") && line.contains(" → ")), "{lines:?}");

    let rows = tidecast(&[
        "tap",
        "--config",
        config_path,
        "--beginning",
        "--until-end",
        "--series",
        "m1",
        "--output",
        "csv",
    ]);
    let mut reader = csv::Reader::from_reader(&rows.stdout[..]);
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(
        names,
        ["time", "series", "kw", "kw_low", "kw_next", "kw_high", "topic", "partition", "offset"]
    );
    let all: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(all.len(), READINGS / 3);
    assert!(all.iter().all(|row| &row[1] == "m1" && row.iter().all(|cell| !cell.is_empty())));
    assert!(text(&rows.stderr).contains("--raw shows them"), "{}", text(&rows.stderr));
}
