//! Puts each forecast beside the reading that it answers. Both come from topics that are read apart from each other,
//! so each waits a little for the other.

use super::row::{ForecastSeen, ReadingId, ReadingSeen, Row};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The most readings, and the most forecasts, that wait. Beyond it the oldest is shown without the other.
const WAITING_MAX: usize = 10_000;

/// With this many forecasts that are ahead of their readings, readings are read first.
const AHEAD_MAX: usize = 2_000;

/// Readings and forecasts that wait for each other.
pub(super) struct Join {
    /// How long a reading waits.
    wait: Duration,
    /// In the order in which they were read.
    readings: VecDeque<Waiting>,
    /// How many readings have left `readings`.
    left: u64,
    /// Which readings wait for a forecast, by their numbers since the beginning.
    open: HashMap<ReadingId, VecDeque<u64>>,
    forecasts: VecDeque<(ForecastSeen, Instant)>,
}

struct Waiting {
    reading: ReadingSeen,
    forecast: Option<ForecastSeen>,
    since: Instant,
}

impl Join {
    pub fn new(wait: Duration) -> Self {
        let (readings, forecasts) = (VecDeque::new(), VecDeque::new());
        Self { wait, readings, left: 0, open: HashMap::new(), forecasts }
    }

    pub fn reading(&mut self, reading: ReadingSeen, now: Instant) {
        let early = self.forecasts.iter().position(|(forecast, _)| forecast.id == reading.id);
        let forecast = early.and_then(|at| self.forecasts.remove(at)).map(|(forecast, _)| forecast);
        if forecast.is_none() {
            let number = self.left + self.readings.len() as u64;
            self.open.entry(reading.id.clone()).or_default().push_back(number);
        }
        self.readings.push_back(Waiting { reading, forecast, since: now });
    }

    pub fn forecast(&mut self, forecast: ForecastSeen, now: Instant) {
        let Some(numbers) = self.open.get_mut(&forecast.id) else {
            self.forecasts.push_back((forecast, now));
            return;
        };
        let number = numbers.pop_front().expect("an entry has at least one number");
        if numbers.is_empty() {
            self.open.remove(&forecast.id);
        }
        self.readings[(number - self.left) as usize].forecast = Some(forecast);
    }

    /// Whether no more forecasts should be read before more readings are.
    pub fn is_ahead(&self) -> bool {
        self.forecasts.len() >= AHEAD_MAX
    }

