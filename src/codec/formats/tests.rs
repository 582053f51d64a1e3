use crate::codec::{BadRecord, Decoder, Reason, Record};
use crate::config::{Stream, from_toml};
use crate::domain::{EventTime, Offset, Partition, Reading};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use proptest::prelude::*;
use prost::Message;
use std::sync::Arc;

/// Series, time in seconds, value (NaN as `None`).
type Got = (String, f64, Option<f64>);

pub fn stream(lines: &str) -> Arc<Stream> {
    let text = format!("kafka.brokers = \"b\"\n[streams.s]\ntopics = [\"in\"]\ninterval = \"10s\"\n{lines}");
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
}

fn record<'a>(key: Option<&'a str>, payload: &'a [u8]) -> Record<'a> {
    Record {
        topic: "in",
        partition: Partition(0),
        offset: Offset(7),
        key: key.map(str::as_bytes),
        timestamp: EventTime::from_micros(1_767_225_700_000_000).ok(),
        payload: Some(payload),
        headers: &(),
    }
}

/// The readings, the first fault, and how many elements were left out.
fn decode(stream: &Stream, record: &Record<'_>) -> (Vec<Got>, Option<BadRecord>, u64) {
    let (mut decoder, mut got) = (Decoder::new(stream), Vec::new());
    let bad = decoder.decode(record, &mut |Reading { series, time, values, .. }| {
        let value = values.as_slice()[0];
        got.push((series.to_owned(), time.as_micros() as f64 / 1e6, Some(value).filter(|v| !v.is_nan())));
    });
    (got, bad.err(), decoder.take_filtered())
}

/// All readings of a good payload of which nothing is left out.
fn good(lines: &str, payload: &[u8]) -> Vec<Got> {
    let (got, bad, filtered) = decode(&stream(lines), &record(Some("key"), payload));
    assert_eq!((bad, filtered), (None, 0), "{}", String::from_utf8_lossy(payload));
    got
}

fn got(series: &str, time: f64, value: f64) -> Got {
    (series.to_owned(), time, Some(value))
}

const CPU: &str = "format = \"FORMAT\"\ntargets = [\"usage_idle\"]";

fn cpu(format: &str) -> String {
    CPU.replace("FORMAT", format)
}

#[test]
fn a_template_names_series_by_their_tags() {
    let line = b"cpu,host=h/0,cpu=cpu0 usage_idle=90.5 1767225600000000000";
    for (series, want) in [
        ("{host}/{cpu}", "h/0/cpu0"),
        ("{/name}: {cpu} of {host}!", "cpu: cpu0 of h/0!"),
        ("{ /tags/host }", "h/0"),
        ("{/tags/*} {@key}", "cpu=cpu0,host=h/0 key"),
    ] {
        let lines = format!("{}\nfields.series = \"{series}\"", cpu("influx"));
        assert_eq!(good(&lines, line), [got(want, 1_767_225_600.0, 90.5)], "{series}");
    }
    let json = br#"{"site":"a","m":1,"ts":1767225600}"#;
    let lines = "targets = [\"m\"]\nfields = { series = \"{site}-1\", time = \"/ts\" }";
    assert_eq!(good(lines, json), [got("a-1", 1_767_225_600.0, 1.0)]);
    // A part that is not there makes the element a dead letter, as everywhere.
    let lines = format!("{}\nfields.series = \"{{host}}/{{core}}\"", cpu("influx"));
    let (readings, bad, _) = decode(&stream(&lines), &record(None, line));
    let bad = bad.unwrap();
    assert_eq!(
        (readings, bad.reason, bad.field.as_deref()),
        (vec![], Reason::MissingSeries, Some("[0]/tags/core"))
    );
}

#[test]
fn all_labels_name_a_series() {
    let line = b"cpu,host=h0,cpu=cpu0 usage_idle=90.5 1767225600000000000";
    let lines = format!("{}\nfields.series = \"labels\"", cpu("influx"));
    assert_eq!(good(&lines, line), [got("cpu=cpu0,host=h0", 1_767_225_600.0, 90.5)]);
    let text = "kafka.brokers = \"b\"\n[streams.s]\ntopics = [\"in\"]\ninterval = \"10s\"\ntargets = [\"m\"]\n\
        fields.series = \"labels\"";
    let fault = from_toml(text, &[]).unwrap_err().to_string();
    assert!(fault.contains("fields.series: is \"labels\", which format = \"json\" does not have"), "{fault}");
}

