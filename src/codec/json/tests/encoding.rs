use super::stream;
use crate::codec::Encoder;
use crate::domain::{AnomalyKind, AnomalyScore, Crossing, Degraded, EventTime, Forecast, TargetForecast};
use proptest::prelude::*;
use serde_json::{Value, json};

fn encode(lines: &str, series: &str, forecast: &Forecast, model: Option<&str>) -> String {
    let mut out = b"left over".to_vec();
    Encoder::new(&stream(lines)).encode(series, forecast, model, &mut out);
    String::from_utf8(out).unwrap()
}

fn at(micros: i64) -> EventTime {
    EventTime::from_micros(micros).unwrap()
}

#[test]
fn a_forecast_has_the_documented_shape() {
    let target = TargetForecast {
        last: Some(1.31),
        yhat: vec![1.28, 1.22],
        quantiles: vec![0.9, 0.8, 1.28, 1.22, 1.7, 1.8],
        expected: vec![1.0, 0.875, 1.0, 1.125],
        decimals: 3,
    };
    let mut forecast = Forecast::new(at(1_795_428_000_000_000), vec![target.clone()]);
    forecast.anomaly.score = 0.04;
    assert_eq!(
        encode("targets = [\"kw\"]", "meter-17", &forecast, Some("power-000012")),
        concat!(
            r#"{"stream":"power","series":"meter-17","origin":"2026-11-23T10:00:00Z","interval_s":3600,"#,
            r#""model":"power-000012","degraded":null,"targets":{"kw":{"last":1.31,"yhat":[1.28,1.22],"#,
            r#""quantiles":{"0.05":[0.9,0.8],"0.5":[1.28,1.22],"0.95":[1.7,1.8]}}},"anomaly_score":0.04}"#
        )
    );
    forecast.anomaly = AnomalyScore { score: 0.9995, kind: Some(AnomalyKind::Spike), began: 0.9995 };
    forecast.limits = vec![
        Crossing { probability: 0.02, first_lead: None },
        Crossing { probability: 0.75, first_lead: Some(2) },
    ];
    let lines =
        "targets = [\"kw\"]\nlimits = [{ target = \"kw\", above = 3 }, { target = \"kw\", below = 0.5 }]";
    assert!(encode(lines, "a", &forecast, None).ends_with(concat!(
        r#","anomaly_score":0.9995,"anomaly":"spike","limits":["#,
        r#"{"target":"kw","above":3.0,"probability":0.02,"first_lead":null},"#,
        r#"{"target":"kw","below":0.5,"probability":0.75,"first_lead":2}]}"#
    )));
    let mut out = b"left over".to_vec();
    Encoder::new(&stream(lines)).encode_anomaly("a", &forecast, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"stream":"power","series":"a","time":"2026-11-23T10:00:00Z","anomaly_score":0.9995,"#,
            r#""anomaly":"spike","targets":{"kw":{"value":1.31,"expected":1,"#,
            r#""quantiles":{"0.05":0.875,"0.5":1,"0.95":1.125}}}}"#
        )
    );
    let missing = TargetForecast { yhat: vec![f64::NAN], ..TargetForecast::default() };
    let mut forecast = Forecast::new(at(1_500_000), vec![missing; 2]);
    forecast.degraded = Some(Degraded::Warming);
    let lines = "targets = ['k\"w', 'ü']\nquantiles = [0.5]";
    forecast.targets.iter_mut().for_each(|t| t.quantiles = vec![-2.0]);
    let got: Value = serde_json::from_str(&encode(lines, "a\"\n😀", &forecast, None)).unwrap();
    let part = json!({"last": null, "yhat": [null], "quantiles": {"0.5": [-2]}});
    assert_eq!(
        got,
        json!({"stream": "power", "series": "a\"\n😀", "origin": "1970-01-01T00:00:01.5Z", "interval_s": 3600,
            "model": null, "degraded": "warming", "anomaly_score": 0, "targets": {"k\"w": part, "ü": part}})
    );
}

#[test]
fn the_interval_is_in_seconds_or_null() {
    let forecast = Forecast::new(at(0), vec![TargetForecast::default()]);
    let interval = |interval: &str| {
        let text = format!(
            "kafka.brokers = \"b:9092\"\n[streams.s]\ntopics = [\"t\"]\ntargets = [\"x\"]\ninterval = \"{interval}\""
        );
        let stream = crate::config::from_toml(&text, &[]).unwrap().streams[0].clone();
        let mut out = Vec::new();
        Encoder::new(&stream).encode("a", &forecast, None, &mut out);
        serde_json::from_slice::<Value>(&out).unwrap()["interval_s"].clone()
    };
    assert_eq!(interval("irregular"), Value::Null);
    assert_eq!(interval("250ms"), json!(0.25));
    assert_eq!(interval("1d"), json!(86_400));
}

#[test]
#[should_panic(expected = "targets of a forecast")]
fn a_forecast_of_another_stream_is_refused() {
    encode("targets = [\"kw\"]", "a", &Forecast::new(at(0), vec![]), None);
}

proptest! {
    #[test]
    fn what_is_written_is_json_and_near(
        series in "\\PC{0,20}[\\x00-\\x1f\"\\\\]?",
        values in proptest::collection::vec(prop_oneof![-1e4..1e4, any::<f64>()], 8),
        decimals in 0_u8..10,
    ) {
        let target = TargetForecast {
            last: Some(1.0),
            yhat: values[..2].to_vec(),
            quantiles: values[2..].to_vec(),
            decimals,
            ..TargetForecast::default()
        };
        let forecast = Forecast::new(at(0), vec![target]);
        let text = encode("targets = [\"kw\"]", &series, &forecast, None);
        let got: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(got["series"].as_str(), Some(series.as_str()));
        let kw = &got["targets"]["kw"];
        let rows = [&kw["yhat"], &kw["quantiles"]["0.05"], &kw["quantiles"]["0.5"], &kw["quantiles"]["0.95"]];
        let read = rows.iter().flat_map(|row| row.as_array().unwrap()).map(Value::as_f64);
        for (read, value) in read.zip(&values) {
            match read {
                None => prop_assert!(!value.is_finite()),
                Some(read) => {
                    let half = 0.5 / 10_f64.powi(i32::from(decimals));
                    prop_assert!((read - value).abs() <= half + value.abs() * 4e-16, "{} as {}", value, read);
                }
            }
        }
    }
}
