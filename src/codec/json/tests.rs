use crate::codec::{BadRecord, Decoder, Headers, Reason, Record};
use crate::config::{Stream, from_toml};
use crate::domain::{EventTime, Offset, Partition, Reading};
use proptest::prelude::*;
use std::sync::Arc;

mod batches;
mod encoding;
mod places;
mod values;

/// A stream with these lines in its table.
pub fn stream(lines: &str) -> Arc<Stream> {
    let text = format!(
        "kafka.brokers = \"localhost:9092\"\n[streams.power]\ntopics = [\"meters\"]\ninterval = \"1h\"\n{lines}"
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
}

const METER: &str = r#"
    targets = ["kw"]
    covariates = ["volt"]
    fields = { series = "/id", time = "/ts" }
"#;

/// Series, time in microseconds, values (NaN as `None`).
type Got = (String, i64, Vec<Option<f64>>);

fn owned(reading: Reading<'_>) -> Got {
    let values = reading.values.as_slice().iter().map(|v| Some(*v).filter(|v| !v.is_nan())).collect();
    (reading.series.to_owned(), reading.time.as_micros(), values)
}

fn record(payload: Option<&[u8]>) -> Record<'_> {
    Record {
        topic: "meters",
        partition: Partition(0),
        offset: Offset(7),
        key: None,
        timestamp: None,
        payload,
        headers: &(),
    }
}

fn decode(stream: &Stream, record: &Record<'_>) -> (Vec<Got>, Option<BadRecord>) {
    let mut got = Vec::new();
    let bad = Decoder::new(stream).decode(record, &mut |reading| got.push(owned(reading))).err();
    (got, bad)
}

fn decode_json(lines: &str, json: &str) -> (Vec<Got>, Option<BadRecord>) {
    decode(&stream(lines), &record(Some(json.as_bytes())))
}

fn good(lines: &str, json: &str) -> Vec<Got> {
    let (got, bad) = decode_json(lines, json);
    assert_eq!(bad, None, "{json}");
    got
}

#[track_caller]
fn assert_bad(lines: &str, json: &str, reason: Reason, field: Option<&str>) -> Vec<Got> {
    let (got, bad) = decode_json(lines, json);
    let bad = bad.unwrap_or_else(|| panic!("{json} is taken for good"));
    assert_eq!((bad.reason, bad.field.as_deref()), (reason, field), "{json}: {bad}");
    got
}

fn one(series: &str, micros: i64, values: &[Option<f64>]) -> Vec<Got> {
    vec![(series.to_owned(), micros, values.to_vec())]
}

#[test]
fn an_object_is_a_reading() {
    let want = one("meter-17", 1_700_000_000_000_000, &[Some(1.234), Some(230.0)]);
    for json in [
        r#"{"id":"meter-17","ts":1700000000000,"kw":1.234,"volt":230}"#,
        r#" {"volt":"230","x":{"kw":[{}]},"kw":1.234e0,"ts":"2023-11-14T22:13:20Z","id":"meter-17"} "#,
        r#"{"id":"m","id":"meter-17","kw":null,"kw":1.234,"ts":1,"ts":1.7e9,"volt":2,"volt":230.0}"#,
        r#"{"\u0069d":"meter\u002d17","ts":"1700000000","kw":1.234,"volt":230}"#,
    ] {
        assert_eq!(good(METER, json), want, "{json}");
    }
}

