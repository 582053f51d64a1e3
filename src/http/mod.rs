//! The admin server: metrics, health, an API and a dashboard.
//!
//! Owns its thread and its runtime, so that it answers while everything else is busy. Promises that
//! a request never waits for a worker and is bounded in time and size, and that every error is a
//! problem detail of RFC 9457. Shows what stands on the [`Board`] and in the [`Metrics`]; changes nothing by
//! itself: what is asked for with the right token is handed on as an [`Order`].
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
