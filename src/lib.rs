//! Tidecast: a rolling probabilistic forecast for every reading of every sensor on Kafka.
//!
//! ```text
//! Kafka partition
//!   → decode      bytes to Reading                    codec/       bad ones → dead-letter topic
//!   → admit       order, duplicates, gaps, lateness   series/      late ones → counted, dead-lettered
//!   → score       ledger: matured forecasts → errors  scoring/     → expert weights, calibration
//!   → scale       per-series normaliser               series/
//!   → batch       one reading per series, many series engine/
//!   → step        gather → fused cell → scatter       nn/          the only hot loop
//!   → forecast    experts + network → mix → calibrate engine/
//!   → encode      Forecast to bytes                   codec/
//!   → commit      forecasts + offsets, one transaction kafka/
//! ```
//!
//! | layer | rooms |
//! | --- | --- |
//! | 0 | [`domain`], `schemas`, `simd` |
//! | 1 | [`config`], `telemetry` |
//! | 2 | `codec`, `series`, `experts`, `nn`, `scoring`, `chart`, `console`, `registry` |
//! | 3 | [`engine`], `training`, `synthetic` |
//! | 4 | `checkpoint`, `kafka`, `http` |
//! | 5 | `models` |
//! | 6 | `worker` |
//! | 7 | [`daemon`], `backtest` |
//! | 8 | [`cli`] |
//!
//! A room imports only from the layers below it; `tests/layers/main.rs` holds this table against the code.
//!
//! The public interface is what is documented here: a checked [`config`], a [`engine::Shard`] that turns readings
//! into forecasts, the [`daemon`], and the command line. The other rooms are for the project's own tests and
//! benchmarks, and change without notice.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod domain;
pub mod engine;

mod backtest;
mod chart;
mod console;
mod simd;

#[doc(hidden)]
pub mod checkpoint;
#[doc(hidden)]
pub mod codec;
#[doc(hidden)]
pub mod experts;
#[doc(hidden)]
pub mod http;
#[doc(hidden)]
pub mod kafka;
#[doc(hidden)]
pub mod models;
#[doc(hidden)]
pub mod nn;
#[doc(hidden)]
pub mod registry;
#[doc(hidden)]
pub mod schemas;
#[doc(hidden)]
pub mod scoring;
#[doc(hidden)]
pub mod series;
#[doc(hidden)]
pub mod synthetic;
#[doc(hidden)]
pub mod telemetry;
#[doc(hidden)]
pub mod training;
#[doc(hidden)]
pub mod worker;
