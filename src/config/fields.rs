//! `[streams.NAME.fields]`: where a reading's parts lie in a record, and how they are written there.

use super::format::Format;
use super::key::{Key, Preset};
use super::kinds::{Mixed, Pairs, Sub, Text, Texts, mixed, sub, text, texts};
use super::missing::{MISSING, Missing, missing};
use super::records::{RECORDS, Records, records, split};
use super::section::Section;
use crate::domain::TimePattern;
use serde_json::Value;
use std::sync::Arc;

/// Where a reading's parts lie in a record.
#[derive(Clone, Debug)]
pub struct Fields {
    /// Where the elements of a batch lie inside a record, if it holds one.
    pub records: Option<Records>,
    /// One place, or several whose texts are joined to the name of the series.
    pub series: Vec<FieldSource>,
    /// One place, or several whose texts are joined to the time, such as a date and a time of day.
    pub time: Vec<FieldSource>,
    /// How a time is written.
    pub time_format: TimeFormat,
    /// The time zone of times without an offset.
    pub time_zone: jiff::tz::TimeZone,
    /// The values that mean a missing one.
    pub missing: Missing,
    /// Where each value lies: targets, then covariates.
    pub values: Vec<FieldSource>,
    /// Where the arrays of covariates known ahead lie. The next lead's value comes first in each.
    pub ahead: Vec<FieldSource>,
    /// What an element must have to be read: at each place one of these texts.
    pub filter: Vec<(FieldSource, Vec<String>)>,
    /// The names of the columns of `format = "csv"`, and what stands between them.
    pub columns: Vec<String>,
    /// What stands between columns.
    pub delimiter: u8,
}

/// A place in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldSource {
    /// A JSON pointer (RFC 6901), split and unescaped.
    Pointer(Arc<[String]>),
    /// A JSON pointer from this many levels above the element of a batch, at least one.
    Above(usize, Arc<[String]>),
    /// All members of the object at a JSON pointer, as `NAME=VALUE`, in the order of their names.
    Members(Arc<[String]>),
    /// The name or the index of a level of a batch, counted from the element, whose own is 0.
    Name(usize),
    /// `@key`: the record's key.
    Key,
    /// `@header:NAME`.
    Header(String),
    /// `@timestamp`: the record's own time.
    Timestamp,
}

/// How a time is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// Text: RFC 3339, or a local time; a number: its size tells the unit.
    Auto,
    /// RFC 3339 alone.
    Rfc3339,
    /// Unix times in seconds.
    Seconds,
    /// Unix times in milliseconds.
    Millis,
    /// Unix times in microseconds.
    Micros,
    /// Unix times in nanoseconds.
    Nanos,
    /// A pattern of `strptime`, for texts and for the digits of numbers.
    Pattern(TimePattern),
}

/// The most places of a series or a time.
const PLACES_MAX: usize = 8;

