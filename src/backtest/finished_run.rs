use super::auditor::Auditor;
use super::forecasts::ForecastFile;
use super::learner::RoundCounts;
use super::report::ReportCharts;
use super::tally::Tally;
use crate::codec::MissingValues;
use crate::config::Stream;
use std::sync::Arc;

/// One config that has come to the end of the file.
pub(super) struct FinishedRun {
    pub stream: Arc<Stream>,
    pub auditor: Auditor,
    pub tally: Tally,
    pub charts: Option<ReportCharts>,
    pub file: Option<ForecastFile>,
    pub counts: RoundCounts,
    /// Values that are missing though something stands in their column.
    pub missing: MissingValues,
    /// The unit of a row's number.
    pub unit: &'static str,
}

impl FinishedRun {
    /// Checks that there is a score.
    ///
    /// # Errors
    /// When no reading was taken, or no forecast was scored. The message says what happened to the rows.
    pub fn check(&self) -> Result<(), String> {
        let Tally { rows, readings, discards, .. } = &self.tally;
        let discarded = match discards.text() {
            none if none.is_empty() => "; nothing was discarded".to_owned(),
            text => format!("; {} were discarded:{text}", discards.total()),
        };
        if *readings == 0 {
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
    pub fn warnings(&self, is_sorted: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.missing.is_empty() {
            warnings.push(format!(
                "values that are missing though something stands in their column: {}",
                self.missing
            ));
        }
        if let Some((n, first)) = self.tally.back
            && !is_sorted
        {
            warnings.push(format!(
                "{n} row(s) go back in time, the first is {} {first}: if the file holds one series after \
                 the other, say --sort",
                self.unit
            ));
        }
        warnings
    }

    /// What was run, for people.
    pub fn summary(&self) -> String {
        let (tally, counts) = (&self.tally, &self.counts);
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
}
