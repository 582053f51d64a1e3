//! `[streams.NAME.output]`: how forecasts are written, and what of each is.

use super::key::{Key, Preset};
use super::kinds::{
    Choice, Flag, Mixed, Sub, Text, Texts, Whole, Word, choice, flag, mixed, sub, text, texts,
};
use super::section::Section;
use crate::domain::{Level, Levels};
use serde_json::Value;

/// How forecasts are written, and what of each is.
#[derive(Clone, Debug)]
pub struct Output {
    /// The format of the records.
    pub format: OutputFormat,
    /// The leads that are sent, ascending, from 1 on; `None` for all.
    pub leads: Option<Vec<usize>>,
    /// The parts that are sent.
    pub columns: Columns,
    /// The id of the schema in a registry, which each payload begins with.
    pub schema_id: Option<u32>,
    /// The subject that the schema is registered under when the daemon starts; `None` where it is not.
    pub register: Option<String>,
}

/// The format of forecasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// One JSON object.
    #[default]
    Json,
    /// Avro, with the schema in `docs/schemas/forecast.avsc`.
    Avro,
    /// Protobuf, with the message in `docs/schemas/forecast.proto`.
    Protobuf,
    /// `InfluxDB`'s line protocol.
    Influx,
    /// A JSON array of samples, as Prometheus' Kafka adapter writes each.
    PrometheusJson,
}

impl OutputFormat {
    /// Whether a registry may hold a schema of it.
    pub fn has_schema(self) -> bool {
        matches!(self, Self::Avro | Self::Protobuf)
    }
}

/// The parts of a forecast that are sent. Stream, series and origin always are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The reading at the origin.
    pub last: bool,
    /// The point forecasts.
    pub yhat: bool,
    /// Indices of the levels whose quantiles are sent.
    pub levels: Vec<usize>,
    /// The score of the reading, and the kind of an anomaly.
    pub anomaly_score: bool,
    /// The chances of crossing limits.
    pub limits: bool,
    /// The model's name.
    pub model: bool,
    /// Why the forecast is weak.
    pub degraded: bool,
    /// The interval of the stream.
    pub interval: bool,
}

pub(super) static OUTPUT: Key<Sub> = sub(
    "output",
    "How forecasts are written, and which parts of them. docs/outputs.md has the shape of each format. Anomalies and \
     dead letters stay as they are.",
    &[&FORMAT, &LEADS, &COLUMNS, &REGISTER, &SUBJECT, &SCHEMA_ID],
);
static FORMAT: Key<Choice<OutputFormat>> = choice(
    "format",
    &[
        Word::new("json", OutputFormat::Json, "one JSON object"),
        Word::new("avro", OutputFormat::Avro, "Avro, with the schema in docs/schemas/forecast.avsc"),
        Word::new("protobuf", OutputFormat::Protobuf, "protobuf, with docs/schemas/forecast.proto"),
        Word::new(
            "influx",
            OutputFormat::Influx,
            "InfluxDB's line protocol, a line for each target and lead",
        ),
        Word::new("prometheus_json", OutputFormat::PrometheusJson, "a JSON array of Prometheus samples"),
    ],
    "The format of the forecasts.",
);
static LEADS: Key<Mixed> = mixed(
    "leads",
    Mixed {
        words: "list of whole numbers",
        preset: Preset::Nothing("all leads", "[1, 4, 24]"),
        form: "at least one, each from 1 to the horizon",
        schema: r#"{ "type": "array", "items": { "type": "integer", "minimum": 1 }, "minItems": 1 }"#,
    },
    "The leads that are sent. All are forecast and scored all the same.",
);
static COLUMNS: Key<Texts> = texts(
    "columns",
    Preset::Nothing("all", &["yhat", "0.95"]),
    "`last`, `yhat`, `quantiles`, one of the levels in `quantiles`, `anomaly_score`, `limits`, `model`, `degraded`, \
     `interval_s`",
    "The parts of a forecast that are sent. Stream, series and origin always are, and so is the number of leads that \
     are left out because the topic takes no more.",
);
static REGISTER: Key<Flag> = flag(
    "register",
    false,
    "Whether the daemon registers the schema in `[registry]` when it starts; known only with `avro` and `protobuf`. Each \
     payload then begins as Confluent's deserialisers expect it: a zero byte and the id that the registry gives.",
);
static SUBJECT: Key<Text> = text(
    "subject",
    Preset::Follows("the forecast topic and `-value`", "power.forecasts-value"),
    "",
    "The subject that `register` registers the schema under.",
);
static SCHEMA_ID: Key<Whole> = Key {
    name: "schema_id",
    kind: Whole {
        preset: Preset::Nothing("none: the payload is the message alone", 17),
        allowed: 0..=i32::MAX as u64,
    },
    effect: "The id of the schema in a registry that the daemon may not write to, instead of `register`; known only with \
             `avro` and `protobuf`.",
};

