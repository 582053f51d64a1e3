use super::problem::Problem;
use super::server::Shown;
use crate::domain::StreamName;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::sync::oneshot;

/// Orders that wait at the most; more are refused.
const WAITING_MAX: usize = 16;

/// What is asked of a stream's models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    List,
    /// By its number or its name.
    Promote(String),
    RollBack,
    Retrain,
}

/// An order, and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    pub stream: StreamName,
    pub order: Order,
    pub answer: oneshot::Sender<Result<Value, Refusal>>,
}

/// Why an order is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotFound(String),
    /// Not as things are.
    Conflict(String),
    /// Kafka or the store does not answer.
    Unavailable(String),
}

/// Where orders go, and what one that changes something has to bear.
#[derive(Clone)]
pub struct Orders {
    sender: SyncSender<Asked>,
    /// `None`: nothing can be changed.
    token: Option<String>,
}

impl Orders {
    /// Gives the end that carries them out, too.
    pub fn new(token: Option<String>) -> (Self, Receiver<Asked>) {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        (Self { sender, token }, receiver)
    }

    /// Whether a request may change something.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = &self.token else {
            let detail = "nothing can be changed over HTTP: http.token is not set in the config";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        };
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        let scheme = given.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
        match scheme.map(|_| &given[7..]) {
            Some(given) if is_same(given, token.as_bytes()) => Ok(()),
            _ => Err(Problem::new(StatusCode::UNAUTHORIZED, "this needs the bearer token of http.token")),
        }
    }
}

/// In a time that does not tell where they differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// Lets through what may change something.
pub(super) async fn guard(State(shown): State<Shown>, request: Request, next: Next) -> Response {
    match shown.orders.admit(request.headers()) {
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

pub(super) async fn models(shown: State<Shown>, name: Named) -> Result<Json<Value>, Problem> {
    ask(&shown, name.ok().map(|Path(name)| name), Order::List).await
}

pub(super) async fn promote(
    shown: State<Shown>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let (name, version) = path.map(|Path(path)| path).unwrap_or_default();
    ask(&shown, Some(name), Order::Promote(version)).await
}

pub(super) async fn roll_back(shown: State<Shown>, name: Named) -> Result<Json<Value>, Problem> {
    ask(&shown, name.ok().map(|Path(name)| name), Order::RollBack).await
}

pub(super) async fn retrain(shown: State<Shown>, name: Named) -> Result<(StatusCode, Json<Value>), Problem> {
    let answer = ask(&shown, name.ok().map(|Path(name)| name), Order::Retrain).await?;
    Ok((StatusCode::ACCEPTED, answer))
}

async fn ask(shown: &Shown, name: Option<String>, order: Order) -> Result<Json<Value>, Problem> {
    let name = name.unwrap_or_default();
    let known = StreamName::new(&name).filter(|name| shown.board.stream_view(name).is_some());
    let stream = known.ok_or_else(|| Problem::not_found(format!("there is no stream \"{name}\"")))?;
    let (answer, answered) = oneshot::channel();
    let busy = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many orders wait; ask again");
    shown.orders.sender.try_send(Asked { stream, order, answer }).map_err(busy)?;
    let stopping = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the process is stopping");
    match answered.await.map_err(stopping)? {
        Ok(value) => Ok(Json(value)),
        Err(Refusal::NotFound(why)) => Err(Problem::not_found(why)),
        Err(Refusal::Conflict(why)) => Err(Problem::new(StatusCode::CONFLICT, why)),
        Err(Refusal::Unavailable(why)) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)),
    }
}
