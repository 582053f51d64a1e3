//! Telegraf: what it measures of this machine, in all of its formats.

use crate::site::{Readings, Site, built, keep, run};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

/// The plugins of a Telegraf that measures the processors, whose usage needs two looks, and the memory.
const INPUTS: &str = "[agent]\n  interval = \"500ms\"\n  round_interval = true\n  flush_interval = \"500ms\"\n  \
    hostname = \"edge-1\"\n[[inputs.cpu]]\n  percpu = true\n  totalcpu = true\n[[inputs.mem]]\n";

/// Runs Telegraf with this output until `is_enough`.
fn measure(site: &Site, output: &str, is_enough: impl FnOnce()) {
    let mut command = built("telegraf");
    command.arg("--config").arg(site.file("telegraf.conf", &format!("{INPUTS}{output}")));
    let mut telegraf = site.start("telegraf", command);
    is_enough();
    telegraf.signal(libc::SIGTERM);
    telegraf.wait(Duration::from_secs(60));
}

fn kafka(site: &Site, lines: &str) -> String {
    let (brokers, topic) = (Site::brokers(), site.topic("in"));
    format!("[[outputs.kafka]]\n  brokers = [\"{brokers}\"]\n  topic = \"{topic}\"\n  {lines}\n")
}

/// The readings among metrics in Telegraf's JSON, read by themselves: those of the sum over all processors. The second
/// number is how many there are of others.
fn readings<'a>(metrics: impl Iterator<Item = &'a Value>, unit: i64) -> (Readings, usize) {
    let (mut wanted, mut others) = (Readings::new(), 0);
    for metric in metrics {
        if metric["tags"]["cpu"] != "cpu-total" {
            others += 1;
            continue;
        }
        let time = metric["timestamp"].as_i64().unwrap() * 1_000_000 / unit;
        wanted.entry("edge-1".to_owned()).or_default().push((time, metric["fields"]["usage_user"].as_f64()));
    }
    (wanted, others)
}

const STREAM: &str = "interval = \"irregular\"\ntargets = [\"usage_user\"]\nfields.series = \"/tags/host\"\n\
    fields.where = { \"/name\" = \"cpu\", \"/tags/cpu\" = \"cpu-total\" }\n";

#[test]
#[ignore = "needs Telegraf: tests/run producers"]
fn json_of_telegraf() {
    let site = Site::new("telegraf-json");
    // Without the unit two readings of one second would have the same time.
    let output = kafka(&site, "data_format = \"json\"\n  json_timestamp_units = \"1ms\"");
    measure(&site, &output, || drop(site.wait_written(60)));
    let written = site.written();
    let values: Vec<Value> =
        written.iter().map(|r| serde_json::from_slice(r.value.as_deref().unwrap()).unwrap()).collect();
    keep("telegraf.json", written[0].value.as_deref().unwrap());
    let (wanted, others) = readings(values.iter(), 1_000);
    assert!(wanted["edge-1"].len() > 5);
    let answers = site.answer(&format!("format = \"telegraf_json\"\n{STREAM}"));
    answers.assert_all(&wanted);
    assert_eq!(answers.filtered, others);
}

#[test]
#[ignore = "needs Telegraf: tests/run producers"]
fn lines_of_telegraf() {
    let site = Site::new("telegraf-influx");
    measure(&site, &kafka(&site, "data_format = \"influx\""), || drop(site.wait_written(60)));
    let written = site.written();
    let lines: Vec<&str> =
        written.iter().map(|r| std::str::from_utf8(r.value.as_deref().unwrap()).unwrap()).collect();
    keep("telegraf.influx", lines[..12].concat().as_bytes());
    let (mut wanted, mut others) = (Readings::new(), 0);
    for line in lines.iter().flat_map(|record| record.lines()) {
        if !line.starts_with("cpu,cpu=cpu-total,") {
            others += 1;
            continue;
        }
        let (_, rest) = line.split_once("usage_user=").expect("a usage");
        let value: f64 = rest.split([',', ' ']).next().unwrap().parse().unwrap();
        let time: i64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        wanted.entry("edge-1".to_owned()).or_default().push((time / 1_000, Some(value)));
    }
    assert!(wanted["edge-1"].len() > 5);
    let answers = site.answer(&format!("format = \"influx\"\n{STREAM}"));
    answers.assert_all(&wanted);
    assert_eq!(answers.filtered, others);
}

/// Telegraf's Kafka output writes no batches; those of its other outputs reach Kafka through relays.
#[test]
#[ignore = "needs Telegraf and kcat: tests/run producers"]
fn batches_of_telegraf_through_a_relay() {
    let site = Site::new("telegraf-batch");
    let file = site.file("batches", "");
    let output = format!(
        "[[outputs.file]]\n  files = [\"{}\"]\n  data_format = \"json\"\n  use_batch_format = true\n  \
         json_timestamp_units = \"1ms\"\n",
        file.display()
    );
    let read = || std::fs::read_to_string(&file).unwrap();
    measure(&site, &output, || {
        while read().lines().count() < 12 {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let mut relay = Command::new("kcat");
    relay.args(["-P", "-b", &Site::brokers(), "-t", &site.topic("in"), "-K", "\u{1}", "-l"]);
    run(relay.arg(&file));
    let written = site.written();
    let batches: Vec<Value> =
        written.iter().map(|r| serde_json::from_slice(r.value.as_deref().unwrap()).unwrap()).collect();
    keep("telegraf_batch.json", written[0].value.as_deref().unwrap());
    let metrics = batches.iter().flat_map(|batch| batch["metrics"].as_array().unwrap());
    let (wanted, others) = readings(metrics, 1_000);
    assert!(wanted["edge-1"].len() > 5);
    let answers = site.answer(&format!("format = \"telegraf_json\"\n{STREAM}"));
    answers.assert_all(&wanted);
    assert_eq!(answers.filtered, others);
}