#[test]
fn templates_that_lead_nowhere_are_faults() {
    for series in ["{", "{}", "a{b", "a}b", "}{", "{a}{", "{^/a}"] {
        let text = format!(
            "kafka.brokers = \"b\"\n[streams.s]\ntopics = [\"in\"]\ninterval = \"10s\"\ntargets = [\"m\"]\n\
             fields.series = \"{series}\""
        );
        let fault = from_toml(&text, &[]).unwrap_err().to_string();
        assert!(fault.contains("streams.s.fields.series: is"), "{series}: {fault}");
    }
}

/// All values of the readings, NaN as `None`.
pub fn values(stream: &Stream, payload: &[u8]) -> (Vec<Vec<Option<f64>>>, u64) {
    let (mut decoder, mut got) = (Decoder::new(stream), Vec::new());
    let mut sink = |reading: Reading<'_>| {
        let values = reading.values.as_slice().iter();
        got.push(values.map(|v| Some(*v).filter(|v| !v.is_nan())).collect());
    };
    assert_eq!(decoder.decode(&record(Some("key"), payload), &mut sink), Ok(()));
    (got, decoder.take_filtered())
}

#[test]
fn telegraf_gives_the_same_in_all_of_its_formats() {
    let single = br#"{"fields":{"usage_idle":90.5},"name":"cpu","tags":{"host":"h0","cpu":"cpu0"},"timestamp":1767225600}"#;
    let batch = [&b"{\"metrics\":["[..], single, b",", single, b"]}"].concat();
    let lines =
        b"cpu,host=h0,cpu=cpu0 usage_idle=90.5,n=3i,up=true,state=\"on, \\\"x\\\"\" 1767225600000000000\n\
                  # a comment\n\
                  cpu,cpu=cpu0,host=h0 usage_idle=90.5 1767225600000000000\n";
    let one = got("cpu/cpu=cpu0,host=h0", 1_767_225_600.0, 90.5);
    assert_eq!(good(&cpu("telegraf_json"), single), std::slice::from_ref(&one));
    assert_eq!(good(&cpu("telegraf_json"), &batch), [one.clone(), one.clone()]);
    assert_eq!(good(&cpu("influx"), lines), [one.clone(), one]);
}

#[test]
fn a_line_without_a_time_has_that_of_its_record() {
    assert_eq!(good(&cpu("influx"), b"cpu usage_idle=1"), [got("cpu/", 1_767_225_700.0, 1.0)]);
    let unit = format!("{}\nfields.time_format = \"s\"", cpu("influx"));
    assert_eq!(good(&unit, b"cpu usage_idle=1 1767225600"), [got("cpu/", 1_767_225_600.0, 1.0)]);
}

