//! Data to SVG: fan charts, errors by lead, weights over time, calibration.
//!
//! Shared by the dashboard and by backtest's report. Knows nothing of either; promises markup in which every
//! name is escaped.

#![forbid(unsafe_code)]

mod axis;
mod calibration;
mod difference;
mod error_by_lead;
mod fan;
mod markup;
mod weights;

#[cfg(test)]
mod tests;

pub use calibration::{CalibrationChart, calibration};
pub use difference::{DifferenceChart, difference_by_lead};
pub use error_by_lead::{ErrorChart, error_by_lead};
pub use fan::{FanChart, fan};
pub use markup::{escape, grouped, shortened};
pub use weights::{WeightChart, weights_over_time};
