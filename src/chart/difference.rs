use super::axis::value_ticks;
use super::error_by_lead::{lead_axis, place_of};
use super::fan::{LEFT, WIDTH, height_of, line, nothing_yet, open, padded, value_grid, value_span};
use super::markup::escape;
use std::fmt::Write;

/// The difference between the errors of two forecasts, by lead.
#[derive(Clone, Copy, Debug)]
pub struct DifferenceChart<'a> {
    pub title: &'a str,
    pub note: &'a str,
    /// Lead, difference, and the difference's confidence interval; ascending in lead.
    pub leads: &'a [(usize, f64, (f64, f64))],
}

const RIGHT: f64 = WIDTH - 24.0;

/// Draws a difference by lead with its interval, and the line of no difference.
pub fn difference_by_lead(chart: &DifferenceChart<'_>) -> String {
    let mut svg = open(chart.title);
    let _ = write!(svg, r#"<text x="0" y="44">{}</text>"#, escape(chart.note));
    let values = chart.leads.iter().flat_map(|(_, d, (low, high))| [*d, *low, *high]).chain([0.0]);
    let (Some((low, high)), [first, .., last] | [first @ last]) = (value_span(values), chart.leads) else {
        return nothing_yet(svg);
    };
    let (low, high) = padded(low, high);
    let x = |lead: usize| place_of(lead, (first.0, last.0), RIGHT);
    let y = |value: f64| height_of(value, low, high);
    value_grid(&mut svg, &value_ticks(low, high, 5), RIGHT, y);
    let leads: Vec<usize> = chart.leads.iter().map(|(lead, ..)| *lead).collect();
    lead_axis(&mut svg, &leads, RIGHT, x);
    let upper = chart.leads.iter().map(|(lead, _, (_, high))| Some((x(*lead), y(*high))));
    let lower = chart.leads.iter().rev().map(|(lead, _, (low, _))| Some((x(*lead), y(*low))));
    let _ = write!(svg, r#"<path class="band" d="{}Z"/>"#, line(upper.chain(lower)));
    let zero = y(0.0);
    let _ = write!(svg, r#"<path class="origin" d="M{LEFT} {zero:.1}H{RIGHT}"/>"#);
    let middle = chart.leads.iter().map(|(lead, d, _)| Some((x(*lead), y(*d))));
    let _ = write!(svg, r#"<path class="yhat" d="{}"/>"#, line(middle));
    for (lead, d, _) in chart.leads {
        let _ = write!(svg, r#"<circle class="dot" cx="{:.1}" cy="{:.1}" r="3"/>"#, x(*lead), y(*d));
    }
    svg.push_str("</svg>");
    svg
}
