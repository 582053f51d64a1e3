use super::orders::Orders;
use crate::telemetry::{Board, Metrics};

/// What request handlers read and where they hand orders.
#[derive(Clone)]
pub(super) struct AppState {
    pub metrics: Metrics,
    pub board: Board,
    pub orders: Orders,
}
