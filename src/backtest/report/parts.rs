//! The parts of a page.

use super::{pairs, section};
use crate::backtest::comparison::{CONFIDENCE, Comparison, LOSSES, p_value};
use crate::backtest::finished_run::FinishedRun;
use crate::backtest::score_table::{self, or_dash};
use crate::backtest::scores::{ScoreAxes, Scores};
use crate::chart::{
    CalibrationChart, DifferenceChart, ErrorChart, calibration, difference_by_lead, error_by_lead, escape,
};
use crate::domain::Leads;
use crate::engine::EXPERTS;

/// The most lines of an error chart, with the emitted forecasts and the baselines.
const LINES: usize = 8;
/// The most series that a page lists.
const SERIES: usize = 200;

/// The main scores of one target.
pub(super) fn facts(axes: &ScoreAxes, all: &Scores, target: usize, name: &str) -> String {
    let sums = all.error_sums(axes, axes.emitted(), target, None);
    if sums.n == 0 {
        return format!("<p class=\"note\">{}: no forecast was scored.</p>\n", escape(name));
    }
    let mut items = vec![
        ("target".to_owned(), escape(name)),
        ("mean absolute error".to_owned(), figure(sums.mae())),
        ("root mean square".to_owned(), figure(sums.rmse())),
        ("MASE".to_owned(), or_dash(sums.mase(), 3)),
    ];
    if let Some((naive, skill)) = sums.skill(axes) {
        items.push((format!("skill over {}", naive_name(naive)), percent(Some(skill))));
    }
    for (nominal, realised) in all.coverage(axes, target, None) {
        items.push((format!("coverage of {} %", 100.0 * nominal), percent(Some(realised))));
    }
    items.push(("scored".to_owned(), super::grouped(sums.n)));
    let items: String =
        items.iter().map(|(what, value)| format!("<div><dt>{what}</dt><dd>{value}</dd></div>")).collect();
    format!("<dl class=\"facts\">{items}</dl>\n")
}

fn naive_name(name: &str) -> &str {
    match name {
        "last" => "the last value",
        "seasonal" => "the seasonal naive",
        other => other,
    }
}

/// Error by lead, calibration, coverage by lead.
pub(super) fn target_charts(axes: &ScoreAxes, all: &Scores, target: usize, name: &str) -> String {
    let leads: Vec<usize> = (1..=axes.horizon).collect();
    let mae =
        |expert: usize| leads.iter().map(|l| all.error_sums(axes, expert, target, Some(*l)).mae()).collect();
    let experts: Vec<(String, Vec<f64>)> = drawn(axes, all, target)
        .into_iter()
        .map(|expert| (axes.names[expert].clone(), mae(expert)))
        .collect();
    let errors = error_by_lead(&ErrorChart {
        title: &format!("{name}: error by lead"),
        measure: "mean absolute error; what is emitted is \"mixture\"",
        leads: &leads,
        experts: &experts,
        marks: &[],
        shown: &[],
    });
    let intervals = axes.intervals();
    let coverage: Vec<Vec<(f64, f64)>> =
        leads.iter().map(|lead| all.coverage(axes, target, Some(*lead))).collect();
    let lines: Vec<(String, Vec<f64>)> = intervals
        .iter()
        .enumerate()
        .map(|(i, (nominal, ..))| {
            let of = coverage.iter().map(|at| at.get(i).map_or(f64::NAN, |(_, realised)| *realised));
            (format!("{} %", 100.0 * nominal), of.collect())
        })
        .collect();
    let marks: Vec<f64> = intervals.iter().map(|(nominal, ..)| *nominal).collect();
    // A fixed scale, so that a small deviation looks small.
    let shown = [marks.iter().copied().fold(1.0, f64::min) - 0.1, 1.0];
    let covered = error_by_lead(&ErrorChart {
        title: &format!("{name}: coverage by lead"),
        measure: "share of values inside each interval; dashed: nominal",
        leads: &leads,
        experts: &lines,
        marks: &marks,
        shown: &shown,
    });
    let square = calibration(&CalibrationChart {
        title: &format!("{name}: calibration"),
        lines: &shares(axes, all, target),
    });
    format!(
        "<div class=\"parts\"><figure>{errors}</figure>\n<figure>{covered}</figure>\n\
         <figure class=\"square\">{square}</figure></div>\n"
    )
}

