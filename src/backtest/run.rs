use super::auditor::Auditor;
use super::discards::Discards;
use super::forecasts::ForecastFile;
use super::known_ahead::KnownAhead;
use super::learner::Learner;
use super::report::ReportCharts;
use super::rows::TableRow;
use crate::codec::Decoder;
use crate::config::Stream;
use crate::console::Failure;
use crate::domain::{EventTime, Reading};
use crate::engine::{Offered, Shard};
use crate::telemetry::Discard;
use std::sync::Arc;

/// One config over the rows of a file, from bytes to judged forecasts.
pub(super) struct Run {
    pub stream: Arc<Stream>,
    pub auditor: Auditor,
    pub tally: Tally,
    pub charts: Option<ReportCharts>,
    pub file: Option<ForecastFile>,
    pub labels: FileLabels,
    decoder: Decoder,
    known_ahead: KnownAhead,
    shard: Shard,
    pub learner: Learner,
    offset: i64,
    newest: EventTime,
}

/// What the rows of a file are called.
pub(super) struct FileLabels {
    /// The topic of every row: the path of the file.
    pub topic: String,
    /// The key of every row: the name of the file.
    pub key: String,
    /// The unit of a row's number.
    pub row: &'static str,
}

/// What a run has seen.
#[derive(Default)]
pub(super) struct Tally {
    pub readings: u64,
    pub discards: Discards,
    /// The first and the newest event time.
    pub span: Option<(EventTime, EventTime)>,
    /// How many rows would be dead letters.
    pub bad: u64,
    /// How many rows go back in time by more than the lateness, and where the first of them is.
    pub back: Option<(u64, u64)>,
}

impl Run {
    pub fn new(stream: Arc<Stream>, auditor: Auditor, known_ahead: KnownAhead, labels: FileLabels) -> Self {
        Self {
            known_ahead,
            decoder: Decoder::new(&stream),
            shard: Shard::new(stream.clone()),
            learner: Learner::new(&stream),
            tally: Tally::default(),
            charts: None,
            file: None,
            offset: 0,
            newest: EventTime::MIN,
            auditor,
            labels,
            stream,
        }
    }

    /// One row, from bytes to forecasts.
    pub fn record(&mut self, row: &TableRow<'_>) -> Result<(), Failure> {
        let FileLabels { topic, key, row: word } = &self.labels;
        let (offset, number) = (self.offset, row.number);
        self.offset += 1;
        let record = row.record(topic, key, offset);
        let Self { decoder, known_ahead, shard, auditor, tally, newest, stream, .. } = self;
        auditor.begin_row();
        let decoded = decoder.decode(&record, &mut |reading| {
            let reading = Reading { time: shard.time_of(&reading), later: None, ..reading };
            auditor.reading(reading.series, reading.time, reading.values);
            if stream.reads_series(reading.series) {
                if reading.time.seconds_since(*newest) < -stream.lateness.as_secs_f64() {
                    tally.back.get_or_insert((0, number)).0 += 1;
                }
                *newest = (*newest).max(reading.time);
            }
            let reading = Reading { values: known_ahead.complete(&reading), ..reading };
            match shard.offer(&reading, offset, Some(key.as_bytes())) {
                Offered::Queued | Offered::Held => {
                    tally.readings += 1;
                    let (first, last) = tally.span.unwrap_or((reading.time, reading.time));
                    tally.span = Some((first.min(reading.time), last.max(reading.time)));
                }
                Offered::Discarded(why) => tally.discards.add(why.as_str(), 1, || {
                    format!("{word} {number}: {}", why_not(why, reading.series, reading.time))
                }),
            }
        });
        if let Err(bad) = decoded {
            tally.bad += 1;
            tally.discards.add(bad.reason.as_str(), 1, || format!("{word} {number}: {bad}"));
        }
        self.step()?;
        self.learner.learn(&self.stream, &mut self.shard)
    }

    fn step(&mut self) -> Result<(), Failure> {
        let Self { auditor, file, charts, .. } = self;
        let mut failed = Ok(());
        while self
            .shard
            .run_round(&mut |emitted| {
                if let Some(charts) = charts {
                    charts.keep(&emitted);
                }
                if emitted.is_thinned {
                    return;
                }
                if auditor.forecast(&emitted)
                    && let Some(file) = file
                    && failed.is_ok()
                {
                    failed = file.write(&emitted);
                }
            })
            .map_err(Failure::new)?
            .is_some()
        {}
        failed
    }

    /// Counts the readings that were held back for order and discarded later.
    pub fn close(&mut self) {
        let accounts = self.shard.take_accounts();
        for why in Discard::ALL {
            let late = accounts.discarded(*why).saturating_sub(self.tally.discards.of(why.as_str()));
            self.tally.readings = self.tally.readings.saturating_sub(late);
            self.tally.discards.add(why.as_str(), late, || match accounts.example(*why) {
                Some(example) => why_not(*why, &example.series, example.time),
                None => why.meaning().to_owned(),
            });
        }
    }

    /// Checks that there is a score.
    ///
    /// # Errors
    /// When no reading was taken, or no forecast was scored. The message says what happened to the rows.
    pub fn check(&self) -> Result<(), String> {
        let Tally { readings, discards, .. } = &self.tally;
        let discarded = match discards.text() {
            none if none.is_empty() => "; nothing was discarded".to_owned(),
            text => format!("; {} were discarded:{text}", discards.total()),
        };
        if *readings == 0 {
            let rows = self.offset;
            return Err(format!("no reading was taken from {rows} row(s){discarded}"));
        }
        if self.auditor.scored() == 0 {
            return Err(format!(
                "no forecast was scored: {readings} reading(s) of {} series were taken, and either none came for a time that \
                 was forecast, or none of those was to be scored (--score-from, --score-every, emit_every){discarded}",
                self.auditor.series().len()
            ));
        }
        Ok(())
    }

    /// What may be wrong with the file.
    pub fn warnings(&mut self, is_sorted: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(missing) = self.decoder.take_missing() {
            warnings
                .push(format!("values that are missing though something stands in their column: {missing}"));
        }
        if let Some((n, first)) = self.tally.back
            && !is_sorted
        {
            warnings.push(format!(
                "{n} row(s) go back in time, the first is {} {first}: if the file holds one series after \
                 the other, say --sort",
                self.labels.row
            ));
        }
        warnings
    }

    /// What was run, for people.
    pub fn summary(&self) -> String {
        let (tally, counts) = (&self.tally, &self.learner.counts);
        format!(
            "seasons of {:?} steps, from the {}\n{} readings of {} series; {} discarded; {} training rounds, {} promoted, {} rolled back{}",
            self.stream.seasons,
            self.stream.seasons_from.as_str(),
            tally.readings,
            self.auditor.series().len(),
            tally.discards.total(),
            counts.rounds,
            counts.promoted,
            counts.rolled_back,
            match tally.discards.text() {
                none if none.is_empty() => none,
                text => format!("\ndiscarded, by reason:{text}"),
            }
        )
    }

    /// Records the experts' weights, for the report.
    pub fn note_weights(&mut self) {
        if let Some(charts) = &mut self.charts {
            charts.note_weights(&mut self.shard, &self.auditor);
        }
    }
}

/// Which reading was discarded, and why.
fn why_not(why: Discard, series: &str, time: EventTime) -> String {
    format!("series \"{series}\" at {time}: {}", why.meaning())
}
