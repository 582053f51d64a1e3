use super::Settings;
use super::auditor::Auditor;
use super::comparison::Comparison;
use super::finished::Finished;
use super::forecasts::ForecastFile;
use super::known_ahead::KnownAhead;
use super::observer::Observer;
use super::plan::{Plan, PositionNames};
use super::report::ReportCharts;
use super::rows::{Table, Wanted};
use super::run::Run;
use super::source::Source;
use crate::config::Config;
use crate::console::Failure;

/// How often a report looks at the weights, over the whole file.
const MOMENTS: u64 = 240;

/// One config, or two that are compared, over the rows of a file.
pub(crate) struct Backtest {
    data: String,
    runs: Vec<Run>,
    labels: Vec<String>,
    comparison: Option<Comparison>,
    source: Source,
    total: u64,
    row_count: u64,
    is_sorted: bool,
}

impl Backtest {
    /// Looks at the file, and starts a worker for each config. A config comes with what it is called.
    ///
    /// # Errors
    /// When the file can't be read or lacks a column, or a config does not have the stream.
    pub fn begin(settings: &Settings, configs: Vec<(String, Config)>) -> Result<Self, Failure> {
        let data = settings.data.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let labels: Vec<String> = configs.iter().map(|(label, _)| label.clone()).collect();
        let is_compared = configs.len() > 1;
        let plans =
            configs.into_iter().map(|(label, config)| Plan::new(settings, &label, config, is_compared));
        let plans = plans.collect::<Result<Vec<_>, Failure>>()?;
        let wanted = Wanted::new(plans.iter().map(Plan::stream));
        let table = Table::look(&settings.data, &settings.csv, &wanted)?;
        let position = plans.iter().find_map(Plan::position);
        let runs = plans.into_iter().map(|plan| run(settings, plan, &table, &data, position.as_ref()));
        let runs = runs.collect::<Result<Vec<_>, Failure>>()?;
        let total = table.count()?;
        let comparison = match &runs[..] {
            [first, second] => Some(compare(&first.observer().auditor, &second.observer().auditor)?),
            _ => None,
        };
        let mut first = runs[0].observer_mut();
        let file = settings.forecasts.as_deref();
        first.file = file.map(|path| ForecastFile::create(path, &first.stream)).transpose()?;
        first.charts = settings.charts.as_ref().map(|series| ReportCharts::new(&first.stream, series));
        drop(first);
        let streams: Vec<_> = runs.iter().map(|run| run.observer().stream.clone()).collect();
        let source = Source::open(settings.is_sorted, &table, &streams)?;
        let is_sorted = settings.is_sorted;
        Ok(Self { data, runs, labels, comparison, source, total, row_count: 0, is_sorted })
    }

    /// Takes the next row. False at the end of the file.
    ///
    /// # Errors
    /// When the file can't be read on, a round fails, or the file of forecasts can't be written.
    pub fn step(&mut self) -> Result<bool, Failure> {
        let Self { runs, comparison, source, .. } = self;
        let Some(row) = source.next()? else { return Ok(false) };
        for run in &mut *runs {
            run.record(&row)?;
        }
        if let (Some(comparison), [first, second]) = (comparison, &runs[..]) {
            comparison.add(&first.observer().auditor, &second.observer().auditor);
        }
        self.row_count += 1;
        if self.row_count.is_multiple_of((self.total / MOMENTS).max(1)) {
            self.runs[0].note_weights();
        }
        Ok(true)
    }

    /// The rows of the file.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The rows that were taken.
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    /// Training rounds of the first config.
    pub fn training_rounds(&self) -> u64 {
        self.runs[0].training_rounds()
    }

    /// Ends the run at the end of the file.
    pub fn finish(self) -> Finished {
        let Self { data, runs, labels, comparison, source, is_sorted, .. } = self;
        let mut warnings = source.notes();
        let runs: Vec<_> = runs.into_iter().map(Run::finish).collect();
        warnings.extend(runs[0].warnings(is_sorted));
        Finished { data, runs, labels, comparison, warnings }
    }
}

/// `position` names the targets whose errors are taken in metres. It is of this config, or of the one that it
/// is compared with.
fn run(
    settings: &Settings,
    plan: Plan,
    table: &Table,
    data: &str,
    position: Option<&PositionNames>,
) -> Result<Run, Failure> {
    let config = plan.settle(settings, table, data)?;
    let stream = config.streams[0].clone();
    let position = position.and_then(|names| names.among(&stream.targets));
    let auditor = Auditor::new(stream.clone(), position, settings.score_from, settings.score_every);
    let known_ahead = KnownAhead::read(table, data, &stream)?;
    Run::start(config, Observer::new(stream, auditor, known_ahead, table.row()), data)
}

fn compare(first: &Auditor, second: &Auditor) -> Result<Comparison, Failure> {
    let comparison = Comparison::new(first, second);
    if !comparison.is_possible() {
        return Err(Failure::new("the two configs have no target in common, so there is nothing to compare"));
    }
    Ok(comparison)
}
