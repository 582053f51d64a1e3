//! A fleet as CSV, and its best forecasts beside it.

use crate::console::Failure;
use crate::domain::EventTime;
use crate::synthetic::{Fleet, Reading};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const BUFFER: usize = 1 << 18;

/// A file that is written from its start to its end; gzipped when its name says so.
pub(super) struct Output {
    path: PathBuf,
    inner: Inner,
}

enum Inner {
    Plain(BufWriter<File>),
    Zipped(Box<BufWriter<GzEncoder<File>>>),
}

impl Output {
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        let inner = if path.extension().is_some_and(|e| e == "gz") {
            let encoder = GzEncoder::new(file, Compression::fast());
            Inner::Zipped(Box::new(BufWriter::with_capacity(BUFFER, encoder)))
        } else {
            Inner::Plain(BufWriter::with_capacity(BUFFER, file))
        };
        Ok(Self { path: path.to_owned(), inner })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = match &mut self.inner {
            Inner::Plain(file) => file.write_all(bytes),
            Inner::Zipped(file) => file.write_all(bytes),
        };
        written.map_err(|e| Failure::new(format!("{}: {e}", self.path.display())))
    }

    /// Writes what is left; a disk that is full says so here at the latest.
    pub fn finish(self) -> Result<(), Failure> {
        let done = match self.inner {
            Inner::Plain(mut file) => file.flush(),
            Inner::Zipped(file) => file
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error)
                .and_then(GzEncoder::finish)
                .map(drop),
        };
        done.map_err(|e| Failure::new(format!("{}: {e}", self.path.display())))
    }
}

/// Times as text: all series of a fleet share a cell's.
#[derive(Default)]
struct TimeText(Option<(EventTime, String)>);

impl TimeText {
    fn of(&mut self, time: EventTime) -> &str {
        if self.0.as_ref().is_none_or(|(known, _)| *known != time) {
            self.0 = Some((time, time.to_string()));
        }
        self.0.as_ref().map_or("", |(_, text)| text)
    }
}

/// The names of a fleet's targets.
pub(super) fn target_names(targets: usize) -> Vec<String> {
    (1..=targets).map(|t| if t == 1 { "value".to_owned() } else { format!("value_{t}") }).collect()
}

/// One row a reading: series, time, targets, covariates.
pub(super) struct ReadingTable {
    output: Output,
    row: Vec<u8>,
    time: TimeText,
}

impl ReadingTable {
    pub fn create(path: &Path, targets: usize, covariates: bool) -> Result<Self, Failure> {
        let mut output = Output::create(path)?;
        let mut columns = vec!["series".to_owned(), "time".to_owned()];
        columns.extend(target_names(targets));
        if covariates {
            columns.extend(super::COVARIATES.map(str::to_owned));
        }
        output.write(format!("{}\n", columns.join(",")).as_bytes())?;
        Ok(Self { output, row: Vec::new(), time: TimeText::default() })
    }

    pub fn add(&mut self, reading: &Reading<'_>) -> Result<(), Failure> {
        self.row.clear();
        let put = |row: &mut Vec<u8>, text: std::fmt::Arguments<'_>| {
            row.write_fmt(text).expect("memory takes what is written");
        };
        put(&mut self.row, format_args!("{},{}", Fleet::name(reading.series), self.time.of(reading.time)));
        for value in reading.values {
            put(&mut self.row, format_args!(",{value}"));
        }
        if let Some(c) = &reading.covariates {
            let flags = [c.event, c.event_next_day].map(u8::from);
            put(&mut self.row, format_args!(",{},{},{}", c.temperature, flags[0], flags[1]));
        }
        self.row.push(b'\n');
        self.output.write(&self.row)
    }

    pub fn finish(self) -> Result<(), Failure> {
        self.output.finish()
    }
}

/// One row a series, target, origin and lead, as `backtest --forecasts` has them, with the deviation of
/// what is not known.
pub(super) struct BestTable {
    output: Output,
    rows: Vec<u8>,
    targets: Vec<String>,
    interval_us: i64,
    /// The times of the leads, from this cell on.
    from: Option<EventTime>,
    times: Vec<String>,
}

impl BestTable {
    pub fn create(path: &Path, targets: Vec<String>, interval_us: i64) -> Result<Self, Failure> {
        let mut output = Output::create(path)?;
        output.write(b"series,target,origin,lead,time,yhat,deviation\n")?;
        Ok(Self { output, rows: Vec::new(), targets, interval_us, from: None, times: Vec::new() })
    }

    pub fn add(&mut self, origin: &Reading<'_>, means: &[f64], deviations: &[f64]) -> Result<(), Failure> {
        let horizon = means.len() / self.targets.len();
        if self.from != Some(origin.cell) {
            self.from = Some(origin.cell);
            let at = |lead: i64| origin.cell.offset_by(lead * self.interval_us).to_string();
            self.times = (0..=horizon as i64).map(at).collect();
        }
        self.rows.clear();
        let series = Fleet::name(origin.series);
        for (t, target) in self.targets.iter().enumerate() {
            for lead in 1..=horizon {
                let (mean, deviation) = (means[t * horizon + lead - 1], deviations[t * horizon + lead - 1]);
                let (origin, time) = (&self.times[0], &self.times[lead]);
                writeln!(self.rows, "{series},{target},{origin},{lead},{time},{mean:.6},{deviation:.6}")
                    .expect("memory takes what is written");
            }
        }
        self.output.write(&self.rows)
    }

    pub fn finish(self) -> Result<(), Failure> {
        self.output.finish()
    }
}
