//! The admin server: metrics, health, an API and a dashboard; and the charts of it, which reports draw
//! too.
//!
//! Owns its thread and its runtime, so that it answers while everything else is busy. Promises that
//! a request never waits for a worker and is bounded in time and size, and that every error is a
//! problem detail of RFC 9457. Shows what stands on the [`Board`] and in the [`Metrics`]; changes nothing by
//! itself: what is asked for with the right token is handed on as an [`Order`].
//!
//! [`Board`]: crate::telemetry::Board
//! [`Metrics`]: crate::telemetry::Metrics

mod api;
mod axis;
mod calibration_chart;
mod chart;
mod connection;
mod difference_chart;
mod error_chart;
mod health;
mod markup;
mod orders;
mod page;
mod problem;
mod server;
mod weight_chart;

pub use calibration_chart::{CalibrationChart, calibration};
pub use chart::{FanChart, fan};
pub use difference_chart::{DifferenceChart, difference_by_lead};
pub use error_chart::{ErrorChart, error_by_lead};
pub use markup::escape;
pub use orders::{Asked, Order, Orders, Refusal};
pub use server::{Error, Server};
pub use weight_chart::{WeightChart, weights_over_time};

#[cfg(test)]
mod chart_tests;
#[cfg(test)]
mod server_tests;