#[test]
fn a_bad_line_harms_no_other() {
    let payload = b"cpu,host=a usage_idle=1 1767225600\nnonsense\ncpu,host=b usage_idle=2 1767225600";
    let (got, bad, _) = decode(&stream(&cpu("influx")), &record(None, payload));
    assert_eq!(got.iter().map(|g| g.2).collect::<Vec<_>>(), [Some(1.0), Some(2.0)]);
    let bad = bad.expect("a fault");
    assert_eq!((bad.reason, bad.field.as_deref()), (Reason::NotInFormat, Some("[1]")), "{bad}");

    let payload = b"{\"id\":\"a\",\"ts\":1767225600,\"v\":1}\n\n{\"id\":\"b\",\"ts\":\"x\",\"v\":2}\r\n{\"id\":\"c\",\"ts\":1767225600,\"v\":3}\n";
    let lines = "format = \"ndjson\"\ntargets = [\"v\"]\nfields = { series = \"/id\", time = \"/ts\" }";
    let (got, bad, _) = decode(&stream(lines), &record(None, payload));
    assert_eq!(got.iter().map(|g| &*g.0).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(bad.unwrap().field.as_deref(), Some("[1]/ts"));
}

#[test]
fn what_a_stream_is_not_about_is_left_out_and_counted() {
    let lines = format!(
        "{}\nfields.where = {{ \"/name\" = \"cpu\", \"/tags/cpu\" = [\"cpu-total\", \"all\"] }}",
        cpu("influx")
    );
    let payload = b"cpu,cpu=cpu-total usage_idle=1 1\ncpu,cpu=cpu0 usage_idle=2 1\ncpu usage_idle=3 1\n\
                    mem,cpu=all used=4 1\ncpu,cpu=all usage_idle=5 1767225600";
    let (got, bad, filtered) = decode(&stream(&lines), &record(None, payload));
    // The time of the first is in 1970, which is in range.
    assert_eq!(bad, None);
    assert_eq!(got.iter().map(|g| g.2).collect::<Vec<_>>(), [Some(1.0), Some(5.0)]);
    assert_eq!(filtered, 3);
}

const OTLP: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"host.name","value":{"stringValue":"h0"}}]},
  "scopeMetrics":[{"scope":{"name":"s"},"metrics":[
    {"name":"load","unit":"1","gauge":{"dataPoints":[
      {"attributes":[{"key":"cpu","value":{"stringValue":"cpu0"}}],"timeUnixNano":"1767225600000000000","asDouble":0.5},
      {"attributes":[{"key":"cpu","value":{"intValue":"1"}}],"timeUnixNano":"1767225600000000000","asInt":"3"}]}},
    {"name":"requests","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[
      {"attributes":[],"timeUnixNano":"1767225600500000000","asInt":"18014398509481985"}]}}]}]}]}"#;
const OTLP_HISTOGRAM: &str = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
    {"name":"latency","histogram":{"aggregationTemporality":1,"dataPoints":[
      {"timeUnixNano":"1767225600000000000","count":"4","sum":10.5,"bucketCounts":["1","3"],"explicitBounds":[2.5]}]}}]}]}]}"#;

#[test]
fn open_telemetry_gives_the_same_as_protobuf_and_as_json() {
    let want = [
        got("load/host.name=h0/cpu=cpu0", 1_767_225_600.0, 0.5),
        got("load/host.name=h0/cpu=1", 1_767_225_600.0, 3.0),
        got("requests/host.name=h0/", 1_767_225_600.5, 18_014_398_509_481_985.0),
    ];
    let lines = |format: &str| format!("format = \"{format}\"\ntargets = [\"v\"]");
    assert_eq!(good(&lines("otlp_json"), OTLP.as_bytes()), want);
    let request: ExportMetricsServiceRequest = serde_json::from_str(OTLP).unwrap();
    assert_eq!(good(&lines("otlp_proto"), &request.encode_to_vec()), want);
    let sum = format!("{}\nfields.values = {{ v = \"/sum\" }}", lines("otlp_json"));
    assert_eq!(good(&sum, OTLP_HISTOGRAM.as_bytes()), [got("latency//", 1_767_225_600.0, 10.5)]);
}

#[test]
fn a_delta_sum_has_a_rate_per_second() {
    let sum = |temporality: u8, start: &str| {
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"requests","sum":{{
                "aggregationTemporality":{temporality},"dataPoints":[{{"startTimeUnixNano":"{start}",
                "timeUnixNano":"1767225600000000000","asInt":"90"}}]}}}}]}}]}}]}}"#
        )
    };
    let minute_before = "1767225540000000000";
    let rate = stream("format = \"otlp_json\"\ntargets = [\"v\"]\nfields.values = { v = \"/rate\" }");
    assert_eq!(values(&rate, sum(1, minute_before).as_bytes()), (vec![vec![Some(1.5)]], 0));
    let added = stream("format = \"otlp_json\"\ntargets = [\"v\"]");
    assert_eq!(values(&added, sum(1, minute_before).as_bytes()), (vec![vec![Some(90.0)]], 0));
    // A cumulative sum is a counter, and a delta of no known time has no rate.
    let lines = "format = \"otlp_json\"\ntargets = [\"v\"]\nfields.values = { v = \"/rate\" }";
    for (temporality, start) in [(2, minute_before), (1, "0"), (1, "1767225600000000000")] {
        let (readings, bad, _) = decode(&stream(lines), &record(None, sum(temporality, start).as_bytes()));
        assert_eq!((readings, bad.unwrap().reason), (vec![], Reason::NoValue));
    }
}

