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
/// No request needs a body; what is not announced is not read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a stop waits for requests that are under way.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Why the server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("can't listen on {address}: {cause}")]
    Listen { address: SocketAddr, cause: io::Error },
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
    /// Listens at once; port 0 takes any free one.
    ///
    /// # Errors
    /// [`Error::Listen`] when the address is taken or not this machine's, [`Error::Thread`] when the
    /// system has no thread or runtime to give.
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

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it has ended by itself: nobody would see any more how the process is.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Takes no more requests, lets those under way finish for a moment, and ends.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported where it happened.
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
        // Sent or dropped: both mean stop.
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
    // Around the method alone: another one is told which is right, with or without a token.
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

/// Bounds a request in time and size, and tells browsers neither to guess at its answer nor to keep it.
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
