//! Charts are well-formed and finite for every input.

use super::{
    CalibrationChart, DifferenceChart, ErrorChart, FanChart, WeightChart, calibration, difference_by_lead,
    error_by_lead, fan, weights_over_time,
};
use crate::domain::EventTime;
use crate::telemetry::ShownForecast;
use jiff::tz::TimeZone;

fn time(hour: i64) -> EventTime {
    EventTime::from_micros(1_795_392_000_000_000 + hour * 3_600_000_000).unwrap()
}

fn readings(values: &[f64]) -> Vec<(EventTime, f64)> {
    values.iter().enumerate().map(|(i, v)| (time(i as i64), *v)).collect()
}

/// Leads 1, 2, 3 after hour `origin`.
fn forecast(origin: i64, levels: &[f64], quantiles: &[f64]) -> ShownForecast {
    ShownForecast {
        origin: time(origin),
        times: (1..=3).map(|lead| time(origin + lead)).collect(),
        yhat: vec![1.0, 2.0, 1.5],
        levels: levels.to_vec(),
        quantiles: quantiles.to_vec(),
    }
}

fn drawn(title: &str, readings: &[(EventTime, f64)], forecast: Option<&ShownForecast>) -> String {
    let svg = fan(&FanChart { title, readings, forecast, zone: &TimeZone::UTC });
    check(&svg);
    svg
}

/// Tags nest, attributes are quoted, entities are known, numbers are finite.
fn check(svg: &str) {
    assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("e+"), "{svg}");
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(at) = rest.find('<') {
        check_text(&rest[..at]);
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name.to_owned()), "{svg}");
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap().to_owned());
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.is_empty(), "{open:?} {rest}");
}

fn check_text(text: &str) {
    for (at, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        assert!(known.iter().any(|entity| text[at..].starts_with(entity)), "{text}");
    }
    assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{text:?}");
}

#[test]
fn a_fan_has_a_line_a_forecast_and_nested_bands() {
    let forecast = forecast(
        3,
        &[0.05, 0.25, 0.5, 0.75, 0.95],
        &[0.0, 0.5, 0.0, 0.5, 1.5, 1.0, 1.0, 2.0, 1.5, 1.5, 2.5, 2.0, 2.0, 3.5, 3.0],
    );
    let svg = drawn("meter-17 · kw", &readings(&[1.0, 2.0, 1.5, 1.0, 1.2]), Some(&forecast));
    assert_eq!(svg.matches("class=\"band\"").count(), 2);
    assert!(svg.contains("90 %") && svg.contains("50 %") && svg.contains("class=\"dot\""), "{svg}");
    assert!(svg.contains("viewBox=\"0 0 720 300\"") && svg.contains("prefers-color-scheme:dark"));
}

#[test]
fn nothing_and_next_to_nothing_can_be_drawn() {
    let nan = f64::NAN;
    assert!(drawn("", &[], None).contains("nothing to show yet"));
    assert!(drawn("", &readings(&[nan, nan]), None).contains("nothing to show yet"));
    for values in [
        &[5.0][..],
        &[5.0; 30],
        &[0.0; 3],
        &[-1e-12, 1e-12],
        &[1e308, -1e308],
        &[f64::MAX, f64::MIN],
        &[1.0, nan, 2.0, nan],
        &[1e9, 1e9 + 1.0],
        &[f64::INFINITY, 1.0],
    ] {
        let svg = drawn("x", &readings(values), None);
        assert!(svg.contains("class=\"actual\""), "{values:?}");
    }
    let empty =
        ShownForecast { origin: time(1), times: vec![], yhat: vec![], levels: vec![0.5], quantiles: vec![] };
    drawn("x", &readings(&[1.0, 2.0]), Some(&empty));
    drawn("x", &[], Some(&forecast(0, &[0.1, 0.9], &[nan; 6])));
    drawn("x", &readings(&[1.0]), Some(&forecast(7, &[0.1, 0.9], &[0.0, 0.0])));
    drawn("x", &readings(&[1.0]), Some(&forecast(0, &[0.1, 0.9], &[-1e300, -1e9, nan, 1e300, 1e9, 0.0])));
}

