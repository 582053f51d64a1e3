//! Covariates that are known ahead, taken from a file's later rows. In Kafka a sensor's record carries them.

use super::rows::{Table, Wanted};
use crate::codec::Decoder;
use crate::config::Stream;
use crate::console::Failure;
use crate::domain::{Grid, Reading, Values};
use std::collections::HashMap;

/// A cell, and the value of each covariate.
type CovariatesAt = (i64, Box<[f64]>);

/// The values of the covariates that are known ahead, by series, in the order of their cells.
pub(super) struct KnownAhead {
    grid: Grid,
    known: Vec<usize>,
    width: usize,
    horizon: usize,
    series: HashMap<Box<str>, Vec<CovariatesAt>>,
    values: Values,
}

impl KnownAhead {
    /// Reads the file once, if any covariate is known ahead.
    pub fn read(table: &Table, key: &str, stream: &Stream) -> Result<Self, Failure> {
        let known: Vec<usize> = stream.known_ahead.iter().map(|k| stream.targets.len() + k).collect();
        let mut known_ahead = Self {
            grid: stream.grid,
            known,
            width: stream.width(),
            horizon: stream.horizon,
            series: HashMap::new(),
            values: Values::default(),
        };
        if known_ahead.known.is_empty() {
            return Ok(known_ahead);
        }
        let (mut decoder, mut rows) = (Decoder::of_elements(stream), table.rows(&Wanted::new([stream]))?);
        while let Some(row) = rows.next()? {
            // The run reports bad rows.
            let _ = decoder.decode(&row.record("", key, 0), &mut |reading| known_ahead.note(&reading));
        }
        known_ahead.series.values_mut().for_each(|cells| cells.sort_by_key(|(cell, _)| *cell));
        Ok(known_ahead)
    }

    fn note(&mut self, reading: &Reading<'_>) {
        let values = reading.values.as_slice();
        let told = self.known.iter().map(|column| values[*column]).collect();
        let cell = self.grid.cell(reading.time);
        self.series.entry(reading.series.into()).or_default().push((cell, told));
    }

    /// The reading's values. Where its record says nothing of a lead, the value comes from the file's later rows.
    pub fn complete(&mut self, reading: &Reading<'_>) -> &Values {
        let from = reading.values.as_slice();
        let cells = self.series.get(reading.series).map_or(&[][..], Vec::as_slice);
        let cell = self.grid.cell(reading.time);
        let at = cells.partition_point(|(c, _)| *c <= cell);
        let later = |lead: usize| match self.grid {
            // The readings that follow, at whatever times.
            Grid::Irregular => cells.get(at + lead - 1),
            Grid::Fixed(_) => {
                let wanted = cell + lead as i64;
                let found = cells[at..].partition_point(|(c, _)| *c < wanted);
                cells.get(at + found).filter(|(c, _)| *c == wanted)
            }
        };
        self.values.clear();
        from[..self.width].iter().for_each(|v| self.values.push(Some(*v)));
        for known in 0..self.known.len() {
            for lead in 1..=self.horizon {
                let given = from[self.width + known * self.horizon + lead - 1];
                let told =
                    if given.is_nan() { later(lead).map(|(_, told)| told[known]) } else { Some(given) };
                self.values.push(told);
            }
        }
        &self.values
    }
}
