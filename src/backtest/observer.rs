use super::audience::Audience;
use super::auditor::Auditor;
use super::finished_run::FinishedRun;
use super::forecasts::ForecastFile;
use super::known_ahead::KnownAhead;
use super::learner::RoundCounts;
use super::report::ReportCharts;
use super::tally::Tally;
use crate::codec::{BadRecord, MissingValues, Record};
use crate::config::Stream;
use crate::console::Failure;
use crate::domain::{EventTime, Reading};
use crate::engine::{Accounts, Discarded, Emitted, Offered, Shard};
use crate::telemetry::Discard;
use crate::worker::ports::ReadingInterceptor;
use std::sync::Arc;

/// Watches what a worker takes in and sends: judges its forecasts, and keeps the account of the rows.
pub(super) struct Observer {
    pub stream: Arc<Stream>,
    pub auditor: Auditor,
    pub charts: Option<ReportCharts>,
    pub file: Option<ForecastFile>,
    known_ahead: KnownAhead,
    tally: Tally,
    /// The unit of a row's number.
    unit: &'static str,
    /// The number of the row that is taken in.
    row: u64,
    /// The newest event time of a series that is read.
    newest: EventTime,
    /// What the shard has accounted for, by [`Discard`].
    discarded: [u64; Discard::ALL.len()],
    /// The first of each.
    examples: [Option<Discarded>; Discard::ALL.len()],
    missing: MissingValues,
    outcome: Result<(), Failure>,
}

impl Observer {
    /// `unit` is what a row's number counts.
    pub fn new(stream: Arc<Stream>, auditor: Auditor, known_ahead: KnownAhead, unit: &'static str) -> Self {
        Self {
            auditor,
            charts: None,
            file: None,
            known_ahead,
            tally: Tally::default(),
            unit,
            row: 0,
            newest: EventTime::MIN,
            discarded: Default::default(),
            examples: Default::default(),
            missing: MissingValues::default(),
            outcome: Ok(()),
            stream,
        }
    }

    /// Begins the row of this number.
    pub fn begin_row(&mut self, number: u64) {
        self.row = number;
        self.tally.rows += 1;
        self.auditor.begin_row();
    }

    /// Draws what a forecast says of its reading, whether it was sent or not.
    fn chart(&mut self, emitted: &Emitted<'_>) {
        if let Some(charts) = &mut self.charts {
            charts.keep(emitted);
        }
    }

    /// Records the experts' weights, for the report.
    pub fn note_weights(&mut self, shard: &mut Shard) {
        if let Some(charts) = &mut self.charts {
            charts.note_weights(shard, &self.auditor);
        }
    }

    /// Whether the file of forecasts could be written since the last call.
    pub fn take_outcome(&mut self) -> Result<(), Failure> {
        std::mem::replace(&mut self.outcome, Ok(()))
    }

    /// Ends the run. The readings that were held back for order and discarded later are counted here.
    pub fn finish(self, counts: RoundCounts) -> FinishedRun {
        let Self { stream, auditor, charts, file, mut tally, unit, discarded, examples, missing, .. } = self;
        for ((why, total), example) in Discard::ALL.iter().zip(discarded).zip(examples) {
            let late = total.saturating_sub(tally.discards.of(why.as_str()));
            tally.readings = tally.readings.saturating_sub(late);
            tally.discards.add(why.as_str(), late, || match example {
                Some(example) => why_not(*why, &example.series, example.time),
                None => why.meaning().to_owned(),
            });
        }
        FinishedRun { stream, auditor, tally, charts, file, counts, missing, unit }
    }
}

impl Audience for Observer {
    fn forecast(&mut self, emitted: &Emitted<'_>) {
        self.chart(emitted);
        if self.auditor.forecast(emitted)
            && let Some(file) = &mut self.file
            && self.outcome.is_ok()
        {
            self.outcome = file.write(emitted);
        }
    }

    fn withheld(&mut self, emitted: &Emitted<'_>) {
        self.chart(emitted);
    }
}

impl ReadingInterceptor for Observer {
    /// The auditor sees the reading first. Covariates that are known ahead are completed for the shard alone.
    fn offer(&mut self, shard: &mut Shard, reading: &Reading<'_>, record: &Record<'_>) -> Offered {
        let Self { stream, auditor, known_ahead, tally, unit, row, newest, .. } = self;
        let reading = Reading { time: shard.time_of(reading), later: None, ..*reading };
        auditor.reading(reading.series, reading.time, reading.values);
        if stream.reads_series(reading.series) {
            if reading.time.seconds_since(*newest) < -stream.lateness.as_secs_f64() {
                tally.back.get_or_insert((0, *row)).0 += 1;
            }
            *newest = (*newest).max(reading.time);
        }
        let reading = Reading { values: known_ahead.complete(&reading), ..reading };
        let offered = shard.offer_of(&reading, record.offset.0, record.key, record.timestamp);
        match offered {
            Offered::Queued | Offered::Held => {
                tally.readings += 1;
                let (first, last) = tally.span.unwrap_or((reading.time, reading.time));
                tally.span = Some((first.min(reading.time), last.max(reading.time)));
            }
            Offered::Discarded(why) => tally.discards.add(why.as_str(), 1, || {
                format!("{unit} {row}: {}", why_not(why, reading.series, reading.time))
            }),
        }
        offered
    }

    fn refuse(&mut self, _: &Record<'_>, why: &BadRecord) {
        let Self { tally, unit, row, .. } = self;
        tally.bad += 1;
        tally.discards.add(why.reason.as_str(), 1, || format!("{unit} {row}: {why}"));
    }

    fn miss(&mut self, missing: &MissingValues) {
        self.missing.merge(missing);
    }

    fn account(&mut self, accounts: &Accounts) {
        for (at, why) in Discard::ALL.iter().enumerate() {
            self.discarded[at] += accounts.discarded(*why);
            if let (None, Some(example)) = (&self.examples[at], accounts.example(*why)) {
                self.examples[at] = Some(example.clone());
            }
        }
    }
}

/// Which reading was discarded, and why.
fn why_not(why: Discard, series: &str, time: EventTime) -> String {
    format!("series \"{series}\" at {time}: {}", why.meaning())
}
