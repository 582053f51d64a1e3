//! All formats say the same as JSON, to readers that others wrote; and the documented shapes.

mod evolution;
mod read;

use crate::codec::Encoder;
use crate::config::{Stream, from_toml};
use crate::domain::{AnomalyKind, AnomalyScore, Crossing, Degraded, EventTime, Forecast, TargetForecast};
use proptest::prelude::*;
use read::Said;
use std::sync::Arc;

/// A stream of two targets with limits and these lines in its table.
fn stream(lines: &str) -> Arc<Stream> {
    let text = format!(
        "kafka.brokers = \"b:9092\"\n[streams.power]\ntopics = [\"t\"]\ntargets = [\"kw\", \"a b\"]\ninterval = \"1h\"\n\
         limits = [{{ target = \"kw\", above = 3 }}, {{ target = \"a b\", below = -0.5 }}]\nhorizon = 4\n{lines}"
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
}

/// A forecast of 4 leads and 3 levels.
fn forecast(values: &[f64], decimals: u8) -> Forecast {
    let target = |values: &[f64]| TargetForecast {
        last: Some(values[0]),
        yhat: values[1..5].to_vec(),
        quantiles: values[5..17].to_vec(),
        decimals,
        ..TargetForecast::default()
    };
    let origin = EventTime::from_micros(1_795_428_000_000_000).unwrap();
    let mut forecast = Forecast::new(origin, vec![target(&values[..17]), target(&values[17..34])]);
    forecast.anomaly = AnomalyScore { score: 0.9995, kind: Some(AnomalyKind::Spike), began: 0.9995 };
    forecast.limits = vec![
        Crossing { probability: 0.02, first_lead: None },
        Crossing { probability: 0.75, first_lead: Some(2) },
    ];
    forecast
}

fn encode(lines: &str, format: &str, series: &str, forecast: &Forecast, leads: usize) -> Vec<u8> {
    let mut out = b"left over".to_vec();
    let stream = stream(&format!("output.format = \"{format}\"\n{lines}"));
    Encoder::new(&stream).encode_leads(series, forecast, Some("power-12"), leads, &mut out);
    out
}

fn counted() -> Vec<f64> {
    (0..34).map(|n| f64::from(n) / 8.0).collect()
}

/// Reads a payload.
type Read = fn(&[u8]) -> Said;

const FORMATS: [(&str, Read); 4] = [
    ("avro", read::avro),
    ("protobuf", read::protobuf),
    ("influx", read::influx),
    ("prometheus_json", read::prometheus),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What JSON says, each format says to the last bit, whatever is left out.
    #[test]
    fn all_formats_say_the_same(
        series in "[ a-z,=%\\\\\"\n√ü]{1,12}",
        values in proptest::collection::vec(prop_oneof![8 => -1e4..1e4, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)], 34),
        decimals in 0_u8..10,
        which in 0_usize..5,
        most in 1_usize..6,
        is_degraded in any::<bool>(),
    ) {
        let lines = [
            "",
            "output.leads = [4, 1]",
            "output.columns = [\"yhat\"]",
            "output.columns = [\"0.95\", \"limits\", \"degraded\"]\noutput.leads = [2]",
            "output.columns = [\"last\", \"model\", \"anomaly_score\", \"interval_s\"]",
        ][which];
        let mut forecast = forecast(&values, decimals);
        forecast.degraded = is_degraded.then_some(Degraded::Warming);
        let want = read::json(&encode(lines, "json", &series, &forecast, most));
        prop_assert!(!want.numbers.is_empty() || values.iter().any(|value| !value.is_finite()));
        for (format, read) in FORMATS {
            let got = read(&encode(lines, format, &series, &forecast, most));
            let mut want = want.clone();
            if format == "prometheus_json" {
                // Texts would be labels, and begin new series.
                want.texts.retain(|place, _| place == "stream" || place == "series");
                if [0, 1, 3].contains(&which) {
                    want.numbers.insert("degraded".into(), f64::from(u8::from(is_degraded)).to_bits());
                }
            }
            prop_assert_eq!(&got, &want, "{}", format);
        }
    }
}

