//! `/`: the dashboard. The whole page is rendered here; a small script fetches it again and again.

use super::state::AppState;
use crate::chart::{FanChart, escape, fan, grouped, shortened};
use crate::domain::StreamName;
use crate::engine::{EMITTED, EXPERTS};
use crate::experts::NAIVE;
use crate::telemetry::{ExpertScore, Round, Scores, StreamView, View};
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use jiff::tz::TimeZone;
use std::fmt::Write;
use std::time::Duration;

/// The readings before the origin cover this many horizons, so that the forecast takes a fair share of the chart.
const HORIZONS_BEFORE: usize = 3;
const READINGS_LEAST: usize = 48;
/// How many of the newest training rounds a card lists.
const ROUNDS_SHOWN: usize = 10;
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

pub(super) async fn dashboard(State(state): State<AppState>) -> Response {
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page(&state.board.view()))).into_response()
}

pub(super) async fn refresh() -> Response {
    let kind = "text/javascript; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], include_str!("refresh.js")).into_response()
}

/// The whole page.
pub(super) fn page(view: &View) -> String {
    let (style, version) = (include_str!("page.css"), env!("CARGO_PKG_VERSION"));
    let mut html = format!(
        r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Tidecast</title><link rel="icon" href="data:,"><style>{style}</style><script src="/refresh.js" defer></script><noscript><meta http-equiv="refresh" content="10"></noscript></head><body><header><h1>Tidecast</h1><p>{version}</p><p id="status">{}</p><p id="lost" role="alert">no answer; what is shown is old</p></header><main id="streams">"#,
        status(view)
    );
    view.streams.iter().for_each(|stream| card(&mut html, stream));
    html.push_str(
        r#"</main><footer><a href="/metrics">metrics</a><a href="/api/v1/streams">API</a><a href="/readyz">readiness</a></footer></body></html>"#,
    );
    html
}

