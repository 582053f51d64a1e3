//! `[streams.NAME.output]`: how forecasts are written, and what of them.

use super::key::{Key, Preset};
use super::kinds::{Choice, Reals, Sub, Texts, Word, choice, sub, texts};
use super::section::Section;
use crate::domain::Levels;

/// How the records of the forecast topic are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// One JSON object.
    #[default]
    Json,
    /// `InfluxDB`'s line protocol.
    Influx,
    /// An array of Prometheus samples as JSON.
    PrometheusJson,
    /// Protobuf, by `docs/schemas/forecast.proto`.
    Protobuf,
}

/// What is written of a forecast.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// The format.
    pub format: OutputFormat,
    /// The leads, ascending from 1; `None` for all.
    pub leads: Option<Vec<usize>>,
    /// The columns; `None` for all.
    pub columns: Option<Columns>,
}

/// Some of the columns of a forecast.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// The reading at the origin.
    pub last: bool,
    /// The point forecast.
    pub yhat: bool,
    /// The places of quantiles among the stream's levels, ascending.
    pub levels: Vec<usize>,
}

pub(super) static OUTPUT: Key<Sub> = sub(
    "output",
    "How forecasts are written, and what of them. docs/formats.md has an example of each format.",
    &[&OUTPUT_FORMAT, &LEADS, &COLUMNS],
);
static OUTPUT_FORMAT: Key<Choice<OutputFormat>> = choice(
    "format",
    &[
        Word::new("json", OutputFormat::Json, "one object"),
        Word::new(
            "influx",
            OutputFormat::Influx,
            "InfluxDB's line protocol, a line for each target and lead",
        ),
        Word::new("prometheus_json", OutputFormat::PrometheusJson, "an array of Prometheus samples"),
        Word::new("protobuf", OutputFormat::Protobuf, "protobuf, by docs/schemas/forecast.proto"),
    ],
    "The format of the forecast topic. Dead letters keep the bytes that came, and anomalies are JSON.",
);
static LEADS: Key<Reals> = Key {
    name: "leads",
    kind: Reals { preset: Preset::Nothing("all", &[1.0]), form: "leads up to the horizon" },
    effect: "The leads that are written, for example `[1, 4, 24]`. All leads are forecast, scored and learnt from.",
};
static COLUMNS: Key<Texts> = texts(
    "columns",
    Preset::Nothing("all", &["yhat"]),
    "`last`, `yhat`, and levels of `quantiles`",
    "What is written of a target.",
);

pub(super) fn output(mut s: Section<'_>, horizon: usize, levels: &Levels) -> Output {
    let format = s.choice(&OUTPUT_FORMAT);
    let leads = s.reals(&LEADS).map(|given| {
        let wrong = given.iter().find(|lead| lead.fract() != 0.0 || !(1.0..=horizon as f64).contains(*lead));
        if let Some(wrong) = wrong {
            s.fault(
                "leads",
                format!("has {wrong}; allowed are whole numbers from 1 to the horizon of {horizon}"),
            );
        }
        if given.is_empty() {
            s.fault("leads", "must name at least one lead: say for example leads = [1]");
        }
        let mut leads: Vec<usize> = given.into_iter().map(|lead| lead as usize).collect();
        leads.sort_unstable();
        leads.dedup();
        leads
    });
    let columns = s.texts(&COLUMNS).map(|words| columns(&s, &words, levels));
    s.finish();
    Output { format, leads, columns }
}

fn columns(s: &Section<'_>, words: &[String], levels: &Levels) -> Columns {
    let mut columns = Columns::default();
    for word in words {
        let level = || levels.iter().position(|level| word.parse() == Ok(level.get()));
        match word.as_str() {
            "last" => columns.last = true,
            "yhat" => columns.yhat = true,
            _ => match level() {
                Some(level) => columns.levels.push(level),
                None => {
                    let known: Vec<String> = levels.iter().map(|level| format!("\"{level}\"")).collect();
                    let known = known.join(", ");
                    s.fault(
                        "columns",
                        format!("has \"{word}\"; allowed are \"last\", \"yhat\" and the quantiles {known}"),
                    );
                }
            },
        }
    }
    columns.levels.sort_unstable();
    columns.levels.dedup();
    columns
}
