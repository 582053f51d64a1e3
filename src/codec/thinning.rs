//! Which leads of a forecast are sent.

use crate::config::Stream;

/// Takes the leads that are sent from rows of all of them.
pub(super) struct Thinning {
    /// Leads from 1 on, ascending; `None` for all.
    leads: Option<Vec<usize>>,
    horizon: usize,
    /// A row's values at these leads.
    row: Vec<f64>,
}

impl Thinning {
    pub fn new(stream: &Stream) -> Self {
        Self { leads: stream.output.leads.clone(), horizon: stream.horizon, row: Vec::new() }
    }

    /// How many leads are sent of a forecast that has `horizon` leads.
    pub fn count(&self, horizon: usize) -> usize {
        match &self.leads {
            Some(leads) => leads.partition_point(|lead| *lead <= horizon),
            None => horizon,
        }
    }

    /// How many leads are sent of each forecast of the stream.
    pub fn most(&self) -> usize {
        self.count(self.horizon)
    }

    /// The lead at a place among those that are sent.
    pub fn lead(&self, at: usize) -> usize {
        self.leads.as_ref().map_or(at + 1, |leads| leads[at])
    }

    /// Of a row with a value for each lead, the first `count` that are sent.
    pub fn of<'a>(&'a mut self, row: &'a [f64], count: usize) -> &'a [f64] {
        let Some(leads) = &self.leads else { return &row[..count] };
        self.row.clear();
        self.row.extend(leads[..count].iter().map(|lead| row[lead - 1]));
        &self.row
    }
}
