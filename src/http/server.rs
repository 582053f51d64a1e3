use super::connection::BoundedListener;
use super::orders::Orders;
use super::problem::Problem;
use super::state::AppState;
use super::{api, health, models, page};
use crate::telemetry::{Board, Metrics, events};
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// The most time that a request may take.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// The largest body that a request may announce. No request needs one, and a body that is not announced is not
/// read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a stop waits for requests in progress.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Why the server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address can't be used.
    #[error("can't listen on {address}: {cause}")]
    Listen { address: SocketAddr, cause: io::Error },
    /// The system gave no thread or runtime.
    #[error("can't start the admin server's thread: {0}")]
    Thread(io::Error),
}

/// The admin server, on a thread and a runtime of its own. Dropping it stops it.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts to listen. Port 0 takes any free port.
    ///
    /// # Errors
    /// [`Error::Listen`] when the address is in use or not this machine's, [`Error::Thread`] when the system gives
    /// no thread or runtime.
    pub fn start(listen: SocketAddr, metrics: Metrics, board: Board, orders: Orders) -> Result<Self, Error> {
        let failed = |cause| Error::Listen { address: listen, cause };
        let listener = std::net::TcpListener::bind(listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .map_err(Error::Thread)?;
        let (stop, stopped) = oneshot::channel();
        let app = router(AppState { metrics, board, orders });
        let thread = std::thread::Builder::new()
            .name("http".into())
            .spawn(move || {
                if let Err(cause) = runtime.block_on(serve(listener, app, stopped)) {
                    events::http_failed(&cause);
                }
                runtime.shutdown_background();
            })
            .map_err(Error::Thread)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it has ended by itself, so that the process can't be observed any more.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Accepts no more requests, lets those in progress finish for a moment, and ends.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

async fn serve(listener: std::net::TcpListener, app: Router, stop: oneshot::Receiver<()>) -> io::Result<()> {
    let listener = BoundedListener::new(tokio::net::TcpListener::from_std(listener)?);
    let (stopping, grace) = oneshot::channel::<()>();
    let graceful = axum::serve(listener, app).with_graceful_shutdown(async move {
        // A message and a dropped sender both mean stop.
        let _ = stop.await;
        let _ = stopping.send(());
    });
    tokio::select! {
        ended = graceful => ended,
        () = async {
            let _ = grace.await;
            tokio::time::sleep(STOP_MAX).await;
        } => Ok(()),
    }
}

fn router(state: AppState) -> Router {
    // The guard is around the method only, so a wrong method gets its answer with or without a token.
    let guarded = |change: MethodRouter<AppState>| {
        change.route_layer(middleware::from_fn_with_state(state.clone(), models::guard))
    };
    let changes = Router::new()
        .route("/api/v1/streams/{stream}/models/{version}/promote", guarded(post(models::promote)))
        .route("/api/v1/streams/{stream}/rollback", guarded(post(models::roll_back)))
        .route("/api/v1/streams/{stream}/retrain", guarded(post(models::retrain)));
    Router::new()
        .route("/", get(page::dashboard))
        .route("/refresh.js", get(page::refresh))
        .route("/metrics", get(health::metrics))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/api/v1/streams", get(api::streams))
        .route("/api/v1/streams/{stream}", get(api::stream))
        .route("/api/v1/streams/{stream}/models", get(models::models))
        .merge(changes)
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not answer that method")
        })
        .layer(middleware::from_fn(bounded))
        .with_state(state)
}

/// Limits a request in time and size, and forbids browsers to guess the answer's type or to store it.
async fn bounded(request: Request, next: Next) -> Response {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
    let mut response = if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body may have {BODY_BYTES_MAX} bytes"))
            .into_response()
    } else {
        match tokio::time::timeout(REQUEST_MAX, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                let detail = format!("the request took longer than {} s", REQUEST_MAX.as_secs());
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
            }
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
