use super::text::Access;
use super::*;
use crate::config::{Format, Stream};
use crate::domain::{EventTime, Offset, Partition};
use std::sync::Arc;

const START_S: i64 = 1_700_000_000;

fn record(at: usize, key: Option<&str>, payload: impl Into<Vec<u8>>) -> Record {
    Record {
        topic: "in".into(),
        partition: Partition(0),
        offset: Offset(at as i64),
        time: EventTime::from_micros((START_S + 60 * at as i64) * 1_000_000).ok(),
        key: key.map(Into::into),
        payload: Some(payload.into()),
        headers: Vec::new(),
    }
}

/// `count` records, each with a second that is `step_s` after the one before, and a value that goes up and down.
fn records(count: usize, step_s: i64, payload: impl Fn(i64, f64, usize) -> String) -> Vec<Record> {
    let one = |i: usize| {
        let value = 5.0 + (i as f64 / 3.0).sin();
        let ts = START_S + step_s * (i as i64 / 2);
        let time = EventTime::from_micros(ts * 1_000_000).ok();
        Record { time, ..record(i, None, payload(ts, value, i % 2)) }
    };
    (0..count).map(one).collect()
}

fn suggestion(records: &[Record]) -> (Arc<Stream>, Suggestion) {
    let access = Access { brokers: "localhost:9092", topic: "in", properties: &[] };
    let suggestion = suggest(&access, records).unwrap_or_else(|e| panic!("{e}"));
    (suggestion.config.streams[0].clone(), suggestion)
}

/// What must hold of every suggestion: the file is a right config, and reads each record of the sample.
fn assert_reads_all(records: &[Record], readings: u64, series: usize) -> (Arc<Stream>, Suggestion) {
    let (stream, suggestion) = suggestion(records);
    let config = config::from_toml(&suggestion.text(), &[]).unwrap();
    assert_eq!(config.streams[0].targets, stream.targets);
    let trial = Trial::of(&config, records);
    let text = suggestion.text();
    assert_eq!((trial.readings, trial.series.len(), trial.bad), (readings, series, 0), "{text}");
    (stream, suggestion)
}

fn seconds(stream: &Stream) -> Option<f64> {
    stream.grid.interval().map(crate::domain::Interval::as_seconds)
}