    /// The next row that need not wait any longer, in the order of readings. `is_last`: nothing more will come.
    pub fn next(&mut self, now: Instant, is_last: bool) -> Option<Row> {
        let is_over = |since: Instant| is_last || now.saturating_duration_since(since) >= self.wait;
        let is_early = |(_, since): &(ForecastSeen, Instant)| is_over(*since);
        if self.forecasts.front().is_some_and(is_early) && (is_last || self.readings.is_empty())
            || self.forecasts.len() > WAITING_MAX
        {
            return self.forecasts.pop_front().map(|(forecast, _)| Row::Forecast(forecast));
        }
        let front = self.readings.front()?;
        if front.forecast.is_none() && !is_over(front.since) && self.readings.len() <= WAITING_MAX {
            return None;
        }
        let Waiting { reading, forecast, .. } = self.readings.pop_front()?;
        if forecast.is_none()
            && let Some(numbers) = self.open.get_mut(&reading.id)
        {
            numbers.retain(|number| *number != self.left);
            if numbers.is_empty() {
                self.open.remove(&reading.id);
            }
        }
        self.left += 1;
        Some(Row::Reading(reading, forecast))
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::Place;
    use super::*;
    use crate::domain::{EventTime, Offset, Partition};
    use serde_json::json;

    const WAIT: Duration = Duration::from_secs(2);

    fn id(offset: i64, series: &str) -> ReadingId {
        let place = Place { topic: "in".into(), partition: Partition(0), offset: Offset(offset) };
        ReadingId { place, series: series.to_owned() }
    }

    fn reading(offset: i64, series: &str) -> ReadingSeen {
        ReadingSeen { id: id(offset, series), time: EventTime::MIN, values: vec![1.0] }
    }

    fn forecast(offset: i64, series: &str, origin: &str) -> ForecastSeen {
        ForecastSeen { id: id(offset, series), said: json!({ "origin": origin }) }
    }

    /// The offset, the series, and the origin of the forecast of each row.
    fn rows(join: &mut Join, now: Instant, is_last: bool) -> Vec<(i64, String, Option<String>)> {
        std::iter::from_fn(|| join.next(now, is_last))
            .map(|row| match row {
                Row::Reading(reading, forecast) => {
                    (reading.id.place.offset.0, reading.id.series, forecast.map(|f| f.origin().to_owned()))
                }
                Row::Forecast(f) => (f.id.place.offset.0, f.id.series.clone(), Some(f.origin().to_owned())),
                Row::Bad(_) => panic!("a join has no bad records"),
            })
            .collect()
    }

    #[test]
    fn each_forecast_stands_beside_its_reading_whichever_came_first() {
        let (mut join, now) = (Join::new(WAIT), Instant::now());
        join.forecast(forecast(1, "b", "1b"), now);
        join.reading(reading(0, "a"), now);
        join.reading(reading(1, "a"), now);
        join.reading(reading(1, "b"), now);
        assert_eq!(rows(&mut join, now, false), []);
        join.forecast(forecast(1, "a", "1a"), now);
        join.forecast(forecast(0, "a", "0a"), now);
        let row = |offset, series: &str, origin: &str| (offset, series.to_owned(), Some(origin.to_owned()));
        assert_eq!(rows(&mut join, now, false), [row(0, "a", "0a"), row(1, "a", "1a"), row(1, "b", "1b")]);
        assert!(join.open.is_empty() && join.forecasts.is_empty());
    }

    #[test]
    fn readings_of_one_record_and_series_take_their_forecasts_in_order() {
        let (mut join, now) = (Join::new(WAIT), Instant::now());
        join.reading(reading(0, "a"), now);
        join.reading(reading(0, "a"), now);
        join.forecast(forecast(0, "a", "first"), now);
        join.forecast(forecast(0, "a", "second"), now);
        let origins: Vec<_> = rows(&mut join, now, false).into_iter().map(|row| row.2.unwrap()).collect();
        assert_eq!(origins, ["first", "second"]);
    }

    #[test]
    fn who_waits_in_vain_is_shown_alone_and_keeps_nothing() {
        let (mut join, now) = (Join::new(WAIT), Instant::now());
        join.reading(reading(0, "a"), now);
        join.reading(reading(1, "a"), now);
        join.forecast(forecast(1, "a", "1a"), now);
        join.forecast(forecast(-5, "a", "before"), now);
        assert_eq!(rows(&mut join, now, false), []);
        let found = rows(&mut join, now + WAIT, false);
        assert_eq!(found[0], (0, "a".to_owned(), None));
        assert_eq!(found[1], (1, "a".to_owned(), Some("1a".to_owned())));
        assert_eq!(found[2], (-5, "a".to_owned(), Some("before".to_owned())));
        join.reading(reading(2, "a"), now);
        assert_eq!(rows(&mut join, now, true), [(2, "a".to_owned(), None)]);
        assert!(join.open.is_empty() && join.forecasts.is_empty() && join.readings.is_empty());
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut join, now) = (Join::new(WAIT), Instant::now());
        (0..WAITING_MAX as i64 + 3).for_each(|offset| join.reading(reading(offset, "a"), now));
        let shown: Vec<i64> = rows(&mut join, now, false).into_iter().map(|row| row.0).collect();
        assert_eq!(shown, [0, 1, 2]);
    }
}
