//! Charts as SVG text: fan charts, errors by lead, weights over time, calibration.
//!
//! The dashboard, the backtest's report and the README use them. Each chart is a pure function from values to a
//! picture with its own light and dark style. Every name in it is escaped.

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