#[test]
fn missing_values_are_no_fault_unless_all_fields_are_absent() {
    let json = |rest: &str| format!(r#"{{"id":"a","ts":0{rest}}}"#);
    for (rest, want) in [
        (r#","kw":1"#, [Some(1.0), None]),
        (r#","volt":1,"kw":null"#, [None, Some(1.0)]),
        (r#","volt":true,"kw":"NaN""#, [None, Some(1.0)]),
        (r#","volt":false,"kw":1e999"#, [None, Some(0.0)]),
    ] {
        assert_eq!(good(METER, &json(rest)), one("a", 0, &want), "{rest}");
    }
    for rest in [r#","kw":null"#, r#","kw":"","volt":"NA""#, r#","kw":-1e400"#] {
        assert_eq!(good(METER, &json(rest)), one("a", 0, &[None, None]), "{rest}");
    }
    assert_bad(METER, &json(""), Reason::NoValue, None);
}

#[test]
fn what_is_known_ahead_is_an_array_as_long_as_it_likes() {
    let ahead = "horizon = 3\ntargets = [\"kw\"]\ncovariates = [\"volt\"]\nknown_ahead = [\"volt\"]\n\
        fields = { series = \"/id\", time = \"/ts\" }";
    let json = |array: &str| format!(r#"{{"id":"a","ts":0,"kw":1,"volt":2,"volt_ahead":{array}}}"#);
    let none = [Some(1.0), Some(2.0), None, None, None];
    let some = |leads: [Option<f64>; 3]| [&none[..2], &leads].concat();
    for (array, want) in [
        ("[3, 4.5,-5]", some([Some(3.0), Some(4.5), Some(-5.0)])),
        ("[3,null]", some([Some(3.0), None, None])),
        ("[\"3\", true, 5, 6, {}]", some([Some(3.0), Some(1.0), Some(5.0)])),
        ("[ ]", none.to_vec()),
        ("null", none.to_vec()),
    ] {
        assert_eq!(good(ahead, &json(array)), one("a", 0, &want), "{array}");
    }
    // What can't be read is missing by itself.
    for array in ["3", "{}", "[{}]", "[[1]]", "\"1,2\"", "[[1,2],\"\\\",[\"]"] {
        assert_eq!(good(ahead, &json(array)), one("a", 0, &none), "{array}");
    }
    let some_unread = some([Some(3.0), None, Some(5.0)]);
    for middle in ["\"a,b\"", "[1,2]", "{\"a\":1,\"b\":2}", "NaN", "\"unknown\""] {
        assert_eq!(good(ahead, &json(&format!("[3,{middle},5]"))), one("a", 0, &some_unread), "{middle}");
    }
}

#[test]
fn pointers_lead_through_objects_and_arrays() {
    let lines = r#"
        targets = ["a", "b/c", "d~e"]
        [streams.power.fields]
        series = "/tags/0/name"
        time = "/0"
        [streams.power.fields.values]
        a = "/values/2/1"
        "d~e" = "/values/0"
    "#;
    let json = r#"{"0":5,"b/c":2,"tags":[{"name":"x"},{"name":"y"}],"values":[3,[0],[0,1,2],"z"]}"#;
    assert_eq!(good(lines, json), one("x", 5_000_000, &[Some(1.0), Some(2.0), Some(3.0)]));
    let twice = r#"{"0":5,"b/c":2,"tags":[{"name":"x"}],"values":[3,0,[0,1]],"values":[]}"#;
    assert_eq!(good(lines, twice), one("x", 5_000_000, &[None, Some(2.0), None]));
    let scalars = r#"{"0":5,"b/c":2,"tags":{"0":{"name":"x"}},"values":"none"}"#;
    assert_eq!(good(lines, scalars), one("x", 5_000_000, &[None, Some(2.0), None]));
    let unread = r#"{"0":5,"b/c":"two","tags":[{"name":"x"}]}"#;
    assert_bad(lines, unread, Reason::WrongType, Some("/b~1c"));
    assert_bad(lines, r#"{"tags":[]}"#, Reason::MissingSeries, Some("/tags/0/name"));
}

#[test]
fn rows_without_names_are_read_by_place() {
    let lines = r#"
        targets = ["kw"]
        fields = { series = "@key", time = "/0", values = { kw = "/1" } }
    "#;
    let key = Record { key: Some(b"a"), ..record(Some(b"[[1,2.5],[2,3.5,\"x\"]]")) };
    let (got, bad) = decode(&stream(lines), &key);
    assert_eq!(bad, None);
    assert_eq!(got, [one("a", 1_000_000, &[Some(2.5)]), one("a", 2_000_000, &[Some(3.5)])].concat());
}

#[test]
fn an_array_gives_all_its_good_elements() {
    let json = r#"[{"id":1,"ts":1,"kw":1},{"id":2,"ts":2,"kw":2},{"id":3,"ts":3,"kw":3,"volt":5},
        {"id":4,"ts":4,"kw":{}},7,{"id":null,"ts":5,"kw":1},{"id":6,"ts":6,"kw":6}]"#;
    let got = assert_bad(METER, json, Reason::WrongType, Some("[3]/kw"));
    let series: Vec<_> = got.iter().map(|(series, ..)| series.as_str()).collect();
    assert_eq!(series, ["1", "2", "3", "6"]);
    // Nothing is left over from an element before.
    assert_eq!(got[3].2, [Some(6.0), None]);

    assert_eq!(good(METER, "[]"), []);
    assert_bad(METER, r#"[{"id":1,"ts":1,"kw":1},7]"#, Reason::WrongType, Some("[1]"));
    assert_bad(METER, r#"[{"id":1,"ts":1}]"#, Reason::NoValue, Some("[0]"));
    assert_eq!(assert_bad(METER, r#"[{"id":1,"ts":1,"kw":1},{"id"#, Reason::NotJson, None).len(), 1);
}

#[test]
fn the_series_is_a_short_text() {
    let json = |id: &str| format!(r#"{{"id":{id},"ts":0,"kw":1,"volt":1}}"#);
    for (id, want) in [
        (r#""Zähler \"7\" \ud83d\ude00\/""#, "Zähler \"7\" 😀/"),
        ("17", "17"),
        ("-1.50", "-1.50"),
        ("true", "true"),
        (r#"" ""#, " "),
    ] {
        assert_eq!(good(METER, &json(id))[0].0, want);
    }
    let long = |len| format!("\"{}\"", "m".repeat(len));
    assert_eq!(good(METER, &json(&long(1_024))).len(), 1);
    for (id, reason) in [
        (long(1_025).as_str(), Reason::SeriesTooLong),
        ("\"\"", Reason::MissingSeries),
        ("null", Reason::MissingSeries),
        ("[]", Reason::WrongType),
        ("{\"a\":1}", Reason::WrongType),
        ("\"\\ud83d\"", Reason::WrongType),
    ] {
        assert_bad(METER, &json(id), reason, Some("/id"));
    }
}

#[test]
fn a_bad_time_says_why() {
    for (ts, reason) in [
        ("null", Reason::MissingTime),
        ("\"yesterday\"", Reason::WrongType),
        ("[1]", Reason::WrongType),
        ("true", Reason::WrongType),
        ("99999999999", Reason::TimeOutOfRange),
        ("1e999", Reason::TimeOutOfRange),
        ("\"0001-01-01T00:00:00Z\"", Reason::TimeOutOfRange),
    ] {
        assert_bad(METER, &format!(r#"{{"id":"a","ts":{ts},"kw":1}}"#), reason, Some("/ts"));
    }
    assert_bad(METER, r#"{"id":"a","kw":1}"#, Reason::MissingTime, Some("/ts"));
    let (_, bad) = decode_json(METER, r#"{"id":"a","ts":"soon","kw":1}"#);
    assert_eq!(
        bad.unwrap().to_string(),
        "wrong_type at /ts: a time (RFC 3339, a local date and time, or a unix time) was expected, not \"soon\""
    );
}

#[test]
fn what_is_no_json_is_said_to_be_none() {
    for json in ["{", "nope", "{\"id\":1}}", "[,]", "{'id':1}", " \u{feff}{}", "\"\t\""] {
        assert_bad(METER, json, Reason::NotJson, None);
    }
    for json in ["1", "\"x\"", "null", "true", "1e999"] {
        assert_bad(METER, json, Reason::WrongType, None);
    }
    for payload in [None, Some(&b""[..]), Some(b" \n")] {
        let (_, bad) = decode(&stream(METER), &record(payload));
        assert_eq!(bad.unwrap().reason, Reason::Empty);
    }
    let (_, bad) = decode(&stream(METER), &record(Some(b"{\"id\":\"\xff\"}")));
    assert_eq!(bad.unwrap().reason, Reason::NotJson);
}

#[test]
fn nesting_does_not_overflow_the_stack() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let json = format!(r#"{{"id":"a","ts":0,"kw":1,"skipped":{deep},"volt":1}}"#);
    assert_eq!(good(METER, &json).len(), 1);
    assert_bad(METER, &json.replace("\"kw\":1", &format!("\"kw\":{deep}")), Reason::WrongType, Some("/kw"));
}

#[test]
fn key_headers_and_timestamp_are_places_too() {
    let lines = r#"
        targets = ["kw"]
        covariates = ["gain"]
        fields = { values = { gain = "@header:gain" } }
    "#;
    let stream = stream(lines);
    let headers: &[(&str, &[u8])] = &[("gain", b"1"), ("gain", b"2.5")];
    assert_eq!((&headers as &dyn Headers).get("Gain"), None);
    let whole = Record {
        key: Some("Zähler".as_bytes()),
        timestamp: EventTime::from_micros(5).ok(),
        headers: &headers,
        ..record(Some(b"[{\"kw\":1},{\"kw\":2}]"))
    };
    let (got, bad) = decode(&stream, &whole);
    assert_eq!(bad, None);
    let want =
        [one("Zähler", 5, &[Some(1.0), Some(2.5)]), one("Zähler", 5, &[Some(2.0), Some(2.5)])].concat();
    assert_eq!(got, want);

    let wrong: &[(&str, &[u8])] = &[("gain", b"much")];
    for (record, reason, field) in [
        (Record { key: None, ..whole }, Reason::MissingSeries, "@key"),
        (Record { key: Some(b""), ..whole }, Reason::MissingSeries, "@key"),
        (Record { key: Some(b"\xff"), ..whole }, Reason::WrongType, "@key"),
        (Record { timestamp: None, ..whole }, Reason::MissingTime, "@timestamp"),
    ] {
        let (got, bad) = decode(&stream, &record);
        let bad = bad.unwrap();
        assert_eq!((got.len(), bad.reason, bad.field.as_deref()), (0, reason, Some(field)));
    }
    let (got, bad) = decode(&stream, &Record { headers: &wrong, ..whole });
    assert_eq!((got[0].2.clone(), bad), (vec![Some(1.0), None], None));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        json in r#"[\[{]{0,3}("(id|ts|kw)":|[\[\]{},":0-9eE.\\-]|null|true|"a"){0,40}"#,
    ) {
        let stream = stream(METER);
        for payload in [&bytes[..], json.as_bytes()] {
            let (got, bad) = decode(&stream, &record(Some(payload)));
            if bad.as_ref().is_some_and(|bad| bad.reason == Reason::NotJson) {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(payload).is_err());
            }
            prop_assert!(got.iter().all(|(_, _, values)| values.iter().flatten().all(|v| v.is_finite())));
        }
    }

    #[test]
    fn what_serde_json_writes_is_read_back(
        rows in proptest::collection::vec(
            (
                "\\PC{1,20}",
                EventTime::MIN.as_micros()..=EventTime::MAX.as_micros(),
                proptest::num::f64::NORMAL | proptest::num::f64::ZERO,
                proptest::option::of(-1e3..1e3),
            ),
            0..5,
        ),
        as_text in any::<bool>(),
    ) {
        let lines = METER.replace("\"/ts\"", if as_text { "\"/ts\"" } else { "\"/ts\", time_format = \"us\"" });
        let json = rows.iter().map(|(id, micros, kw, volt)| {
            let time = EventTime::from_micros(*micros).unwrap().to_string();
            let ts = if as_text { serde_json::json!(time) } else { serde_json::json!(micros) };
            serde_json::json!({"id": id, "ts": ts, "kw": kw, "volt": volt, "other": {"id": [1, {}]}})
        });
        let json = serde_json::Value::Array(json.collect()).to_string();
        let want: Vec<Got> =
            rows.iter().map(|(id, micros, kw, volt)| (id.clone(), *micros, vec![Some(*kw), *volt])).collect();
        prop_assert_eq!(good(&lines, &json), want);
    }
}
