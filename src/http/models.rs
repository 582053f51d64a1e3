//! `/api/v1/streams/{stream}/models` and what changes the models of a stream.

use super::orders::Order;
use super::problem::Problem;
use super::state::AppState;
use crate::domain::StreamName;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// Lets only requests with the right token through.
pub(super) async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match state.orders.admit(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let mut response = problem.into_response();
            if response.status() == StatusCode::UNAUTHORIZED {
                let scheme = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            }
            response
        }
    }
}

type Named = Result<Path<String>, PathRejection>;

pub(super) async fn models(state: State<AppState>, name: Named) -> Result<Json<Value>, Problem> {
    ask(&state, name.ok().map(|Path(name)| name), Order::List).await
}

pub(super) async fn promote(
    state: State<AppState>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let (name, version) = path.map(|Path(path)| path).unwrap_or_default();
    ask(&state, Some(name), Order::Promote(version)).await
}

pub(super) async fn roll_back(state: State<AppState>, name: Named) -> Result<Json<Value>, Problem> {
    ask(&state, name.ok().map(|Path(name)| name), Order::RollBack).await
}

pub(super) async fn retrain(
    state: State<AppState>,
    name: Named,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let answer = ask(&state, name.ok().map(|Path(name)| name), Order::Retrain).await?;
    Ok((StatusCode::ACCEPTED, answer))
}

async fn ask(state: &AppState, name: Option<String>, order: Order) -> Result<Json<Value>, Problem> {
    let name = name.unwrap_or_default();
    let known = StreamName::new(&name).filter(|name| state.board.stream_view(name).is_some());
    let stream = known.ok_or_else(|| Problem::not_found(format!("there is no stream \"{name}\"")))?;
    state.orders.ask(stream, order).await.map(Json)
}
