use super::error_by_lead::class;
use super::fan::{STYLE, line};
use super::markup::escape;
use std::fmt::Write;

/// How often values lay below quantiles, compared with how often they should.
#[derive(Clone, Copy, Debug)]
pub struct CalibrationChart<'a> {
    pub title: &'a str,
    /// For each line a name and points (nominal, realised), ascending. The first line is the strongest.
    pub lines: &'a [(String, Vec<(f64, f64)>)],
}

const SIDE: f64 = 230.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = TOP + SIDE;
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 336.0;
const TICKS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Draws realised over nominal shares in a square. A calibrated forecast lies on the diagonal. `viewBox` 360 × 336.
pub fn calibration(chart: &CalibrationChart<'_>) -> String {
    let name = escape(chart.title);
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" class="tc-chart" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{name}"><style>{STYLE}</style><text class="title" x="0" y="20">{name}</text><text x="0" y="44">realised share below each quantile</text>"#
    );
    let x = |share: f64| LEFT + share.clamp(0.0, 1.0) * SIDE;
    let y = |share: f64| BOTTOM - share.clamp(0.0, 1.0) * SIDE;
    for tick in TICKS {
        let _ = write!(
            svg,
            r#"<path class="grid" d="M{LEFT} {0:.1}h{SIDE}M{1:.1} {TOP}v{SIDE}"/>"#,
            y(tick),
            x(tick)
        );
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{tick}</text>"#,
            LEFT - 8.0,
            y(tick) + 4.0
        );
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{tick}</text>"#,
            x(tick),
            BOTTOM + 19.0
        );
    }
    let _ = write!(
        svg,
        r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">nominal</text>"#,
        x(0.5),
        BOTTOM + 38.0
    );
    let _ = write!(svg, r#"<path class="origin" d="M{LEFT} {BOTTOM}l{SIDE} -{SIDE}"/>"#);
    for (i, (_, points)) in chart.lines.iter().enumerate().rev() {
        let class = class(i);
        let path = line(points.iter().map(|(nominal, realised)| Some((x(*nominal), y(*realised)))));
        let _ = write!(svg, r#"<path class="error {class}" d="{path}"/>"#);
        for (nominal, realised) in points {
            let radius = if i == 0 { 4.0 } else { 2.5 };
            let _ = write!(
                svg,
                r#"<circle class="point {class}" cx="{:.1}" cy="{:.1}" r="{radius}"><title>{nominal}: {realised:.3}</title></circle>"#,
                x(*nominal),
                y(*realised)
            );
        }
    }
    for (i, (name, _)) in chart.lines.iter().enumerate() {
        let (class, y) = (class(i), TOP + 12.0 + 17.0 * i as f64);
        let _ = write!(
            svg,
            r#"<text class="line-name {class}" x="{}" y="{y:.1}">{}</text>"#,
            LEFT + SIDE + 10.0,
            escape(name)
        );
    }
    svg.push_str("</svg>");
    svg
}
