use super::comparison::Comparison;
use super::finished_run::FinishedRun;
use super::forecasts::ForecastFile;
use super::{json, report, score_table};
use crate::console::Failure;
use std::fmt::Write;

/// A backtest that has come to the end of its file.
pub(crate) struct Finished {
    /// The name of the file.
    pub(super) data: String,
    /// Of one config, or of two that are compared.
    pub(super) runs: Vec<FinishedRun>,
    /// What the configs are called.
    pub(super) labels: Vec<String>,
    pub(super) comparison: Option<Comparison>,
    pub(super) warnings: Vec<String>,
}

impl Finished {
    /// What may be wrong with the file, a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Readings that the first config took.
    pub fn readings(&self) -> u64 {
        self.runs[0].tally.readings
    }

    /// Checks that there is something to show.
    ///
    /// # Errors
    /// When a config took no reading, or none of its forecasts was scored.
    pub fn check(&self) -> Result<(), Failure> {
        let mut runs = self.runs.iter().zip(&self.labels);
        runs.try_for_each(|(run, label)| {
            run.check().map_err(|empty| Failure::new(format!("{label}: {empty}")))
        })
    }

    /// The scores for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (run, label) in self.runs.iter().zip(&self.labels) {
            if self.runs.len() > 1 {
                let _ = writeln!(out, "{label}");
            }
            let auditor = &run.auditor;
            out += &score_table::text(
                run.stream.name.as_str(),
                &auditor.axes,
                &auditor.scores(),
                auditor.series(),
            );
            let _ = writeln!(out, "\n{}", run.summary());
        }
        if let Some(comparison) = &self.comparison {
            let _ = write!(out, "\n{}", comparison.text(&self.labels[0], &self.labels[1]));
        }
        out
    }

    /// Writes what the file of forecasts still holds back.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn flush_forecasts(&mut self) -> Result<(), Failure> {
        self.runs[0].file.take().map_or(Ok(()), ForecastFile::finish)
    }

    /// The scores for machines. Except for `seconds`, file, configs and seed determine the bytes.
    pub fn json(&self, seconds: f64) -> String {
        json::json(&self.runs, self.comparison.as_ref(), &self.labels, seconds)
    }

    /// The scores as a page with charts; `None` without [`Settings::charts`](super::Settings::charts).
    pub fn page(&self) -> Option<String> {
        let Self { data, runs, labels, comparison, .. } = self;
        let charts = runs[0].charts.as_ref()?;
        Some(report::page(&runs[0], charts, data, runs.get(1), comparison.as_ref(), labels))
    }
}
