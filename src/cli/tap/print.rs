//! Rows as a table for people, or as JSON or CSV for machines.

use super::row::{BadSeen, ForecastSeen, Place, ReadingSeen, Row};
use crate::config::Stream;
use crate::console::Failure;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::{BufWriter, ErrorKind, Stdout, Write, stdout};

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// A line for each reading: its values, and for each target the next value with its range.
    Table,
    /// An object a line: the reading, and its forecast as it stands in its topic.
    Json,
    /// A row for each reading, with the next value of each target and its range.
    Csv,
}

/// The least width of a series' name in the table.
const SERIES_WIDTH: usize = 16;
/// The most bytes of a payload that the table shows.
const BYTES_SHOWN: usize = 512;

/// Prints rows to standard output.
pub(super) struct Printer {
    form: Form,
    stream: String,
    targets: Vec<String>,
    /// Targets, then covariates.
    names: Vec<String>,
    out: BufWriter<Stdout>,
    series_width: usize,
    has_header: bool,
    is_closed: bool,
}

impl Printer {
    pub fn new(form: Form, stream: &Stream) -> Self {
        Self {
            form,
            stream: stream.name.to_string(),
            targets: stream.targets.clone(),
            names: stream.targets.iter().chain(&stream.covariates).cloned().collect(),
            out: BufWriter::new(stdout()),
            series_width: SERIES_WIDTH,
            has_header: false,
            is_closed: false,
        }
    }

    /// Prints a row. False when nobody reads any more.
    ///
    /// # Errors
    /// When standard output can't be written.
    pub fn print(&mut self, row: &Row) -> Result<bool, Failure> {
        let mut text = String::new();
        match self.form {
            Form::Table => self.table(row, &mut text),
            Form::Json => text = self.json(row).to_string() + "\n",
            Form::Csv => self.csv(row, &mut text),
        }
        let written = self.out.write_all(text.as_bytes());
        self.check(written)
    }

    /// Hands over what was printed.
    ///
    /// # Errors
    /// As [`Self::print`].
    pub fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.out.flush();
        self.check(flushed).map(drop)
    }

    /// Whether the reader has closed standard output.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn check(&mut self, outcome: std::io::Result<()>) -> Result<bool, Failure> {
        match outcome {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => self.is_closed = true,
            Err(e) => return Err(Failure::new(format!("standard output can't be written: {e}"))),
            Ok(()) => {}
        }
        Ok(!self.is_closed)
    }

    fn table(&mut self, row: &Row, text: &mut String) {
        match row {
            Row::Reading(reading, forecast) => {
                self.line(&reading.time.to_string(), &reading.id.series, text);
                for (i, name) in self.names.iter().enumerate() {
                    let _ = write!(text, "  {name} {}", number(reading.values.get(i).copied()));
                    if let Some(forecast) = forecast.as_ref().filter(|_| i < self.targets.len()) {
                        text.push_str(&next(forecast, name));
                    }
                }
                forecast.iter().for_each(|forecast| text.push_str(&remarks(forecast)));
            }
            Row::Forecast(forecast) => {
                self.line(forecast.origin(), &forecast.id.series, text);
                for name in &self.targets {
                    let last = forecast.said["targets"][name]["last"].as_f64();
                    let _ = write!(text, "  {name} {}{}", number(last), next(forecast, name));
                }
                text.push_str(&remarks(forecast));
            }
            Row::Bad(bad) => {
                let _ = write!(text, "{}  {}", bad.place, bad.why);
                if let Some(key) = &bad.key {
                    let _ = write!(text, "\n  key {}", String::from_utf8_lossy(key));
                }
                let _ = write!(text, "\n{}", bytes(&bad.payload));
            }
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }

    /// The beginning of a line. The column of names grows with them.
    fn line(&mut self, time: &str, series: &str, text: &mut String) {
        self.series_width = self.series_width.max(series.chars().count());
        let _ = write!(text, "{time}  {series:<width$}", width = self.series_width);
    }

    fn json(&self, row: &Row) -> Value {
        match row {
            Row::Reading(ReadingSeen { id, time, values }, forecast) => {
                let values = self.names.iter().zip(values).map(|(name, v)| (name.clone(), json!(v)));
                json!({
                    "stream": self.stream,
                    "series": id.series,
                    "time": time.to_string(),
                    "topic": &*id.place.topic,
                    "partition": id.place.partition.0,
                    "offset": id.place.offset.0,
                    "values": values.collect::<Map<_, _>>(),
                    "forecast": forecast.as_ref().map(|forecast| &forecast.said),
                })
            }
            Row::Forecast(ForecastSeen { id, said }) => json!({
                "stream": self.stream,
                "series": id.series,
                "time": said["origin"],
                "topic": &*id.place.topic,
                "partition": id.place.partition.0,
                "offset": id.place.offset.0,
                "values": null,
                "forecast": said,
            }),
            Row::Bad(BadSeen { place, time, key, payload, why }) => json!({
                "stream": self.stream,
                "topic": &*place.topic,
                "partition": place.partition.0,
                "offset": place.offset.0,
                "record_time": time.map(|time| time.to_string()),
                "key": key.as_deref().map(String::from_utf8_lossy),
                "reason": why.reason.as_str(),
                "field": why.field,
                "detail": why.detail,
                "text": std::str::from_utf8(payload).ok(),
                "bytes": payload.len(),
                "hex": hex(payload),
            }),
        }
    }

    fn csv(&mut self, row: &Row, text: &mut String) {
        if !std::mem::replace(&mut self.has_header, true) {
            let mut names: Vec<String> = ["time", "series"].map(str::to_owned).to_vec();
            names.extend(self.names.iter().cloned());
            for target in &self.targets {
                names.extend(["low", "next", "high"].map(|part| format!("{target}_{part}")));
            }
            names.extend(["topic", "partition", "offset"].map(str::to_owned));
            put_row(&names, text);
        }
        let number =
            |value: Option<f64>| value.filter(|v| v.is_finite()).map_or_else(String::new, |v| v.to_string());
        let (mut cells, forecast, id) = match row {
            // A row that is no reading has no columns for what is to be said. It goes where people look.
            Row::Bad(bad) => {
                eprintln!("{}  {}\n{}", bad.place, bad.why, bytes(&bad.payload));
                return;
            }
            Row::Reading(reading, forecast) => {
                let mut cells = vec![reading.time.to_string(), reading.id.series.clone()];
                cells.extend((0..self.names.len()).map(|i| number(reading.values.get(i).copied())));
                (cells, forecast.as_ref(), &reading.id)
            }
            Row::Forecast(forecast) => {
                let mut cells = vec![forecast.origin().to_owned(), forecast.id.series.clone()];
                cells.extend(self.names.iter().map(|_| String::new()));
                (cells, Some(forecast), &forecast.id)
            }
        };
        for target in &self.targets {
            let said = forecast.and_then(|forecast| forecast.next(target));
            cells.extend((0..3).map(|i| number(said.map(|said| said[i]))));
        }
        let Place { topic, partition, offset } = &id.place;
        cells.extend([topic.to_string(), partition.to_string(), offset.to_string()]);
        put_row(&cells, text);
    }
}

