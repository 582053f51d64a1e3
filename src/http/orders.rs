use super::problem::Problem;
use crate::domain::StreamName;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::sync::oneshot;

/// The most orders that wait; more are refused.
const WAITING_MAX: usize = 16;

/// What is asked of a stream's models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// List the models.
    List,
    /// Make a model the champion, given by its number or its name.
    Promote(String),
    /// Go back to the champion's predecessor.
    RollBack,
    /// Begin a training round now.
    Retrain,
}

/// An order that waits for its answer.
#[derive(Debug)]
pub struct Asked {
    /// The stream.
    pub stream: StreamName,
    /// What to do.
    pub order: Order,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Value, Refusal>>,
}

/// Why an order is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The order names something that does not exist.
    NotFound(String),
    /// The order does not fit the present state.
    Conflict(String),
    /// Kafka or the store does not answer.
    Unavailable(String),
}

/// Takes orders from requests, and checks the token of those that change something.
#[derive(Clone)]
pub struct Orders {
    sender: SyncSender<Asked>,
    /// `None` when nothing can be changed over HTTP.
    token: Option<String>,
}

impl Orders {
    /// Also returns the receiver, whose owner carries the orders out.
    pub fn new(token: Option<String>) -> (Self, Receiver<Asked>) {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        (Self { sender, token }, receiver)
    }

    /// Hands an order on and waits for its answer.
    pub(super) async fn ask(&self, stream: StreamName, order: Order) -> Result<Value, Problem> {
        let unavailable = |detail| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        let (answer, answered) = oneshot::channel();
        let busy = |_| unavailable("too many requests wait; try again");
        self.sender.try_send(Asked { stream, order, answer }).map_err(busy)?;
        match answered.await.map_err(|_| unavailable("the process is stopping"))? {
            Ok(value) => Ok(value),
            Err(Refusal::NotFound(why)) => Err(Problem::not_found(why)),
            Err(Refusal::Conflict(why)) => Err(Problem::new(StatusCode::CONFLICT, why)),
            Err(Refusal::Unavailable(why)) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)),
        }
    }

    /// Whether a request may change something.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
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

/// Compares in constant time, so that the time does not reveal where the texts differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
