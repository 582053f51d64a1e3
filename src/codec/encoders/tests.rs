use super::Encoder;
use crate::codec::{Decoder, Record};
use crate::config::{Stream, from_toml};
use crate::domain::{
    AnomalyKind, AnomalyScore, Crossing, EventTime, Forecast, Offset, Partition, TargetForecast,
};
use influxdb_line_protocol::FieldValue;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const HORIZON: usize = 5;
const ORIGIN_S: i64 = 1_700_000_400;
/// A name that needs care in every format.
const SERIES: &str = "hall 1, \"west\"=a\\b\\";

fn stream(output: &str) -> Arc<Stream> {
    let text = format!(
        "kafka.brokers = \"b\"\n[streams.power]\ntopics = [\"in\"]\ninterval = \"15m\"\nhorizon = {HORIZON}\n\
         targets = [\"kw\", \"a b\"]\nquantiles = [0.05, 0.5, 0.95]\noutput = {{ {output} }}\n\
         [[streams.power.limits]]\ntarget = \"kw\"\nabove = 3.5\n"
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
}

/// Values that are told apart: target, column, lead.
fn value(target: usize, column: usize, lead: usize) -> f64 {
    (1_000 * target + 100 * column + lead) as f64 / 8.0 + 0.0625
}

fn forecast() -> Forecast {
    let target = |target: usize| TargetForecast {
        last: (target == 0).then_some(0.375),
        expected: Vec::new(),
        yhat: (1..=HORIZON).map(|lead| value(target, 0, lead)).collect(),
        quantiles: (1..=3).flat_map(|q| (1..=HORIZON).map(move |lead| value(target, q, lead))).collect(),
        decimals: 6,
    };
    let mut forecast =
        Forecast::new(EventTime::from_micros(ORIGIN_S * 1_000_000).unwrap(), vec![target(0), target(1)]);
    forecast.anomaly = AnomalyScore { score: 0.9375, kind: Some(AnomalyKind::Spike), began: 0.9375 };
    forecast.limits = vec![Crossing { probability: 0.25, first_lead: Some(2) }];
    forecast
}

fn encoded(output: &str, longest: usize) -> Vec<u8> {
    let mut out = b"left from before".to_vec();
    Encoder::new(&stream(output)).encode_leads(SERIES, &forecast(), Some("power-000012"), longest, &mut out);
    out
}

/// What a choice of leads and columns leaves: by target and lead the point and the quantiles.
struct Wanted {
    leads: &'static [usize],
    last: bool,
    yhat: bool,
    levels: &'static [usize],
}

/// Choices, each with the greatest lead that fits.
fn choices() -> [(&'static str, usize, Wanted); 5] {
    let wanted = |leads, last, yhat, levels| Wanted { leads, last, yhat, levels };
    [
        ("", usize::MAX, wanted(&[1, 2, 3, 4, 5], true, true, &[0, 1, 2])),
        ("", 2, wanted(&[1, 2], true, true, &[0, 1, 2])),
        (", leads = [4, 1]", usize::MAX, wanted(&[1, 4], true, true, &[0, 1, 2])),
        (
            ", leads = [1, 4, 5], columns = [\"yhat\", \"0.95\", \"0.05\"]",
            4,
            wanted(&[1, 4], false, true, &[0, 2]),
        ),
        (", columns = [\"0.5\", \"last\"]", usize::MAX, wanted(&[1, 2, 3, 4, 5], true, false, &[1])),
    ]
}

const LEVELS: [&str; 3] = ["0.05", "0.5", "0.95"];

#[test]
fn json_has_the_chosen_leads_and_columns() {
    for (choice, longest, wanted) in choices() {
        let got: Value =
            serde_json::from_slice(&encoded(&format!("format = \"json\"{choice}"), longest)).unwrap();
        let mut targets = serde_json::Map::new();
        for (t, name) in ["kw", "a b"].into_iter().enumerate() {
            let values = |column| wanted.leads.iter().map(|lead| value(t, column, *lead)).collect::<Value>();
            let quantiles: serde_json::Map<_, _> =
                wanted.levels.iter().map(|level| (LEVELS[*level].to_owned(), values(1 + level))).collect();
            let mut target = json!({ "quantiles": quantiles });
            if wanted.yhat {
                target["yhat"] = values(0);
            }
            if wanted.last {
                target["last"] = if t == 0 { json!(0.375) } else { Value::Null };
            }
            targets.insert(name.to_owned(), target);
        }
        assert_eq!(got["targets"], Value::Object(targets), "{choice}");
        assert_eq!(got["series"], SERIES);
        let says = choice.contains("leads").then(|| json!(wanted.leads));
        assert_eq!(got.get("leads").cloned(), says, "{choice}");
        let left_out =
            [0, 3, 0, 1, 0][choices().iter().position(|(c, l, _)| (*c, *l) == (choice, longest)).unwrap()];
        assert_eq!(got.get("leads_left_out").and_then(Value::as_u64).unwrap_or(0), left_out, "{choice}");
    }
}

/// `InfluxDB`'s own parser reads each line, with the name as it is but for a backslash, which a tag can't end in.
#[test]
fn influx_lines_say_the_same() {
    for (choice, longest, wanted) in choices() {
        let text = String::from_utf8(encoded(&format!("format = \"influx\"{choice}"), longest)).unwrap();
        let mut found = BTreeMap::new();
        for line in influxdb_line_protocol::parse_lines(&text) {
            let line = line.unwrap_or_else(|e| panic!("{e}: {text}"));
            let tags: BTreeMap<String, String> =
                line.series.tag_set.iter().flatten().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            assert_eq!(line.series.measurement.as_str(), "power");
            assert_eq!(tags["series"], SERIES.replace('\\', "/"));
            let lead: i64 = tags["lead"].parse().unwrap();
            assert_eq!(line.timestamp, Some((ORIGIN_S + lead * 900) * 1_000_000_000));
            for (name, field) in &line.field_set {
                if let FieldValue::F64(number) = field {
                    found.insert((tags["target"].clone(), lead, name.to_string()), *number);
                }
            }
        }
        let mut want = BTreeMap::new();
        for (t, name) in ["kw", "a b"].into_iter().enumerate() {
            let mut put = |lead: usize, column: &str, value| {
                want.insert((name.to_owned(), lead as i64, column.to_owned()), value);
            };
            put(0, "anomaly_score", 0.9375);
            if wanted.last && t == 0 {
                put(0, "last", 0.375);
            }
            for lead in wanted.leads {
                if wanted.yhat {
                    put(*lead, "yhat", value(t, 0, *lead));
                }
                wanted.levels.iter().for_each(|level| {
                    put(*lead, &format!("q{}", LEVELS[*level]), value(t, 1 + level, *lead));
                });
            }
        }
        assert_eq!(found, want, "{choice}");
    }
}

/// Our own reader of Prometheus samples gets each value back, under labels that tell all of them apart.
#[test]
fn prometheus_samples_say_the_same() {
    let text = "kafka.brokers = \"b\"\n[streams.s]\ntopics = [\"in\"]\ninterval = \"15m\"\ntargets = [\"v\"]\n\
        format = \"prometheus_json\"\nfields.series = \"{/name}|{/labels/*}\"";
    let reader = from_toml(text, &[]).unwrap().streams[0].clone();
    for (choice, longest, wanted) in choices() {
        let payload = encoded(&format!("format = \"prometheus_json\"{choice}"), longest);
        let record = Record {
            topic: "in",
            partition: Partition(0),
            offset: Offset(0),
            key: None,
            timestamp: None,
            payload: Some(&payload),
            headers: &(),
        };
        let mut found = BTreeMap::new();
        let outcome = Decoder::new(&reader).decode(&record, &mut |reading| {
            assert_eq!(reading.time.as_micros(), ORIGIN_S * 1_000_000);
            found.insert(reading.series.to_owned(), reading.values.as_slice()[0]);
        });
        assert_eq!(outcome, Ok(()));
        let values = wanted.leads.len() * (usize::from(wanted.yhat) + wanted.levels.len()) * 2;
        assert_eq!(found.len(), values + 1 + usize::from(wanted.last), "{choice}: {found:?}");
        for (name, number) in found {
            let label = |label: &str| {
                let (_, rest) = name.split_once(&format!("{label}="))?;
                Some(rest.split(',').next().unwrap().to_owned())
            };
            let target = usize::from(label("target").is_some_and(|target| target == "a b"));
            let level = label("quantile").map(|level| LEVELS.iter().position(|l| **l == level).unwrap());
            let want = match (label("lead"), level) {
                (Some(lead), level) => {
                    value(target, level.map_or(0, |level| 1 + level), lead.parse().unwrap())
                }
                (None, _) if name.starts_with("tidecast_reading|") => 0.375,
                (None, _) => 0.9375,
            };
            assert_eq!(number, want, "{name}");
        }
    }
}

/// The schema that is shipped, compiled, reads what is written: every field has its name, number and type.
#[test]
fn protobuf_is_what_the_schema_says() {
    let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schemas");
    let files = protox::compile(["forecast.proto"], [schemas]).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
    let message = pool.get_message_by_name("tidecast.v1.Forecast").unwrap();
    for (choice, longest, wanted) in choices() {
        let payload = encoded(&format!("format = \"protobuf\"{choice}"), longest);
        let read = DynamicMessage::decode(message.clone(), &*payload).unwrap();
        assert_eq!(read.unknown_fields().count(), 0, "every field is in the schema");
        let target = |t: usize, name: &str| {
            let values = |column| wanted.leads.iter().map(|lead| value(t, column, *lead)).collect::<Value>();
            let levels: Vec<Value> = wanted
                .levels
                .iter()
                .map(|level| json!({ "level": LEVELS[*level].parse::<f64>().unwrap(), "values": values(1 + level) }))
                .collect();
            let mut target = json!({ "name": name, "quantiles": levels });
            if wanted.yhat {
                target["yhat"] = values(0);
            }
            if wanted.last && t == 0 {
                target["last"] = json!(0.375);
            }
            target
        };
        let mut want = json!({
            "stream": "power", "series": SERIES, "originUs": (ORIGIN_S * 1_000_000).to_string(),
            "intervalUs": "900000000", "model": "power-000012", "anomalyScore": 0.9375, "anomaly": "spike",
            "targets": [target(0, "kw"), target(1, "a b")],
            "limits": [{ "target": "kw", "value": 3.5, "above": true, "probability": 0.25, "firstLead": 2 }],
        });
        if choice.contains("leads") {
            want["leads"] = json!(wanted.leads);
        }
        let left_out =
            if choice.is_empty() && longest == 2 { 3 } else { usize::from(choice.contains("1, 4, 5")) };
        if left_out > 0 {
            want["leadsLeftOut"] = json!(left_out);
        }
        assert_eq!(serde_json::to_value(&read).unwrap(), want, "{choice}");
    }
}

#[test]
fn choices_that_mean_nothing_are_faults() {
    for (output, want) in [
        ("leads = [0]", "output.leads: has 0"),
        ("leads = [1.5]", "output.leads: has 1.5"),
        ("leads = [6]", "output.leads: has 6; allowed are whole numbers from 1 to the horizon of 5"),
        ("leads = []", "output.leads: must name at least one lead"),
        ("columns = [\"mean\"]", "output.columns: has \"mean\""),
        (
            "columns = [\"0.9\"]",
            "output.columns: has \"0.9\"; allowed are \"last\", \"yhat\" and the quantiles",
        ),
    ] {
        let text = format!(
            "kafka.brokers = \"b\"\n[streams.power]\ntopics = [\"in\"]\ninterval = \"15m\"\nhorizon = {HORIZON}\n\
             targets = [\"kw\"]\nquantiles = [0.05, 0.5, 0.95]\noutput = {{ {output} }}\n"
        );
        let faults = from_toml(&text, &[]).unwrap_err().to_string();
        assert!(faults.contains(want), "{output}: {faults}");
    }
}