/// Labels and samples.
type Series<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)]);

/// A remote write of these series, each label set with its samples.
fn remote_write(series: &[Series<'_>]) -> Vec<u8> {
    // As protobuf has them: a key is the field's number times eight and the type of its value.
    fn field(to: &mut Vec<u8>, number: u8, bytes: &[u8]) {
        to.push(number << 3 | 2);
        prost::encoding::encode_varint(bytes.len() as u64, to);
        to.extend_from_slice(bytes);
    }
    let mut request = Vec::new();
    for (labels, samples) in series {
        let mut one = Vec::new();
        for (name, value) in *labels {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut one, 1, &label);
        }
        for (time, value) in *samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend_from_slice(&value.to_le_bytes());
            sample.push(2 << 3);
            prost::encoding::encode_varint(*time as u64, &mut sample);
            field(&mut one, 2, &sample);
        }
        field(&mut request, 1, &one);
    }
    snap::raw::Encoder::new().compress_vec(&request).unwrap()
}

#[test]
fn prometheus_gives_the_same_as_json_and_as_a_remote_write() {
    let lines = |format: &str| format!("format = \"{format}\"\ntargets = [\"v\"]");
    // As the Kafka adapter of Prometheus writes it: the name is among the labels, too.
    let json = br#"{"timestamp":"2026-01-01T00:00:00Z","value":"1.5","name":"up","labels":{"__name__":"up","job":"a","instance":"b:1"}}"#;
    let want = [got("up/instance=b:1,job=a", 1_767_225_600.0, 1.5)];
    assert_eq!(good(&lines("prometheus_json"), json), want);
    let labels = [("__name__", "up"), ("job", "a"), ("instance", "b:1")];
    let write = remote_write(&[(&labels, &[(1_767_225_600_000, 1.5), (1_767_225_610_000, f64::NAN)])]);
    let [first, last] = &*good(&lines("prometheus_remote_write"), &write) else { panic!("two samples") };
    assert_eq!(*first, want[0]);
    // A stale marker.
    assert_eq!((last.1, last.2), (1_767_225_610.0, None));

    // What is packed may not become larger than a record.
    let large = remote_write(&[(&[("__name__", &"x".repeat(5_000))], &[(1, 1.0)])]);
    let small = format!("{}\nmax_record_bytes = 1000", lines("prometheus_remote_write"));
    let (got, bad, _) = decode(&stream(&small), &record(None, &large));
    assert_eq!((got.len(), bad.map(|bad| bad.reason)), (0, Some(Reason::TooLarge)));
}

