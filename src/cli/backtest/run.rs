use super::forecasts::ForecastFile;
use super::judge::Judge;
use super::learner::Learner;
use super::outlook::Outlook;
use super::report::Shown;
use super::rows::Row;
use crate::cli::Failure;
use crate::codec::{Decoder, MissingValues, Record};
use crate::config::Stream;
use crate::domain::{EventTime, Offset, Partition, Reading};
use crate::engine::{Offered, Shard};
use std::sync::Arc;

/// One config over the rows of a file: from bytes to judged forecasts.
pub(super) struct Run {
    pub stream: Arc<Stream>,
    pub judge: Judge,
    pub tally: Tally,
    pub shown: Option<Shown>,
    pub file: Option<ForecastFile>,
    /// Under which the rows come, and the key that they bear: the file, and its name.
    topic: String,
    key: String,
    decoder: Decoder,
    outlook: Outlook,
    shard: Shard,
    pub learner: Learner,
    offset: i64,
    newest: EventTime,
}

/// What a run has seen.
#[derive(Default)]
pub(super) struct Tally {
    pub readings: u64,
    pub discarded: u64,
    /// First and newest event time.
    pub span: Option<(EventTime, EventTime)>,
    /// How many rows were bad, and why the first was.
    pub bad: Option<(u64, String)>,
    /// How many rows go back in time by more than the lateness, and where the first stands.
    pub back: Option<(u64, u64)>,
}

impl Run {
    pub fn new(stream: Arc<Stream>, judge: Judge, outlook: Outlook, topic: String, key: String) -> Self {
        Self {
            outlook,
            decoder: Decoder::new(&stream),
            shard: Shard::new(stream.clone()),
            learner: Learner::new(&stream),
            tally: Tally::default(),
            shown: None,
            file: None,
            offset: 0,
            newest: EventTime::MIN,
            judge,
            topic,
            key,
            stream,
        }
    }

    /// One row, from bytes to forecasts.
    pub fn record(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        let (offset, key) = (self.offset, self.key.as_bytes());
        self.offset += 1;
        let record = record(&self.topic, key, offset, row.json);
        let Self { decoder, outlook, shard, judge, tally, newest, stream, .. } = self;
        judge.begin_row();
        let decoded = decoder.decode(&record, &mut |reading| {
            let reading = Reading { time: shard.time_of(&reading), later: None, ..reading };
            judge.reading(reading.series, reading.time, reading.values);
            if stream.selects(reading.series) {
                if reading.time.seconds_since(*newest) < -stream.lateness.as_secs_f64() {
                    tally.back.get_or_insert((0, row.number)).0 += 1;
                }
                *newest = (*newest).max(reading.time);
            }
            let reading = Reading { values: outlook.complete(&reading), ..reading };
            match shard.offer(&reading, offset, Some(key)) {
                Offered::Queued | Offered::Held => {
                    tally.readings += 1;
                    let (first, last) = tally.span.unwrap_or((reading.time, reading.time));
                    tally.span = Some((first.min(reading.time), last.max(reading.time)));
                }
                Offered::Discarded(_) => tally.discarded += 1,
            }
        });
        if let Err(bad) = decoded {
            let (n, _) = tally.bad.get_or_insert_with(|| (0, format!("row {}: {bad}", row.number)));
            *n += 1;
        }
        self.step()?;
        self.learner.learn(&self.stream, &mut self.shard)
    }

    fn step(&mut self) -> Result<(), Failure> {
        let Self { judge, file, shown, .. } = self;
        let mut failed = Ok(());
        while self
            .shard
            .run_round(&mut |emitted| {
                if let Some(shown) = shown {
                    shown.keep(&emitted);
                }
                if emitted.is_thinned {
                    return;
                }
                if judge.forecast(&emitted)
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

    /// What was missing in the readings though something stands in its column.
    pub fn take_missing(&mut self) -> Option<MissingValues> {
        self.decoder.take_missing()
    }

    /// Notes what the experts weigh now, for the report.
    pub fn note_weights(&mut self) {
        if let Some(shown) = &mut self.shown {
            shown.note_weights(&mut self.shard, &self.judge);
        }
    }
}

/// A row as a record of a topic.
pub(super) fn record<'a>(topic: &'a str, key: &'a [u8], offset: i64, json: &'a [u8]) -> Record<'a> {
    Record {
        topic,
        partition: Partition(0),
        offset: Offset(offset),
        key: Some(key),
        timestamp: None,
        payload: Some(json),
        headers: &(),
    }
}
