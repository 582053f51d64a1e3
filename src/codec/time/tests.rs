use super::*;
use proptest::prelude::*;

fn reader(format: TimeFormat, zone: &str) -> TimeReader {
    TimeReader::new(format, TimeZone::get(zone).unwrap())
}

fn text(zone: &str, text: &str) -> Result<String, TimeFault> {
    reader(TimeFormat::Auto, zone).text(text).map(|stamp| stamp.time.to_string())
}

#[test]
fn texts_are_read_in_every_form() {
    for (given, want) in [
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
        ("2026-11-23t10:00:00z", "2026-11-23T10:00:00Z"),
        ("2026-11-23T10:00:00.25+01:30", "2026-11-23T08:30:00.25Z"),
        ("2026-11-23 10:00:00-08:00", "2026-11-23T18:00:00Z"),
        ("2026-11-23T10:00:00+0130", "2026-11-23T08:30:00Z"),
        ("2026-11-23T10:00:00+01:00[Europe/Paris]", "2026-11-23T09:00:00Z"),
        ("2026-11-23T10:00Z", "2026-11-23T10:00:00Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("2026-11-23T10:00:00.1234567Z", "2026-11-23T10:00:00.123457Z"),
        ("2026-11-23T09:59:59.9999998Z", "2026-11-23T10:00:00Z"),
        ("2026-11-23T10:00:00.000000000000Z", "2026-11-23T10:00:00Z"),
        ("2017-01-01 00:00:00", "2017-01-01T00:00:00Z"),
        ("2017-01-01T00:00", "2017-01-01T00:00:00Z"),
        ("2006-12-16", "2006-12-16T00:00:00Z"),
        (" 2006-12-16 ", "2006-12-16T00:00:00Z"),
        ("20061216T101500", "2006-12-16T10:15:00Z"),
        ("1900-01-01", "1900-01-01T00:00:00Z"),
        ("2026-12-31 24:00", "2027-01-01T00:00:00Z"),
        ("2026-12-31T24:00:00Z", "2027-01-01T00:00:00Z"),
        ("2026-12-31T24:00:00.000+01:00", "2026-12-31T23:00:00Z"),
        ("20261231T240000", "2027-01-01T00:00:00Z"),
        ("2024-02-24T24:00", "2024-02-25T00:00:00Z"),
    ] {
        assert_eq!(text("UTC", given).as_deref(), Ok(want), "{given}");
    }
    for bad in [
        "",
        "-",
        ".",
        "x",
        "2026-02-29",
        "2026-11-23T24:01",
        "2026-11-23 24:00:01",
        "2026-11-23 24:10Z",
        "2026-11-23T24:10+00:10",
        "2026-11-23T24:00:00.5",
        "2026-11-23T25:00",
        "2026-11-23+01:00",
        "2026-11-23T10:00[UTC]",
        "1.2.3",
    ] {
        assert_eq!(text("UTC", bad), Err(TimeFault::Unreadable), "{bad}");
    }
    for far in ["0001-01-01T00:00:00Z", "2200-01-01T00:00:01Z", "1899-12-31", "9999-12-31 23:59:59"] {
        assert_eq!(text("UTC", far), Err(TimeFault::OutOfRange), "{far}");
    }
}

#[test]
fn local_times_are_the_streams() {
    assert_eq!(text("Europe/Paris", "2017-07-01 00:00:00").as_deref(), Ok("2017-06-30T22:00:00Z"));
    assert_eq!(text("Europe/Paris", "2017-01-01").as_deref(), Ok("2016-12-31T23:00:00Z"));
    assert_eq!(text("Europe/Paris", "2017-01-01T00:00Z").as_deref(), Ok("2017-01-01T00:00:00Z"));
    // 02:30 comes twice on 2017-10-29 and never on 2017-03-26.
    assert_eq!(text("Europe/Paris", "2017-10-29 02:30:00").as_deref(), Ok("2017-10-29T00:30:00Z"));
    assert_eq!(text("Europe/Paris", "2017-03-26 02:30:00.5").as_deref(), Ok("2017-03-26T01:30:00.5Z"));
    assert_eq!(text("Etc/GMT+3", "2017-01-01").as_deref(), Ok("2017-01-01T03:00:00Z"));
}

#[test]
fn numbers_have_the_unit_of_their_format_or_of_their_size() {
    use TimeFormat::{Auto, Micros, Millis, Nanos, Rfc3339, Seconds};
    let micros = |format, number: &str| {
        let reader = reader(format, "UTC");
        let got = reader.number(number);
        assert_eq!(reader.text(number), got, "{number} as a text");
        got.map(|stamp| stamp.time.as_micros())
    };
    for (format, number, want) in [
        (Auto, "1700000000", 1_700_000_000_000_000),
        (Auto, "1700000000.5", 1_700_000_000_500_000),
        (Auto, "1.7e9", 1_700_000_000_000_000),
        (Auto, "1700000000123", 1_700_000_000_123_000),
        (Auto, "1700000000123456", 1_700_000_000_123_456),
        (Auto, "1700000000123456789", 1_700_000_000_123_457),
        (Auto, "-86400", -86_400_000_000),
        (Auto, "0", 0),
        (Seconds, "1699999999.9999998", 1_700_000_000_000_000),
        (Seconds, "1700000000.1234561999999", 1_700_000_000_123_456),
        (Seconds, "-1.5", -1_500_000),
        (Millis, "60000", 60_000_000),
        (Millis, "1700000000123.25", 1_700_000_000_123_250),
        (Micros, "1700000000123457", 1_700_000_000_123_457),
        (Micros, "7258118400000000", 7_258_118_400_000_000),
        (Nanos, "1699999999999999001", 1_699_999_999_999_999),
        (Nanos, "1500", 2),
        (Nanos, "-2208988800000000000", -2_208_988_800_000_000),
    ] {
        assert_eq!(micros(format, number), Ok(want), "{number}");
    }
    for (format, number) in [
        (Seconds, "7258118401"),
        (Auto, "99999999999"),
        (Micros, "7258118400000001"),
        (Nanos, "18446744073709551615"),
        (Auto, "99999999999999999999999"),
        (Seconds, "1e300"),
        (Seconds, "1e999"),
        (Seconds, "-2208988801"),
    ] {
        assert_eq!(micros(format, number), Err(TimeFault::OutOfRange), "{number}");
    }
    for (format, number) in
        [(Rfc3339, "1700000000"), (Millis, "1x"), (Millis, "nan"), (Millis, "1e"), (Millis, "")]
    {
        assert_eq!(micros(format, number), Err(TimeFault::Unreadable), "{number}");
    }
}

#[test]
fn a_local_time_that_comes_twice_is_two_instants() {
    let read = |zone: &str, given: &str| {
        let stamp = reader(TimeFormat::Auto, zone).text(given).unwrap();
        (stamp.time.to_string(), stamp.later.map(|time| time.to_string()))
    };
    let twice = ("2017-10-29T00:30:00.5Z".to_owned(), Some("2017-10-29T01:30:00.5Z".to_owned()));
    assert_eq!(read("Europe/Paris", "2017-10-29 02:30:00.5"), twice);
    for (zone, once) in [
        ("Europe/Paris", "2017-10-29 03:00:00"),
        ("Europe/Paris", "2017-10-29 02:30:00+02:00"),
        ("Europe/Paris", "2017-03-26 02:30:00"),
        ("UTC", "2017-10-29 02:30:00"),
    ] {
        assert_eq!(read(zone, once).1, None, "{once} in {zone}");
    }
    let pattern = TimeFormat::Pattern(TimePattern::try_new("%Y%m%d%H").unwrap());
    let stamp = reader(pattern, "Europe/Paris").number("2017102902").unwrap();
    assert_eq!(stamp.later.map(|later| later.seconds_since(stamp.time)), Some(3_600.0));
}

#[test]
fn digits_of_a_calendar_are_no_unix_times() {
    use TimeFormat::{Auto, Micros, Millis, Nanos, Seconds};
    let pattern = |format: TimeFormat, number: &str| match reader(format, "UTC").number(number) {
        Err(TimeFault::Calendar { pattern, .. }) => Some(pattern),
        _ => None,
    };
    for (number, want) in [
        ("201901", "%Y%m"),
        ("20190101", "%Y%m%d"),
        ("20190101.0", "%Y%m%d"),
        ("2019091200", "%Y%m%d%H"),
        ("2019091224", "%Y%m%d%H"),
        ("201909120310", "%Y%m%d%H%M"),
        ("20190912031059", "%Y%m%d%H%M%S"),
    ] {
        assert_eq!(pattern(Auto, number), Some(want), "{number}");
        assert!(matches!(
            reader(Auto, "UTC").text(number),
            Err(TimeFault::Calendar { pattern, .. }) if pattern == want
        ));
    }
    for number in
        ["1546300800", "2019093200", "20190229", "201900", "20190101.5", "1767225600", "-20190101", "2019"]
    {
        assert_eq!(pattern(Auto, number), None, "{number}");
    }
    // What a format says is believed unless it were long past.
    assert_eq!(pattern(Seconds, "20190101"), Some("%Y%m%d"));
    assert_eq!(pattern(Seconds, "2019091200"), None);
    assert_eq!(pattern(Millis, "201909120310"), Some("%Y%m%d%H%M"));
    assert_eq!(pattern(Micros, "20190912031059"), Some("%Y%m%d%H%M%S"));
    assert_eq!(pattern(Nanos, "2019091200"), Some("%Y%m%d%H"));
    assert_eq!(pattern(Seconds, "20190912031059"), Some("%Y%m%d%H%M%S"));
    assert_eq!(pattern(Seconds, "201901"), None);
    let unix = TimeFormat::Pattern(TimePattern::try_new("%s").unwrap());
    assert_eq!(reader(unix, "UTC").number("20190101").unwrap().time.as_micros(), 20_190_101_000_000);
}

#[test]
fn formats_take_nothing_else() {
    assert_eq!(reader(TimeFormat::Millis, "UTC").text("2017-01-01"), Err(TimeFault::Unreadable));
    assert_eq!(reader(TimeFormat::Rfc3339, "UTC").text("2017-01-01 00:00:00"), Err(TimeFault::Unreadable));
    assert!(reader(TimeFormat::Rfc3339, "UTC").text("2017-01-01T00:00:00-00:00").is_ok());
}

fn as_jiff_reads(text: &str, zone: &TimeZone) -> Option<EventTime> {
    let is_zero =
        |rest: &str| rest.split(['+', '-', 'Z', 'z']).next().unwrap().bytes().all(|b| b"0:.".contains(&b));
    let next_day = (text.get(11..13) == Some("24") && is_zero(&text[13..])).then(|| {
        let day: jiff::civil::Date = text[..10].parse().ok()?;
        Some(format!("{}{}00{}", day.tomorrow().unwrap(), &text[10..11], &text[13..]))
    });
    let text = match next_day {
        Some(next_day) => &next_day?,
        None => text,
    };
    let time = match text.parse::<jiff::Timestamp>() {
        Ok(time) => time,
        Err(_) => zone.to_timestamp(text.parse().ok()?).ok()?,
    };
    EventTime::from_micros((time.as_nanosecond() + 500).div_euclid(1_000) as i64).ok()
}

proptest! {
    #[test]
    fn the_fast_way_agrees_with_jiff(
        text in "(19[0-9]{2}|20[0-9]{2})-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\\.[0-9]{1,9})?)?)?",
        offset in "(Z|z|[+-][0-2][0-9]:[0-6][0-9])?",
        paris in any::<bool>(),
    ) {
        let text = if text.len() > 10 { text + &offset } else { text };
        let reader = reader(TimeFormat::Auto, if paris { "Europe/Paris" } else { "UTC" });
        prop_assert_eq!(reader.text(&text).ok().map(|stamp| stamp.time), as_jiff_reads(&text, &reader.zone), "{}", text);
    }

    #[test]
    fn written_times_are_jiffs_and_are_read_back(
        micros in EventTime::MIN.as_micros()..=EventTime::MAX.as_micros(), whole in any::<bool>()
    ) {
        let micros = if whole { micros - micros.rem_euclid(1_000_000) } else { micros };
        let time = EventTime::from_micros(micros).unwrap();
        let mut out = Vec::new();
        put_rfc3339(time, &mut out);
        let written = String::from_utf8(out).unwrap();
        prop_assert_eq!(&written, &time.to_string());
        prop_assert_eq!(reader(TimeFormat::Rfc3339, "UTC").text(&written), Ok(ReadTime::from(time)));
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*", numeric in "[-+.0-9eE:TZ ]{0,24}") {
        let pattern = TimeFormat::Pattern(TimePattern::try_new("%Y-%m-%d %H:%M").unwrap());
        for format in [TimeFormat::Auto, TimeFormat::Rfc3339, TimeFormat::Seconds, TimeFormat::Nanos, pattern] {
            for zone in ["UTC", "Europe/Paris"] {
                for text in [&text, &numeric] {
                    let reader = reader(format.clone(), zone);
                    let _ = reader.text(text);
                    let _ = reader.number(text);
                }
            }
        }
    }
}