#[test]
fn lines_have_the_documented_shape() {
    let lines = "output.leads = [1, 4]\noutput.columns = [\"yhat\", \"0.95\", \"limits\", \"anomaly_score\"]";
    let out = encode(lines, "influx", "meter 17", &forecast(&counted(), 3), usize::MAX);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "forecast,stream=power,series=meter\\ 17,target=kw,lead=1 yhat=0.125,q0.95=1.625 1795431600000000000\n\
         forecast,stream=power,series=meter\\ 17,target=kw,lead=4 yhat=0.5,q0.95=2 1795442400000000000\n\
         forecast,stream=power,series=meter\\ 17,target=a\\ b,lead=1 yhat=2.25,q0.95=3.75 1795431600000000000\n\
         forecast,stream=power,series=meter\\ 17,target=a\\ b,lead=4 yhat=2.625,q0.95=4.125 1795442400000000000\n\
         forecast_origin,stream=power,series=meter\\ 17 anomaly_score=0.9995,anomaly=\"spike\" 1795428000000000000\n\
         forecast_limit,stream=power,series=meter\\ 17,target=kw,above=3 probability=0.02 1795428000000000000\n\
         forecast_limit,stream=power,series=meter\\ 17,target=a\\ b,below=-0.5 probability=0.75,first_lead=2 \
         1795428000000000000\n"
    );
}

#[test]
fn samples_have_the_shape_of_prometheus_kafka_adapter() {
    let lines = "output.leads = [4]\noutput.columns = [\"yhat\", \"0.95\"]";
    let mut one = forecast(&counted(), 3);
    one.targets[1].yhat = vec![f64::NAN; 4];
    let out = encode(lines, "prometheus_json", "meter \"17\"", &one, usize::MAX);
    let sample = |name: &str, target: &str, quantile: &str, value: &str| {
        format!(
            "{{\"labels\":{{\"__name__\":\"{name}\",\"stream\":\"power\",\"series\":\"meter \\\"17\\\"\",\
             \"target\":\"{target}\"{quantile},\"lead\":\"4\"}},\"name\":\"{name}\",\
             \"timestamp\":\"2026-11-23T10:00:00Z\",\"value\":\"{value}\"}}"
        )
    };
    let want = [
        sample("forecast", "kw", "", "0.5"),
        sample("forecast_quantile", "kw", ",\"quantile\":\"0.95\"", "2"),
        sample("forecast_quantile", "a b", ",\"quantile\":\"0.95\"", "4.125"),
    ];
    assert_eq!(String::from_utf8(out).unwrap(), format!("[{}]", want.join(",")));
}

#[test]
fn json_says_which_leads_it_has() {
    let lines = "output.leads = [4, 2]\noutput.columns = [\"yhat\", \"0.5\"]";
    let out = encode(lines, "json", "a", &forecast(&counted(), 3), usize::MAX);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"stream":"power","series":"a","origin":"2026-11-23T10:00:00Z","leads":[2,4],"targets":{"kw":{"yhat":[0.25,0.5],"quantiles":{"0.5":[1.25,1.5]}},"a b":{"yhat":[2.375,2.625],"quantiles":{"0.5":[3.375,3.625]}}}}"#
    );
}

#[test]
fn an_id_stands_in_front_as_confluent_has_it() {
    let one = forecast(&counted(), 3);
    for (format, frame) in [("avro", &[0, 0, 0, 1, 2][..]), ("protobuf", &[0, 0, 0, 1, 2, 0])] {
        let bare = encode("", format, "a", &one, usize::MAX);
        let framed = encode("output.schema_id = 258", format, "a", &one, usize::MAX);
        assert_eq!(framed, [frame, &bare].concat(), "{format}");
    }
}

#[test]
fn a_wrong_output_is_a_fault() {
    for (lines, said) in [
        ("output.leads = [5]", "output.leads: has 5; allowed are whole numbers from 1 to 4, the horizon"),
        ("output.leads = []", "output.leads: must be a list of leads"),
        ("output.columns = [\"0.9\"]", "output.columns: has \"0.9\"; allowed are \"last\""),
        ("output.columns = []", "output.columns: must name at least one part"),
        ("output.schema_id = 1", "output.schema_id: is known only with format = \"avro\" or \"protobuf\""),
        ("output.register = true", "output.register: is known only with format"),
        ("output = { format = \"avro\", register = true }", "output.register: needs the registry"),
        (
            "output = { format = \"avro\", register = true, schema_id = 1 }",
            "schema_id: can't go with register",
        ),
    ] {
        let text = format!(
            "kafka.brokers = \"b:9092\"\n[streams.power]\ntopics = [\"t\"]\ntargets = [\"kw\"]\ninterval = \"1h\"\n\
             horizon = 4\n{lines}"
        );
        let found = from_toml(&text, &[]).unwrap_err().to_string();
        assert!(found.contains(said), "{lines}: {found}");
    }
}
