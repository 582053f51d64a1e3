//! What a backtest leaves behind: a table, a file of forecasts, a page; and its progress on the way.

use super::score::Judge;
use crate::cli::Failure;
use crate::config::Stream;
use crate::domain::{EventTime, Forecast, Grid, Leads, Level};
use crate::engine::Emitted;
use crate::http::{ErrorChart, FanChart, error_by_lead, escape, fan};
use crate::telemetry::ShownForecast;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, IsTerminal};
use std::path::Path;
use std::sync::Arc;

/// Plain lines say how far it is this often.
const LINES: u64 = 10;

/// A bar on a terminal, plain lines elsewhere; on standard error.
pub(super) struct Progress {
    bar: Option<indicatif::ProgressBar>,
    total: u64,
}

impl Progress {
    pub fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = indicatif::ProgressBar::new(total);
            let style =
                indicatif::ProgressStyle::with_template("{bar:40} {pos}/{len} rows  {msg}  {eta} left");
            bar.set_style(style.expect("the template is right"));
            bar
        });
        Self { bar, total }
    }

    pub fn at(&self, row: u64, rounds: u64) {
        match &self.bar {
            Some(bar) if row.is_multiple_of(64) => {
                bar.set_message(format!("{rounds} training rounds"));
                bar.set_position(row);
            }
            None if row.is_multiple_of((self.total / LINES).max(1)) => {
                eprintln!("{row}/{} rows, {rounds} training rounds", self.total);
            }
            _ => {}
        }
    }

    pub fn done(&self) {
        self.bar.iter().for_each(indicatif::ProgressBar::finish_and_clear);
    }
}

/// Prints the scores for people: per target, mean absolute error and root mean square by lead.
pub(super) fn table(stream: &Stream, judge: &Judge) {
    let leads = Leads::buckets(stream.horizon).learnt().to_vec();
    for (t, target) in stream.targets.iter().enumerate() {
        println!("\n{}: {target}, mean absolute error by lead", stream.name);
        let heads: String = leads.iter().map(|l| format!("{l:>10}")).collect();
        println!("{:>16}{heads}{:>12}{:>12}{:>8}{:>9}", "", "all leads", "RMSE", "MASE", "n");
        for (expert, name) in judge.names().iter().enumerate() {
            let all = judge.cell(expert, t, None);
            if all.n == 0 {
                continue;
            }
            let cells: String =
                leads.iter().map(|l| format!("{:>10.4}", judge.cell(expert, t, Some(*l)).mae())).collect();
            let mase = all.mase().map_or_else(|| "–".to_owned(), |m| format!("{m:.3}"));
            println!("{name:>16}{cells}{:>12.4}{:>12.4}{mase:>8}{:>9}", all.mae(), all.rmse(), all.n);
        }
        let coverage = judge.coverage(&judge.cell(judge.emitted(), t, None));
        for (nominal, realised) in &coverage {
            println!("{:>16} of {nominal}: {:.3}", "coverage", realised.as_f64().unwrap_or(f64::NAN));
        }
    }
    println!();
}

/// The times that a forecast speaks of; on an irregular stream there are none, and the origin stands
/// for all.
fn due(stream: &Stream, origin: EventTime) -> Vec<EventTime> {
    let step = match stream.grid {
        Grid::Fixed(interval) => interval.as_micros(),
        Grid::Irregular => 0,
    };
    (1..=stream.horizon as i64).map(|lead| origin.offset_by(lead * step)).collect()
}

/// A CSV of forecasts.
pub(super) struct ForecastFile {
    writer: csv::Writer<BufWriter<File>>,
    stream: Arc<Stream>,
}

impl ForecastFile {
    pub fn create(path: &Path, stream: &Arc<Stream>) -> Result<Self, Failure> {
        let failed = |e: &dyn std::fmt::Display| Failure::new(format!("{}: {e}", path.display()));
        let file = File::create(path).map_err(|e| failed(&e))?;
        let mut writer = csv::Writer::from_writer(BufWriter::new(file));
        let fixed = ["series", "target", "origin", "lead", "time", "yhat"].map(str::to_owned);
        let header = fixed.into_iter().chain(stream.levels.iter().map(|l| format!("q{l}")));
        writer.write_record(header).map_err(|e| failed(&e))?;
        Ok(Self { writer, stream: stream.clone() })
    }