/// The experts that are drawn: the emitted forecasts, the baselines, the networks, then the best of those that
/// are better than the baselines.
fn drawn(axes: &ScoreAxes, all: &Scores, target: usize) -> Vec<usize> {
    let error = |expert: usize| {
        let sums = all.error_sums(axes, expert, target, None);
        (sums.n > 0).then(|| sums.mae())
    };
    let mut ranked: Vec<(f64, usize)> =
        (0..axes.names.len()).filter_map(|expert| Some((error(expert)?, expert))).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut chosen = vec![axes.emitted()];
    chosen.extend(axes.naive());
    chosen.extend(axes.networks());
    chosen.retain(|expert| error(*expert).is_some());
    let naive = axes.naive().iter().filter_map(|expert| error(*expert)).fold(f64::INFINITY, f64::min);
    for (_, expert) in ranked.into_iter().filter(|(error, _)| *error < naive) {
        if chosen.len() < LINES && !chosen.contains(&expert) && axes.names[expert] != EXPERTS {
            chosen.push(expert);
        }
    }
    chosen
}

/// Nominal and realised shares: over all leads, at the first lead, and at the horizon.
fn shares(axes: &ScoreAxes, all: &Scores, target: usize) -> Vec<(String, Vec<(f64, f64)>)> {
    let mut lines = vec![("all leads".to_owned(), None), ("lead 1".to_owned(), Some(1))];
    if axes.horizon > 1 {
        lines.push((format!("lead {}", axes.horizon), Some(axes.horizon)));
    }
    let at = |lead: Option<usize>| {
        let levels = axes.levels.iter().enumerate();
        levels
            .filter_map(move |(l, level)| Some((*level, all.quantile_sums(axes, target, l, lead).share()?)))
            .collect()
    };
    lines.into_iter().map(|(name, lead)| (name, at(lead))).collect()
}

/// The scores of every expert, over all leads and by lead.
pub(super) fn scores_table(axes: &ScoreAxes, all: &Scores, target: usize) -> String {
    let leads = Leads::buckets(axes.horizon).learnt().to_vec();
    let judged: Vec<usize> =
        (0..axes.names.len()).filter(|e| all.error_sums(axes, *e, target, None).n > 0).collect();
    let value = |expert: usize, lead: Option<usize>| all.error_sums(axes, expert, target, lead).mae();
    let least = |lead: Option<usize>| judged.iter().map(|e| value(*e, lead)).fold(f64::INFINITY, f64::min);
    let heads: String = leads.iter().map(|lead| format!("<th>{lead}</th>")).collect();
    let mut rows = String::new();
    for expert in judged.iter().rev() {
        let sums = all.error_sums(axes, *expert, target, None);
        let mut tds = String::new();
        for lead in leads.iter().map(|lead| Some(*lead)).chain([None]) {
            let mae = value(*expert, lead);
            let best = if mae <= least(lead) { " class=\"best\"" } else { "" };
            tds += &format!("<td{best}>{}</td>", figure(mae));
        }
        let is_emitted = *expert == axes.emitted();
        let class = if is_emitted { " class=\"emitted\"" } else { "" };
        let name = &axes.names[*expert];
        let label = match name.as_str() {
            EXPERTS => "experts, mixed".to_owned(),
            _ if is_emitted => format!("{name} (emitted)"),
            _ if axes.naive().contains(expert) => format!("{name} (naive)"),
            _ => name.to_owned(),
        };
        rows += &format!(
            "<tr{class}><th>{label}</th>{tds}<td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            figure(sums.rmse()),
            or_dash(sums.mase(), 3),
            percent(sums.skill(axes).map(|(_, skill)| skill)),
            super::grouped(sums.n),
        );
    }
    format!(
        "<div class=\"scroll\"><table><caption>Mean absolute error by lead and over all leads, then over all \
         leads; the best of each column is set in colour</caption>\n<thead><tr><th></th>{heads}<th>all</th><th>RMSE</th>\
         <th>MASE</th><th>skill</th><th>n</th></tr></thead>\n<tbody>{rows}</tbody></table></div>\n"
    )
}