#[test]
fn titles_are_escaped_and_shortened() {
    let svg = drawn("</text><script>alert('x')</script>&\u{1}", &readings(&[1.0, 2.0]), None);
    assert!(!svg.contains("<script"));
    let svg = drawn(&"é".repeat(500), &readings(&[1.0, 2.0]), None);
    assert!(svg.contains(&format!(">{}…<", "é".repeat(59))));
}

#[test]
fn errors_are_lines_with_their_names() {
    let experts =
        vec![("mixture".to_owned(), vec![0.1, 0.2, 0.3]), ("last <b>".to_owned(), vec![0.2, f64::NAN, 0.9])];
    let chart = ErrorChart {
        title: "power",
        measure: "scaled & mean",
        leads: &[1, 4, 24],
        experts: &experts,
        marks: &[0.95],
        shown: &[1.0],
    };
    let svg = error_by_lead(&chart);
    check(&svg);
    assert!(
        svg.contains(r#"<path class="origin" d="M50"#)
            && svg.contains(">mixture<")
            && svg.contains(">last &lt;b&gt;<")
            && svg.contains("scaled &amp; mean")
    );
    for (leads, experts) in [
        (&[][..], vec![]),
        (&[1][..], vec![("one".to_owned(), vec![0.5])]),
        (&[1, 2][..], vec![("none".to_owned(), vec![f64::NAN, f64::NAN])]),
        (&[1, 2][..], vec![("short".to_owned(), vec![1.0])]),
        (&[7, 7, 7][..], vec![("same".to_owned(), vec![0.0; 3]); 30]),
    ] {
        check(&error_by_lead(&ErrorChart {
            title: "",
            measure: "",
            leads,
            experts: &experts,
            marks: &[],
            shown: &[],
        }));
    }
}

#[test]
fn weights_fill_the_whole_and_the_light_ones_are_put_together() {
    let times: Vec<EventTime> = (0..3).map(time).collect();
    let experts: Vec<(String, Vec<f64>)> =
        (1..=9).map(|i| (format!("e{i}"), vec![f64::from(i), f64::from(i), 0.0])).collect();
    let chart =
        WeightChart { title: "kw", note: "a & b", times: &times, experts: &experts, zone: &TimeZone::UTC };
    let svg = weights_over_time(&chart);
    check(&svg);
    assert_eq!(svg.matches(r#"class="share"#).count(), 8);
    assert!(svg.contains(">2 others 0 %<") && svg.contains(">e9 0 %<") && !svg.contains(">e1 "));
    // The first moment's bands reach from the bottom to the top.
    assert!(svg.contains("L50.0 252.0Z") && svg.contains("M50.0 72.0"));
    for (times, experts) in [(&times[..0], &experts[..]), (&times[..], &[]), (&times[..1], &experts[..])] {
        let empty = WeightChart { times, experts, ..chart };
        assert!(weights_over_time(&empty).contains("nothing to show yet"));
    }
}

#[test]
fn a_calibrated_forecast_lies_on_the_diagonal() {
    let lines = vec![
        ("all <leads>".to_owned(), vec![(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)]),
        ("lead 1".to_owned(), vec![(0.5, 0.4)]),
        ("none".to_owned(), vec![]),
    ];
    let svg = calibration(&CalibrationChart { title: "kw", lines: &lines });
    check(&svg);
    assert!(svg.contains("M46 292l230 -230") && svg.contains(r#"cx="161.0" cy="177.0""#));
    assert!(svg.contains("all &lt;leads&gt;"));
}

#[test]
fn differences_stand_in_their_intervals() {
    let leads = [(1, -0.5, (-1.0, 0.0)), (2, 0.1, (-0.4, 0.6))];
    let svg = difference_by_lead(&DifferenceChart { title: "kw", note: "", leads: &leads });
    check(&svg);
    assert_eq!(svg.matches(r#"class="dot""#).count(), 2);
    check(&difference_by_lead(&DifferenceChart { title: "", note: "", leads: &[] }));
    check(&difference_by_lead(&DifferenceChart { title: "", note: "", leads: &[(1, 0.0, (0.0, 0.0))] }));
}