pub(super) fn output(s: &mut Section<'_>, forecast_topic: &str, horizon: usize, levels: &Levels) -> Output {
    let mut o = s.section(&OUTPUT);
    let format = o.choice(&FORMAT);
    let leads = leads(&mut o, horizon);
    let columns = columns(&mut o, levels);
    let has_id = o.value(&SCHEMA_ID).is_some();
    let schema_id = has_id.then(|| o.count_or(&SCHEMA_ID, 0) as u32);
    let register = o.flag(&REGISTER);
    let subject = o.text_or(&SUBJECT, &format!("{forecast_topic}-value"));
    for (key, is_given) in [("schema_id", has_id), ("register", register)] {
        if is_given && !format.has_schema() {
            o.fault(key, "is known only with format = \"avro\" or \"protobuf\": the others have no schema");
        }
    }
    if has_id && register {
        o.fault("schema_id", "can't go with register = true: the registry gives the id");
    }
    o.finish();
    Output { format, leads, columns, schema_id, register: register.then_some(subject) }
}

fn leads(o: &mut Section<'_>, horizon: usize) -> Option<Vec<usize>> {
    let items = match o.value(&LEADS)? {
        Value::Array(items) if !items.is_empty() => items,
        _ => {
            o.fault("leads", "must be a list of leads: say for example leads = [1, 4, 24]");
            return None;
        }
    };
    let mut leads = Vec::new();
    for item in items {
        match item.as_u64().map(|lead| lead as usize).filter(|lead| (1..=horizon).contains(lead)) {
            Some(lead) => leads.push(lead),
            None => o.fault(
                "leads",
                format!("has {item}; allowed are whole numbers from 1 to {horizon}, the horizon"),
            ),
        }
    }
    leads.sort_unstable();
    leads.dedup();
    Some(leads)
}

fn columns(o: &mut Section<'_>, levels: &Levels) -> Columns {
    let Some(names) = o.texts(&COLUMNS) else { return Columns::all(levels) };
    if names.is_empty() {
        o.fault("columns", "must name at least one part: say for example columns = [\"yhat\"]");
    }
    let mut columns = Columns {
        last: false,
        yhat: false,
        levels: Vec::new(),
        anomaly_score: false,
        limits: false,
        model: false,
        degraded: false,
        interval: false,
    };
    for name in names {
        match name.as_str() {
            "last" => columns.last = true,
            "yhat" => columns.yhat = true,
            "quantiles" => columns.levels.extend(0..levels.len()),
            "anomaly_score" => columns.anomaly_score = true,
            "limits" => columns.limits = true,
            "model" => columns.model = true,
            "degraded" => columns.degraded = true,
            "interval_s" => columns.interval = true,
            other => match levels.iter().position(|level| other.parse() == Ok(level.get())) {
                Some(at) => columns.levels.push(at),
                None => o.fault("columns", no_column(other, levels)),
            },
        }
    }
    columns.levels.sort_unstable();
    columns.levels.dedup();
    columns
}

fn no_column(name: &str, levels: &Levels) -> String {
    let levels: Vec<String> = levels.iter().map(|level: Level| format!("\"{level}\"")).collect();
    format!(
        "has \"{name}\"; allowed are \"last\", \"yhat\", \"quantiles\", \"anomaly_score\", \"limits\", \"model\", \
         \"degraded\", \"interval_s\" and the levels {}",
        levels.join(", ")
    )
}

impl Columns {
    /// All parts.
    fn all(levels: &Levels) -> Self {
        Self {
            last: true,
            yhat: true,
            levels: (0..levels.len()).collect(),
            anomaly_score: true,
            limits: true,
            model: true,
            degraded: true,
            interval: true,
        }
    }
}
