//! `/api/v1`: the board as JSON. An unknown value is null.

use super::problem::Problem;
use super::state::AppState;
use crate::domain::StreamName;
use crate::telemetry::{Round, Scores, ShardView, Showcase, ShownForecast, StreamView};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

pub(super) async fn streams(State(state): State<AppState>) -> Json<Value> {
    let view = state.board.view();
    Json(json!({ "streams": view.streams.iter().map(summary).collect::<Vec<_>>() }))
}

pub(super) async fn stream(
    State(state): State<AppState>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let view = StreamName::new(&name).and_then(|name| state.board.stream_view(&name));
    let view = view.ok_or_else(|| Problem::not_found(format!("there is no stream \"{name}\"")))?;
    let mut body = summary(&view);
    body["shards"] = view.shards.iter().map(shard).collect();
    body["scores"] = view.scores.as_ref().map(scores).into();
    body["showcase"] = view.showcase.as_ref().map(showcase).into();
    body["training"] = view.rounds.iter().map(|r| round(r, &view.name)).collect();
    Ok(Json(body))
}

fn summary(view: &StreamView) -> Value {
    json!({
        "name": view.name.as_str(),
        "model": view.model.map(|m| m.name(&view.name)),
        "degraded": view.degraded.map(crate::domain::Degraded::as_str),
        "seasons": { "steps": view.seasons.steps, "from": view.seasons.from },
        "shards_owned": view.shards.len(),
        "shards_restoring": view.restoring().count(),
        "series": view.series(),
        "lag": view.lag(),
        "readings": view.readings,
        "readings_per_second": view.readings_per_second,
    })
}

fn shard(shard: &ShardView) -> Value {
    json!({
        "topic": &*shard.at.topic,
        "partition": shard.at.partition.0,
        "worker": shard.worker,
        "state": shard.status.state.as_str(),
        "series": shard.status.series,
        "last_offset": shard.status.last_offset.map(|o| o.0),
        "lag": shard.status.lag,
    })
}

/// The errors of each expert, in the order of the leads.
fn scores(scores: &Scores) -> Value {
    let experts: Map<String, Value> =
        scores.experts.iter().map(|e| (e.expert.clone(), json!(e.error))).collect();
    json!({ "leads": scores.leads, "error": experts, "scored": scores.scored })
}

fn showcase(showcase: &Showcase) -> Value {
    let targets: Map<String, Value> = showcase
        .targets
        .iter()
        .map(|target| {
            let times: Vec<String> = target.readings.iter().map(|(t, _)| t.to_string()).collect();
            let values: Vec<f64> = target.readings.iter().map(|(_, v)| *v).collect();
            let forecast = target.forecast.as_ref().map(forecast);
            (target.name.clone(), json!({ "times": times, "values": values, "forecast": forecast }))
        })
        .collect();
    json!({ "series": showcase.series, "targets": targets })
}

fn forecast(forecast: &ShownForecast) -> Value {
    let rows = forecast.quantiles.chunks(forecast.yhat.len().max(1));
    let quantiles: Map<String, Value> =
        forecast.levels.iter().zip(rows).map(|(level, row)| (level.to_string(), json!(row))).collect();
    json!({
        "origin": forecast.origin.to_string(),
        "times": forecast.times.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "yhat": forecast.yhat,
        "quantiles": quantiles,
    })
}

fn round(round: &Round, stream: &StreamName) -> Value {
    json!({
        "round": round.round,
        "outcome": round.outcome.as_str(),
        "loss": round.loss,
        "seconds": round.took.as_secs_f64(),
        "model": round.model.map(|m| m.name(stream)),
    })
}
