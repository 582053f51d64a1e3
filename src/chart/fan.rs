//! The fan chart: readings, and a forecast with its quantiles as nested bands.

use super::axis::{TimeTick, ValueTick, moment, time_ticks, value_ticks};
use super::markup::{escape, shortened};
use crate::domain::EventTime;
use crate::telemetry::ShownForecast;
use jiff::tz::TimeZone;
use std::fmt::Write;

/// A series' readings and a forecast made from them.
#[derive(Clone, Copy, Debug)]
pub struct FanChart<'a> {
    pub title: &'a str,
    /// Ascending in time; NaN where a value was missing. Readings after the forecast's origin show what came true.
    pub readings: &'a [(EventTime, f64)],
    pub forecast: Option<&'a ShownForecast>,
    /// The time zone of the time axis.
    pub zone: &'a TimeZone,
}

pub(super) const WIDTH: f64 = 720.0;
pub(super) const HEIGHT: f64 = 300.0;
pub(super) const LEFT: f64 = 50.0;
pub(super) const TOP: f64 = 72.0;
pub(super) const BOTTOM: f64 = 252.0;
const RIGHT: f64 = 708.0;
const TITLE_LETTERS: usize = 60;
pub(super) const STYLE: &str = include_str!("chart.css");

/// Draws a fan chart. `viewBox` 720 × 300. Coordinates are finite for every input.
pub fn fan(chart: &FanChart<'_>) -> String {
    let mut svg = open(chart.title);
    let Some(frame) = Frame::of(chart) else {
        return nothing_yet(svg);
    };
    value_grid(&mut svg, &frame.values, RIGHT, |v| frame.y(v));
    time_axis(&mut svg, &frame);
    // The fan opens at the forecast's newest reading.
    let apex = chart.forecast.and_then(|f| {
        let last = chart.readings.iter().rev().find(|(time, _)| *time <= f.origin)?;
        (last.0 == f.origin && last.1.is_finite()).then(|| (frame.x(last.0), frame.y(last.1)))
    });
    let widths = chart.forecast.map(|f| bands(&mut svg, &frame, f, apex)).unwrap_or_default();
    if let Some(forecast) = chart.forecast {
        let x = frame.x(forecast.origin);
        let _ = write!(svg, r#"<path class="origin" d="M{x:.1} {TOP}V{BOTTOM}"/>"#);
    }
    let actual = chart.readings.iter().map(|(t, v)| v.is_finite().then(|| (frame.x(*t), frame.y(*v))));
    let _ = write!(svg, r#"<path class="actual" d="{}"/>"#, line(actual));
    if let Some(forecast) = chart.forecast {
        let leads = forecast.times.iter().zip(&forecast.yhat);
        let leads = leads.map(|(t, v)| v.is_finite().then(|| (frame.x(*t), frame.y(*v))));
        let _ = write!(svg, r#"<path class="yhat" d="{}"/>"#, line(apex.map(Some).into_iter().chain(leads)));
    }
    if let Some((x, y)) = apex {
        let _ = write!(svg, r#"<circle class="dot" cx="{x:.1}" cy="{y:.1}" r="3.5"/>"#);
    }
    legend(&mut svg, chart, &widths);
    svg.push_str("</svg>");
    svg
}

/// The ranges of time and value that are shown, and their place in the picture.
struct Frame {
    from: EventTime,
    to: EventTime,
    low: f64,
    high: f64,
    values: Vec<ValueTick>,
    times: Vec<TimeTick>,
}

impl Frame {
    /// `None` when there is no value to show.
    fn of(chart: &FanChart<'_>) -> Option<Self> {
        let leads = chart.forecast.iter().flat_map(|f| f.times.iter().zip(&f.yhat)).map(|(t, v)| (*t, *v));
        let origin = chart.forecast.map(|f| f.origin);
        let shown = || chart.readings.iter().copied().chain(leads.clone()).filter(|(_, v)| v.is_finite());
        let (mut from, mut to) = span(shown().map(|(t, _)| t).chain(origin))?;
        if from == to {
            (from, to) = (from.offset_by(-1_800_000_000), to.offset_by(1_800_000_000));
        }
        let inner = value_span(shown().map(|(_, v)| v))?;
        let quantiles = chart.forecast.iter().flat_map(|f| f.quantiles.iter().copied());
        let outer = value_span(shown().map(|(_, v)| v).chain(quantiles))?;
        // A far too wide band must not flatten everything else.
        let room = (inner.1 - inner.0).max(inner.0.abs().max(inner.1.abs()) * 0.02);
        let (low, high) = padded(outer.0.max(inner.0 - 1.5 * room), outer.1.min(inner.1 + 1.5 * room));
        let values = value_ticks(low, high, 5);
        let times = time_ticks(from, to, chart.zone, 8);
        Some(Self { from, to, low, high, values, times })
    }

    fn x(&self, time: EventTime) -> f64 {
        let share = time.seconds_since(self.from) / self.to.seconds_since(self.from);
        LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        height_of(value, self.low, self.high)
    }
}

fn span(times: impl Iterator<Item = EventTime>) -> Option<(EventTime, EventTime)> {
    times.fold(None, |span, t| match span {
        None => Some((t, t)),
        Some((from, to)) => Some((t.min(from), t.max(to))),
    })
}

/// The smallest and the largest of the values that are finite and can be drawn.
pub(super) fn value_span(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|v| v.is_finite()).map(|v| v.clamp(-1e300, 1e300)).fold(None, |span, v| match span {
        None => Some((v, v)),
        Some((low, high)) => Some((v.min(low), v.max(high))),
    })
}

/// Widens a range a little, gives an empty one a height, and extends it to zero where zero is near.
pub(super) fn padded(low: f64, high: f64) -> (f64, f64) {
    let height = high - low;
    if height <= low.abs().max(high.abs()) * 1e-9 {
        let half = (low.abs() * 0.1).max(0.5);
        return (low - half, high + half);
    }
    let air = height * 0.06;
    let low_padded = if low >= 0.0 && low < height * 0.35 { 0.0 } else { low - air };
    let high_padded = if high <= 0.0 && high > -height * 0.35 { 0.0 } else { high + air };
    (low_padded, high_padded)
}

pub(super) fn height_of(value: f64, low: f64, high: f64) -> f64 {
    BOTTOM - ((value - low) / (high - low)).clamp(0.0, 1.0) * (BOTTOM - TOP)
}

/// The opening tag, the style and the title.
pub(super) fn open(title: &str) -> String {
    let name = escape(title);
    let shown = escape(&shortened(title, TITLE_LETTERS));
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" class="tc-chart" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{name}"><style>{STYLE}</style><text class="title" x="0" y="20">{shown}</text>"#
    )
}

pub(super) fn nothing_yet(mut svg: String) -> String {
    let _ = write!(
        svg,
        r#"<path class="base" d="M0 {BOTTOM}H{WIDTH}"/><text x="{}" y="{}" text-anchor="middle">nothing to show yet</text></svg>"#,
        WIDTH / 2.0,
        f64::midpoint(TOP, BOTTOM)
    );
    svg
}

/// Horizontal gridlines with their values.
pub(super) fn value_grid(svg: &mut String, ticks: &[ValueTick], right: f64, y: impl Fn(f64) -> f64) {
    let _ = write!(svg, r#"<path class="grid" d=""#);
    for tick in ticks {
        let _ = write!(svg, "M0 {:.1}H{right}", y(tick.at));
    }
    svg.push_str(r#""/>"#);
    for tick in ticks {
        let _ = write!(svg, r#"<text class="value" x="0" y="{:.1}">{}</text>"#, y(tick.at) - 4.0, tick.label);
    }
}

fn time_axis(svg: &mut String, frame: &Frame) {
    let _ = write!(svg, r#"<path class="base" d="M{LEFT} {BOTTOM}H{RIGHT}"#);
    for tick in &frame.times {
        let _ = write!(svg, "M{:.1} {BOTTOM}v5", frame.x(tick.at));
    }
    svg.push_str(r#""/>"#);
    for tick in &frame.times {
        let x = frame.x(tick.at);
        // A label at the very edge would be cut off.
        let anchor = if x > RIGHT - 20.0 { "end" } else { "middle" };
        let place = format!(r#"x="{x:.1}" text-anchor="{anchor}""#);
        let _ = write!(svg, r#"<text {place} y="{}">{}</text>"#, BOTTOM + 21.0, tick.label);
        if let Some(below) = &tick.below {
            let _ = write!(svg, r#"<text {place} y="{}">{below}</text>"#, BOTTOM + 42.0);
        }
    }
}

/// Nested bands, the widest first. Returns the share of the future that each should contain.
fn bands(svg: &mut String, frame: &Frame, forecast: &ShownForecast, apex: Option<(f64, f64)>) -> Vec<f64> {
    let (levels, horizon) = (&forecast.levels, forecast.yhat.len());
    let row = |level: usize| forecast.quantiles.chunks(horizon.max(1)).nth(level).unwrap_or_default();
    let mut widths = Vec::new();
    for (low, high) in (0..levels.len()).zip((0..levels.len()).rev()).take_while(|(low, high)| low < high) {
        let edges: Vec<(EventTime, f64, f64)> = forecast
            .times
            .iter()
            .zip(row(low).iter().zip(row(high)))
            .filter(|(_, (l, h))| l.is_finite() && h.is_finite())
            .map(|(t, (l, h))| (*t, *l, *h))
            .collect();
        if edges.is_empty() {
            continue;
        }
        let upper = edges.iter().map(|(t, _, h)| Some((frame.x(*t), frame.y(*h))));
        let lower = edges.iter().rev().map(|(t, l, _)| Some((frame.x(*t), frame.y(*l))));
        let outline = line(apex.map(Some).into_iter().chain(upper).chain(lower));
        let _ = write!(svg, r#"<path class="band" d="{outline}Z"/>"#);
        widths.push(levels[high] - levels[low]);
    }
    widths
}

/// The legend: one line of text whose marks are letters, so that it keeps its form at any font size.
fn legend(svg: &mut String, chart: &FanChart<'_>, widths: &[f64]) {
    svg.push_str(r#"<text x="0" y="44"><tspan class="key-actual">━</tspan> actual"#);
    if let Some(forecast) = chart.forecast {
        svg.push_str(r#"<tspan class="key-yhat" dx="14">━</tspan> forecast"#);
        for (i, width) in widths.iter().enumerate() {
            // The band lies on top of all wider ones.
            let opacity = 1.0 - 0.83f64.powi(i as i32 + 1);
            let percent = (width * 1_000.0).round() / 10.0;
            let _ = write!(
                svg,
                r#"<tspan class="key-band" fill-opacity="{opacity:.2}" dx="14">■</tspan> {percent} %"#
            );
        }
        let zone = if *chart.zone == TimeZone::UTC { " UTC" } else { "" };
        let _ = write!(svg, r#"<tspan dx="14">from {}{zone}</tspan>"#, moment(forecast.origin, chart.zone));
    }
    svg.push_str("</text>");
}

/// A path through points, interrupted where one is missing. A single point becomes a dot.
pub(super) fn line(points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let (mut path, mut pen_down) = (String::new(), false);
    for point in points {
        if let Some((x, y)) = point {
            let _ =
                if pen_down { write!(path, "L{x:.1} {y:.1}") } else { write!(path, "M{x:.1} {y:.1}l0 0") };
        }
        pen_down = point.is_some();
    }
    path
}