    pub fn write(&mut self, emitted: &Emitted<'_>) -> Result<(), Failure> {
        let (h, origin) = (self.stream.horizon, emitted.forecast.origin);
        let times = due(&self.stream, origin);
        for (name, target) in self.stream.targets.iter().zip(&emitted.forecast.targets) {
            for (i, (time, yhat)) in times.iter().zip(&target.yhat).enumerate() {
                let number = |v: f64| format!("{v:.0$}", usize::from(target.decimals));
                let fixed = [
                    emitted.series.to_owned(),
                    name.clone(),
                    origin.to_string(),
                    (i + 1).to_string(),
                    time.to_string(),
                    number(*yhat),
                ];
                let quantiles = target.quantiles.iter().skip(i).step_by(h).map(|q| number(*q));
                self.writer.write_record(fixed.into_iter().chain(quantiles)).map_err(Failure::new)?;
            }
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(Failure::new)
    }
}

/// Series that a report shows.
const SHOWN_SERIES: usize = 4;
/// Readings that a fan chart shows.
const SHOWN_READINGS: usize = 160;

/// The last readings and forecasts of the first few series, for the report.
pub(super) struct Shown {
    stream: Arc<Stream>,
    series: Vec<(String, VecDeque<Forecast>)>,
}

impl Shown {
    pub fn new(stream: &Arc<Stream>) -> Self {
        Self { stream: stream.clone(), series: Vec::new() }
    }

    pub fn keep(&mut self, emitted: &Emitted<'_>) {
        let at = match self.series.iter().position(|(name, _)| name == emitted.series) {
            Some(at) => at,
            None if self.series.len() < SHOWN_SERIES => {
                self.series.push((emitted.series.to_owned(), VecDeque::new()));
                self.series.len() - 1
            }
            None => return,
        };
        let forecasts = &mut self.series[at].1;
        if forecasts.len() > SHOWN_READINGS + self.stream.horizon {
            forecasts.pop_front();
        }
        forecasts.push_back(emitted.forecast.clone());
    }

    /// A chart of the last forecast, and one of a forecast whose targets have all come.
    fn charts(&self) -> Vec<String> {
        let mut charts = Vec::new();
        for (series, forecasts) in &self.series {
            for (t, target) in self.stream.targets.iter().enumerate() {
                let readings: Vec<(EventTime, f64)> =
                    forecasts.iter().map(|f| (f.origin, f.targets[t].last.unwrap_or(f64::NAN))).collect();
                for back in [self.stream.horizon, 0] {
                    let Some(forecast) = forecasts.len().checked_sub(back + 1).map(|i| &forecasts[i]) else {
                        continue;
                    };
                    let shown = ShownForecast {
                        origin: forecast.origin,
                        times: due(&self.stream, forecast.origin),
                        yhat: forecast.targets[t].yhat.clone(),
                        levels: self.stream.levels.iter().map(Level::get).collect(),
                        quantiles: forecast.targets[t].quantiles.clone(),
                    };
                    let when = if back == 0 { "now" } else { "and what came" };
                    charts.push(fan(&FanChart {
                        title: &format!("{series}: {target}, {when}"),
                        readings: &readings,
                        forecast: Some(&shown),
                        zone: &self.stream.time_zone,
                    }));
                }
            }
        }
        charts
    }
}

/// Writes a page: fan charts, and error by lead for every expert.
pub(super) fn report(
    path: &Path,
    stream: &Stream,
    judge: &Judge,
    shown: &Shown,
    data: &str,
) -> Result<(), Failure> {
    let leads: Vec<usize> = (1..=stream.horizon).collect();
    let mut charts = shown.charts();
    for (t, target) in stream.targets.iter().enumerate() {
        // What was emitted comes first: it is drawn the strongest.
        let experts: Vec<(String, Vec<f64>)> = judge
            .names()
            .iter()
            .enumerate()
            .rev()
            .filter(|(expert, _)| judge.cell(*expert, t, None).n > 0)
            .map(|(expert, name)| {
                let errors = leads.iter().map(|lead| judge.cell(expert, t, Some(*lead)).mae());
                ((*name).to_owned(), errors.collect())
            })
            .collect();
        charts.push(error_by_lead(&ErrorChart {
            title: &format!("{target}: error by lead"),
            measure: "mean absolute error",
            leads: &leads,
            experts: &experts,
        }));
    }
    let title = escape(&format!("{}: backtest on {data}", stream.name));
    let charts: String = charts.iter().map(|svg| format!("<figure>{svg}</figure>\n")).collect();
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>:root{{color-scheme:light dark}}body{{max-width:46rem;margin:2rem auto;padding:0 1rem;\
         font:16px/1.5 system-ui,sans-serif}}figure{{margin:2rem 0}}svg{{width:100%;height:auto}}</style>\n\
         <h1>{title}</h1>\n{charts}</html>\n"
    );
    std::fs::write(path, page).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
}