pub(super) static FIELDS: Key<Sub> = sub(
    "fields",
    "Where the parts of a reading lie in a record. A place is a JSON pointer like `/data/kw` (RFC 6901), `@key`, \
     `@header:NAME` or `@timestamp`. In a batch, `^/name` is a pointer from one level above the element (`^^/name` \
     from two), `#` the name or index of the element, and `^#` that of the level above it.",
    &[
        &RECORDS,
        &SERIES,
        &TIME,
        &TIME_FORMAT,
        &FIELDS_TIME_ZONE,
        &MISSING,
        &VALUES,
        &AHEAD,
        &WHERE,
        &COLUMNS,
        &DELIMITER,
    ],
);
static SERIES: Key<Mixed> = mixed(
    "series",
    Mixed {
        words: "place, or list of places",
        preset: Preset::Follows("`@key`, or what the `format` says", r#""@key""#),
        form: "1 to 8 places; `/tags/*` stands for all members of the object `/tags`",
        schema: PLACES,
    },
    "The name of the series; several places are joined by `/`, and a `/` or a backslash within a part gets a \
     backslash before it. Members are written as `NAME=VALUE`, in the order of their names, with commas between.",
);
static TIME: Key<Mixed> = mixed(
    "time",
    Mixed {
        words: "place, or list of places",
        preset: Preset::Follows("`@timestamp`, or what the `format` says", r#""@timestamp""#),
        form: "1 to 8 places",
        schema: PLACES,
    },
    "The time of the reading; several places, such as a date and a time of day, are joined by a space.",
);
const PLACES: &str =
    r#"{ "type": ["string", "array"], "items": { "type": "string" }, "minItems": 1, "maxItems": 8 }"#;
static TIME_FORMAT: Key<Text> = text(
    "time_format",
    Preset::Is("auto"),
    "`auto`: RFC 3339, a local date and time, or a unix time, whose size tells the unit; `rfc3339`: that alone; \
     `s`, `ms`, `us`, `ns`: unix times; or a pattern of `strptime` like `%d/%m/%Y %H:%M`, which also reads the digits \
     of a number",
    "How a time is written. Digits that are a date and no plausible unix time, such as 20190101, are refused \
     without a pattern.",
);
static FIELDS_TIME_ZONE: Key<Text> = text(
    "time_zone",
    Preset::Follows("the stream's `time_zone`", "UTC"),
    "a name of the IANA database",
    "The time zone of times that have no offset.",
);
static VALUES: Key<Pairs> = Key {
    name: "values",
    kind: Pairs {
        names: None,
        form: "names of targets and covariates, each with a place",
        any: false,
        preset: Preset::Follows("`/NAME` for each, or what the `format` says", r#"{"kw": "/data/kw"}"#),
    },
    effect: "Where targets and covariates lie.",
};
static AHEAD: Key<Pairs> = Key {
    name: "ahead",
    kind: Pairs {
        names: None,
        form: "names of covariates that are known ahead, each with a place",
        any: false,
        preset: Preset::Follows("`/NAME_ahead` for each", r#"{"outdoor": "/forecast/outdoor"}"#),
    },
    effect: "Where the arrays of values known ahead lie, the next lead's value first.",
};

static WHERE: Key<Pairs> = Key {
    name: "where",
    kind: Pairs {
        names: None,
        form: "places, each with a text or a list of texts",
        any: true,
        preset: Preset::Nothing("all readings", r#"{"/name": "cpu"}"#),
    },
    effect: "Which readings the stream is about: those that have one of these texts at each place. The others are \
             counted as `filtered` and are no dead letters.",
};
static COLUMNS: Key<Texts> = texts(
    "columns",
    Preset::Nothing("none; required with `format = \"csv\"`", &["ts", "id", "kw"]),
    "names, each once",
    "The columns of the rows, from the first on; known only with `format = \"csv\"`. A record may begin with a row \
     of these names, which is skipped.",
);
static DELIMITER: Key<Text> = text(
    "delimiter",
    Preset::Is(","),
    "one character of ASCII, or `tab`",
    "What stands between the columns of a row; known only with `format = \"csv\"`.",
);

pub(super) fn fields(
    s: &mut Section<'_>,
    format: Format,
    targets: &[String],
    covariates: &[String],
    known_ahead: &[usize],
    time_zone: &jiff::tz::TimeZone,
) -> Fields {
    let mut f = s.section(&FIELDS);
    let records = records(&mut f).filter(|_| {
        if !format.has_batches() {
            f.fault("records", format!("is not known with format = \"{}\"", format.as_str()));
        }
        format.has_batches()
    });
    let ways = records.as_ref().map_or(&[][..], |records| &records.parts);
    let series = sources(&mut f, &SERIES, format.series(), ways);
    let time = sources(&mut f, &TIME, &[format.time()], ways);
    let time_format = time_format(&mut f);
    let time_zone = zone(&mut f, &FIELDS_TIME_ZONE, time_zone.clone());
    let missing = missing(&mut f);
    let mut v = f.pairs(&VALUES);
    let mut values = Vec::new();
    for (i, name) in targets.iter().chain(covariates).enumerate() {
        if targets.iter().chain(covariates).take(i).any(|earlier| earlier == name) {
            s.fault("targets", format!("names \"{name}\" twice among targets and covariates"));
        }
        values.push(source(&mut v, name, &value_place(format, name), ways));
    }
    if format.has_one_value() {
        let twice = |i: usize| values[..i].contains(&values[i]);
        if let Some(i) = (1..values.len()).find(|i| twice(*i)) {
            let name = targets.iter().chain(covariates).nth(i).map_or("", String::as_str);
            f.fault(
                "values",
                format!(
                    "has \"{name}\" where another value lies: a reading of format = \"{}\" has one value; say in a \
                     stream for each which readings it is about, with fields.where",
                    format.as_str()
                ),
            );
        }
    }
    v.finish();
    let mut a = f.pairs(&AHEAD);
    let known = known_ahead.iter().map(|at| &covariates[*at]);
    let ahead = known.map(|name| source(&mut a, name, &format!("{}_ahead", pointer(name)), ways)).collect();
    a.finish();
    let filter = filter(f.pairs(&WHERE), ways);
    let columns = f.texts(&COLUMNS).unwrap_or_default();
    let delimiter = delimiter(&mut f);
    check_columns(s, &f, format, &columns);
    f.finish();
    Fields {
        records,
        series,
        time,
        time_format,
        time_zone,
        missing,
        values,
        ahead,
        filter,
        columns,
        delimiter,
    }
}

/// Where a value lies if the config does not say it.
fn value_place(format: Format, name: &str) -> String {
    match format.value() {
        (parent, true) => format!("{parent}{}", pointer(name)),
        (place, false) => place.to_owned(),
    }
}

fn filter(mut s: Section<'_>, ways: &[Arc<[String]>]) -> Vec<(FieldSource, Vec<String>)> {
    let filter = s.unread().into_iter().map(|name| {
        let texts = s.texts_of_name(&name);
        (parse(&s, &name, &name, ways), texts)
    });
    filter.collect()
}

fn delimiter(f: &mut Section<'_>) -> u8 {
    let text = f.text(&DELIMITER);
    match text.as_bytes() {
        [one] if one.is_ascii() && !matches!(one, b'"' | b'\n' | b'\r') => *one,
        _ if text == "\\t" || text == "tab" => b'\t',
        _ => {
            f.fault("delimiter", format!("is \"{text}\"; it must be one character of ASCII, or \"tab\""));
            b','
        }
    }
}

fn check_columns(stream: &Section<'_>, f: &Section<'_>, format: Format, columns: &[String]) {
    if format == Format::Csv && columns.is_empty() {
        f.fault(
            "columns",
            "must name the columns of the rows: say for example columns = [\"ts\", \"id\", \"kw\"]",
        );
    }
    if format != Format::Csv && !columns.is_empty() {
        let problem = format!("is \"{}\", and fields.columns are those of \"csv\"", format.as_str());
        stream.fault("format", problem);
    }
    if let Some(twice) = columns.iter().enumerate().find(|(i, name)| columns[..*i].contains(name)) {
        f.fault("columns", format!("has \"{}\" twice", twice.1));
    }
}

fn time_format(f: &mut Section<'_>) -> TimeFormat {
    const FORMATS: [(&str, TimeFormat); 6] = [
        ("auto", TimeFormat::Auto),
        ("rfc3339", TimeFormat::Rfc3339),
        ("s", TimeFormat::Seconds),
        ("ms", TimeFormat::Millis),
        ("us", TimeFormat::Micros),
        ("ns", TimeFormat::Nanos),
    ];
    let Some(text) = f.optional_text(&TIME_FORMAT) else { return TimeFormat::Auto };
    if let Some((_, format)) = FORMATS.into_iter().find(|(word, _)| *word == text) {
        return format;
    }
    let problem = if text.contains('%') {
        match TimePattern::try_new(&text) {
            Ok(pattern) => return TimeFormat::Pattern(pattern),
            Err(cause) => format!("is \"{text}\", {cause}"),
        }
    } else {
        format!("is \"{text}\"")
    };
    let words = FORMATS.map(|(word, _)| format!("\"{word}\"")).join(", ");
    f.fault(
        "time_format",
        format!("{problem}; allowed are {words} and patterns of strptime, like \"%Y-%m-%d %H:%M\""),
    );
    TimeFormat::Auto
}

/// The zone that `time_zone` names.
pub(super) fn zone(s: &mut Section<'_>, key: &Key<Text>, default: jiff::tz::TimeZone) -> jiff::tz::TimeZone {
    let Some(name) = s.optional_text(key) else { return default };
    jiff::tz::TimeZone::get(&name).unwrap_or_else(|_| {
        s.fault(
            "time_zone",
            format!("is \"{name}\"; it must be a name of the IANA database, like \"Europe/Paris\""),
        );
        default
    })
}

/// The JSON pointer to a field of this name.
fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// One place, or a list of them.
fn sources(
    s: &mut Section<'_>,
    key: &Key<Mixed>,
    default: &[&str],
    ways: &[Arc<[String]>],
) -> Vec<FieldSource> {
    let name = key.name;
    let one = |s: &Section<'_>, text: &str| match members(text).filter(|_| name == SERIES.name) {
        Some(path) => FieldSource::Members(path),
        None => parse(s, name, text, ways),
    };
    let Some(Value::Array(items)) = s.value(key) else {
        return match s.mixed_text(key) {
            Some(text) => vec![one(s, &text)],
            None => default.iter().map(|text| one(s, text)).collect(),
        };
    };
    let all = || items.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
    match all().filter(|texts| (1..=PLACES_MAX).contains(&texts.len())) {
        Some(texts) => {
            if texts.len() > 1 && texts.iter().any(|text| text.trim() == "@timestamp") {
                s.fault(name, "has \"@timestamp\" in a list, which is a whole time and no part of anything");
            }
            texts.into_iter().map(|text| one(s, text.trim())).collect()
        }
        None => {
            s.fault(
                name,
                format!("must be a place or a list of 1 to {PLACES_MAX} of them, all of them texts"),
            );
            vec![FieldSource::Key]
        }
    }
}

/// The object whose members a place like `/tags/*` stands for.
fn members(text: &str) -> Option<Arc<[String]>> {
    let object = text.strip_suffix("/*")?;
    if object.is_empty() { Some(Arc::from([])) } else { split(object).map(Arc::from) }
}

fn source(s: &mut Section<'_>, name: &str, default: &str, ways: &[Arc<[String]>]) -> FieldSource {
    let text = s.text_of_name(name).unwrap_or_else(|| default.to_owned());
    parse(s, name, &text, ways)
}

/// A place in a record. `ways` lead to the elements of a batch, one from each level above them.
fn parse(s: &Section<'_>, name: &str, text: &str, ways: &[Arc<[String]>]) -> FieldSource {
    let levels = ways.len();
    let inner = text.trim_start_matches('^');
    let above = text.len() - inner.len();
    let place = match inner {
        "@key" if above == 0 => Some(FieldSource::Key),
        "@timestamp" if above == 0 => Some(FieldSource::Timestamp),
        "#" if above < levels => Some(FieldSource::Name(above)),
        "/" if above == 0 => Some(FieldSource::Pointer(Arc::from([String::new()]))),
        _ if above > levels => None,
        _ => match (split(inner), inner.strip_prefix("@header:")) {
            (Some(path), _) if above == 0 => Some(FieldSource::Pointer(path.into())),
            (Some(path), _) => {
                let way = &*ways[levels - above];
                if !way.is_empty() && (path.starts_with(way) || way.starts_with(&path)) {
                    let way: String = way.iter().map(|key| pointer(key)).collect();
                    s.fault(
                        name,
                        format!(
                            "is \"{text}\", but at its level \"{way}\" leads to the elements: no field can lie in \
                             it or hold it"
                        ),
                    );
                }
                Some(FieldSource::Above(above, path.into()))
            }
            (None, Some(header)) if above == 0 && !header.is_empty() => {
                Some(FieldSource::Header(header.to_owned()))
            }
            _ => None,
        },
    };
    place.unwrap_or_else(|| {
        let batch = match levels {
            0 => String::new(),
            _ => format!(
                ", a pointer after one \"^\" for each of at most {levels} levels above the element, and \"#\" \
                 after fewer of them for the name of what lies there"
            ),
        };
        s.fault(
            name,
            format!(
                "is \"{text}\"; allowed are a JSON pointer like \"/data/kw\", \"@key\", \
                 \"@header:NAME\" and \"@timestamp\"{batch}"
            ),
        );
        FieldSource::Key
    })
}
