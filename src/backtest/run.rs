use super::discards::Discards;
use super::forecasts::ForecastFile;
use super::judge::Judge;
use super::learner::Learner;
use super::outlook::Outlook;
use super::report::Shown;
use super::rows::Row;
use crate::codec::{Decoder, MissingValues};
use crate::config::Stream;
use crate::console::Failure;
use crate::domain::{EventTime, Reading};
use crate::engine::{Offered, Shard};
use crate::telemetry::Discard;
use std::sync::Arc;

/// One config over the rows of a file: from bytes to judged forecasts.
pub(super) struct Run {
    pub stream: Arc<Stream>,
    pub judge: Judge,
    pub tally: Tally,
    pub shown: Option<Shown>,
    pub file: Option<ForecastFile>,
    pub place: Place,
    decoder: Decoder,
    outlook: Outlook,
    shard: Shard,
    pub learner: Learner,
    offset: i64,
    newest: EventTime,
}

/// Under what the rows come.
pub(super) struct Place {
    /// The file.
    pub topic: String,
    /// Of every row: the file's name.
    pub key: String,
    /// What a row's number counts.
    pub row: &'static str,
}

/// What a run has seen.
#[derive(Default)]
pub(super) struct Tally {
    pub readings: u64,
    pub discards: Discards,
    /// First and newest event time.
    pub span: Option<(EventTime, EventTime)>,
    /// Rows that would be dead letters.
    pub bad: u64,
    /// How many rows go back in time by more than the lateness, and where the first stands.
    pub back: Option<(u64, u64)>,
}

impl Run {
    pub fn new(stream: Arc<Stream>, judge: Judge, outlook: Outlook, place: Place) -> Self {
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
            place,
            stream,
        }
    }

    /// One row, from bytes to forecasts.
    pub fn record(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        let Place { topic, key, row: word } = &self.place;
        let (offset, number) = (self.offset, row.number);
        self.offset += 1;
        let record = row.record(topic, key, offset);
        let Self { decoder, outlook, shard, judge, tally, newest, stream, .. } = self;
        judge.begin_row();
        let decoded = decoder.decode(&record, &mut |reading| {
            let reading = Reading { time: shard.time_of(&reading), later: None, ..reading };
            judge.reading(reading.series, reading.time, reading.values);
            if stream.selects(reading.series) {
                if reading.time.seconds_since(*newest) < -stream.lateness.as_secs_f64() {
                    tally.back.get_or_insert((0, number)).0 += 1;
                }
                *newest = (*newest).max(reading.time);
            }
            let reading = Reading { values: outlook.complete(&reading), ..reading };
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

    /// Counts the readings, too, that were held back for order and discarded later.
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

    /// Whether there is anything to tell.
    ///
    /// # Errors
    /// When no reading was taken, or no forecast scored: what became of the rows.
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
        if self.judge.scored() == 0 {
            return Err(format!(
                "no forecast was scored: {readings} reading(s) of {} series were taken, and either none came for a time that \
                 was forecast, or none of those was to be scored (--score-from, --score-every, emit_every){discarded}",
                self.judge.series().len()
            ));
        }
        Ok(())
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

/// Why a reading was discarded, and which it was.
fn why_not(why: Discard, series: &str, time: EventTime) -> String {
    format!("series \"{series}\" at {time}: {}", why.meaning())
}
