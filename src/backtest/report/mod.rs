//! A run as one page, without scripts or external files, for light and dark screens.

mod charts;
mod parts;

use super::comparison::Comparison;
use super::finished_run::FinishedRun;
use crate::chart::escape;
use crate::domain::{EventTime, Grid};
pub(super) use charts::ReportCharts;
use jiff::Timestamp;
use parts::{compared, emitted_table, facts, scores_table, series_table, target_charts};

const STYLE: &str = include_str!("page.css");

/// The page of the first config's run. `second` is the run that it was compared with.
pub(super) fn page(
    run: &FinishedRun,
    charts: &ReportCharts,
    data: &str,
    second: Option<&FinishedRun>,
    comparison: Option<&Comparison>,
    labels: &[String],
) -> String {
    let (axes, all) = (&run.auditor.axes, run.auditor.scores());
    let title = escape(&format!("{} on {data}", run.stream.name));
    let mut body =
        format!("<header><h1>{title}</h1>\n<p>{}</p></header>\n<main>\n", escape(&summary(run, labels)));
    let labels_of: Vec<String> = (0..axes.targets.len()).map(|t| axes.label(t)).collect();
    for (t, target) in labels_of.iter().enumerate() {
        body += &facts(axes, &all, t, target);
    }
    if let (Some(comparison), Some(second)) = (comparison, second) {
        body += &compared(comparison, run, second, labels);
    }
    body += &section(
        "Forecasts",
        "What the last readings looked like, and what was said of them.",
        &pairs(charts.fans()),
    );
    if !charts.missing().is_empty() {
        body +=
            &format!("<p class=\"note\">No series is called {}.</p>\n", escape(&charts.missing().join(", ")));
    }
    for (t, target) in labels_of.iter().enumerate() {
        let charts = target_charts(axes, &all, t, target);
        body += &section(
            &format!("{target}: errors and calibration"),
            "Of every forecast that was scored, before its target was learnt from.",
            &charts,
        );
    }
    body += &section(
        "Who was trusted",
        "The mixture updates its weights with each reading, for each series and lead.",
        &pairs(charts.weights(&run.auditor)),
    );
    for (t, target) in labels_of.iter().enumerate() {
        let tables = scores_table(axes, &all, t) + &emitted_table(axes, &all, t);
        body += &section(&format!("{target}: all scores"), "", &tables);
    }
    if run.auditor.series().len() > 1 {
        body += &section("By series", "What was emitted, over all leads.", &series_table(run));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{title}: backtest</title>\n\
         <style>{STYLE}</style></head>\n<body>\n{body}</main>\n\
         <footer><p>tidecast {} backtest. MASE: absolute error over that of the \
         seasonal naive in all readings before. \
         Skill: by how much the mean absolute error lies \
         below that of the best naive forecast. \
         Pinball: the mean loss of the quantiles.</p></footer>\n</body></html>\n",
        env!("CARGO_PKG_VERSION"),
    )
}

/// What was run, in one line.
fn summary(run: &FinishedRun, labels: &[String]) -> String {
    let (stream, tally, counts) = (&run.stream, &run.tally, &run.counts);
    let series = run.auditor.series().len();
    let every = match stream.grid {
        Grid::Fixed(interval) => format!("{} apart", span(interval.as_seconds())),
        Grid::Irregular => "at any time".to_owned(),
    };
    let when =
        tally.span.map_or_else(String::new, |(first, last)| format!(", {} to {}", day(first), day(last)));
    let network = if stream.training.enabled {
        format!(
            "{} training rounds, {} promoted, seed {}",
            counts.rounds, counts.promoted, stream.training.seed
        )
    } else {
        "no network".to_owned()
    };
    format!(
        "{} readings of {series} series, {every}{when}; {} leads ahead; {network}; {}",
        grouped(tally.readings),
        stream.horizon,
        labels[0],
    )
}

fn day(time: EventTime) -> String {
    Timestamp::from(time).strftime("%Y-%m-%d").to_string()
}

/// `3600` seconds as `1 h`.
fn span(seconds: f64) -> String {
    let units = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min")];
    let unit = units.into_iter().find(|(length, _)| seconds % length == 0.0);
    let (length, name) = unit.unwrap_or((1.0, "s"));
    format!("{} {name}", seconds / length)
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn section(title: &str, note: &str, inner: &str) -> String {
    let note = if note.is_empty() { String::new() } else { format!("<p class=\"note\">{note}</p>\n") };
    format!("<section><h2>{}</h2>\n{note}{inner}</section>\n", escape(title))
}

/// Charts side by side, where there is room.
fn pairs(charts: Vec<String>) -> String {
    let figures: String = charts.iter().map(|svg| format!("<figure>{svg}</figure>\n")).collect();
    format!("<div class=\"pairs\">{figures}</div>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_as_people_tell_them() {
        assert_eq!([3_600.0, 86_400.0, 900.0, 1.5].map(span), ["1 h", "1 d", "15 min", "1.5 s"]);
        assert_eq!([7, 1_234, 1_234_567].map(grouped), ["7", "1,234", "1,234,567"]);
    }
}