/// The emitted forecasts: losses of their quantiles, and coverage by lead.
pub(super) fn emitted_table(axes: &ScoreAxes, all: &Scores, target: usize) -> String {
    let leads: Vec<Option<usize>> =
        Leads::buckets(axes.horizon).learnt().iter().map(|lead| Some(*lead)).chain([None]).collect();
    let heads: String =
        leads.iter().map(|l| format!("<th>{}</th>", l.map_or("all".to_owned(), |l| l.to_string()))).collect();
    let mut rows = String::new();
    for (l, level) in axes.levels.iter().enumerate() {
        let sums = |lead: &Option<usize>| all.quantile_sums(axes, target, l, *lead).pinball();
        let tds: String = leads
            .iter()
            .map(|lead| format!("<td>{}</td>", sums(lead).map_or("–".to_owned(), figure)))
            .collect();
        rows += &format!("<tr><th>pinball loss at {level}</th>{tds}</tr>\n");
    }
    for (i, (nominal, ..)) in axes.intervals().into_iter().enumerate() {
        let covered =
            |lead: &Option<usize>| all.coverage(axes, target, *lead).get(i).map(|(_, share)| *share);
        let tds: String = leads.iter().map(|lead| format!("<td>{}</td>", percent(covered(lead)))).collect();
        rows += &format!("<tr><th>coverage of {} %</th>{tds}</tr>\n", 100.0 * nominal);
    }
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<div class=\"scroll\"><table><caption>Quantiles and intervals of what is emitted, by lead</caption>\n\
         <thead><tr><th></th>{heads}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n"
    )
}

/// The scores of the emitted forecasts, a row for each series and target.
pub(super) fn series_table(run: &FinishedRun) -> String {
    let axes = &run.auditor.axes;
    let mut rows = String::new();
    for (name, scores) in run.auditor.series().take(SERIES) {
        for t in 0..axes.targets.len() {
            let sums = scores.error_sums(axes, axes.emitted(), t, None);
            if sums.n == 0 {
                continue;
            }
            let covered: String = scores
                .coverage(axes, t, None)
                .into_iter()
                .map(|(_, share)| format!("<td>{}</td>", percent(Some(share))))
                .collect();
            rows += &format!(
                "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>{covered}<td>{}</td></tr>\n",
                escape(name),
                escape(&axes.label(t)),
                figure(sums.mae()),
                figure(sums.rmse()),
                or_dash(sums.mase(), 3),
                percent(sums.skill(axes).map(|(_, skill)| skill)),
                super::grouped(sums.n),
            );
        }
    }
    let heads: String =
        axes.intervals().iter().map(|(nominal, ..)| format!("<th>in {} %</th>", 100.0 * nominal)).collect();
    let more = run.auditor.series().len().saturating_sub(SERIES);
    let more = if more > 0 { format!("<p class=\"note\">And {more} more.</p>\n") } else { String::new() };
    format!(
        "<div class=\"scroll\"><table><thead><tr><th>series</th><th>target</th><th>MAE</th><th>RMSE</th>\
         <th>MASE</th><th>skill</th>{heads}<th>n</th></tr></thead>\n<tbody>{rows}</tbody></table></div>\n{more}"
    )
}

