//! The loop of `tap`: it reads a stream's topics and its forecasts, and prints them side by side.

use super::Options;
use super::join::Join;
use super::print::{Form, Printer};
use super::row::{BadSeen, ForecastSeen, Place, ReadingSeen, Row};
use crate::codec::Decoder;
use crate::config::{Kafka, Stream};
use crate::console::Failure;
use crate::kafka::{Error, Start, TopicReader};
use std::io::{IsTerminal, stdout};
use std::time::{Duration, Instant};

/// How long a reading waits for its forecast, beyond what the stream itself waits.
const FORECAST_WAIT: Duration = Duration::from_secs(2);
/// The pause after a look that found nothing.
const PAUSE: Duration = Duration::from_millis(20);
/// The most records of a topic that are taken at once.
const BATCH: usize = 500;
/// How often it is told that records could not be read.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What was seen.
#[derive(Default)]
struct Counts {
    records: u64,
    readings: u64,
    forecasts: u64,
    bad: u64,
    filtered: u64,
    /// Records of the forecast topic that are not this stream's forecasts in JSON.
    unread_forecasts: u64,
    rows: u64,
}

struct Watch<'a> {
    stream: &'a Stream,
    options: &'a Options,
    decoder: Decoder,
    join: Join,
    printer: Printer,
    counts: Counts,
    /// The first fault of those that were not told yet, and when one was told last.
    untold: Option<String>,
    told: Option<Instant>,
}

/// Prints the stream until there is enough of it.
pub(super) fn watch(kafka: &Kafka, stream: &Stream, options: &Options) -> Result<(), Failure> {
    let start = if options.beginning { Start::Beginning } else { Start::End };
    let open = |topic: &String| TopicReader::open(kafka, topic, start);
    let mut sources = stream.topics.iter().map(open).collect::<Result<Vec<_>, _>>().map_err(Failure::new)?;
    let mut forecasts = match open(&stream.forecast_topic) {
        Err(Error::MissingTopics(_)) => {
            eprintln!(
                "tidecast: there is no topic {} yet, so readings alone are shown",
                stream.forecast_topic
            );
            None
        }
        other => Some(other.map_err(Failure::new)?),
    };
    let form = options.output.unwrap_or(if stdout().is_terminal() { Form::Table } else { Form::Json });
    let wait = forecasts.as_ref().map_or(Duration::ZERO, |_| FORECAST_WAIT);
    let mut watch = Watch {
        stream,
        options,
        decoder: Decoder::new(stream),
        join: Join::new(wait),
        printer: Printer::new(form, stream),
        counts: Counts::default(),
        untold: None,
        told: None,
    };
    loop {
        let mut taken = 0;
        for source in &mut sources {
            taken += watch.read(source)?;
        }
        if let Some(forecasts) = forecasts.as_mut().filter(|_| !watch.join.is_ahead()) {
            taken += watch.read_forecasts(forecasts)?;
        }
        let at_end = sources.iter().chain(&forecasts).all(TopicReader::at_end);
        let is_last = taken == 0 && options.until_end && at_end;
        if watch.show(is_last)? || is_last {
            break;
        }
        watch.tell(false);
        if taken == 0 {
            std::thread::sleep(PAUSE);
        }
    }
    watch.tell(true);
    watch.sum_up();
    Ok(())
}

impl Watch<'_> {
    fn read(&mut self, source: &mut TopicReader) -> Result<usize, Failure> {
        let Self { options, decoder, join, printer, counts, untold, .. } = self;
        let mut failed = Ok(true);
        let polled = source.poll(BATCH, Duration::ZERO, &mut |polled| {
            let (record, now) = (polled.as_source(), Instant::now());
            let place = Place::of(record.position());
            counts.records += 1;
            let outcome = decoder.decode(&record, &mut |reading| {
                if options.series.is_empty() || options.series.iter().any(|s| *s == reading.series) {
                    counts.readings += 1;
                    join.reading(ReadingSeen::new(&place, &reading), now);
                }
            });
            counts.filtered += decoder.take_filtered();
            let Err(why) = outcome else { return };
            counts.bad += 1;
            if options.raw {
                let shown = printer.print(&Row::Bad(BadSeen::new(&record, why)));
                failed = std::mem::replace(&mut failed, Ok(true)).and(shown);
                counts.rows += 1;
            } else {
                untold.get_or_insert_with(|| format!("{place}: {why}"));
            }
        });
        failed?;
        polled.map_err(Failure::new)
    }

    fn read_forecasts(&mut self, source: &mut TopicReader) -> Result<usize, Failure> {
        let Self { options, stream, join, counts, .. } = self;
        let polled = source.poll(BATCH, Duration::ZERO, &mut |polled| match ForecastSeen::read(
            &polled.as_source(),
            stream.name.as_str(),
        ) {
            Some(seen) if options.series.is_empty() || options.series.contains(&seen.id.series) => {
                counts.forecasts += 1;
                join.forecast(seen, Instant::now());
            }
            Some(_) => {}
            None => counts.unread_forecasts += 1,
        });
        polled.map_err(Failure::new)
    }

    /// Prints what need not wait. True when nobody wants more.
    fn show(&mut self, is_last: bool) -> Result<bool, Failure> {
        let is_enough = |rows: u64| self.options.count.is_some_and(|count| rows >= count);
        while !is_enough(self.counts.rows) {
            let Some(row) = self.join.next(Instant::now(), is_last) else { break };
            if !self.printer.print(&row)? {
                return Ok(true);
            }
            self.counts.rows += 1;
        }
        self.printer.flush()?;
        Ok(is_enough(self.counts.rows) || self.printer.is_closed())
    }

    fn tell(&mut self, is_last: bool) {
        let is_due = self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
        if (is_due || is_last)
            && let Some(example) = self.untold.take()
        {
            self.told = Some(Instant::now());
            let bad = self.counts.bad;
            eprintln!("tidecast: {bad} records could not be read; --raw shows them. {example}");
        }
    }

    fn sum_up(&mut self) {
        let Counts { records, readings, forecasts, bad, filtered, unread_forecasts, .. } = self.counts;
        eprintln!(
            "tidecast: {records} records, {readings} readings, {forecasts} forecasts, {bad} records that could not \
             be read, {filtered} filtered"
        );
        if unread_forecasts > 0 {
            eprintln!(
                "tidecast: {unread_forecasts} records of {} are no forecasts of this stream in JSON",
                self.stream.forecast_topic
            );
        }
        if let Some(missing) = self.decoder.take_missing() {
            eprintln!("tidecast: missing values: {missing}");
        }
    }
}
