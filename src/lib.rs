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
//! | 0 | [`domain`], `simd` |
//! | 1 | [`config`], [`telemetry`] |
//! | 2 | [`codec`], [`series`], [`experts`], [`nn`], [`scoring`], [`chart`], `console` |
//! | 3 | [`engine`], [`training`], [`synthetic`] |
//! | 4 | [`checkpoint`], [`kafka`], [`http`] |
//! | 5 | [`models`] |
//! | 6 | [`worker`], [`backtest`] |
//! | 7 | [`daemon`] |
//! | 8 | [`cli`] |
//!
//! A room imports only from the layers below it; `tests/layers.rs` holds this table against the
//! `use crate::` lines.

pub mod backtest;
pub mod chart;
pub mod checkpoint;
pub mod cli;
pub mod codec;
pub mod config;
mod console;
pub mod daemon;
pub mod domain;
pub mod engine;
pub mod experts;
pub mod http;
pub mod kafka;
pub mod models;
pub mod nn;
pub mod scoring;
pub mod series;
mod simd;
pub mod synthetic;
pub mod telemetry;
pub mod training;
pub mod worker;