#[test]
fn an_object_with_an_id_and_a_time() {
    let all = records(200, 3_600, |ts, kw, i| {
        format!(r#"{{"ts":{ts},"meter_id":"m{i}","data":{{"kw":{kw}}},"unit":"kW","seq":{ts}}}"#)
    });
    let (stream, _) = assert_reads_all(&all, 200, 2);
    assert_eq!(
        (stream.format, &stream.targets, seconds(&stream)),
        (Format::Json, &vec!["kw".into()], Some(3_600.0))
    );
}

#[test]
fn a_batch_inside_an_object_takes_what_stands_around_it() {
    let all = records(60, 60, |ts, v, i| {
        format!(
            r#"{{"device":"d{i}","readings":[{{"time":{ts}000,"temp":{v}}},{{"time":{},"temp":{v}}}]}}"#,
            (ts + 30) * 1000
        )
    });
    let (stream, _) = assert_reads_all(&all, 120, 2);
    assert_eq!((&stream.targets, seconds(&stream)), (&vec!["temp".into()], Some(30.0)));
}

#[test]
fn a_key_names_the_series_and_the_record_has_the_time_where_nothing_else_does() {
    let all: Vec<Record> =
        (0..120).map(|i| record(i, Some("a"), format!(r#"{{"kw":{}}}"#, (i as f64).sin()))).collect();
    let (stream, suggestion) = assert_reads_all(&all, 120, 1);
    assert_eq!(seconds(&stream), Some(60.0));
    assert!(suggestion.guesses().any(|line| line.contains("time of its record")));
    let plain: Vec<Record> =
        (0..120).map(|i| record(i, Some("a"), format!("{}", (i as f64).sin()))).collect();
    assert_eq!(assert_reads_all(&plain, 120, 1).0.format, Format::Plain);
}

#[test]
fn metrics_are_one_kind_at_a_time() {
    let influx = records(200, 10, |ts, v, i| {
        format!("cpu,host=h{i} idle={v},user=3i {ts}000000000\nmem,host=h{i} used={v} {ts}000000000")
    });
    let (stream, suggestion) = suggestion(&influx);
    assert_eq!((stream.format, seconds(&stream)), (Format::Influx, Some(10.0)));
    let trial = Trial::of(&suggestion.config, &influx);
    assert_eq!((trial.readings, trial.filtered, trial.series.len()), (200, 200, 2));

    let telegraf = records(100, 10, |ts, v, i| {
        format!(
            r#"{{"metrics":[{{"name":"cpu","tags":{{"host":"h{i}"}},"fields":{{"idle":{v}}},"timestamp":{ts}}}]}}"#
        )
    });
    assert_eq!(assert_reads_all(&telegraf, 100, 2).0.format, Format::TelegrafJson);

    let prometheus = records(100, 15, |ts, v, i| {
        let time = EventTime::from_micros(ts * 1_000_000).unwrap();
        format!(
            r#"{{"timestamp":"{time}","value":"{v}","name":"node_load1","labels":{{"__name__":"node_load1","instance":"h{i}"}}}}"#
        )
    });
    let (stream, _) = assert_reads_all(&prometheus, 100, 2);
    assert_eq!((stream.format, seconds(&stream)), (Format::PrometheusJson, Some(15.0)));

    let otlp = records(100, 60, |ts, v, i| {
        format!(
            r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"host.name","value":{{"stringValue":"h{i}"}}}}]}},"scopeMetrics":[{{"metrics":[{{"name":"load","gauge":{{"dataPoints":[{{"timeUnixNano":"{ts}000000000","asDouble":{v}}}]}}}}]}}]}}]}}"#
        )
    });
    let (stream, _) = assert_reads_all(&otlp, 100, 2);
    assert_eq!((stream.format, seconds(&stream)), (Format::OtlpJson, Some(60.0)));

    let rooms =
        records(100, 60, |ts, v, i| format!(r#"{{"Room {i}":[{{"ts":{ts}000,"values":{{"t":{v}}}}}]}}"#));
    assert_eq!(assert_reads_all(&rooms, 100, 2).0.format, Format::Thingsboard);
}

#[test]
fn lines_and_rows() {
    let lines = records(100, 60, |ts, v, i| {
        format!("{{\"ts\":{ts},\"id\":\"a{i}\",\"v\":{v}}}\n{{\"ts\":{ts},\"id\":\"b{i}\",\"v\":{v}}}\n")
    });
    assert_eq!(assert_reads_all(&lines, 200, 4).0.format, Format::Ndjson);
    let rows = records(100, 900, |ts, v, i| {
        let time = EventTime::from_micros(ts * 1_000_000).unwrap();
        format!("time;meter;kw\n{time};m{i};{v}")
    });
    let (stream, _) = assert_reads_all(&rows, 100, 2);
    assert_eq!((stream.format, stream.fields.delimiter, seconds(&stream)), (Format::Csv, b';', Some(900.0)));
}

#[test]
fn a_count_is_taken_for_one_and_a_value_that_falls_once_is_not() {
    let counts = |fall: usize| {
        let one = |i: usize| {
            let kwh = if i == fall { 0.0 } else { 1_000.0 + i as f64 };
            record(i, None, format!(r#"{{"ts":{},"id":"a","kwh":{kwh}}}"#, START_S + 60 * i as i64))
        };
        (0..80).map(one).collect::<Vec<_>>()
    };
    let written = |fall| suggestion(&counts(fall)).1.text();
    assert!(written(100).contains("counters = { \"kwh\" = \"interval\" }"), "{}", written(100));
    assert!(!written(40).contains("counters"), "{}", written(40));
}

#[test]
fn what_is_no_format_is_refused_with_what_to_do() {
    let access = Access { brokers: "b:1", topic: "in", properties: &[] };
    let refused = |payload: &[u8]| {
        let all: Vec<Record> = (0..20).map(|i| record(i, None, payload)).collect();
        suggest(&access, &all).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert!(refused(&[0, 0, 0, 0, 7, 1, 2]).contains("schema"));
    assert!(refused(b"hello world").contains("neither JSON"));
    assert!(refused(br#"{"note":"hello"}"#).contains("no numbers"));
    assert!(refused(&[0xff, 0xfe, 0x80]).contains("docs/formats.md"));
}
