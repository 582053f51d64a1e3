//! Series and times of several parts.

use super::*;

#[test]
fn parts_of_a_series_make_one_name() {
    let lines = r#"
        targets = ["kw"]
        fields = { series = ["/site", "@key", "@header:unit"], time = "/ts" }
    "#;
    let stream = stream(lines);
    let name = |site: &str, key: &str, unit: &str| {
        let json = format!(r#"{{"site":{site},"ts":0,"kw":1}}"#);
        let headers: &[(&str, &[u8])] = &[("unit", unit.as_bytes())];
        let record = Record { key: Some(key.as_bytes()), headers: &headers, ..record(Some(json.as_bytes())) };
        match decode(&stream, &record) {
            (got, None) => Ok(got[0].0.clone()),
            (_, Some(bad)) => Err((bad.reason, bad.field.unwrap())),
        }
    };
    assert_eq!(name("\"north\"", "m1", "7").as_deref(), Ok("north/m1/7"));
    assert_eq!(name("17", "Zähler", "\\").as_deref(), Ok("17/Zähler/\\\\"));
    assert_eq!(name("\"a\\/b\"", "c", "d").as_deref(), Ok("a\\/b/c/d"));
    assert_ne!(name("\"a\"", "b/c", "d"), name("\"a/b\"", "c", "d"));
    assert_ne!(name("\"a\\\\\"", "b", "c"), name("\"a\"", "\\/b", "c"));
    assert_eq!(name("null", "m1", "7"), Err((Reason::MissingSeries, "/site".to_owned())));
    assert_eq!(name("\"\"", "m1", "7"), Err((Reason::MissingSeries, "/site".to_owned())));
    assert_eq!(name("1", "m1", ""), Err((Reason::MissingSeries, "@header:unit".to_owned())));
    assert_eq!(name("{}", "m1", "7"), Err((Reason::WrongType, "/site".to_owned())));
    let long = "m".repeat(600);
    assert_eq!(name("1", &long, &long), Err((Reason::SeriesTooLong, "/site".to_owned())));
}

/// As air stations write them, with -200 where there is no value.
#[test]
fn a_date_and_a_time_of_day_are_one_time() {
    let lines = r#"
        time_zone = "Europe/Rome"
        targets = ["CO", "T"]
        [streams.power.fields]
        series = "/station"
        time = ["/Date", "/Time"]
        time_format = "%d/%m/%Y %H.%M.%S"
        missing = [-200]
    "#;
    let json = |date: &str, time: &str, co: &str| {
        format!(r#"{{"station":"a","Date":{date},"Time":{time},"CO":{co},"T":13.6}}"#)
    };
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
    for (date, time, co, want, value) in [
        ("\"10/03/2004\"", "\"18.00.00\"", "2.6", "2004-03-10T17:00:00Z", Some(2.6)),
        ("\" 10/03/2004\"", "\"24.00.00 \"", "-200", "2004-03-10T23:00:00Z", None),
    ] {
        let got = good(lines, &json(date, time, co));
        assert_eq!(got, one("a", at(want), &[value, Some(13.6)]), "{date} {time}");
    }
    for (date, time, reason, field) in [
        ("null", "\"18.00.00\"", Reason::MissingTime, "/Date"),
        ("\"10/03/2004\"", "null", Reason::MissingTime, "/Time"),
        ("\"10/03/2004\"", "{}", Reason::WrongType, "/Time"),
        ("\"10/13/2004\"", "\"18.00.00\"", Reason::WrongType, "/Date"),
    ] {
        assert_bad(lines, &json(date, time, "1"), reason, Some(field));
    }
    let plain = lines.replace("time_format = \"%d/%m/%Y %H.%M.%S\"", "");
    let got = good(&plain, &json("\"2004-03-10\"", "\"18:00\"", "1"));
    assert_eq!(got[0].1, at("2004-03-10T17:00:00Z"));
}

fn rows(csv: &str) -> impl Iterator<Item = Vec<&str>> {
    csv.lines().skip(1).map(|line| line.split(',').collect())
}

/// Weather services write dates as digits.
#[test]
fn digits_of_a_date_need_a_pattern() {
    let daily = include_str!("../../../../tests/cases/03/daily.csv");
    let hourly = include_str!("../../../../tests/cases/03/hours.csv");
    let minutes = include_str!("../../../../tests/cases/03/minutes.csv");
    for (csv, (column, value), pattern, first, step_s) in [
        (daily, (1, 2), "%Y%m%d", "2019-01-01T00:00:00Z", 86_400),
        (hourly, (1, 3), "%Y%m%d%H", "2019-09-12T00:00:00Z", 3_600),
        (minutes, (1, 2), "%Y%m%d%H%M", "2019-09-12T00:00:00Z", 600),
    ] {
        let lines = |format: &str| {
            format!("targets = [\"t\"]\nfields = {{ series = \"/id\", time = \"/d\"{format} }}")
        };
        let set = format!(", time_format = \"{pattern}\"");
        for quote in ["", "\""] {
            let json = |row: &[&str]| {
                format!(r#"{{"id":{},"d":{quote}{}{quote},"t":{}}}"#, row[0], row[column], row[value])
            };
            let times: Vec<i64> =
                rows(csv).flat_map(|row| good(&lines(&set), &json(&row))).map(|(_, time, _)| time).collect();
            let first: jiff::Timestamp = first.parse().unwrap();
            assert_eq!((times.len() >= 50, times[0]), (true, first.as_microsecond()), "{pattern}");
            assert_eq!(times[1] - times[0], step_s * 1_000_000);
            assert!(times.is_sorted());
            for row in rows(csv) {
                let (got, bad) = decode_json(&lines(""), &json(&row));
                let bad = bad.unwrap();
                assert_eq!((got.len(), bad.reason), (0, Reason::TimeOutOfRange), "{row:?}");
                assert!(bad.detail.ends_with(&format!("say time_format = \"{pattern}\"")), "{}", bad.detail);
            }
        }
    }
}

#[test]
fn a_unix_time_that_looks_like_a_date_is_one_when_the_record_says_so() {
    let lines = "targets = [\"kw\"]\nfields = { series = \"/id\", time = \"/ts\" }";
    let json = br#"{"id":"a","ts":2019091200,"kw":1}"#;
    let at = |seconds: i64| EventTime::from_micros(seconds * 1_000_000).ok();
    for (own, good) in [
        (2_019_091_210, true),
        (2_019_091_200 - 80_000, true),
        (2_019_091_200 + 80_000, true),
        (1_700_000_000, false),
        (2_100_000_000, false),
    ] {
        let (got, bad) = decode(&stream(lines), &Record { timestamp: at(own), ..record(Some(json)) });
        assert_eq!((got.len() == 1, bad.is_none()), (good, good), "{own}");
        assert!(bad.is_none_or(|bad| bad.reason == Reason::TimeOutOfRange));
    }
    let seconds = lines.replace(" }", ", time_format = \"s\" }");
    assert_eq!(decode(&stream(&seconds), &record(Some(json))).0.len(), 1);
}
