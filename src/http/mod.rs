//! The admin server: metrics, health, an API and a dashboard.
//!
//! The server has its own thread and runtime, so it answers while everything else is busy. A request never waits for
//! a worker and is bounded in time and size. Every error is a problem detail of RFC 9457. The server shows the
//! [`Board`] and the [`Metrics`]. It changes nothing by itself: a request with the right token is handed on as an
//! [`Order`].
//!
//! [`Board`]: crate::telemetry::Board
//! [`Metrics`]: crate::telemetry::Metrics

#![forbid(unsafe_code)]

mod api;
mod connection;
mod health;
mod models;
mod orders;
mod page;
mod problem;
mod server;
mod state;

pub use orders::{Asked, Order, Orders, Refusal};
pub use server::{Error, Server};

#[cfg(test)]
mod server_tests;
