//! A fleet as JSON records on Kafka, at a rate.

use crate::config::{FieldSource, Fields, Format, Kafka, Stream, TimeFormat};
use crate::console::Failure;
use crate::domain::EventTime;
use crate::kafka::IdempotentProducer;
use crate::synthetic::{Fleet, Reading};
use serde_json::{Map, Value};
use std::io::Write;
use std::time::{Duration, Instant};

/// How long the last records are waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// The rate is kept over this many records.
const STRIDE: u64 = 64;

/// Where the parts of a reading go in a record's JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Series,
    Time,
    /// A target, or a covariate of the stream.
    Target(usize),
    Temperature,
    Event,
    EventNextDay,
}

/// A record's JSON with holes: pieces of text, and the parts between them.
struct Template {
    pieces: Vec<Vec<u8>>,
    parts: Vec<Part>,
    time_format: TimeFormat,
}

impl Template {
    /// The shape that the stream's `fields` decode.
    fn of(stream: &Stream) -> Result<Self, Failure> {
        if !matches!(stream.format, Format::Json | Format::Ndjson) {
            let format = stream.format.as_str();
            return Err(Failure::new(format!("generate writes JSON, and the stream's format is {format}")));
        }
        let Fields { series, time, time_format, values, .. } = &stream.fields;
        let ([series], [time]) = (&series[..], &time[..]) else {
            return Err(Failure::new("generate can't write a series or a time of several parts"));
        };
        if stream.fields.name.is_some() || stream.fields.series_template.is_some() {
            return Err(Failure::new(
                "generate writes all values of a reading at once and its series as it is, without fields.name and \
                 without a template in fields.series",
            ));
        }
        if let TimeFormat::Pattern(pattern) = time_format {
            let pattern = pattern.as_str();
            return Err(Failure::new(format!("generate can't write times as {pattern}")));
        }
        let places = [(Part::Series, series), (Part::Time, time)];
        let targets = stream.targets.len();
        let values = values.iter().enumerate().map(|(i, source)| match i.checked_sub(targets) {
            None => (Part::Target(i), source),
            Some(covariate) => (covariate_part(&stream.covariates[covariate]), source),
        });
        let mut root = Value::Object(Map::new());
        let mut parts = Vec::new();
        for (part, source) in places.into_iter().chain(values) {
            match (source, part) {
                (FieldSource::Pointer(path), _) => {
                    if !put(&mut root, path, &hole(parts.len())) {
                        let place = path.join("/");
                        return Err(Failure::new(format!(
                            "two of the stream's fields claim the place /{place} of a record"
                        )));
                    }
                    parts.push(part);
                }
                (FieldSource::Key, Part::Series) | (FieldSource::Timestamp, Part::Time) => {}
                (other, _) => {
                    return Err(Failure::new(format!(
                        "generate can't write {other:?}: it writes the series into the key or the \
                         payload, the time into the record or the payload, and values into the payload"
                    )));
                }
            }
        }
        let text = root.to_string();
        let mut pieces = Vec::new();
        let mut order = Vec::new();
        let mut rest = text.as_str();
        // A hole is a string that no field can be named like.
        while let Some(at) = rest.find("\"\\u0000") {
            let (piece, hole) = rest.split_at(at);
            let (number, after) = hole[7..].split_once('"').unwrap_or_default();
            pieces.push(piece.as_bytes().to_vec());
            order.push(parts[number.parse::<usize>().map_err(Failure::new)?]);
            rest = after;
        }
        pieces.push(rest.as_bytes().to_vec());
        Ok(Self { pieces, parts: order, time_format: time_format.clone() })
    }

    fn fill(&self, name: &str, reading: &Reading<'_>, out: &mut Vec<u8>) {
        out.clear();
        for (piece, part) in self.pieces.iter().zip(&self.parts) {
            out.extend_from_slice(piece);
            let covariate = reading.covariates;
            let flag = |on: Option<bool>| u8::from(on.unwrap_or(false));
            match part {
                Part::Series => write!(out, "\"{name}\""),
                Part::Time => put_time(reading.time, &self.time_format, out),
                Part::Target(target) => write!(out, "{}", reading.values[*target]),
                Part::Temperature => match covariate {
                    Some(c) => write!(out, "{}", c.temperature),
                    None => write!(out, "null"),
                },
                Part::Event => write!(out, "{}", flag(covariate.map(|c| c.event))),
                Part::EventNextDay => write!(out, "{}", flag(covariate.map(|c| c.event_next_day))),
            }
            .expect("memory takes what is written");
        }
        out.extend_from_slice(self.pieces.last().map_or(&[], Vec::as_slice));
    }
}

fn hole(number: usize) -> Value {
    Value::from(format!("\0{number}"))
}

/// What a covariate of this name is.
fn covariate_part(name: &str) -> Part {
    let name = name.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    match (has(&["event", "holiday", "special"]), has(&["next", "tomorrow"])) {
        (true, true) => Part::EventNextDay,
        (true, false) => Part::Event,
        _ => Part::Temperature,
    }
}

/// Puts a value at a path of keys; `false` when something else is there.
fn put(root: &mut Value, path: &[String], value: &Value) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let mut at = root;
    for key in parents {
        let Value::Object(map) = at else { return false };
        at = map.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
    }
    let Value::Object(map) = at else { return false };
    map.insert(last.clone(), value.clone()).is_none()
}

