use super::axis::value_ticks;
use super::fan::{
    BOTTOM, LEFT, TOP, WIDTH, height_of, line, nothing_yet, open, padded, value_grid, value_span,
};
use super::markup::{escape, shortened};
use std::fmt::Write;

/// Errors of experts by lead.
#[derive(Clone, Copy, Debug)]
pub struct ErrorChart<'a> {
    pub title: &'a str,
    /// The kind of error, for the line below the title: `mean absolute error, scaled`.
    pub measure: &'a str,
    /// Ascending.
    pub leads: &'a [usize],
    /// For each expert a name and an error for each lead, NaN for an unknown one. The first line is the strongest.
    pub experts: &'a [(String, Vec<f64>)],
    /// Values with a dashed line.
    pub marks: &'a [f64],
    /// Values that the axis must include.
    pub shown: &'a [f64],
}

/// The x coordinate where lines end and names begin.
const RIGHT: f64 = 590.0;
const NAME_LETTERS: usize = 16;
/// The smallest vertical distance of two names.
const NAME_HEIGHT: f64 = 17.0;
const COLOURS: usize = 8;

/// Draws a line for each expert, with its name at its end. The axis of leads is logarithmic when they span more than
/// a factor of 8.
pub fn error_by_lead(chart: &ErrorChart<'_>) -> String {
    let mut svg = open(chart.title);
    let _ = write!(svg, r#"<text x="0" y="44">{}</text>"#, escape(chart.measure));
    let errors = chart.experts.iter().flat_map(|(_, errors)| errors.iter().copied());
    let errors = errors.chain(chart.marks.iter().chain(chart.shown).copied());
    let (Some((low, high)), [first, .., last] | [first @ last]) = (value_span(errors), chart.leads) else {
        return nothing_yet(svg);
    };
    let (low, high) = padded(low, high);
    let place = |lead: usize| place_of(lead, (*first, *last), RIGHT);
    let y = |value: f64| height_of(value, low, high);
    value_grid(&mut svg, &value_ticks(low, high, 5), RIGHT, y);
    lead_axis(&mut svg, chart.leads, RIGHT, place);
    for mark in chart.marks {
        let _ = write!(svg, r#"<path class="origin" d="M{LEFT} {:.1}H{RIGHT}"/>"#, y(*mark));
    }
    let mut names = Vec::new();
    for (i, (name, errors)) in chart.experts.iter().enumerate().rev() {
        let points = chart.leads.iter().zip(errors);
        let points: Vec<Option<(f64, f64)>> =
            points.map(|(lead, e)| e.is_finite().then(|| (place(*lead), y(*e)))).collect();
        let class = class(i);
        let _ = write!(svg, r#"<path class="error {class}" d="{}"/>"#, line(points.iter().copied()));
        if let Some((_, y)) = points.iter().rev().find_map(|p| *p) {
            names.push((y, class, name));
        }
    }
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let heights = spread(&names.iter().map(|n| n.0).collect::<Vec<_>>());
    for ((_, class, name), y) in names.iter().zip(heights) {
        let (x, name) = (RIGHT + 8.0, escape(&shortened(name, NAME_LETTERS)));
        let _ = write!(svg, r#"<text class="line-name {class}" x="{x}" y="{:.1}">{name}</text>"#, y + 4.0);
    }
    svg.push_str("</svg>");
    svg
}

/// A lead's position between the first and the last lead, on a logarithmic axis when these are more than a factor of
/// 8 apart.
pub(super) fn place_of(lead: usize, (first, last): (usize, usize), right: f64) -> f64 {
    let logarithmic = last > 8 * first.max(1);
    let scale = |lead: usize| if logarithmic { (lead.max(1) as f64).ln() } else { lead as f64 };
    let width = (scale(last) - scale(first)).max(1e-9);
    LEFT + ((scale(lead) - scale(first)) / width).clamp(0.0, 1.0) * (right - LEFT)
}

pub(super) fn class(expert: usize) -> String {
    let colour = expert % COLOURS;
    if expert == 0 { format!("c{colour} first") } else { format!("c{colour}") }
}

pub(super) fn lead_axis(svg: &mut String, leads: &[usize], right: f64, place: impl Fn(usize) -> f64) {
    let _ = write!(svg, r#"<path class="base" d="M{LEFT} {BOTTOM}H{right}"/>"#);
    let mut free_from = f64::NEG_INFINITY;
    let last = leads.last().copied().unwrap_or(1);
    for lead in leads {
        let x = place(*lead);
        let is_last = *lead == last;
        // The horizon always gets its label. A label that would touch it or the previous one is left out.
        if x < free_from || (!is_last && x > place(last) - 34.0) {
            continue;
        }
        free_from = x + 34.0;
        let _ = write!(svg, r#"<text x="{x:.1}" y="{}" text-anchor="middle">{lead}</text>"#, BOTTOM + 21.0);
    }
    let _ = write!(
        svg,
        r#"<text x="{}" y="{}" text-anchor="middle">lead, in steps</text>"#,
        f64::midpoint(LEFT, right),
        BOTTOM + 42.0
    );
}

/// Moves ascending heights apart, as little as possible and within the picture, until none touch.
pub(super) fn spread(wanted: &[f64]) -> Vec<f64> {
    let mut heights = wanted.to_vec();
    for i in 1..heights.len() {
        heights[i] = heights[i].max(heights[i - 1] + NAME_HEIGHT);
    }
    let mut floor = BOTTOM.max(TOP + NAME_HEIGHT * heights.len() as f64);
    for height in heights.iter_mut().rev() {
        *height = height.min(floor);
        floor = *height - NAME_HEIGHT;
    }
    heights
}

const _: () = assert!(RIGHT < WIDTH);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_lie_upon_each_other() {
        for wanted in [vec![100.0, 101.0, 102.0, 250.0, 251.0], vec![252.0; 6], vec![], vec![70.0; 20]] {
            let heights = spread(&wanted);
            assert!(heights.windows(2).all(|w| w[1] - w[0] >= NAME_HEIGHT - 1e-9), "{heights:?}");
        }
        assert_eq!(spread(&[80.0, 200.0]), [80.0, 200.0]);
    }
}
