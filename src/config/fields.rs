//! `[streams.NAME.fields]`: where a reading's parts lie in a record, and how they are written there.

use super::format::Format;
use super::key::{Key, Preset};
use super::kinds::{Mixed, Pairs, Sub, Text, Texts, mixed, sub, text, texts};
use super::missing::{MISSING, Missing, missing};
use super::place::{FieldSource, PLACES, parse, pointer, source, sources};
use super::records::{RECORDS, Records, records};
use super::schema_file::{MESSAGE, SCHEMA, schema_file};
use super::section::Section;
use super::series::{SERIES, series};
use crate::domain::TimePattern;
use crate::schemas::Schema;
use std::sync::Arc;

/// Where a reading's parts lie in a record.
#[derive(Clone, Debug)]
pub struct Fields {
    /// Where the elements of a batch lie inside a record, if it holds one.
    pub records: Option<Records>,
    /// One place, or several whose texts are joined to the name of the series.
    pub series: Vec<FieldSource>,
    /// Where a template names the series: the texts before each place and after the last one.
    pub series_template: Option<Vec<String>>,
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
    /// In a long table, which value an element has.
    pub name: Option<ValueName>,
    /// What an element must have to be read: at each place one of these texts.
    pub filter: Vec<(FieldSource, Vec<String>)>,
    /// The names of the columns of `format = "csv"`, and what stands between them.
    pub columns: Vec<String>,
    /// What stands between columns.
    pub delimiter: u8,
    /// The schema of records that do not say which they have.
    pub schema: Option<Arc<Schema>>,
    /// With Protobuf: the full name of the message in it; `None`: its first one.
    pub message: Option<String>,
    /// Where the MQTT topic of a record of `format = "sparkplug_b"` lies: its key, or a header.
    pub mqtt_topic: FieldSource,
}

/// Where an element of a long table says which value it has, and what it calls each.
#[derive(Clone, Debug)]
pub struct ValueName {
    /// The place of the name.
    pub place: FieldSource,
    /// The name of each target and covariate, in their order.
    pub names: Vec<String>,
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
        &NAME,
        &NAMES,
        &AHEAD,
        &WHERE,
        &COLUMNS,
        &DELIMITER,
        &MQTT_TOPIC,
        &SCHEMA,
        &MESSAGE,
    ],
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
static NAME: Key<Text> = text(
    "name",
    Preset::Nothing("none: a reading has all its values", "/name"),
    "a place",
    "In a long table, where an element says which value it has. Elements of other names are counted as `filtered`. \
     Values of one series and cell come together with `aggregate`.",
);
static NAMES: Key<Pairs> = Key {
    name: "names",
    kind: Pairs {
        names: None,
        form: "names of targets and covariates, each with a text",
        any: false,
        preset: Preset::Follows("the names of targets and covariates", r#"{"kw": "energy.kw"}"#),
    },
    effect: "What stands at `name` for each value.",
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
static MQTT_TOPIC: Key<Text> = text(
    "mqtt_topic",
    Preset::Is("@key"),
    "`@key` or `@header:NAME`",
    "Where the bridge from MQTT has put the topic of a message; known only with `format = \"sparkplug_b\"`.",
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
    let (series, series_template) = series(&mut f, format, ways);
    let time = sources(&mut f, &TIME, &[format.time()], |s, text| parse(s, TIME.name, text, ways));
    let time_format = time_format(&mut f);
    let time_zone = zone(&mut f, &FIELDS_TIME_ZONE, time_zone.clone());
    let missing = missing(&mut f);
    let name = value_name(&mut f, targets, covariates, ways);
    let mut v = f.pairs(&VALUES);
    let mut values = Vec::new();
    let is_long = name.is_some();
    for (i, place_name) in targets.iter().chain(covariates).enumerate() {
        if targets.iter().chain(covariates).take(i).any(|earlier| earlier == place_name) {
            s.fault("targets", format!("names \"{place_name}\" twice among targets and covariates"));
        }
        values.push(source(&mut v, place_name, &value_place(format, place_name, is_long), ways));
    }
    if format.has_one_value() && !is_long {
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
    let (schema, message) = schema_file(&mut f, format);
    check_columns(s, &f, format, &columns);
    let mqtt_topic = mqtt_topic(&mut f, format);
    f.finish();
    Fields {
        records,
        series,
        series_template,
        time,
        time_format,
        time_zone,
        missing,
        values,
        ahead,
        name,
        filter,
        columns,
        delimiter,
        schema,
        message,
        mqtt_topic,
    }
}

fn mqtt_topic(f: &mut Section<'_>, format: Format) -> FieldSource {
    let text = f.text(&MQTT_TOPIC);
    if format != Format::SparkplugB && text != "@key" {
        f.fault("mqtt_topic", format!("is not known with format = \"{}\"", format.as_str()));
    }
    match (&*text, text.strip_prefix("@header:")) {
        (_, Some(header)) if !header.is_empty() => FieldSource::Header(header.to_owned()),
        ("@key", _) => FieldSource::Key,
        _ => {
            let problem = format!("is \"{text}\"; it must be \"@key\" or \"@header:NAME\"");
            f.fault("mqtt_topic", problem);
            FieldSource::Key
        }
    }
}

/// Where a value lies if the config does not say it. The elements of a long table have one value.
fn value_place(format: Format, name: &str, is_long: bool) -> String {
    match format.value() {
        _ if is_long => "/value".to_owned(),
        (parent, true) => format!("{parent}{}", pointer(name)),
        (place, false) => place.to_owned(),
    }
}

/// Which value an element has, in a long table.
fn value_name(
    f: &mut Section<'_>,
    targets: &[String],
    covariates: &[String],
    ways: &[Arc<[String]>],
) -> Option<ValueName> {
    let place = f.optional_text(&NAME).map(|text| parse(f, NAME.name, &text, ways));
    let mut given = f.pairs(&NAMES);
    let of = |name: &String| given.text_of_name(name).unwrap_or_else(|| name.clone());
    let names: Vec<String> = targets.iter().chain(covariates).map(of).collect();
    let twice = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name));
    let (has_names, twice) = (!given.names().is_empty(), twice.map(|(_, name)| name.clone()));
    given.finish();
    if place.is_none() && has_names {
        f.fault("name", "must say where the names of fields.names stand: for example name = \"/name\"");
    }
    if let Some(twice) = twice.filter(|_| place.is_some()) {
        f.fault("names", format!("has \"{twice}\" for two values"));
    }
    Some(ValueName { place: place?, names })
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