fn put_row(cells: &[String], text: &mut String) {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells).expect("memory can be written");
    let bytes = writer.into_inner().expect("memory can be written");
    text.push_str(&String::from_utf8_lossy(&bytes));
}

fn number(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map_or_else(|| "–".to_owned(), short)
}

/// A number as people read it: up to six digits.
fn short(value: f64) -> String {
    let before = if value.abs() < 1.0 { 1 } else { value.abs().log10() as usize + 1 };
    let text = format!("{value:.*}", 6_usize.saturating_sub(before).min(4));
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// ` → 1.28 (0.9 … 1.7)`: the next value and its range.
fn next(forecast: &ForecastSeen, target: &str) -> String {
    forecast.next(target).map_or_else(String::new, |[low, point, high]| {
        format!(" → {} ({} … {})", short(point), short(low), short(high))
    })
}

/// An anomaly, and why a forecast is less than it could be.
fn remarks(forecast: &ForecastSeen) -> String {
    let said = |name: &str| {
        forecast.said[name].as_str().map_or_else(String::new, |word| format!("  {name}: {word}"))
    };
    said("anomaly") + &said("degraded")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of a payload, in lines of sixteen, with what is printable of them.
fn bytes(payload: &[u8]) -> String {
    let mut text = String::new();
    for (i, line) in payload[..payload.len().min(BYTES_SHOWN)].chunks(16).enumerate() {
        let codes: String = line.iter().map(|byte| format!("{byte:02x} ")).collect();
        let letters: String =
            line.iter().map(|byte| if (32..127).contains(byte) { char::from(*byte) } else { '.' }).collect();
        let _ = writeln!(text, "  {:06x}  {codes:<48} {letters}", 16 * i);
    }
    if payload.len() > BYTES_SHOWN {
        let _ = writeln!(text, "  … {} bytes in all", payload.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_digits_as_people_read() {
        let shown: Vec<String> = [0.0, 1.0, -1.25, 0.123_456, 12_345.678, 1e7].map(short).to_vec();
        assert_eq!(shown, ["0", "1", "-1.25", "0.1235", "12345.7", "10000000"]);
    }

    #[test]
    fn bytes_are_shown_with_their_letters_and_cut() {
        assert_eq!(
            bytes(b"{\"kw\":1}\0"),
            "  000000  7b 22 6b 77 22 3a 31 7d 00                       {\"kw\":1}.\n"
        );
        let long = bytes(&[7; 1_000]);
        assert_eq!(long.lines().count(), BYTES_SHOWN / 16 + 1);
        assert!(long.ends_with("… 1000 bytes in all\n"));
    }
}
