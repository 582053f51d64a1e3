//! Values that are missing, and what they leave of their reading.

use super::*;
use crate::telemetry::MissingValue;

/// The readings of all records, the bad ones, and how many values were missing by reason.
pub fn decode_lines(lines: &str, records: &str) -> (Vec<Got>, Vec<BadRecord>, [u64; 3]) {
    let mut decoder = Decoder::new(&stream(lines));
    let (mut got, mut bad) = (Vec::new(), Vec::new());
    for json in records.lines() {
        let record = record(Some(json.as_bytes()));
        bad.extend(decoder.decode(&record, &mut |reading| got.push(owned(reading))).err());
    }
    let missing = decoder.take_missing().unwrap_or_default();
    assert_eq!(decoder.take_missing(), None, "they are given once");
    let count = |why| missing.count(why);
    let counts = [MissingValue::Marker, MissingValue::NotFinite, MissingValue::Unreadable].map(count);
    (got, bad, counts)
}

fn values_of(got: &[Got], target: usize) -> Vec<Option<f64>> {
    got.iter().map(|(.., values)| values[target]).collect()
}

#[test]
fn label_sets_are_series_and_texts_of_numbers_their_values() {
    let lines = r#"
        targets = ["value"]
        fields = { series = ["/labels/instance", "/labels/cpu"], time = "/timestamp" }
    "#;
    let (got, bad, missing) = decode_lines(lines, include_str!("../../../../tests/cases/01/input.jsonl"));
    assert_eq!((bad, missing), (Vec::new(), [0, 4, 0]));
    for (series, first) in [("host-a:9100/0", 21.2882), ("host-a:9100/1", 501.4494)] {
        let of_series: Vec<Got> = got.iter().filter(|(name, ..)| name == series).cloned().collect();
        assert_eq!(of_series.len(), 200, "{series}");
        let values = values_of(&of_series, 0);
        assert_eq!((values[0], values[50], values[60]), (Some(first), None, None));
        assert_eq!(values.iter().flatten().count(), 198);
    }
}

#[test]
fn a_byte_order_mark_and_bare_words_harm_nothing_else() {
    let lines = "targets = [\"kw\"]\nfields = { series = \"/id\", time = \"/ts\" }";
    let (got, bad, missing) = decode_lines(lines, include_str!("../../../../tests/cases/04/input.jsonl"));
    assert_eq!((got.len(), bad, missing), (40, Vec::new(), [0, 2, 0]));
    let values = values_of(&got, 0);
    assert_eq!(values[10..13], [None, None, Some(20.5)]);
    assert_eq!(values.iter().flatten().count(), 38);
    assert!(got.is_sorted_by_key(|(_, time, _)| *time));
}

#[test]
fn markers_are_missing_values_and_no_dead_letters() {
    let lines = "targets = [\"state\"]\nfields = { series = \"/entity_id\", time = \"/last_updated\" }";
    let (got, bad, missing) = decode_lines(lines, include_str!("../../../../tests/cases/05/input.jsonl"));
    assert_eq!((got.len(), bad, missing), (60, Vec::new(), [6, 0, 0]));
    assert_eq!(values_of(&got, 0).iter().flatten().count(), 54);
}

#[test]
fn bare_words_are_missing_where_they_are_read() {
    let json = r#"[{"id":"a","ts":1,"kw":1,"volt":NaN},{"id":"b","ts":2,"kw":-Infinity,"volt":3},
        {"id":"c","ts":nan,"kw":1},{"id":Infinity,"ts":4,"kw":1},{"id":"NaN","ts":5,"kw":5,"x":[nan]},7]"#;
    let (got, bad, missing) = decode_lines(METER, &json.replace('\n', ""));
    let want = [
        one("a", 1_000_000, &[Some(1.0), None]),
        one("b", 2_000_000, &[None, Some(3.0)]),
        one("NaN", 5_000_000, &[Some(5.0), None]),
    ];
    assert_eq!((got, missing), (want.concat(), [0, 2, 0]));
    assert_eq!((bad[0].reason, bad[0].field.as_deref()), (Reason::MissingTime, Some("[2]/ts")));

    // Elements before the word are read once, and what is no JSON for another reason too stays none.
    let json = r#"[{"id":"a","ts":1,"kw":1},{"id":"b","ts":2,"kw":NaN},{"id":"c","ts":3,"kw":1}"#;
    let got = assert_bad(METER, json, Reason::NotJson, None);
    assert_eq!(got.iter().map(|(series, ..)| series.as_str()).collect::<String>(), "abc");
    for json in ["{\"id\":Nan0}", "{\"id\":NaN,}", "{NaN:1}", "{\"id\":NaN}}"] {
        assert_bad(METER, json, Reason::NotJson, None);
    }
    assert_bad(METER, "NaN", Reason::NotJson, None);
}

