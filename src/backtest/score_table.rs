//! The scores for people, as text.

use super::scores::{ErrorSums, ScoreAxes, Scores};
use crate::console::right_aligned;
use crate::domain::Leads;
use std::fmt::Write;

/// The most series that the table lists one by one.
const SERIES: usize = 20;

/// The least widths of columns: the first one, those of leads, and those over all leads.
const NAME: usize = 16;
const LEAD: usize = 10;
const ALL_LEADS: [usize; 5] = [12, 12, 8, 9, 9];
const ALL_HEADS: [&str; 4] = ["RMSE", "MASE", "skill", "n"];

/// The scores of every expert by lead, of the emitted forecasts, and of each series.
pub(super) fn text<'a>(
    name: &str,
    axes: &ScoreAxes,
    all: &Scores,
    series: impl ExactSizeIterator<Item = (&'a str, &'a Scores)>,
) -> String {
    let (mut out, leads) = (String::new(), Leads::buckets(axes.horizon).learnt().to_vec());
    for (t, target) in axes.targets.iter().enumerate() {
        let unit = axes.units[t].map_or_else(String::new, |unit| format!(", in {unit}"));
        let _ = writeln!(out, "\n{name}: {target}, mean absolute error by lead{unit}");
        let decimals = decimals(axes, all, t);
        let heads = leads.iter().map(ToString::to_string).chain(["all leads".to_owned()]);
        let heads = std::iter::once(String::new()).chain(heads).chain(ALL_HEADS.map(str::to_owned));
        let mut rows = vec![heads.collect::<Vec<_>>()];
        for (expert, name) in axes.names.iter().enumerate() {
            let sums = all.error_sums(axes, expert, t, None);
            if sums.n == 0 {
                continue;
            }
            let mae = |lead: &usize| number(all.error_sums(axes, expert, t, Some(*lead)).mae(), decimals);
            let row = std::iter::once(name.clone()).chain(leads.iter().map(mae));
            rows.push(row.chain(all_leads(&sums, axes, decimals)).collect());
        }
        if rows.len() == 1 {
            let _ = writeln!(out, "{:>NAME$} was scored: no reading came for what was forecast", "nothing");
            continue;
        }
        let widths: Vec<usize> =
            std::iter::once(NAME).chain(leads.iter().map(|_| LEAD)).chain(ALL_LEADS).collect();
        out += &right_aligned(&rows, &widths);
        emitted_scores(&mut out, axes, all, t, decimals);
    }
    by_series(&mut out, axes, all, series);
    out
}

/// The emitted forecasts against the best baseline, their quantiles and intervals.
fn emitted_scores(out: &mut String, axes: &ScoreAxes, all: &Scores, target: usize, decimals: usize) {
    let emitted = all.error_sums(axes, axes.emitted(), target, None);
    if let Some((naive, skill)) = emitted.skill(axes) {
        let _ = writeln!(
            out,
            "{:>16} of what is emitted: {} over \"{naive}\", the best of the naive ones",
            "skill",
            percent(Some(skill))
        );
    }
    if let Some(loss) = all.pinball(axes, target, None) {
        let _ = writeln!(
            out,
            "{:>16} loss, mean over {} levels: {}",
            "pinball",
            axes.levels.len(),
            number(loss, decimals)
        );
    }
    for (nominal, realised) in all.coverage(axes, target, None) {
        let _ = writeln!(out, "{:>16} of {nominal}: {realised:.3}", "coverage");
    }
}

fn by_series<'a>(
    out: &mut String,
    axes: &ScoreAxes,
    all: &Scores,
    series: impl ExactSizeIterator<Item = (&'a str, &'a Scores)>,
) {
    let (n, emitted) = (series.len(), axes.emitted());
    if n < 2 {
        return;
    }
    let _ = writeln!(out, "\nby series, what is emitted over all leads");
    let heads = ["", "target", "MAE"].into_iter().chain(ALL_HEADS).map(str::to_owned);
    let mut rows = vec![heads.collect::<Vec<_>>()];
    for (name, scores) in series.take(SERIES) {
        for t in 0..axes.targets.len() {
            let sums = scores.error_sums(axes, emitted, t, None);
            if sums.n > 0 {
                let scores = all_leads(&sums, axes, decimals(axes, all, t));
                rows.push([name.to_owned(), axes.label(t)].into_iter().chain(scores).collect());
            }
        }
    }
    let widths: Vec<usize> = [24, NAME].into_iter().chain(ALL_LEADS).collect();
    *out += &right_aligned(&rows, &widths);
    if n > SERIES {
        let _ = writeln!(out, "{:>24} and {} more: --json has them all", "", n - SERIES);
    }
}

/// The columns of a score over all leads.
fn all_leads(sums: &ErrorSums, axes: &ScoreAxes, decimals: usize) -> [String; 5] {
    let skill = percent(sums.skill(axes).map(|(_, skill)| skill));
    let (mae, rmse) = (number(sums.mae(), decimals), number(sums.rmse(), decimals));
    [mae, rmse, or_dash(sums.mase(), 3), skill, sums.n.to_string()]
}

/// As many decimals as distinguish a target's errors.
fn decimals(axes: &ScoreAxes, all: &Scores, target: usize) -> usize {
    let error = |expert| all.error_sums(axes, expert, target, None).mae();
    decimals_of((0..axes.names.len()).map(error).filter(|e| *e > 0.0).fold(f64::INFINITY, f64::min))
}

/// As many decimals as give an error of this size three significant digits; at least four.
pub(super) fn decimals_of(error: f64) -> usize {
    if error > 0.0 && error < 0.01 { (2.0 - error.log10().floor()).min(300.0) as usize } else { 4 }
}

/// A number with this many decimals, or in scientific notation where that would be too long.
pub(super) fn number(value: f64, decimals: usize) -> String {
    match value {
        value if value.is_nan() => "–".to_owned(),
        value if value != 0.0 && (value.abs() >= 1e12 || decimals > 9) => format!("{value:.4e}"),
        value => format!("{value:.decimals$}"),
    }
}

pub(super) fn or_dash(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.decimals$}"))
}

/// `0.123` as `12.3 %`.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |s| format!("{:.1} %", 100.0 * s))
}