fn put_time(time: EventTime, format: &TimeFormat, out: &mut Vec<u8>) -> std::io::Result<()> {
    let us = time.as_micros();
    match format {
        TimeFormat::Auto | TimeFormat::Rfc3339 | TimeFormat::Pattern(_) => write!(out, "\"{time}\""),
        TimeFormat::Seconds if us % 1_000_000 == 0 => write!(out, "{}", us / 1_000_000),
        TimeFormat::Seconds => write!(out, "{:.6}", us as f64 / 1e6),
        TimeFormat::Millis if us % 1_000 == 0 => write!(out, "{}", us / 1_000),
        TimeFormat::Millis => write!(out, "{:.3}", us as f64 / 1e3),
        TimeFormat::Micros => write!(out, "{us}"),
        TimeFormat::Nanos => write!(out, "{us}000"),
    }
}

/// Sends readings to the stream's first topic, no faster than asked for.
pub(super) struct Topic {
    producer: IdempotentProducer,
    topic: String,
    template: Template,
    stamped: bool,
    payload: Vec<u8>,
    sent: u64,
    /// Records a second.
    rate: Option<f64>,
    began: Instant,
}

impl Topic {
    pub fn connect(kafka: &Kafka, stream: &Stream, rate: Option<f64>) -> Result<Self, Failure> {
        let template = Template::of(stream)?;
        Ok(Self {
            producer: IdempotentProducer::connect(kafka).map_err(Failure::new)?,
            topic: stream.topics[0].clone(),
            template,
            // Elsewhere records are stamped by the clock: retention goes by it.
            stamped: stream.fields.time == [FieldSource::Timestamp],
            payload: Vec::new(),
            sent: 0,
            rate,
            began: Instant::now(),
        })
    }

    pub fn send(&mut self, reading: &Reading<'_>) -> Result<(), Failure> {
        let name = Fleet::name(reading.series);
        self.template.fill(&name, reading, &mut self.payload);
        let time = self.stamped.then_some(reading.time);
        self.producer
            .send(&self.topic, None, Some(name.as_bytes()), &self.payload, time)
            .map_err(Failure::new)?;
        self.sent += 1;
        if let Some(rate) = self.rate
            && (self.sent.is_multiple_of(STRIDE) || rate < STRIDE as f64)
        {
            let due = Duration::from_secs_f64(self.sent as f64 / rate);
            std::thread::sleep(due.saturating_sub(self.began.elapsed()));
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<(), Failure> {
        self.producer.flush(PATIENCE).map_err(Failure::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Decoder, Record};
    use crate::config::from_toml;
    use crate::domain::{Offset, Partition};
    use crate::synthetic::{Covariates, Label};

    /// What a stream with these fields decodes of a record made for it.
    fn decoded(fields: &str) -> (String, EventTime, Vec<f64>) {
        let text = format!(
            "[kafka]\nbrokers = \"localhost:9092\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1s\"\n\
             targets = [\"a\", \"b\"]\ncovariates = [\"outdoor\", \"holiday\", \"holiday_tomorrow\"]\n{fields}"
        );
        let config = from_toml(&text, &[]).unwrap();
        let stream = &config.streams[0];
        let reading = Reading {
            series: 7,
            cell: EventTime::from_micros(1_700_000_000_000_000).unwrap(),
            time: EventTime::from_micros(1_700_000_000_250_000).unwrap(),
            values: &[1.25, -3e-7],
            covariates: Some(Covariates { temperature: 21.5, event: true, event_next_day: false }),
            label: Label::Calm,
        };
        let (mut payload, name) = (Vec::new(), Fleet::name(7));
        Template::of(stream).unwrap().fill(&name, &reading, &mut payload);
        let record = Record {
            topic: "t",
            partition: Partition(0),
            offset: Offset(0),
            key: Some(name.as_bytes()),
            timestamp: Some(reading.time),
            payload: Some(&payload),
            headers: &(),
        };
        let mut found = None;
        Decoder::of_elements(stream)
            .decode(&record, &mut |r| {
                found = Some((r.series.to_owned(), r.time, r.values.as_slice().to_vec()));
            })
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&payload)));
        found.unwrap()
    }

    #[test]
    fn records_are_what_the_streams_fields_decode() {
        for fields in [
            "",
            "fields = { series = \"/id\", time = \"/ts\" }",
            "fields = { series = \"/meta/id\", time = \"/meta/time\", time_format = \"ms\", values = { a = \"/data/a\", b = \"/data/x~1y\" } }",
            "fields = { time = \"/t\", time_format = \"s\" }",
            "fields = { time = \"/t\", time_format = \"us\" }",
            "fields = { time = \"/t\", time_format = \"ns\" }",
        ] {
            let (series, time, values) = decoded(fields);
            assert_eq!(series, "meter-000007", "{fields}");
            assert_eq!(time.as_micros(), 1_700_000_000_250_000, "{fields}");
            assert_eq!(values, [1.25, -3e-7, 21.5, 1.0, 0.0], "{fields}");
        }
    }

    #[test]
    fn fields_that_can_not_be_written_are_refused() {
        let refused = |fields: &str| {
            let text = format!(
                "[kafka]\nbrokers = \"localhost:9092\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1s\"\n\
                 targets = [\"a\"]\nfields = {{ {fields} }}"
            );
            let config = from_toml(&text, &[]).unwrap();
            Template::of(&config.streams[0]).err().unwrap().to_string()
        };
        assert!(refused("series = \"@header:id\"").contains("Header"));
        assert!(refused("series = \"/a\"").contains("claim the place /a"));
        assert!(refused("series = \"/a/b\"").contains("claim the place"));
    }
}