/// The comparison with another config.
pub(super) fn compared(
    comparison: &Comparison,
    run: &FinishedRun,
    second: &FinishedRun,
    labels: &[String],
) -> String {
    let (first_label, second_label) = (&labels[0], &labels[1]);
    let verdicts: String = comparison
        .verdicts(first_label, second_label)
        .iter()
        .map(|verdict| format!("<p class=\"verdict\">{}</p>\n", escape(verdict)))
        .collect();
    let lines = comparison.lines();
    let mut charts = Vec::new();
    for target in &run.auditor.axes.targets {
        let of = lines.iter().filter(|l| l.target == *target && l.loss == LOSSES[0]);
        let leads: Vec<(usize, f64, (f64, f64))> = of
            .filter_map(|l| {
                let compared = l.compared.as_ref()?;
                Some((l.lead?, compared.difference, compared.interval(CONFIDENCE)))
            })
            .collect();
        if !leads.is_empty() {
            charts.push(difference_by_lead(&DifferenceChart {
                title: &format!("{target}: difference by lead"),
                note: &format!(
                    "mean absolute error of the first less that of the second, {} % interval",
                    100.0 * CONFIDENCE
                ),
                leads: &leads,
            }));
        }
    }
    let shown = Leads::buckets(run.auditor.axes.horizon.min(second.auditor.axes.horizon));
    let mut rows = String::new();
    for line in lines
        .iter()
        .filter(|l| l.lead.is_none_or(|lead| l.loss == LOSSES[0] && shown.learnt().contains(&lead)))
    {
        // A difference has one digit more than its two numbers.
        let unit = 0.1 * line.second.abs();
        let (interval, p) = line.compared.as_ref().map_or_else(
            || ("–".to_owned(), "–".to_owned()),
            |c| {
                let (low, high) = c.interval(CONFIDENCE);
                (format!("{} to {}", fixed(low, unit), fixed(high, unit)), p_value(c.p_value))
            },
        );
        let lead = line.lead.map_or("all".to_owned(), |lead| lead.to_string());
        rows += &format!(
            "<tr><th>{}, {}</th><td>{lead}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{interval}</td><td>{}</td><td>{}</td></tr>\n",
            escape(&line.label),
            line.loss,
            figure(line.first),
            figure(line.second),
            fixed(line.first - line.second, unit),
            percent(Some(line.relative())),
            escape(&p),
            super::grouped(line.n),
        );
    }
    let table = format!(
        "<div class=\"scroll\"><table><caption>Losses at the same targets (Diebold-Mariano, with the correction of \
         Harvey, Leybourne and Newbold); negative where the first is better</caption>\n<thead><tr><th>loss</th>\
         <th>lead</th><th>first</th><th>second</th><th>difference</th><th></th><th>{} % interval</th><th>p</th>\
         <th>n</th></tr></thead>\n<tbody>{rows}</tbody></table></div>\n",
        100.0 * CONFIDENCE
    );
    let title = format!("{first_label} against {second_label}");
    section(&title, "", &format!("{verdicts}{}{table}", pairs(charts)))
}

/// `-0.123` as `−12.3 %`.
fn percent(share: Option<f64>) -> String {
    score_table::percent(share).replace('-', "−")
}

/// A number with its significant digits.
fn figure(value: f64) -> String {
    fixed(value, value.abs())
}

/// A number with as many decimals as one of the size of `unit`.
fn fixed(value: f64, unit: f64) -> String {
    if !value.is_finite() || !unit.is_finite() {
        return "–".to_owned();
    }
    let decimals = match unit {
        v if v >= 1_000.0 => 1,
        v if v >= 100.0 => 2,
        v if v >= 1.0 || v == 0.0 => 3,
        v => (3 - v.log10().floor() as i32).clamp(0, 12) as usize,
    };
    format!("{value:.decimals$}").replace('-', "−")
}
