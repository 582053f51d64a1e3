//! `/metrics`, `/livez`, `/readyz`.

use super::problem::Problem;
use super::state::AppState;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

pub(super) async fn metrics(State(state): State<AppState>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], state.metrics.render()).into_response()
}

/// 503 when a worker has been silent for too long, so that the process hangs and should be restarted.
pub(super) async fn livez(State(state): State<AppState>) -> Result<&'static str, Problem> {
    let stalled = state.board.stalled();
    if stalled.is_empty() {
        return Ok("live\n");
    }
    let lines: Vec<String> = stalled
        .iter()
        .map(|s| format!("worker {} has been silent for {} s", s.worker, s.silent_seconds))
        .collect();
    let workers: Vec<usize> = stalled.iter().map(|s| s.worker).collect();
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, lines.join("; ")).with("workers", json!(workers)))
}

/// 503 while a worker waits for Kafka or for its first assignment, a shard restores, or the process stops.
pub(super) async fn readyz(State(state): State<AppState>) -> Result<&'static str, Problem> {
    let readiness = state.board.readiness();
    if readiness.is_ready() {
        return Ok("ready\n");
    }
    let restoring: Vec<_> = readiness
        .restoring
        .iter()
        .map(|(stream, at)| {
            json!({ "stream": stream.as_str(), "topic": &*at.topic, "partition": at.partition.0 })
        })
        .collect();
    let waiting: Vec<_> = readiness
        .waiting_for_kafka
        .iter()
        .map(|(worker, cause)| json!({ "worker": worker, "cause": cause }))
        .collect();
    let detail = readiness.to_string().trim_end().replace('\n', "; ");
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        .with("unassigned_workers", json!(readiness.unassigned))
        .with("restoring", json!(restoring))
        .with("waiting_for_kafka", json!(waiting))
        .with("stopping", json!(readiness.stopping)))
}