fn status(view: &View) -> String {
    let readiness = &view.readiness;
    let up = age(view.uptime);
    if readiness.is_ready() {
        return format!(r#"<span class="ready">ready</span>, up {up}"#);
    }
    let what = if readiness.stopping {
        "stopping".to_owned()
    } else if !readiness.waiting_for_kafka.is_empty() {
        "waiting for Kafka".to_owned()
    } else if readiness.restoring.is_empty() && readiness.unassigned.is_empty() {
        "a worker is silent".to_owned()
    } else if readiness.restoring.is_empty() {
        "waiting for an assignment".to_owned()
    } else {
        let count = readiness.restoring.len();
        format!("restoring {count} {}", if count == 1 { "shard" } else { "shards" })
    };
    format!(r#"<span class="waiting">{what}</span>, up {up}"#)
}

fn age(time: Duration) -> String {
    match time.as_secs() {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3_600 => format!("{} min", s / 60),
        s @ 3_600..172_800 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}

fn card(html: &mut String, stream: &StreamView) {
    let name = escape(stream.name.as_str());
    let _ = write!(html, r#"<article aria-labelledby="s-{name}"><h2 id="s-{name}">{name}</h2>"#);
    facts(html, stream);
    html.push_str(r#"<div class="parts"><div>"#);
    charts(html, stream);
    html.push_str("</div><div>");
    match &stream.scores {
        Some(scores) => errors(html, &stream.name, scores),
        None => html.push_str(r#"<p class="note">No forecast has been scored yet.</p>"#),
    }
    rounds(html, stream);
    html.push_str("</div></div></article>");
}

fn facts(html: &mut String, stream: &StreamView) {
    let model = match (stream.model, stream.degraded) {
        (Some(version), None) => escape(&version.name(&stream.name)),
        (Some(version), Some(d)) => format!("{} ({})", escape(&version.name(&stream.name)), d.as_str()),
        (None, Some(d)) => format!("experts only ({})", d.as_str()),
        (None, None) => "experts only".to_owned(),
    };
    let rate = stream.readings_per_second;
    let rate = if rate < 10.0 { format!("{rate:.1}") } else { grouped(rate.round() as i64) };
    let restoring = stream.restoring().count();
    let shards = match restoring {
        0 => stream.shards.len().to_string(),
        _ => format!(r#"{} <span class="waiting">({restoring} restoring)</span>"#, stream.shards.len()),
    };
    let lag = stream.lag().map_or_else(|| "–".to_owned(), grouped);
    let _ = write!(
        html,
        r#"<dl class="facts"><div class="wide"><dt>model</dt><dd>{model}</dd></div><div><dt>series</dt><dd>{}</dd></div><div><dt>readings/s</dt><dd>{rate}</dd></div><div><dt>lag</dt><dd>{lag}</dd></div><div><dt>shards</dt><dd>{shards}</dd></div></dl>"#,
        grouped(stream.series() as i64)
    );
}

fn charts(html: &mut String, stream: &StreamView) {
    let Some(showcase) = &stream.showcase else {
        html.push_str(r#"<p class="note">No reading has been forecast yet.</p>"#);
        return;
    };
    for target in &showcase.targets {
        let horizon = target.forecast.as_ref().map_or(0, |f| f.yhat.len());
        let most = (horizon * HORIZONS_BEFORE).max(READINGS_LEAST);
        let readings = &target.readings[target.readings.len().saturating_sub(most)..];
        let title = format!("{} · {}", shortened(&showcase.series, 40), target.name);
        let forecast = target.forecast.as_ref();
        let chart = fan(&FanChart { title: &title, readings, forecast, zone: &TimeZone::UTC });
        let _ = write!(html, "<figure>{chart}</figure>");
    }
}

/// The table of errors. The smallest error of each lead is marked. Experts that are mixed before the networks are
/// folded away.
fn errors(html: &mut String, stream: &StreamName, scores: &Scores) {
    let of_mixture = scores.experts.iter().position(|e| e.expert == EXPERTS).unwrap_or(0);
    let is_folded = |at: usize, e: &ExpertScore| at < of_mixture && !NAIVE.contains(&e.expert.as_str());
    let (folded, shown): (Vec<_>, Vec<_>) =
        scores.experts.iter().enumerate().partition(|(at, expert)| is_folded(*at, expert));
    let caption = "<caption>Recent mean absolute error by lead, in units of each series’ scale</caption>";
    table_of_errors(html, caption, scores, &shown);
    let scored = grouped(i64::try_from(scores.scored).unwrap_or(i64::MAX));
    let _ = write!(
        html,
        r#"<p class="note">{scored} forecasts scored. The best of each lead is bold; {EMITTED} is what is sent.</p>"#
    );
    if !folded.is_empty() {
        let name = escape(stream.as_str());
        let _ = write!(html, r#"<details id="e-{name}"><summary>The other experts in {EXPERTS}</summary>"#);
        table_of_errors(html, "", scores, &folded);
        html.push_str("</details>");
    }
}

fn table_of_errors(html: &mut String, caption: &str, scores: &Scores, rows: &[(usize, &ExpertScore)]) {
    let _ = write!(html, r#"<div class="scroll"><table>{caption}<thead><tr><th scope="col">expert</th>"#);
    for lead in &scores.leads {
        let _ = write!(html, r#"<th scope="col">{lead}</th>"#);
    }
    html.push_str("</tr></thead><tbody>");
    let best: Vec<f64> = (0..scores.leads.len())
        .map(|lead| scores.experts.iter().filter_map(|e| e.error.get(lead)).fold(f64::NAN, |a, b| a.min(*b)))
        .collect();
    for (_, expert) in rows {
        let class = if expert.expert == EMITTED { r#" class="emitted""# } else { "" };
        let name = escape(&shortened(&expert.expert, 24));
        let _ = write!(html, r#"<tr{class}><th scope="row">{name}</th>"#);
        for (error, best) in expert.error.iter().zip(&best) {
            let _ = match error {
                e if !e.is_finite() => write!(html, "<td>–</td>"),
                e if e == best => write!(html, r#"<td class="best">{e:.3}</td>"#),
                e => write!(html, "<td>{e:.3}</td>"),
            };
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
}

fn rounds(html: &mut String, stream: &StreamView) {
    let Some(newest) = stream.rounds.last() else { return };
    let name = escape(stream.name.as_str());
    let _ = write!(
        html,
        r#"<details id="t-{name}"><summary>Training: round {} {}</summary><div class="scroll"><table><thead><tr><th scope="col">round</th><th scope="col">loss</th><th scope="col">seconds</th><th scope="col">outcome</th></tr></thead><tbody>"#,
        newest.round,
        newest.outcome.as_str()
    );
    for Round { round, outcome, loss, took, .. } in stream.rounds.iter().rev().take(ROUNDS_SHOWN) {
        let (outcome, seconds) = (outcome.as_str(), took.as_secs_f64());
        let _ = write!(
            html,
            "<tr><td>{round}</td><td>{loss:.4}</td><td>{seconds:.1}</td><td>{outcome}</td></tr>"
        );
    }
    html.push_str("</tbody></table></div></details>");
}
