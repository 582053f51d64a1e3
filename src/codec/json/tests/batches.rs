//! Batches inside a record.

use super::values::decode_lines;
use super::*;

/// Three series of thirty readings, ten seconds apart.
#[track_caller]
fn assert_all_read(lines: &str, records: &str, series: [&str; 3], first: f64) {
    let (got, bad, missing) = decode_lines(lines, records);
    assert_eq!((got.len(), bad, missing), (90, Vec::new(), [0; 3]));
    for (i, name) in series.into_iter().enumerate() {
        let of_series: Vec<&Got> = got.iter().filter(|(series, ..)| series == name).collect();
        assert_eq!(of_series.len(), 30, "{name}");
        assert_eq!(of_series[0].2, [Some(first + i as f64)], "{name}");
        let times = of_series.iter().map(|(_, time, _)| time - 1_767_225_600_000_000);
        assert!(times.eq((0..30).map(|step| step * 10_000_000)), "{name}");
    }
}

#[test]
fn each_element_of_a_batch_is_a_reading() {
    let lines = |fields: &str| format!("targets = [\"v\"]\nfields = {{ {fields} }}");
    let telegraf = r#"records = "/metrics", series = "/tags/host", time = "/timestamp", values = { v = "/fields/usage_idle" }"#;
    let records = include_str!("../../../../tests/cases/02/telegraf_batch.jsonl");
    assert_all_read(&lines(telegraf), records, ["h0", "h1", "h2"], 90.0);

    let gateway = r#"records = "/*/*", series = "^#", time = "/ts", values = { v = "/values/temperature" }"#;
    let records = include_str!("../../../../tests/cases/02/thingsboard_gateway.jsonl");
    assert_all_read(&lines(gateway), records, ["Device 0", "Device 1", "Device 2"], 20.0);

    let array = r#"series = "/dev", time = "/ts", values = { v = "/values/temperature" }"#;
    let records = include_str!("../../../../tests/cases/02/thingsboard_array.jsonl");
    assert_all_read(&lines(array), records, ["D0", "D1", "D2"], 20.0);

    let otlp = r#"
        records = "/resourceMetrics/*/scopeMetrics/*/metrics/*/gauge/dataPoints/*"
        series = [
            "^^^/resource/attributes/0/value/stringValue", "^/name", "/attributes/0/value/stringValue"
        ]
        time = "/timeUnixNano"
        values = { v = "/asDouble" }
    "#;
    let records = include_str!("../../../../tests/cases/02/otlp.jsonl");
    let series = ["h0/system.cpu.load/cpu0", "h0/system.cpu.load/cpu1", "h0/system.cpu.load/cpu2"];
    let lines = format!("targets = [\"v\"]\n[streams.power.fields]\n{otlp}");
    assert_all_read(&lines, records, series, 0.0);
}

const NESTED: &str = r#"
    targets = ["kw"]
    covariates = ["volt"]
    [streams.power.fields]
    records = "/sites/*/meters"
    series = ["^^/net", "^/site", "/id"]
    time = "^^/ts"
    values = { volt = "^/volt" }
"#;

#[test]
fn what_stands_above_an_element_is_its_own_wherever_it_stands() {
    let json = r#"{"sites":[
        {"meters":[{"id":1,"kw":1.5},{"kw":"NaN","id":2}],"site":"a","volt":230},
        {"site":"b","meters":{"kw":3,"id":3}},
        {"site":"c","meters":[]}
    ],"net":"n","ts":5}"#;
    let of = |name: &str, kw, volt| one(name, 5_000_000, &[kw, volt]);
    let want =
        [of("n/a/1", Some(1.5), Some(230.0)), of("n/a/2", None, Some(230.0)), of("n/b/3", Some(3.0), None)];
    assert_eq!(good(NESTED, json), want.concat());
    // Nothing is left over from a record or an element before; bare words are mended here too.
    let array = format!("[{json},{}]", json.replace("230", "NaN").replace("\"net\":\"n\"", "\"net\":\"m\""));
    let got = good(NESTED, &array);
    assert_eq!((got.len(), got[3].0.as_str(), &got[3].2[..]), (6, "m/a/1", &[Some(1.5), None][..]));
}

#[test]
fn what_is_no_element_is_told_with_its_place() {
    let json = |sites: &str| format!(r#"{{"net":"n","ts":5,"sites":{sites}}}"#);
    let good_site = r#"{"site":"a","meters":[{"id":1,"kw":1}]}"#;
    for (sites, reason, field, count) in [
        ("null", Reason::MissingRecords, "/sites", 0),
        ("7", Reason::MissingRecords, "/sites", 0),
        ("[7]", Reason::WrongType, "/sites/0", 0),
        (
            &*format!("[{good_site},{{\"site\":\"b\"}},{good_site}]"),
            Reason::MissingRecords,
            "/sites/1/meters",
            2,
        ),
        (&*format!("{{\"x\":{{}},\"y~\":{good_site}}}"), Reason::MissingRecords, "/sites/x/meters", 1),
        (r#"[{"site":"a","meters":[{"id":1,"kw":1},4]}]"#, Reason::WrongType, "/sites/0/meters/1", 1),
        (r#"[{"site":"a","meters":[{"kw":1}]}]"#, Reason::MissingSeries, "/sites/0/meters/0/id", 0),
        (r#"[{"site":"a","meters":{"kw":1}}]"#, Reason::MissingSeries, "/sites/0/meters/id", 0),
        (r#"[{"meters":[{"id":1,"kw":1}]}]"#, Reason::MissingSeries, "/sites/0/site", 0),
        (r#"[{"site":"a","meters":[{"id":1,"kw":{}}]}]"#, Reason::WrongType, "/sites/0/meters/0/kw", 0),
    ] {
        assert_eq!(assert_bad(NESTED, &json(sites), reason, Some(field)).len(), count, "{sites}");
    }
    let no_time = r#"[{"net":"n","sites":[]},{"net":"n","sites":[{"site":"a","meters":[{"id":1,"kw":1}]}]}]"#;
    assert_bad(NESTED, no_time, Reason::MissingTime, Some("[1]/ts"));
    assert_bad(NESTED, "[{}]", Reason::MissingRecords, Some("[0]/sites"));
    assert_bad(NESTED, &format!("[{}", json("[]")), Reason::NotJson, None);
    assert_eq!(good(NESTED, &json("[]")), []);
}

proptest! {
    #[test]
    fn no_batch_makes_it_panic(
        json in r#"[\[{]{0,3}("(sites|meters|id|ts|kw)":|[\[\]{},":0-9\\-]|null|NaN|"a"){0,60}"#,
    ) {
        let (got, _) = decode(&stream(NESTED), &record(Some(json.as_bytes())));
        prop_assert!(got.iter().all(|(series, ..)| !series.is_empty()));
    }
}
