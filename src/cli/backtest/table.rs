//! The scores for people, as text.

use super::scores::{Cell, Frame, Scores};
use crate::domain::Leads;
use std::fmt::Write;

/// Series that are told one by one.
const SERIES: usize = 20;

/// Scores of every expert by lead, of what was emitted, and of the series.
pub(super) fn table<'a>(
    name: &str,
    frame: &Frame,
    all: &Scores,
    series: impl ExactSizeIterator<Item = (&'a str, &'a Scores)>,
) -> String {
    let (mut out, leads) = (String::new(), Leads::buckets(frame.horizon).learnt().to_vec());
    for (t, target) in frame.targets.iter().enumerate() {
        let _ = writeln!(out, "\n{name}: {target}, mean absolute error by lead");
        let heads: String = leads.iter().map(|l| format!("{l:>10}")).collect();
        let _ = writeln!(
            out,
            "{:>16}{heads}{:>12}{:>12}{:>8}{:>9}{:>9}",
            "", "all leads", "RMSE", "MASE", "skill", "n"
        );
        for (expert, name) in frame.names.iter().enumerate() {
            let cell = all.cell(frame, expert, t, None);
            if cell.n == 0 {
                continue;
            }
            let mae = |lead: &usize| format!("{:>10.4}", all.cell(frame, expert, t, Some(*lead)).mae());
            let cells: String = leads.iter().map(mae).collect();
            let _ = writeln!(out, "{name:>16}{cells}{}", all_leads(&cell, frame));
        }
        told(&mut out, frame, all, t);
    }
    by_series(&mut out, frame, series);
    out
}

/// What is emitted beside the best baseline, its quantiles and intervals.
fn told(out: &mut String, frame: &Frame, all: &Scores, target: usize) {
    let emitted = all.cell(frame, frame.emitted(), target, None);
    if let Some((naive, skill)) = emitted.skill(frame) {
        let _ = writeln!(
            out,
            "{:>16} of what is emitted: {} over \"{naive}\", the best of the naive ones",
            "skill",
            percent(Some(skill))
        );
    }
    if let Some(loss) = all.pinball(frame, target, None) {
        let _ = writeln!(out, "{:>16} loss, mean over {} levels: {loss:.4}", "pinball", frame.levels.len());
    }
    for (nominal, realised) in all.coverage(frame, target, None) {
        let _ = writeln!(out, "{:>16} of {nominal}: {realised:.3}", "coverage");
    }
}

fn by_series<'a>(
    out: &mut String,
    frame: &Frame,
    series: impl ExactSizeIterator<Item = (&'a str, &'a Scores)>,
) {
    let (n, emitted) = (series.len(), frame.emitted());
    if n < 2 {
        return;
    }
    let _ = writeln!(out, "\nby series, what is emitted over all leads");
    let _ = writeln!(
        out,
        "{:>24}{:>16}{:>12}{:>12}{:>8}{:>9}{:>9}",
        "", "target", "MAE", "RMSE", "MASE", "skill", "n"
    );
    for (name, scores) in series.take(SERIES) {
        for (t, target) in frame.targets.iter().enumerate() {
            let cell = scores.cell(frame, emitted, t, None);
            if cell.n > 0 {
                let _ = writeln!(out, "{name:>24}{target:>16}{}", all_leads(&cell, frame));
            }
        }
    }
    if n > SERIES {
        let _ = writeln!(out, "{:>24} and {} more: --json has them all", "", n - SERIES);
    }
}

/// The columns of a score over all leads.
fn all_leads(cell: &Cell, frame: &Frame) -> String {
    let skill = percent(cell.skill(frame).map(|(_, skill)| skill));
    let (mae, rmse, mase) = (cell.mae(), cell.rmse(), or_dash(cell.mase(), 3));
    format!("{mae:>12.4}{rmse:>12.4}{mase:>8}{skill:>9}{:>9}", cell.n)
}

pub(super) fn or_dash(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.decimals$}"))
}

/// `0.123` as `12.3 %`.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |s| format!("{:.1} %", 100.0 * s))
}
