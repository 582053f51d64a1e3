use super::axis::{ValueTick, time_ticks};
use super::error_by_lead::spread;
use super::fan::{BOTTOM, LEFT, TOP, nothing_yet, open, value_grid};
use super::markup::{escape, shortened};
use crate::domain::EventTime;
use jiff::tz::TimeZone;
use std::fmt::Write;

/// The weight of each expert in a mixture, over time.
#[derive(Clone, Copy, Debug)]
pub struct WeightChart<'a> {
    pub title: &'a str,
    pub note: &'a str,
    /// Ascending.
    pub times: &'a [EventTime],
    /// For each expert a name and its weight at each time, not negative.
    pub experts: &'a [(String, Vec<f64>)],
    /// The time zone of the time axis.
    pub zone: &'a TimeZone,
}

const RIGHT: f64 = 556.0;
const NAME_LETTERS: usize = 16;
/// How many experts have their own colour; the others share the last one.
const SHOWN: usize = 7;

/// Draws weights as stacked bands that add up to 1, the heaviest at the bottom, each with its name at its end.
pub fn weights_over_time(chart: &WeightChart<'_>) -> String {
    let mut svg = open(chart.title);
    let _ = write!(svg, r#"<text x="0" y="44">{}</text>"#, escape(chart.note));
    let ([first, .., last], bands) = (chart.times, bands(chart)) else { return nothing_yet(svg) };
    if bands.is_empty() {
        return nothing_yet(svg);
    }
    let span = last.seconds_since(*first).max(1e-6);
    let x = |time: EventTime| LEFT + time.seconds_since(*first) / span * (RIGHT - LEFT);
    let y = |share: f64| BOTTOM - share.clamp(0.0, 1.0) * (BOTTOM - TOP);
    let mut floor = vec![0.0; chart.times.len()];
    let mut names = Vec::new();
    for (i, (name, weights)) in bands.iter().enumerate() {
        let top: Vec<f64> = floor.iter().zip(weights).map(|(f, w)| f + w).collect();
        let mut path = String::new();
        let above = chart.times.iter().zip(&top);
        let below = chart.times.iter().zip(&floor).rev();
        for (n, (time, share)) in above.chain(below).enumerate() {
            let pen = if n == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{pen}{:.1} {:.1}", x(*time), y(*share));
        }
        let _ = write!(svg, r#"<path class="share c{i}" d="{path}Z"/>"#);
        let (from, to) = (floor[floor.len() - 1], top[top.len() - 1]);
        names.push((y(0.5 * (from + to)), i, name, to - from));
        floor = top;
    }
    let ticks = [0.0, 0.25, 0.5, 0.75, 1.0].map(|at| ValueTick { at, label: format!("{} %", 100.0 * at) });
    value_grid(&mut svg, &ticks, RIGHT, y);
    time_axis(&mut svg, chart, x);
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let heights = spread(&names.iter().map(|n| n.0).collect::<Vec<_>>());
    for ((_, i, name, share), y) in names.iter().zip(heights) {
        let (x, name) = (RIGHT + 8.0, escape(&shortened(name, NAME_LETTERS)));
        let weight = 100.0 * share;
        let _ = write!(
            svg,
            r#"<text class="line-name c{i}" x="{x}" y="{:.1}">{name} {weight:.0} %</text>"#,
            y + 4.0
        );
    }
    svg.push_str("</svg>");
    svg
}

/// The heaviest experts, then all others as one. The weights of each time add up to 1.
fn bands(chart: &WeightChart<'_>) -> Vec<(String, Vec<f64>)> {
    let mean = |weights: &[f64]| weights.iter().sum::<f64>();
    let mut ranked: Vec<&(String, Vec<f64>)> =
        chart.experts.iter().filter(|(_, weights)| mean(weights) > 0.0).collect();
    ranked.sort_by(|a, b| mean(&b.1).total_cmp(&mean(&a.1)));
    let (shown, rest) = ranked.split_at(ranked.len().min(SHOWN));
    let mut bands: Vec<(String, Vec<f64>)> = shown.iter().map(|band| (*band).clone()).collect();
    if !rest.is_empty() {
        let sum = |at: usize| rest.iter().map(|(_, weights)| weights[at]).sum();
        let name = if rest.len() == 1 { "1 other".to_owned() } else { format!("{} others", rest.len()) };
        bands.push((name, (0..chart.times.len()).map(sum).collect()));
    }
    for at in 0..chart.times.len() {
        let whole: f64 = bands.iter().map(|(_, weights)| weights[at]).sum();
        if whole > 0.0 {
            bands.iter_mut().for_each(|(_, weights)| weights[at] /= whole);
        }
    }
    bands
}

fn time_axis(svg: &mut String, chart: &WeightChart<'_>, x: impl Fn(EventTime) -> f64) {
    let (from, to) = (chart.times[0], chart.times[chart.times.len() - 1]);
    let _ = write!(svg, r#"<path class="base" d="M{LEFT} {BOTTOM}H{RIGHT}"/>"#);
    for tick in time_ticks(from, to, chart.zone, 8) {
        let (x, label) = (x(tick.at), tick.label);
        let _ = write!(svg, r#"<text text-anchor="middle" x="{x:.1}" y="{}">{label}</text>"#, BOTTOM + 21.0);
        if let Some(below) = tick.below {
            let _ =
                write!(svg, r#"<text text-anchor="middle" x="{x:.1}" y="{}">{below}</text>"#, BOTTOM + 42.0);
        }
    }
}