#[test]
fn a_config_adds_its_own_markers() {
    let lines = METER.replace("fields = {", "fields = { missing = [-200, \"Off\", \"-99.90\"],");
    let json = |kw: &str| format!(r#"{{"id":"a","ts":0,"kw":{kw},"volt":1}}"#);
    for kw in ["-200", "-200.0", "\"-2e2\"", "\" off \"", "\"OFF\"", "-99.9", "\"unavailable\"", "\"\""] {
        let (got, bad, missing) = decode_lines(&lines, &json(kw));
        assert_eq!((got, bad, missing), (one("a", 0, &[None, Some(1.0)]), Vec::new(), [1, 0, 0]), "{kw}");
    }
    assert_eq!(good(&lines, &json("-200.5")), one("a", 0, &[Some(-200.5), Some(1.0)]));
}

#[test]
fn what_cant_be_read_is_missing_by_itself() {
    let json = |rest: &str| format!(r#"{{"id":"a","ts":0{rest}}}"#);
    let lines = METER.replace("[\"kw\"]", "[\"kw\", \"kvar\"]");
    for (rest, want) in [
        (r#","kw":"abc","kvar":2,"volt":3"#, [None, Some(2.0), Some(3.0)]),
        (r#","kw":{"a":1},"kvar":2,"volt":3"#, [None, Some(2.0), Some(3.0)]),
        (r#","kw":[1],"kvar":null,"volt":3"#, [None, None, Some(3.0)]),
        (r#","kw":1,"kvar":2,"volt":"1,5""#, [Some(1.0), Some(2.0), None]),
        (r#","kw":null,"volt":"on""#, [None, None, None]),
    ] {
        let (got, bad, missing) = decode_lines(&lines, &json(rest));
        assert_eq!((got, bad, missing), (one("a", 0, &want), Vec::new(), [0, 0, 1]), "{rest}");
    }
    // Of the targets nothing is left, or nothing is there at all.
    for (rest, field) in [
        (r#","kw":"abc","kvar":{},"volt":3"#, "/kw"),
        (r#","kvar":{},"volt":3"#, "/kvar"),
        (r#","volt":"on""#, "/volt"),
    ] {
        assert_bad(&lines, &json(rest), Reason::WrongType, Some(field));
        assert_eq!(decode_lines(&lines, &json(rest)).2, [0, 0, 0], "a dead letter is counted as one");
    }
}

#[test]
fn the_first_of_each_kind_is_the_example() {
    let mut decoder = Decoder::new(&stream(METER));
    for json in [
        r#"{"id":"a","ts":1,"kw":1,"volt":230}"#,
        r#"{"id":"b","ts":1,"kw":1,"volt":"230 V"}"#,
        r#"{"id":"c","ts":1,"kw":"unavailable","volt":"231 V"}"#,
        r#"{"id":"d","ts":1,"kw":1,"volt":NaN}"#,
    ] {
        decoder.decode(&record(Some(json.as_bytes())), &mut |_| ()).unwrap();
    }
    let missing = decoder.take_missing().unwrap();
    assert_eq!(
        missing.to_string(),
        "1 marker (\"unavailable\" at /kw of c), 1 not_finite (a word that JSON does not have at /volt of d), \
         2 unreadable (\"230 V\" at /volt of b)"
    );
    for (why, count, field, series, text) in [
        (MissingValue::Unreadable, 2, "/volt", "b", "\"230 V\""),
        (MissingValue::Marker, 1, "/kw", "c", "\"unavailable\""),
        (MissingValue::NotFinite, 1, "/volt", "d", "a word that JSON does not have"),
    ] {
        let example = missing.example(why).unwrap();
        assert_eq!((missing.count(why), &*example.field, &*example.series), (count, field, series));
        assert_eq!(example.text, text);
    }
}

#[test]
fn a_position_that_stands_for_none_is_missing() {
    let lines = |missing: &str| {
        format!(
            "targets = [\"speed\", \"lat\", \"lon\"]\nfields = {{ series = \"/id\", time = \"/ts\" }}\n\
             position = {{ latitude = \"lat\", longitude = \"lon\"{missing} }}"
        )
    };
    let json = |lat: f64, lon: f64| format!(r#"{{"id":"a","ts":0,"speed":3,"lat":{lat},"lon":{lon}}}"#);
    let whole = |lat, lon| one("a", 0, &[Some(3.0), Some(lat), Some(lon)]);
    let none = one("a", 0, &[Some(3.0), None, None]);
    let (got, bad, missing) = decode_lines(&lines(""), &json(0.0, 0.0));
    assert_eq!((got, bad, missing), (none.clone(), Vec::new(), [2, 0, 0]));
    assert_eq!(good(&lines(""), &json(0.0, 1e-6)), whole(0.0, 1e-6));
    let own = lines(", missing = [[48.5, 11], [-1, 2.5]]");
    assert_eq!(good(&own, &json(0.0, 0.0)), whole(0.0, 0.0));
    assert_eq!(good(&own, &json(-1.0, 2.5)), none);
    assert_eq!(good(&own, &json(11.0, 48.5)), whole(11.0, 48.5));
    assert_eq!(good(&lines(", missing = []"), &json(0.0, 0.0)), whole(0.0, 0.0));
}