#[test]
fn all_shapes_of_thingsboard_are_read() {
    let lines = "format = \"thingsboard\"\ntargets = [\"temperature\"]";
    let one = |device: &str| got(device, 1_767_225_600.0, 20.5);
    for (payload, want) in [
        (r#"{"ts":1767225600000,"values":{"temperature":20.5}}"#, vec![one("key")]),
        (r#"[{"ts":1767225600000,"values":{"temperature":20.5}}]"#, vec![one("key")]),
        (r#"{"temperature":20.5,"on":true}"#, vec![got("key", 1_767_225_700.0, 20.5)]),
        (r#"[{"temperature":"20.5"}]"#, vec![got("key", 1_767_225_700.0, 20.5)]),
        (
            r#"{"Device A":[{"ts":1767225600000,"values":{"temperature":20.5}}],
                "Device \"B\"":[{"ts":1767225600000,"values":{"temperature":20.5}},{"temperature":20.5}]}"#,
            vec![one("Device A"), one("Device \"B\""), got("Device \"B\"", 1_767_225_700.0, 20.5)],
        ),
    ] {
        assert_eq!(good(lines, payload.as_bytes()), want, "{payload}");
    }
}

#[test]
fn rows_and_bare_numbers_are_read() {
    let lines = "format = \"csv\"\ntargets = [\"kw\"]\n\
                 fields = { columns = [\"ts\", \"id\", \"kw\"], delimiter = \";\", series = \"/id\", time = \"/ts\" }";
    let payload = b"ts;id;kw\n2026-01-01T00:00:00Z;\"a;b\";1.5\n1767225610; c ;-\n";
    let want = [got("a;b", 1_767_225_600.0, 1.5), ("c".to_owned(), 1_767_225_610.0, None)];
    assert_eq!(good(lines, payload), want);
    let (_, bad, _) = decode(&stream(lines), &record(None, b"1;2"));
    assert_eq!(bad.unwrap().to_string(), "not_in_format at [0]: 3 columns were expected, not 2");

    let lines = "format = \"plain\"\ntargets = [\"v\"]";
    assert_eq!(good(lines, b" 21.5\n"), [got("key", 1_767_225_700.0, 21.5)]);
    let (got, bad, _) = decode(&stream(lines), &record(Some("key"), b"21,5"));
    assert_eq!((got.len(), bad.map(|bad| bad.reason)), (0, Some(Reason::WrongType)));
}

/// Whatever the bytes are, nothing panics, and no value is infinite.
fn is_harmless(format: &str, payload: &[u8]) {
    let columns = if format == "csv" { "fields.columns = [\"a\", \"b\"]\n" } else { "" };
    let place = if format == "csv" { "/a" } else { "/value" };
    let lines =
        format!("format = \"{format}\"\ntargets = [\"v\"]\nfields.values = {{ v = \"{place}\" }}\n{columns}");
    let (got, ..) = decode(&stream(&lines), &record(Some("spBv1.0/g/DBIRTH/n/d"), payload));
    assert!(got.iter().all(|(_, _, value)| value.is_none_or(f64::is_finite)));
}

const FORMATS: [&str; 11] = [
    "ndjson",
    "telegraf_json",
    "influx",
    "otlp_proto",
    "otlp_json",
    "prometheus_json",
    "prometheus_remote_write",
    "thingsboard",
    "csv",
    "plain",
    "sparkplug_b",
];

proptest! {
    #[test]
    fn no_bytes_do_harm(
        format in prop::sample::select(&FORMATS[..]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        is_harmless(format, &bytes);
    }

    /// Payloads that are almost right.
    #[test]
    fn no_change_of_a_good_payload_does_harm(
        (format, good) in prop::sample::select(vec![
            ("influx", b"cpu,host=h0 value=90.5,n=3i,s=\"x\" 1767225600\ncpu value=1 2".to_vec()),
            ("otlp_json", OTLP.as_bytes().to_vec()),
            ("otlp_proto", serde_json::from_str::<ExportMetricsServiceRequest>(OTLP).unwrap().encode_to_vec()),
            ("prometheus_remote_write", remote_write(&[(&[("__name__", "up"), ("a", "b")], &[(1, 2.0)])])),
            ("thingsboard", br#"{"A":[{"ts":1,"values":{"value":1}}],"B":[]}"#.to_vec()),
            ("csv", b"1,\"2\"\n3,4".to_vec()),
            ("sparkplug_b", include_bytes!("../../../tests/payloads/sparkplug.dbirth").to_vec()),
            ("otlp_proto", include_bytes!("../../../tests/payloads/collector.otlp_proto").to_vec()),
            ("prometheus_remote_write", include_bytes!("../../../tests/payloads/prometheus.remote_write").to_vec()),
        ]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6),
    ) {
        let mut bytes = good;
        for (at, byte, how) in changes {
            let at = at.index(bytes.len().max(1));
            match how {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => bytes.insert(at.min(bytes.len()), byte),
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        is_harmless(format, &bytes);
    }
}

/// What real producers wrote, as `tests/producers` kept it.
mod recorded {
    use super::*;

    /// As [`super::record`], of the time at which the producer ran.
    fn record<'a>(key: Option<&'a str>, payload: &'a [u8]) -> Record<'a> {
        let timestamp = EventTime::from_micros(1_796_100_000_000_000).ok();
        Record { timestamp, ..super::record(key, payload) }
    }

    fn payload(name: &str) -> Vec<u8> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads").join(name);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    fn times(readings: &[Got]) -> Vec<f64> {
        readings.iter().map(|(_, time, _)| *time).collect()
    }

    #[test]
    fn of_the_open_telemetry_collector() {
        let host = "host.name=web-1,os.type=linux";
        let want = [
            got(&format!("system.cpu.utilization/{host}/cpu=cpu0,state=idle"), 1_767_225_600.0, 0.0),
            got(&format!("system.cpu.utilization/{host}/cpu=cpu1,state=idle"), 1_767_225_600.0, 0.3125),
        ];
        for format in ["otlp_proto", "otlp_json"] {
            let lines = format!(
                "format = \"{format}\"\ntargets = [\"v\"]\nfields.where = {{ \"/name\" = \"system.cpu.utilization\" }}"
            );
            let payload = payload(&format!("collector.{format}"));
            let (got, bad, filtered) = decode(&stream(&lines), &record(None, &payload));
            assert_eq!((&got[..], bad, filtered), (&want[..], None, 2), "{format}");
        }
    }

    #[test]
    fn of_prometheus() {
        let lines = "format = \"prometheus_remote_write\"\ntargets = [\"v\"]\nfields.where = { \"/name\" = \"room_celsius\" }";
        let payload = payload("prometheus.remote_write");
        let (got, bad, _) = decode(&stream(lines), &record(None, &payload));
        assert_eq!(bad, None);
        let rooms: Vec<_> = got.iter().take(3).map(|(series, _, value)| (series.as_str(), *value)).collect();
        let series = rooms.iter().map(|(series, _)| series.replace(|c: char| c.is_ascii_digit(), "0"));
        let label = |room: &str| format!("room_celsius/instance=000.0.0.0:00000,job=rooms,room={room}");
        assert_eq!(series.collect::<Vec<_>>(), ["attic", "cellar\\\\, left", "hall"].map(label));
        assert_eq!(rooms.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [0.0, 100.0, 200.0].map(Some));
    }

    #[test]
    fn of_telegraf() {
        let lines = |format: &str| {
            format!(
                "{}\nfields.where = {{ \"/name\" = \"cpu\" }}\nfields.series = \"{{host}}/{{cpu}}\"",
                cpu(format)
            )
        };
        for (format, name) in [
            ("influx", "telegraf.influx"),
            ("telegraf_json", "telegraf_batch.json"),
            ("telegraf_json", "telegraf.json"),
        ] {
            let payload = payload(name);
            let (got, bad, filtered) = decode(&stream(&lines(format)), &record(None, &payload));
            assert_eq!(bad, None, "{name}");
            assert!(!got.is_empty() || filtered > 0, "{name}");
            assert!(
                got.iter().all(|(series, _, value)| series.starts_with("edge-1/cpu") && value.is_some()),
                "{got:?}"
            );
            assert!(times(&got).iter().all(|time| (1.76e9..1.9e9).contains(time)), "{got:?}");
        }
    }

    #[test]
    fn of_a_gateway_of_thingsboard() {
        let lines = "format = \"thingsboard\"\ntargets = [\"temperature\"]";
        let want = [("Room A", 0, 10.0), ("Room A", 60, 10.125), ("Room B", 0, 20.0), ("Room B", 60, 20.125)];
        let want = want.map(|(room, second, value)| got(room, 1_767_225_600.0 + f64::from(second), value));
        assert_eq!(good(lines, &payload("thingsboard.json")), want);
    }

    #[test]
    fn of_a_device_of_sparkplug() {
        let stream = stream(
            "format = \"sparkplug_b\"\ntargets = [\"v\"]\nfields.where = { \"/name\" = [\"temperature\", \"offset\"] }",
        );
        let mut decoder = Decoder::new(&stream);
        let mut values = Vec::new();
        for (word, name) in [("DBIRTH", "sparkplug.dbirth"), ("DDATA", "sparkplug.ddata")] {
            let (topic, payload) = (format!("spBv1.0/plant/{word}/line-1/press"), payload(name));
            let decoded = decoder.decode(&record(Some(&topic), &payload), &mut |reading| {
                values.push((
                    reading.series.split('/').next().unwrap().to_owned(),
                    reading.values.as_slice()[0],
                ));
            });
            assert_eq!(decoded, Ok(()), "{name}");
        }
        let want = [("temperature", 20.0), ("offset", -3.0), ("temperature", 20.125), ("offset", -2.0)];
        assert_eq!(values, want.map(|(name, value)| (name.to_owned(), value)));
    }
}
